"""The crash matrix of corrections: dead before and behind the ledger, and at each point of the run that applies it.

version n served -> a correction dies at P -> at Q -> a run that applies it dies at R ... -> a whole run
                    `- n is still served, and its answers hold -'   `- the ledger knows it from Q on -'

`make test` kills the runs at a few points, other ones each time; `make crash` at all.
"""

import signal
from collections.abc import Iterator

import pytest

from slackwater.core.faults import POINTS
from tests.beam_world import T0_US
from tests.crash_kit import House, drawn

pytestmark = pytest.mark.broker

POINTS_OF_LEDGER = ["correct.record", "correct.recorded"]
POINTS_OF_RUN = [p for p in POINTS if p.partition(".")[0] == "correct" and p not in POINTS_OF_LEDGER]
SECOND_US = 1_000_000


@pytest.fixture(scope="module", autouse=True)
def speed(house: House) -> Iterator[None]:
    with house.running("speed", "run"):
        yield


def grown(house: House) -> int:
    """A version that the speed layer's cells prove; its number."""
    house.world.produce(40)
    made = house.world.batch(proof_deadline_s=60.0)
    assert made.proof.outcome == "equal", made.proof.reason
    return made.version


def correction(second: int) -> list[str]:
    times = (T0_US + second * SECOND_US, T0_US + (second + 1) * SECOND_US)
    asked = ("--entity", "v:BTCUSDT", "--from", str(times[0]), "--to", str(times[1]))
    return ["correct", "remove", *asked, "--reason", "a test"]


def dies(house: House, arguments: list[str], point: str) -> None:
    """What was served is served, and its answers hold."""
    served = house.world.store.pointer()
    ended = house.run(*arguments, fault=f"{point}:kill")
    assert ended.code == -signal.SIGKILL, ended.text
    assert house.world.store.pointer() == served
    house.verify(to_the_end=False)


def applied(house: House, number: int) -> None:
    """The correction is applied, and every merged answer is the oracle's without what it took out."""
    current = house.world.store.current()
    assert current is not None
    assert current.corrected == number == house.world.store.corrections.last()
    assert current.count("corrected") > 0
    house.verify()


@pytest.mark.parametrize("count", [2, pytest.param(len(POINTS_OF_RUN), marks=pytest.mark.crash)])
def test_corrections_killed_one_after_another_are_applied_once(count: int, seed: int, house: House) -> None:
    grown(house)
    number = house.world.store.corrections.last()
    dies(house, correction(1), "correct.record")
    assert house.world.store.corrections.last() == number
    dies(house, correction(1), "correct.recorded")
    assert house.world.store.corrections.last() == number + 1
    for point in drawn(POINTS_OF_RUN, count, seed):
        dies(house, ["batch", "run"], point)
    ended = house.run("batch", "run")
    assert ended.code == 0, ended.text
    applied(house, number + 1)
    grown(house)
    applied(house, number + 1)


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS_OF_RUN)
def test_a_bad_or_full_disk_there_publishes_nothing_and_the_next_run_applies_it(point: str, house: House) -> None:
    served = grown(house)
    number = house.world.store.corrections.last()
    ended = house.run(*correction(1 + number % 7), fault=f"{point}:enospc")
    assert ended.code != 0
    assert house.world.store.pointer().version == served
    assert house.run("batch", "run").code == 0
    applied(house, number + 1)
