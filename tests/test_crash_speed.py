"""The crash matrix of the speed layer: at each fault point SIGKILL, an I/O error and a full disk, then lag 0.

    log grows -> a worker killed at P -> the next fails with EIO and with ENOSPC at P, begins again each time, and
    reaches the log's end: the chain, and every merged answer, equal the oracle

`make test` kills one worker after another, each at another point; `make crash` takes each point alone, too.
"""

import signal

import pytest

from slackwater.core.faults import POINTS
from tests.crash_kit import House, until

pytestmark = pytest.mark.broker

STEPS = ("read", "emit", "commit")
POINTS_OF_SPEED = [p for p in POINTS if p.partition(".")[0] in STEPS]

AFTER = {"read.before": 1, "read.after": 1, "emit.before": 2, "emit.after": 2, "emit.landed": 1}
"""Points that come by often are met in the middle."""


def after(point: str) -> str:
    return f":after={AFTER[point]}" if point in AFTER else ""


def killed(house: House, point: str) -> None:
    house.world.produce(300)
    ended = house.run("speed", "run", fault=f"{point}:kill{after(point)}")
    assert ended.code == -signal.SIGKILL, ended.text


def test_workers_that_die_one_after_another_lose_and_double_nothing(house: House) -> None:
    for point in POINTS_OF_SPEED:
        killed(house, point)
    house.world.produce(20)
    with house.running("speed", "run"):
        house.verify()
    house.world.check_chain()


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS_OF_SPEED)
def test_a_worker_that_dies_there_loses_and_doubles_nothing(point: str, house: House) -> None:
    killed(house, point)
    house.world.produce(20)
    with house.running("speed", "run", fault=f"{point}:eio{after(point)},{point}:enospc{after(point)}") as worker:
        until(lambda: "No space left on device (fault" in worker.text)
        assert worker.text.index("Input/output error (fault") < worker.text.index("No space left on device (fault")
        house.verify()
    house.world.check_chain()
