"""What keeps the service going: the pool for what blocks, threads that no error ends, the application's lifespan."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.options import ServingOptions
from serving.query.pool import Pool
from serving.service import Steps
from serving.store.batch import BatchReader, sandbox
from slackwater.http.problems import ProblemError
from tests.serving_world import World


def until(condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
    ends = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends, "not within the deadline"
        time.sleep(0.002)


def test_a_call_behind_its_deadline_is_interrupted_and_answered_504() -> None:
    stopped = threading.Event()
    pool = Pool(workers=1, deadline_s=1.0)  # the last call has to be answered within it on a busy machine, too
    with pytest.raises(ProblemError) as caught:
        asyncio.run(pool.run(stopped.wait, stopped.set))
    assert caught.value.status == 504
    assert asyncio.run(pool.run(lambda: 7)) == 7
    pool.close()


ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"


def test_a_slow_query_behind_its_deadline_ends_and_gives_its_thread_back() -> None:
    con = sandbox((), 1)
    pool = Pool(workers=1, deadline_s=0.05)
    cursor = con.cursor()
    later: list[int] = []

    async def crowd() -> None:
        calls = [pool.run(lambda: cursor.sql(ENDLESS).to_arrow_table(), cursor.interrupt)]
        calls.append(pool.run(lambda: later.append(1), lambda: None))  # type: ignore[arg-type]
        for found in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(found, ProblemError) and found.status == 504
        while pool.taken:  # without the interrupt it would not end for days
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(crowd(), 20.0))
    assert not later, "what waited behind its deadline is never begun"
    pool.close()
    con.close()


def test_a_slow_query_that_nobody_waits_for_any_more_ends() -> None:
    con = sandbox((), 1)
    pool = Pool(workers=1, deadline_s=1000.0)
    cursor = con.cursor()
    running = threading.Event()

    def slow() -> object:
        running.set()
        return cursor.sql(ENDLESS).to_arrow_table()

    async def gone() -> None:
        task = asyncio.ensure_future(pool.run(slow, cursor.interrupt))
        while not running.is_set():
            await asyncio.sleep(0.001)
        task.cancel()  # it may not have come to its query yet: then it is interrupted again
        while pool.taken:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(gone(), 20.0))
    pool.close()
    con.close()


def test_a_read_that_takes_too_much_memory_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchReader.__init__, "__defaults__", (1, "10KB", None))
    world = World(tmp_path)
    for i in range(40):
        world.trade(at_s=i * 100)
    world.publish(world.mark("run-1"), "run-1")
    world.step()
    for query in ("interval=1d", "interval=1d&limit=all&format=csv"):
        response = world.get(f"/v1/bars?venue=x&symbol=BTC&{query}")
        assert (response.status_code, response.json()["type"]) == (503, "urn:slackwater:problem:memory")
    world.close()


def test_too_many_waiting_calls_are_answered_503_at_once() -> None:
    writer = threading.Event()
    pool = Pool(workers=1, waiting=1)

    async def crowd() -> list[object]:
        calls = [asyncio.ensure_future(pool.run(writer.wait)) for _ in range(3)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        refused = [call.exception() for call in done]
        writer.set()
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

    steps = {f"slackwater-{name}" for name in ("versions", "proofs", "scrub", "feed-trades", "log-trades")}

    def own() -> set[str]:
        return steps & {thread.name for thread in threading.enumerate()}

    async def live() -> None:
        async with app.router.lifespan_context(app):
            while not world.service.readiness.check().ready:
                await asyncio.sleep(0.002)
            assert own() == steps

    asyncio.run(live())
    assert world.bars("symbol=BTC")["bars"] == world.oracle().bars("x", "BTC", 60_000_000)
    assert not own()
