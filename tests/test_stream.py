"""Streams on a log in memory: what a client knows by its events is what `/v1/bars` answers, at every step."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.options import ServingOptions, StreamOptions
from tests.serving_world import NAMES, NOON, SECOND, World, cut_in_a_minute
from tests.stream_kit import Listener, Picture, agrees, settle

MINUTE = 60 * SECOND


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, partitions=2)
    yield found
    found.close()


async def go(world: World, seconds: float = 1.1) -> None:
    """Publish what a speed layer would, have the service take it, and the streams give it."""
    world.emit()
    world.step(seconds)
    await settle(world)


def applied(listener: Listener) -> int:
    """What is applied of partition 1, as its last event says."""
    return int(listener.picture.meta["applied"]["1"])


def test_a_snapshot_comes_first_then_each_bar_that_changed(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC&interval=1m") as listener:
            assert listener.status == 200
            assert listener.headers["content-type"] == "text/event-stream"
            assert listener.headers["cache-control"] == "no-store"
            assert listener.headers["x-accel-buffering"] == "no"
            assert listener.raw.startswith(b"retry: 2000\n\n")
            assert listener.names() == ["snapshot"]
            await agrees(world, listener, ["BTC"], ["1m"])
            listener.forget()
            world.trade(at_s=541)
            await go(world)
            assert listener.names() == ["bars"]
            assert [bar["start"] for bar in listener.events[0].data["bars"]] == [NOON + 9 * MINUTE]
            await agrees(world, listener, ["BTC"], ["1m"])

    cut_in_a_minute(world)
    asyncio.run(run())


def test_a_late_trade_gives_a_closed_bar_a_new_revision(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC&interval=1m") as listener:
            before = listener.picture.bars["1m"]["BTC", NOON + MINUTE]
            assert before["closed"]
            listener.forget()
            world.trade(at_s=80)
            await go(world)
            (bar,) = listener.events[0].data["bars"]
            assert (bar["start"], bar["correction"]) == (NOON + MINUTE, True)
            assert bar["revision"] == before["revision"] + 2
            await agrees(world, listener, ["BTC"], ["1m"])

    cut_in_a_minute(world)
    asyncio.run(run())


def test_a_bar_that_is_closed_by_a_later_trade_is_told(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC&interval=1s") as listener:
            for at_s, told in ((1, [1]), (2, [2]), (3, [3]), (4, [1, 4]), (9, [2, 3, 4, 9])):
                listener.forget()
                world.trade(at_s=at_s)
                await go(world)
                bars = listener.events[0].data["bars"]
                assert [(bar["start"] - NOON) // SECOND for bar in bars] == told
                assert not any("correction" in bar for bar in bars)
                await agrees(world, listener, ["BTC"], ["1s"])

    world.step()
    asyncio.run(run())


def test_several_symbols_and_intervals_come_in_one_stream(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=ETHX,BTC&interval=1s,1m,1w&times=iso&limit=3") as listener:
            assert listener.names() == ["snapshot"] * 3
            assert [event.data["interval"] for event in listener.events] == ["1s", "1m", "1w"]
            for at_s in (500, 541, 3, 600, 7000):
                world.trade("ETHX", at_s=at_s)
                world.trade("BTC", at_s=at_s + 1)
                await go(world)
                await agrees(world, listener, ["BTC", "ETHX"], ["1s", "1m", "1w"], iso=True)
            assert listener.picture.meta["applied"].keys() == {"0", "1"}

    cut_in_a_minute(world)
    asyncio.run(run())


def test_a_new_version_is_told_and_changes_no_bar(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC&interval=1m") as listener:
            listener.forget()
            cut = world.mark("run-2")
            await go(world)
            world.publish(cut, "run-2")
            await go(world)
            assert listener.names() == ["version"]
            told = listener.events[0].data
            assert (told["version"], told["cut"]) == (2, {"1": cut[1]})
            world.trade(at_s=10)  # late: its bar lies in the files of the new version
            await go(world)
            assert listener.names() == ["version", "bars"]
            await agrees(world, listener, ["BTC"], ["1m"])

    cut_in_a_minute(world)
    asyncio.run(run())


def test_only_what_changed_is_told_when_a_version_and_trades_come_at_once(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC&interval=1s") as listener:
            cut = world.mark("run-2")
            for at_s in range(541, 551):
                world.trade(at_s=at_s)
            await go(world)
            listener.forget()
            world.publish(cut, "run-2")
            world.trade(at_s=549)
            world.trade(at_s=543)  # late; its cell holds the others' rows too, in another tiling than before
            await go(world)
            bars = [bar for event in listener.events if event.name == "bars" for bar in event.data["bars"]]
            assert [(bar["start"] - NOON) // SECOND for bar in bars] == [543, 549]
            assert ["correction" in bar for bar in bars] == [True, False]
            await agrees(world, listener, ["BTC"], ["1s"])

    cut_in_a_minute(world)
    asyncio.run(run())


def test_an_instrument_without_trades_is_waited_for(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=NEW&interval=1m") as listener:
            assert listener.events[0].data["bars"] == []
            world.trade("NEW", at_s=5)
            await go(world)
            assert listener.names() == ["snapshot", "bars"]
            await agrees(world, listener, ["NEW"], ["1m"])

    cut_in_a_minute(world)
    asyncio.run(run())


@pytest.mark.parametrize("as_header", [True, False])
def test_a_client_goes_on_behind_any_event(world: World, as_header: bool) -> None:
    async def run() -> None:
        query = "symbol=BTC&interval=1s,1m"
        async with Listener(world, query) as first:
            for at_s in (541, 70, 600):
                world.trade(at_s=at_s)
                await go(world)
        taken = list(first.events)
        for count in range(1, len(taken) + 1):
            last = taken[count - 1].ident
            headers = {"Last-Event-ID": last} if as_header else {}
            more = "" if as_header else f"&last_event_id={last}"
            picture = Picture()
            for event in taken[:count]:
                picture.apply(event, 100)
            async with Listener(world, query + more, headers, picture=picture) as again:
                if count == 1:
                    assert again.names() == ["snapshot", "snapshot"], "the second snapshot was not there yet"
                else:
                    assert "snapshot" not in again.names()
                await agrees(world, again, ["BTC"], ["1s", "1m"])

    cut_in_a_minute(world)
    asyncio.run(run())


def test_silence_is_broken_by_a_heartbeat(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC") as listener:
            listener.forget()
            world.clock.sleep(8.5)
            world.service.hub.check()
            await settle(world)
            assert listener.names() == []
            world.clock.sleep(0.5)
            world.service.lives["trades"].log_watch.pulse()  # what its thread does: the log answers
            world.service.hub.check()
            await settle(world)
            assert listener.names() == ["heartbeat"]
            meta = listener.picture.meta
            told = {"applied": meta["applied"], "lag": 0, "version": 1, "complete": True}
            assert listener.events[0].data == told
            world.service.hub.check()
            await settle(world)
            assert listener.names() == ["heartbeat"]

    cut_in_a_minute(world)
    asyncio.run(run())


def test_a_client_that_takes_nothing_is_cut_and_no_other_notices(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC") as good, Listener(world, "symbol=BTC") as stuck:
            stuck.reads.clear()
            for at_s in (541, 542, 543):
                world.trade(at_s=at_s)
                world.emit()
                world.step()
                await good.until(lambda: applied(good) == world.log.bounds(NAMES.topic("trades"))[1].end)
            assert world.service.hub.streams == 2
            world.clock.sleep(20)
            world.service.hub.check()
            await good.until(lambda: world.service.hub.streams == 1)
            assert +world.service.hub.ended == {"slow-client": 1}
            assert "bars" not in stuck.names()
            await agrees(world, good, ["BTC"], ["1m"])

    cut_in_a_minute(world)
    asyncio.run(run())


def test_a_slow_client_is_given_each_bar_once_in_its_newest_form(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC&interval=1m") as good, Listener(world, "symbol=BTC&interval=1m") as slow:
            slow.reads.clear()
            for at_s in (541, 542, 602, 603, 604):
                world.trade(at_s=at_s)
                world.emit()
                world.step(0.1)
                await good.until(lambda: applied(good) == world.log.bounds(NAMES.topic("trades"))[1].end)
            slow.forget()
            slow.reads.set()
            await settle(world)
            assert slow.names() == ["bars", "bars"], "one that was being sent, and all the rest"
            assert [bar["trades"] for bar in slow.events[1].data["bars"]] == [3, 3]
            assert slow.picture.bars == good.picture.bars

    cut_in_a_minute(world)
    asyncio.run(run())


def test_streams_are_ended_with_a_reason_and_no_other_begins(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC") as listener:
            world.service.hub.close()
            await settle(world)
            assert listener.names() == ["snapshot", "end"]
            assert listener.events[-1].data["type"] == "urn:slackwater:problem:shutting-down"
            assert listener.closed
        async with Listener(world, "symbol=BTC") as refused:
            assert refused.status == 503

    cut_in_a_minute(world)
    asyncio.run(run())


def test_streams_of_one_event_loop_after_another_are_given_what_changes(world: World) -> None:
    async def run(at_s: int) -> None:
        async with Listener(world, "symbol=BTC") as listener:
            world.trade(at_s=at_s)
            await go(world)
            assert listener.names() == ["snapshot", "bars"]

    cut_in_a_minute(world)
    for at_s in (541, 542):
        asyncio.run(run(at_s))


def test_there_are_only_so_many_streams(world: World) -> None:
    async def run() -> None:
        async with Listener(world, "symbol=BTC"), Listener(world, "symbol=BTC") as refused:
            assert refused.status == 503
            assert refused.headers["retry-after"] == "5"
            assert b"too-many-streams" in refused.raw
        async with Listener(world, "symbol=BTC") as listener:
            assert listener.status == 200

    world.serve(ServingOptions(poll_s=0.0, streams=StreamOptions(most=1)))
    cut_in_a_minute(world)
    asyncio.run(run())


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("", "symbol"),
        ("symbol=B!", "symbol"),
        ("symbol=BTC&interval=7s", "interval"),
        ("symbol=BTC&interval=1m,1m", "interval"),
        ("symbol=BTC&interval=1m,60s", "interval"),
        ("symbol=BTC&interval=1s,5s,10s,15s,30s,1m,3m,5m,15m", "interval"),
        ("symbol=BTC&limit=1001", "limit"),
        ("symbol=BTC&limit=-1", "limit"),
        ("symbol=BTC&times=unix", "times"),
        ("symbol=BTC&start=1970-01-01", "start"),
        ("symbol=BTC&symbol=ETH", "symbol"),
        ("symbol=BTC&last_event_id=1", "last_event_id"),
        ("symbol=" + ",".join(f"S{i}" for i in range(33)) + "&interval=1s,1m", "interval"),
        ("symbol=" + ",".join(f"S{i}" for i in range(21)) + "&limit=1000", "limit"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_stream_begins(world: World, query: str, wrong: str) -> None:
    world.step()
    response = world.get(f"/v1/stream/bars?venue=x&{query}")
    assert response.status_code == 422
    assert wrong in [error["parameter"] for error in response.json()["errors"]]


def test_a_stream_of_a_service_that_has_nothing_yet_is_refused(world: World) -> None:
    response = world.get("/v1/stream/bars?venue=x&symbol=BTC")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
