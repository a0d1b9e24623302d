"""The benchmark of live capture: a venue of this machine speaks as Binance does, `slackwater capture` and the ingest
service run as processes of their own.

    burst      frames as fast as they are taken: trades for each second of CPU of either process
    latency    so many trades a second: from the moment in which the venue sends one to its append to the log

The times of trades are those of their sending, so the log itself says how long each took (whole milliseconds, by the
broker's clock, which is this machine's).
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import numpy as np
import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.house import BenchError, House, Room
from ops.services import Service, services
from slackwater.log.events import decode
from slackwater.log.log import Record, read_range
from slackwater.streams.trades import TRADES

VENUE, SYMBOL = "binance_spot", "BTCUSDT"
READY_S = 60.0
DONE_S = 600.0
SAMPLE = 5_000
"""Trades of the log that latency is read from."""


class CaptureShape(NamedTuple):
    """Trades of the burst, trades a second of the latency, and for how many seconds."""

    burst: int = 500_000
    per_s: int = 1_000
    seconds: int = 20


CAPTURE_SHAPE = CaptureShape()

Frames = Callable[[], AsyncIterator[str]]


def measure_capture(house: House, shape: CaptureShape = CAPTURE_SHAPE) -> dict[str, Any]:
    """The figures of both."""
    room = house.room("capture-burst")
    house.say(f"capture: {shape.burst:,} trades at once")
    burst = _burst(room, shape.burst)
    room.stop()
    room = house.room("capture-latency")
    house.say(f"capture: {shape.per_s:,} trades a second for {shape.seconds} s")
    latency = _latency(room, shape)
    room.stop()
    return {"burst": burst, "latency": latency}


def capture_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    burst, latency = found["burst"], found["latency"]
    return [
        (
            f"capture of {burst['trades']:,} trades, one a frame",
            f"{burst['service_per_cpu_s'] / 1e3:,.0f} k a CPU second of the service, "
            f"{burst['capture_per_cpu_s'] / 1e3:,.0f} k of capture, {burst['per_s'] / 1e3:,.1f} k/s",
            "at least 20 k of the service",
        ),
        (
            f"sent by the venue -> appended to the log, {latency['per_s']:,} trades/s",
            f"p50 {latency['p50_ms']:.0f}, p99 {latency['p99_ms']:.0f} ms",
            "p50 at most 10 ms",
        ),
        (
            "memory of capture, after a tenth of the burst and after all of it",
            f"{burst['early_mb']:,} MB, {burst['late_mb']:,} MB",
            "flat",
        ),
    ]


def _frame(number: int, time_us: int) -> str:
    event = {"e": "trade", "E": time_us, "s": SYMBOL, "t": number, "p": "61837.63000000", "q": "0.02000000"}
    return orjson.dumps({"stream": "btcusdt@trade", "data": {**event, "T": time_us, "m": True, "M": True}}).decode()


@contextmanager
def _venue(frames: Frames) -> Iterator[str]:
    """A venue that sends these frames to the first who subscribes, and then is silent: its address."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    address: list[str] = []
    ended = asyncio.Event()

    async def connected(connection: ServerConnection) -> None:
        try:
            await connection.recv()
            await connection.send('{"result":null,"id":1}')
            async for frame in frames():
                await connection.send(frame)
            await ended.wait()
        except ConnectionClosed:
            return

    async def run() -> None:
        async with serve(connected, "127.0.0.1", 0, compression=None) as server:
            address.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def _start(room: Room, address: str) -> None:
    (service,) = (each for each in services(room.context.settings) if each.name == "intake")
    room.start(service)
    url = f"http://127.0.0.1:{room.context.settings.ingest_port}"
    room.wait(lambda: _ready(url), "the ingest service", READY_S)
    urls = f"{VENUE}=ws://{address},{VENUE}.rest=http://{address}"
    words = ("--feed-urls", urls, "capture", "run", f"{VENUE}:{SYMBOL}")
    room.start(Service("capture", words, "an exchange's trades -> ingest service"))


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5.0).is_success
    except httpx.HTTPError:
        return False


def _burst(room: Room, trades: int) -> dict[str, Any]:
    begun = threading.Event()

    async def frames() -> AsyncIterator[str]:
        begun.set()
        now_us = time.time_ns() // 1000
        for number in range(trades):
            yield _frame(number + 1, now_us + number)

    with _venue(frames) as address:
        _start(room, address)
        watch = room.house.watch
        room.wait(begun.is_set, "the subscription", READY_S)
        used, began = {name: watch.cpu_s(name) for name in ("capture", "intake")}, time.perf_counter()
        early = list[int]()

        def done() -> bool:
            count = _appended(room)
            if count >= trades // 10 and not early:
                early.append(round(watch.now_mb("capture")))
            return count >= trades

        room.wait(done, "all trades in the log", DONE_S, every_s=0.5)
        seconds = time.perf_counter() - began
        cpu_s = {name: watch.cpu_s(name) - before for name, before in used.items()}
        return {
            "trades": trades,
            "per_s": round(trades / seconds),
            "service_per_cpu_s": round(trades / cpu_s["intake"]),
            "capture_per_cpu_s": round(trades / cpu_s["capture"]),
            "early_mb": early[0],
            "late_mb": round(watch.now_mb("capture")),
        }


def _latency(room: Room, shape: CaptureShape) -> dict[str, Any]:
    trades = shape.per_s * shape.seconds

    async def frames() -> AsyncIterator[str]:
        began = time.perf_counter()
        for number in range(trades):
            wait_s = began + number / shape.per_s - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            yield _frame(number + 1, time.time_ns() // 1000)

    with _venue(frames) as address:
        _start(room, address)
        room.wait(lambda: _appended(room) >= trades, "all trades in the log", DONE_S, every_s=0.5)
    table = decode(TRADES, _records(room)).table.sort_by("sequence")
    took = (table.column("appended").to_numpy() - table.column("time").to_numpy())[-SAMPLE:] / 1e3
    if table.num_rows != trades:
        raise BenchError(f"{table.num_rows:,} of {trades:,} trades are in the log.")
    p50, p99 = np.percentile(took, [50, 99]).tolist()
    return {"per_s": shape.per_s, "p50_ms": round(p50, 1), "p99_ms": round(p99, 1)}


def _appended(room: Room) -> int:
    """How many trades the ingest service has taken: their ids are 1, 2, 3 and so on, and none may be missing."""
    url = f"http://127.0.0.1:{room.context.settings.ingest_port}/v1/ingest/trades/ids?venue={VENUE}"
    (found,) = httpx.get(url, timeout=30.0).raise_for_status().json()["ids"] or [{"last": 0, "missing": 0}]
    return int(found["last"]) - int(found["missing"])


def _records(room: Room) -> list[Record]:
    log, topic = room.context.log, room.context.names.topic("trades")
    bounds = log.bounds(topic)
    starts, uptos = {p: of.start for p, of in bounds.items()}, {p: of.end for p, of in bounds.items()}
    return [record for of in read_range(log, topic, starts, uptos) for record in of.records]
