"""What keeps the service going: the pool for what blocks, threads that no error ends, the application's lifespan."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.pool import Pool
from serving.problems import ProblemError
from serving.service import ServingOptions
from serving.thread import Steps
from tests.serving_world import World


def until(condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
    ends = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends, "not within the deadline"
        time.sleep(0.002)


def test_a_call_behind_its_deadline_is_interrupted_and_answered_504() -> None:
    stopped = threading.Event()
    pool = Pool(workers=1, deadline_s=0.02)
    with pytest.raises(ProblemError) as caught:
        asyncio.run(pool.run(stopped.wait, stopped.set))
    assert caught.value.status == 504
    assert asyncio.run(pool.run(lambda: 7)) == 7
    pool.close()


def test_too_many_waiting_calls_are_answered_503_at_once() -> None:
    gate = threading.Event()
    pool = Pool(workers=1, waiting=1)

    async def crowd() -> list[object]:
        calls = [asyncio.ensure_future(pool.run(gate.wait)) for _ in range(3)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        refused = [call.exception() for call in done]
        gate.set()
        await asyncio.gather(*calls, return_exceptions=True)
        return list(refused)

    (refused,) = asyncio.run(crowd())
    assert isinstance(refused, ProblemError)
    assert (refused.status, refused.retry_after_s) == (503, 1)
    assert refused.response().headers["retry-after"] == "1"
    pool.close()


def test_an_error_of_a_call_is_its_callers() -> None:
    pool = Pool()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(pool.run(lambda: 1 // 0))
    pool.close()


def test_a_thread_outlives_its_errors_and_shows_the_last(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []

    def step() -> None:
        turns.append(1)
        if len(turns) < 4:
            raise OSError("no disk")

    thread = Steps("worker", step, every_s=0.001, pause_s=0.001)
    thread.start()
    until(lambda: len(turns) > 5)
    thread.stop()
    assert thread.error is None
    assert caplog.text.count("Traceback") == 1, "a run of equal errors is logged once"


def test_the_lifespan_starts_and_ends_the_threads(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.trade()
    world.emit()
    app = world.serve(ServingOptions(poll_s=0.0, watch_every_s=0.001))

    steps = {f"slackwater-{name}" for name in ("versions", "proofs", "scrub", "feed")}

    def own() -> set[str]:
        return steps & {thread.name for thread in threading.enumerate()}

    async def live() -> None:
        async with app.router.lifespan_context(app):
            while not world.service.readiness().ready:
                await asyncio.sleep(0.002)
            assert own() == steps

    asyncio.run(live())
    assert world.bars("symbol=BTC")["bars"] == world.oracle().bars("x", "BTC", 60_000_000)
    assert not own()
    world.summariser.close()
