"""The crash matrix of a batch run: at each fault point SIGKILL, an I/O error and a full disk, then a run that succeeds.

    version n served -> a run killed at P -> at Q -> at R -> a whole run -> version n + 1 equals the oracle
                        `- n is still served, and its answers hold -'

Runs are killed one after another, each at another point, over what the dead ones left: in `make test` at a few points,
other ones each time; in `make crash` at all of them, and each point alone, too.
"""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.core.faults import POINTS
from slackwater.deltas.cell import Cell, delta_key_of, encode_key, encode_value
from slackwater.store.compaction import MOST_WIDE
from slackwater.streams.schema import GRID
from slackwater.versions.manifest import Manifest
from slackwater.views.bars import BARS
from tests.beam_world import kafka_world
from tests.crash_kit import AGAIN, House, drawn, until
from tests.forked import Program
from tests.test_batch_run import letters

pytestmark = pytest.mark.broker

STEPS = ("audit", "mark", "archive", "compute", "prove", "restate", "compact", "publish")
ELSEWHERE = {"archive.import", "prove.handoff"}
"""Points that a usual run does not reach: in `test_crash_ingest.py`, and below."""

POINTS_OF_BATCH = [p for p in POINTS if p.partition(".")[0] in STEPS and p not in ELSEWHERE]

MOVED = {"publish.after"}
"""Where the pointer has moved already: what comes after is told as an error, and the version is whole."""

AFTER = {"mark.append": 1, "compute.rename": 2}
"""Points that come by often are met in the middle."""


@pytest.fixture(scope="module", autouse=True)
def speed(house: House) -> Iterator[None]:
    with house.running("speed", "run"):
        grow(house, current(house).version + 1)
        yield


def grow(house: House, version: int) -> None:
    """Runs that are proven, up to that version."""
    while current(house).version < version:
        feed(house)
        made = house.world.batch(proof_deadline_s=60.0)
        assert made.proof.outcome == "equal", made.proof.reason


def current(house: House) -> Manifest:
    found = house.world.store.current()
    assert found is not None
    return found


def after(point: str) -> str:
    return f":after={AFTER[point]}" if point in AFTER else ""


def published(program: Program) -> list[int]:
    """The versions that a process says it published."""
    return [int(number) for number in re.findall(r"version (\d+) published: ", program.text)]


def feed(house: House) -> None:
    """A few records more, one of them refused."""
    house.world.produce(6)
    house.world.append(0, b"{}").offset()


def check(house: House, manifest: Manifest) -> None:
    """The version and every merged answer equal the oracle, and each refused record is a dead letter."""
    house.world.check(manifest)
    assert (manifest.proof.outcome, manifest.proof.reason) == ("equal", "")
    assert len(letters(house.world)) == manifest.count("refused")
    house.verify()


def killed(house: House, point: str) -> None:
    """A run dies at `point`: what was served is served, unless the pointer has moved already."""
    if point.startswith("compact."):
        grow(house, MOST_WIDE + 2)  # from then on every run has something to compact
    served = current(house)
    feed(house)
    ended = house.run("batch", "run", fault=f"{point}:kill{after(point)}")
    assert ended.code == -signal.SIGKILL, ended.text
    found = current(house)
    assert found.parent == served.version if point in MOVED else found == served


def succeeds(house: House) -> None:
    """The answers hold, and the next run publishes the next version."""
    house.verify(to_the_end=False)
    served = current(house)
    assert house.run("batch", "run", "--always").code == 0
    manifest = current(house)
    assert manifest.parent == served.version
    check(house, manifest)


@pytest.mark.parametrize("count", [5, pytest.param(len(POINTS_OF_BATCH), marks=pytest.mark.crash)])
def test_runs_killed_one_after_another_leave_the_old_version_served_and_the_next_one_succeeds(
    count: int, seed: int, house: House
) -> None:
    for point in drawn(POINTS_OF_BATCH, count, seed):
        killed(house, point)
    succeeds(house)


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS_OF_BATCH)
def test_a_run_that_is_killed_there_leaves_the_old_version_served_and_the_next_one_succeeds(
    point: str, house: House
) -> None:
    killed(house, point)
    succeeds(house)


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS_OF_BATCH)
def test_runs_that_repeat_survive_a_bad_and_a_full_disk_there(point: str, house: House) -> None:
    if point.startswith("compact."):
        grow(house, MOST_WIDE + 2)
    served = current(house)
    feed(house)
    faults = f"{point}:eio{after(point)},{point}:enospc{after(point)}"
    with house.running("batch", "run", "--every", "1", "--always", fault=faults) as runs:
        until(lambda: published(runs))
    said = [
        runs.text.index(f"{what} (fault point {point})") for what in ("Input/output error", "No space left on device")
    ]
    assert said == sorted(said) and said[1] < runs.text.index(" published: ")
    manifest = house.world.store.manifest(published(runs)[0])
    assert manifest.parent > served.version if point in MOVED else manifest.parent == served.version
    check(house, manifest)


@pytest.mark.parametrize(
    ("point", "action"), [("archive.write", "eio"), ("compute.write", "enospc"), ("publish.pointer", "eio")]
)
def test_a_disk_that_refuses_ends_a_single_run_with_one_clear_line(point: str, action: str, house: House) -> None:
    served = current(house)
    house.world.produce(6)
    ended = house.run("batch", "run", fault=f"{point}:{action}")
    assert ended.code == AGAIN, ended.text
    (line,) = ended.errors
    assert f"(fault point {point})" in line and "run it again" in line
    assert current(house) == served


@pytest.mark.parametrize(
    "action", ["kill", *(pytest.param(name, marks=pytest.mark.crash) for name in ("eio", "enospc"))]
)
def test_a_run_whose_proof_failed_and_that_dies_before_it_writes_why_publishes_nothing(
    action: str, broker: str, tmp_path: Path
) -> None:
    with kafka_world(broker, tmp_path / "home") as world:
        house = House(world, tmp_path)
        world.produce(20)
        assert house.run("batch", "run", SLACKWATER_PROOF_SECONDS="0").code == 0
        served = current(house)
        while world.ends[0] <= GRID:
            world.produce(100)
        forged = Cell(
            delta_key_of(BARS, world.topic_id, 0), served.cut("trades")[0], GRID, ()
        )  # a sealed cell, without its rows
        writer = world.log.writer()
        writer.append(world.names.deltas("trades"), 0, encode_key(forged, True), encode_value(forged))
        writer.close()
        with house.running("speed", "run"):
            ended = house.run("batch", "run", fault=f"prove.handoff:{action}")
            assert ended.code == (-signal.SIGKILL if action == "kill" else AGAIN), ended.text
            assert current(house) == served
            ended = house.run("batch", "run")
        assert ended.code == 1 and "differ" in ended.errors[0], ended.text
        assert current(house) == served
