"""Each of thousands of bits flipped and each of hundreds of lengths cut, in every kind of file: none is ever served.

    the judge   what a server's choice and its reads stand on, asked for every damage
    the server  the real application, asked for a sample: the older version answers, exactly, and says why, once

A file that is put back is served again.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import duckdb
import pytest

from serving.store.batch import whole
from serving.watch.candidates import Candidates
from slackwater.versions.errors import DamagedFileError, PointerError, VersionError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.versions.pointer import Pointer
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS
from tests.bars_oracle import Oracle
from tests.profiles import PROFILE
from tests.serving_world import NOON, SECOND, World

KINDS = [*(interval.text for interval in PUBLISHED_INTERVALS), "archive", "ids", "manifest", "pointer"]
MORE = 3 if PROFILE == "search" else 1
FLIPS = {"manifest": 500 * MORE}
"""Random bits of a kind, besides all bits of its first and last bytes."""
OTHER_FLIPS = 140 * MORE
EDGE = 16
"""Bytes at either end whose every bit is flipped: a Parquet file's magic words, its footer's length and end."""
REPAIRED = 16
"""The file is put back after each so many damages."""
SERVED = 6
"""Damages of each kind that the whole application is shown."""
TRADES = f"/v1/trades?venue=x&symbol=BTC&start={NOON}&end={NOON + 86_400 * SECOND}"


class Damage(NamedTuple):
    """A file's bytes with something wrong."""

    what: str
    data: bytes


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three versions, and a trade behind the last."""
    found = World(tmp_path_factory.mktemp("home"), partitions=1)
    for number in (1, 2, 3):
        for i in range(40):
            found.trade(at_s=number * 1000 + 37 * i, price=f"{100 + i}.25", quantity=f"0.{number}{i:02d}1")
        found.publish(found.mark(f"run-{number}"), f"run-{number}")
    found.trade(at_s=9)
    found.emit()
    found.step()
    yield found
    found.close()


@pytest.fixture(scope="module")
def truth(world: World) -> Oracle:
    return world.oracle()


def the_file(world: World, kind: str) -> tuple[Path, StoredFile | None]:
    """The file of a kind of version 3, and what its manifest says of it."""
    manifest = world.store.manifest(3)
    if kind == "pointer":
        return world.store.folder / "current", None
    if kind == "manifest":
        return world.store.manifest_path(3), None
    stored = {"archive": manifest.archive[0].file, "ids": manifest.ids[0].file}.get(kind)
    stored = stored or manifest.parts_of("bars", kind)[0].file
    return world.store.home / stored.path, stored


def flips(kind: str, data: bytes) -> Iterator[Damage]:
    """Bits: all of them in the pointer, elsewhere all of both ends and a random sample between."""
    bits = set(range(8 * len(data)))
    if kind != "pointer":
        ends = {*range(8 * EDGE), *range(8 * (len(data) - EDGE), 8 * len(data))}
        bits = ends | set(Random(kind).sample(sorted(bits - ends), FLIPS.get(kind, OTHER_FLIPS)))
    for bit in sorted(bits):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield Damage(f"bit {bit}", bytes(changed))


def cuts(kind: str, data: bytes) -> Iterator[Damage]:
    """Lengths: all of pointer and manifest, elsewhere all near the ends and every 21st between (a search: 7th)."""
    for length in range(len(data)):
        if kind in {"pointer", "manifest"} or length % (21 // MORE) == 0 or min(length, len(data) - length) <= 4 * EDGE:
            yield Damage(f"cut to {length}", data[:length])


def damages(kind: str, data: bytes) -> list[Damage]:
    return [*flips(kind, data), *cuts(kind, data)]


class Judge:
    """Chooses as a server does that saw the file whole, damaged and whole again."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self._inspector = Inspector(world.store)
        self._candidates = Candidates(world.store, (BARS,), self._inspector)

    def version(self, file: StoredFile | None, served: int | None) -> tuple[int, str]:
        """What would be served now, and why it is not what was asked for; `file` was read once, as a read does."""
        pointer: Pointer | str
        try:
            pointer = self._store.pointer()
        except PointerError as error:
            pointer = str(error)
        if file is not None:
            try:
                self._inspector.check([file])
            except DamagedFileError:
                assert self._inspector.known_damage([file])
        choice = self._candidates.choose(pointer, served)
        assert choice.manifest is not None
        return choice.manifest.version, " ".join(choice.refusals)


def test_the_damages_are_as_many_as_promised(world: World) -> None:
    sizes = {kind: the_file(world, kind)[0].read_bytes() for kind in KINDS}
    assert sum(len(list(flips(kind, data))) for kind, data in sizes.items()) >= (5000 if MORE > 1 else 3000)
    assert all(len(list(cuts(kind, data))) >= 120 for kind, data in sizes.items())
    assert len(list(cuts("manifest", sizes["manifest"]))) == len(sizes["manifest"])


def test_a_file_that_is_damaged_while_it_is_read_is_said_to_be_damaged_whatever_the_read_says(world: World) -> None:
    path, stored = the_file(world, "1s")
    good = path.read_bytes()
    inspector = Inspector(world.store)

    def read() -> int:
        with duckdb.connect() as con:
            rows = con.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
            path.write_bytes(b"short")  # DuckDB's error for this is none of those for a file that is gone
            return len(rows) + len(con.sql(f"SELECT * FROM read_parquet('{path}')").fetchall())

    assert stored is not None
    with pytest.raises(DamagedFileError, match=path.name) as caught:
        whole(inspector, [stored], read)
    assert isinstance(caught.value.__context__, duckdb.InvalidInputException)
    path.write_bytes(good)
    inspector.check([stored])


@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_is_ever_chosen_and_each_repair_is(world: World, kind: str) -> None:
    path, stored = the_file(world, kind)
    good = path.read_bytes()
    judge = Judge(world)
    assert judge.version(stored, None) == (3, "")
    expected = 3 if kind == "pointer" else 2  # without a pointer, the newest version that is whole
    try:
        for number, (what, data) in enumerate(damages(kind, good)):
            path.write_bytes(data)
            version, why = judge.version(stored, 3)
            assert (version, bool(why)) == (expected, True), what
            if number % REPAIRED == 0:
                path.write_bytes(good)
                assert judge.version(stored, version) == (3, ""), what
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("kind", KINDS)
def test_the_older_version_answers_exactly_and_says_why_once(
    world: World, truth: Oracle, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, stored = the_file(world, kind)
    good = path.read_bytes()
    version = 3 if kind == "pointer" else 2
    for what, data in Random(kind).sample(damages(kind, good), SERVED):
        caplog.clear()
        path.write_bytes(data)
        if kind == "archive":
            assert world.get(TRADES).status_code == 503, what
        try:
            until(world, lambda: bool(world.service.readiness.check().reasons), stored)
            exact(world, truth, version)
            response = world.get("/health/ready")
            assert (response.status_code, response.json()["version"]) == (503, version)
            about = world.bars("symbol=BTC")["meta"]
            assert about["refusal"] == " ".join(response.json()["reasons"])
            assert str(world.store.home) not in about["refusal"]
            lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
            assert lines == [f"Refused: {about['refusal']}"], what
        finally:
            path.write_bytes(good)
        until(world, lambda: not world.service.readiness.check().reasons, stored)
        exact(world, truth, 3)


def until(world: World, done: object, stored: StoredFile | None) -> None:
    """Steps of the server: a damage that nobody reads is found by the scrub, within two rounds."""
    scrub = world.service.scrub
    last = scrub.rounds + 2
    world.step()
    while not done() and scrub.rounds < last:  # type: ignore[operator]
        world.step()
    assert done(), stored  # type: ignore[operator]


def exact(world: World, truth: Oracle, version: int) -> None:
    for interval in (*PUBLISHED_INTERVALS,):
        found = world.bars(f"symbol=BTC&interval={interval.text}&limit=10000")
        assert (found["meta"]["version"], found["meta"]["complete"]) == (version, True)
        expected = truth.bars("x", "BTC", interval.us)
        assert json.dumps(found["bars"]) == json.dumps(expected)
    trades = world.get(TRADES).json()
    assert (trades["meta"]["version"], len(trades["trades"])) == (version, truth.events)


def test_a_damage_of_every_version_at_once_is_no_answer(world: World) -> None:
    manifests = [world.store.manifest(version) for version in (1, 2, 3)]
    good = {world.store.home / file.path: data for file, data in contents(world, manifests)}
    for path, data in good.items():
        path.write_bytes(data[:-1])
    try:
        with pytest.raises(VersionError, match="Version 1 is not served"):
            Judge(world).version(None, 3)
        world.step()
        assert world.get("/v1/bars?venue=x&symbol=BTC").status_code == 503
    finally:
        for path, data in good.items():
            path.write_bytes(data)
    world.step()
    assert world.bars("symbol=BTC")["meta"]["version"] == 3


def contents(world: World, manifests: Iterable[Manifest]) -> Iterator[tuple[StoredFile, bytes]]:
    for manifest in manifests:
        for entry in manifest.parts_of("bars", "1s"):
            yield entry.file, (world.store.home / entry.file.path).read_bytes()
