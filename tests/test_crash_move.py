"""The crash matrix of rollbacks and promotions: at each fault point SIGKILL and bad disks, then a move that succeeds.

    version 2 served -> a rollback to 1 dies at P -> at Q -> ... -> one that ends -> 1 is served, exactly; and back

The pointer is where it was, unless the process died after it moved. A promotion needs a second definition, and so a
program of its own: `tests.both_definitions`. `make test` kills at one point before the pointer moves, another one each
time, and at the one behind; `make crash` at all.
"""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.broker import free_port
from slackwater.core.faults import POINTS, VARIABLE
from slackwater.views.bars import BARS
from tests.beam_world import SYMBOLS, World, call, kafka_world, program
from tests.crash_kit import AGAIN, House, drawn, until
from tests.test_definitions import SWAPPED

pytestmark = pytest.mark.broker

POINTS_OF_MOVE = [p for p in POINTS if p.partition(".")[0] == "move"]
MOVED = "move.after"
NOTHING_RESTATED = "move.ledger"
"""A rollback between two right versions changes no bar, and writes no ledger; a promotion does."""

POINTS_OF_ROLLBACK = [p for p in POINTS_OF_MOVE if p != NOTHING_RESTATED]
ACTIONS = [("kill", -signal.SIGKILL), ("eio", AGAIN), ("enospc", AGAIN)]
WHY = ("--reason", "a test")


@pytest.fixture(scope="module", autouse=True)
def speed(house: House) -> Iterator[None]:
    with house.running("speed", "run"):
        yield


def versions(house: House) -> tuple[int, int]:
    """Two versions, the newer one served; more trades lie behind it."""
    found = []
    for _ in range(2):
        house.world.produce(6)
        assert house.run("batch", "run").code == 0
        found.append(house.world.store.pointer().version)
    house.world.produce(6)
    return found[0], found[1]


def dies(house: House, to: int, point: str, action: str, code: int) -> None:
    """A rollback dies: the pointer is where it was, or where it belongs, and every answer holds."""
    served = house.world.store.pointer().version
    ended = house.run("batch", "rollback", str(to), *WHY, fault=f"{point}:{action}")
    assert ended.code == code, ended.text
    assert house.world.store.pointer().version == (to if point == MOVED else served)
    house.verify(to_the_end=False)


def goes(house: House, to: int) -> None:
    """A rollback that ends: it is recorded once, and answers are exact."""
    ended = house.run("batch", "rollback", str(to), *WHY)
    assert ended.code == 0, ended.text
    store = house.world.store
    move = store.moves.until(store.pointer().move)[-1]
    assert (store.pointer().version, move.target, move.reason) == (to, to, "a test")
    house.verify()


@pytest.mark.parametrize("count", [1, pytest.param(len(POINTS_OF_ROLLBACK) - 1, marks=pytest.mark.crash)])
def test_rollbacks_killed_one_after_another_leave_the_pointer_and_the_next_one_succeeds(
    count: int, seed: int, house: House
) -> None:
    older, newer = versions(house)
    for point in [*drawn([p for p in POINTS_OF_ROLLBACK if p != MOVED], count, seed), MOVED]:
        dies(house, older, point, "kill", -signal.SIGKILL)
    assert house.world.store.pointer().version == older, "the last one died behind its move"
    goes(house, newer)


@pytest.mark.crash
@pytest.mark.parametrize(("action", "code"), ACTIONS)
@pytest.mark.parametrize("point", POINTS_OF_ROLLBACK)
def test_a_rollback_that_dies_there_leaves_the_pointer_and_the_next_one_succeeds(
    point: str, action: str, code: int, house: House
) -> None:
    older, newer = versions(house)
    dies(house, older, point, action, code)
    if point != MOVED:
        goes(house, older)
    goes(house, newer)
    assert house.run("batch", "run").code == 0
    house.verify()


@pytest.fixture
def world(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("SLACKWATER_PORT", str(free_port()))
    monkeypatch.setenv("SLACKWATER_PROOF_SECONDS", "30")
    with kafka_world(broker, tmp_path / "home") as made:
        yield made


def both(world: World, *words: str, fault: str = "") -> Any:
    """`slackwater <words>` with both definitions, as a process to its end."""
    return call("tests.both_definitions", *words, environ={**world.environ(), VARIABLE: fault})


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_promotions_that_die_one_after_another_leave_the_pointer_and_the_next_one_succeeds(world: World) -> None:
    url = f"http://127.0.0.1:{world.environ()['SLACKWATER_PORT']}"

    def answered() -> tuple[int, str]:
        """The version and the definition of an answer."""
        query = {"venue": "v", "symbol": SYMBOLS[0], "interval": "1m"}
        about = httpx.get(f"{url}/v1/bars", params=query, timeout=10).json()["meta"]
        return about["version"], about["definition"]

    def ready() -> bool:
        """Whether the service answers at all: with everything starting at once, each start takes its time."""
        try:
            return httpx.get(f"{url}/health/live", timeout=10).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    world.produce(60)
    with ExitStack() as running:
        for words in (("speed", "run"), ("serve",)):
            running.enter_context(program(world, "tests.both_definitions", *words))
        until(ready, timeout_s=120)
        done = both(world, "batch", "run")
        assert done.returncode == 0, done.stderr
        served = world.store.pointer().version
        made = both(world, "batch", "run", "--candidate", "--json")
        assert made.returncode == 0, made.stderr
        candidate = json.loads(made.stdout.splitlines()[-1])["version"]
        for point in POINTS_OF_MOVE:
            for action, code in ACTIONS if point != MOVED else ACTIONS[:1]:
                before = world.store.moves.last()
                ended = both(world, "batch", "promote", str(candidate), *WHY, fault=f"{point}:{action}")
                assert ended.returncode == code, (point, action, ended.stderr)
                at = world.store.pointer().version
                assert at == (candidate if point == MOVED else served), point
                assert world.store.moves.last() - before == (point in {"move.pointer", MOVED})
                assert action == "kill" or re.search(rf"fault point {re.escape(point)}", ended.stderr)
        until(lambda: answered() == (candidate, SWAPPED.definition))
        moves = world.store.moves.until(world.store.pointer().move)
        assert [(m.source, m.target) for m in moves] == [(served, candidate)]
        assert moves[0].restated["new_definition"], "high and low changed places in closed bars"
        assert both(world, "batch", "rollback", str(served), *WHY).returncode == 0
        until(lambda: answered() == (served, BARS.definition))
