"""The benchmark of many instruments: what each costs the service in memory, what it takes to list them, and `restate`.

    log     a trade of each instrument           the speed layer's chains hold them all
    batch   one run                              the version holds them all, and the chains none
    late    trades of some, one of them late     the next run restates the bars of those

Memory is the service's resident size, above that of a service over an empty log: with all instruments in the chains
alone, in both (the chains of the versions before are cached for cursors), and after a new start, in the version alone.
"""

import re
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import orjson

from bench.house import BenchError, House, Room
from bench.latency import READY_S, percentiles, start_layers
from ops.context import CLOCK
from ops.rest import session
from slackwater.views.bars import BARS

VENUE = "bench"
HOUR_US = 3_600_000_000
FLUSH_RECORDS = 20_000
APPLIED_S = 600.0
POLL_S = 0.01


class InstrumentsShape(NamedTuple):
    """How many instruments there are, how many of them trade late, and how often they are listed."""

    number: int = 100_000
    late: int = 100
    lists: int = 5


INSTRUMENTS_SHAPE = InstrumentsShape()


def measure_instruments(house: House, shape: InstrumentsShape) -> dict[str, Any]:
    """Megabytes of the service, bytes an instrument, the listing's size and times, seconds of the batch runs."""
    room = house.room("instruments")
    start_layers(room)
    empty_mb = house.watch.now_mb("serving")
    house.say(f"instruments: a trade of each of {shape.number:,}")
    start_us = CLOCK.now_us() - 2 * HOUR_US
    _append(room, (_trade(number, 1, start_us) for number in range(shape.number)))
    chains_mb = _settled_mb(room, 0)
    chains = _list(room, shape)
    first = room.job("batch").finish(tell=False)
    both_mb = _settled_mb(room, first["version"])
    room.stop()
    start_layers(room)
    batch_mb = _settled_mb(room, first["version"])
    batch = _list(room, shape)
    listed_mb = house.watch.now_mb("serving")
    house.say(f"instruments: late trades of {shape.late:,}")
    times = ((2, start_us + HOUR_US), (3, start_us))
    _append(room, (_trade(number, *each) for each in times for number in range(shape.late)))
    second = room.job("batch").finish(tell=False)
    swapped_mb = _settled_mb(room, second["version"])
    restated = _restated(room)
    room.stop()
    memory = {"empty": empty_mb, "chains": chains_mb, "both": both_mb, "batch": batch_mb, "listed": listed_mb}
    return {
        "instruments": shape.number,
        "late": shape.late,
        "restated": restated,
        "memory_mb": {name: round(mb) for name, mb in {**memory, "swapped": swapped_mb}.items()},
        "bytes_each": {name: round((memory[name] - empty_mb) * 1e6 / shape.number) for name in ("chains", "batch")},
        "list": {"chains": chains, "batch": batch},
        "first_seconds": first["seconds"],
        "seconds": second["seconds"],
        "manifest_mb": round(_manifest_bytes(room) / 1e6, 2),
    }


def _trade(number: int, trade_id: int, time_us: int) -> tuple[bytes, bytes]:
    symbol = f"S{number:06}"
    facts = {"venue": VENUE, "symbol": symbol, "trade_id": trade_id, "time": time_us + number}
    value = {**facts, "price": f"{100 + trade_id}.25", "quantity": "0.5", "side": "buy"}
    return f"{VENUE}:{symbol}".encode(), orjson.dumps(value)


def _append(room: Room, records: Iterator[tuple[bytes, bytes]]) -> None:
    """Append to the log, each record to the partition of its key; all are acknowledged when this returns."""
    log, topic = room.context.log, room.context.names.topic("trades")
    partitions = len(log.bounds(topic))
    writer = log.writer()
    try:
        for number, (key, value) in enumerate(records):
            writer.append(topic, log.partition_of(key, partitions), key, value)
            if number % FLUSH_RECORDS == FLUSH_RECORDS - 1:
                writer.flush()
    finally:
        writer.close()


def _settled_mb(room: Room, version: int) -> float:
    """The service's size when it serves `version` and has applied everything."""
    room.wait(lambda: _applied(room) and _served(room) == version, "everything applied", APPLIED_S, every_s=0.5)
    return room.house.watch.now_mb("serving")


def _applied(room: Room) -> bool:
    with session(room.context, timeout_s=READY_S) as client:
        text = client.get("/metrics").text
    ends = re.findall(rf'^slackwater_applied_offset\{{.*view="{BARS.name}".*\}} (\d+)', text, re.MULTILINE)
    bounds = room.context.log.bounds(room.context.names.topic("trades")).values()
    return sum(map(int, ends)) == sum(each.end for each in bounds)


def _served(room: Room) -> int:
    with session(room.context, timeout_s=READY_S) as client:
        return int(client.get("/health/ready").json()["version"] or 0)


def _list(room: Room, shape: InstrumentsShape) -> dict[str, Any]:
    """List all instruments a few times while another client asks for something small."""
    pages: list[float] = []
    walks: list[float] = []
    sizes: list[int] = []
    with session(room.context, timeout_s=READY_S) as client, _Other(room.context.url) as other:
        for _ in range(shape.lists):
            began, size, found = time.perf_counter(), 0, 0
            for body, seconds in _pages(client):
                pages.append(seconds * 1e3)
                size += len(body)
                found += len(orjson.loads(body)["instruments"])
            walks.append((time.perf_counter() - began) * 1e3)
            sizes.append(size)
            if found != shape.number:
                raise BenchError(f"{found:,} instruments are listed, not {shape.number:,}.")
    return {
        "pages": len(pages) // shape.lists,
        "bytes": sizes[-1],
        "page_bytes": round(sizes[-1] * shape.lists / len(pages)),
        "page_ms": percentiles(pages),
        "all_ms": percentiles(walks),
        "others_ms": percentiles(other.waited_ms),
    }


def _pages(client: httpx.Client) -> Iterator[tuple[bytes, float]]:
    following = "/v1/instruments"
    while following:
        began = time.perf_counter()
        response = client.get(following)
        response.raise_for_status()
        yield response.content, time.perf_counter() - began
        following = response.links.get("next", {}).get("url", "")


class _Other:
    """Another client, who waits as long as the service's event loop is busy."""

    def __init__(self, url: str) -> None:
        self.waited_ms: list[float] = []
        self._url = url
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="other")

    def __enter__(self) -> "_Other":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=READY_S) as client:
            while True:
                began = time.perf_counter()
                client.get("/health/live").raise_for_status()
                self.waited_ms.append((time.perf_counter() - began) * 1e3)
                if self._done.wait(POLL_S):
                    return


def _restated(room: Room) -> int:
    manifest = room.context.store.current()
    return sum(manifest.restated.values()) if manifest is not None else 0


def _manifest_bytes(room: Room) -> int:
    store = room.context.store
    folder = store.folder / str(store.pointer().version)
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def instruments_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    count, memory, each = found["instruments"], found["memory_mb"], found["bytes_each"]
    lines = [
        (
            f"memory of the service with {count:,} instruments: none, in the chains, in both, in the version alone",
            ", ".join(f"{memory[name]:,}" for name in ("empty", "chains", "both", "batch")) + " MB",
            "",
        ),
        (
            "an instrument with one bar: in the chains, in the version",
            f"{each['chains']:,}, {each['batch']:,} bytes",
            "",
        ),
    ]
    for name, where in (("chains", "in the chains"), ("batch", "in the version")):
        walk = found["list"][name]
        page = (
            f"p50 {walk['page_ms']['p50']:.1f}, p99 {walk['page_ms']['p99']:.1f} ms, {walk['page_bytes'] / 1e3:,.0f} KB"
        )
        lines += [
            (f"a page of /v1/instruments, {where}", page, ""),
            (
                f"all of them, {walk['pages']:,} pages",
                f"p50 {walk['all_ms']['p50'] / 1e3:.1f} s, {walk['bytes'] / 1e6:.1f} MB; "
                f"others wait {walk['others_ms']['p50']:.1f}, at most {walk['others_ms']['max']:.0f} ms",
                "",
            ),
        ]
    first, second = found["first_seconds"]["restate"], found["seconds"]["restate"]
    return [
        *lines,
        (
            f"restate: a trade of each, then late trades of {found['late']:,}",
            f"{first:.2f} s, then {second:.2f} s for {found['restated']:,} bars",
            "",
        ),
        ("the version's manifest", f"{found['manifest_mb']:.1f} MB", ""),
    ]
