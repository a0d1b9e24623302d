"""The benchmark of the REST service: answers from memory and cold ranges, each by clients in a process.

    batch       one run over the trades: the batch view, of which cold ranges are read
    speed       more trades behind the cut: what a hot answer merges
    hot         one question again and again, when nothing changes and while 1,000 trades a second come in
    cold        each request another one, so that no answer is cached; how many had to read files is counted

Every request carries a key. The clients run in one process on the same cores (`bench.load`); their share is given.
"""

import random
import re
import time
from typing import Any, NamedTuple

import numpy as np

from bench.house import BenchError, House, Room
from bench.latency import start_layers
from bench.trades import Trades, fill
from ops.context import CLOCK, Context
from ops.rest import session
from slackwater.keys.keys import KeyStore
from slackwater.streams.schema import MAX_LINES
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.views.bars import BARS
from slackwater.views.interval import Interval, parse_interval

READY_S = 180.0


class ServingSpans(NamedTuple):
    """How it is measured: trades behind the cut, connections, seconds of each span, different cold questions."""

    hot_trades: int = 200_000
    hot_connections: int = 64
    cold_connections: int = 10
    warm_s: float = 2.0
    span_s: float = 10.0
    cold_paths: int = 20_000
    rate: int = 1000


SERVING_SPANS = ServingSpans()


class Prepared(NamedTuple):
    """A service over a version and trades behind its cut: its room and process, hot questions by name, and headers."""

    room: Room
    manifest: Manifest
    pid: int
    hot: dict[str, str]
    headers: list[tuple[str, str]]


def prepare(house: House, source: Trades, trades: int, spans: ServingSpans) -> Prepared:
    """Fill a log, run the batch layer over it, and start the service."""
    room = house.room("serving")
    context = room.context
    house.say(f"serving: filling the log with {trades:,} trades and one batch run")
    fill(context.log, context.names.topic("trades"), source, trades, MAX_LINES, CLOCK)
    room.job("batch").finish(tell=False)
    fill(context.log, context.names.topic("trades"), source, spans.hot_trades, MAX_LINES, CLOCK)
    serving = start_layers(room)
    room.wait(lambda: _applied(context, source), "the trades behind the cut", READY_S)
    manifest = context.store.current()
    assert manifest is not None  # noqa: S101 - the job `batch` has run
    assert serving.pid is not None  # noqa: S101 - it answers
    _, key = KeyStore(context.settings.home).create("bench", "read", CLOCK.now_us())
    venue, symbol = source.instruments[source.busiest()]
    asked = f"/v1/{BARS.name}?venue={venue}&symbol={symbol}&interval="
    newest = max(i.last_start for i in manifest.instruments_of(TRADES) if (i.venue, i.symbol) == (venue, symbol))
    hot = {
        "latest 100 bars": f"{asked}1m&limit=100",
        "500 bars of a range": f"{asked}1s&start={newest - 400 * 1_000_000}&limit=500",
    }
    return Prepared(room, manifest, serving.pid, hot, [("Authorization", f"Bearer {key}")])


def measure_serving(house: House, source: Trades, trades: int, spans: ServingSpans) -> dict[str, Any]:
    """The figures; times in milliseconds."""
    room, manifest, _, hot, headers = prepare(house, source, trades, spans)
    load = Loads(house, room, spans, headers)
    found = {name: load(name, [path], spans.hot_connections) for name, path in hot.items()}
    producer = room.job("produce", {"rate": spans.rate}, "producer")
    time.sleep(spans.warm_s)
    found |= {f"{name}, live": load(name, [path], spans.hot_connections) for name, path in hot.items()}
    producer.finish()
    for text in ("1m", "1h", "1d"):
        paths = cold_paths(manifest, parse_interval(text), spans.cold_paths)
        read = reads(room.context)
        found[f"cold {text}"] = load(f"cold {text}", paths, spans.cold_connections)
        found[f"cold {text}"]["read_files"] = reads(room.context) - read
    room.stop()
    return {"trades": trades, "rate": spans.rate, "load": found}


class Loads:
    """Spans of load on one room's service."""

    def __init__(self, house: House, room: Room, spans: ServingSpans, headers: list[tuple[str, str]]) -> None:
        self._house = house
        self._room = room
        self._spans = spans
        self._headers = headers

    def __call__(self, name: str, paths: list[str], connections: int) -> dict[str, Any]:
        """One span of one load."""
        self._house.say(f"serving: {name}, {connections} connections")
        spans, watch = self._spans, self._house.watch
        given = {"paths": paths, "headers": self._headers, "connections": connections}
        used = watch.cpu_s("serving")
        found = self._room.job("load", {**given, "warm_s": spans.warm_s, "span_s": spans.span_s}).finish(tell=False)
        used = watch.cpu_s("serving") - used
        if set(found["statuses"]) != {"200"}:
            raise BenchError(f"Not every answer to {name} is one: {found['statuses']}.")
        p50, p99, most = np.percentile(found["answers_ms"], [50, 99, 100]).round(1).tolist()
        return {
            "connections": connections,
            "per_s": round(len(found["answers_ms"]) / found["seconds"]),
            "p50": p50,
            "p99": p99,
            "max": most,
            "mb_per_s": round(found["bytes"] / found["seconds"] / 1e6, 1),
            "load_cores": round(found["cpu_s"] / found["seconds"], 2),
            "serving_cores": round(used / (spans.warm_s + found["seconds"]), 2),
        }


def _applied(context: Context, source: Trades) -> bool:
    """Whether the speed layer has come to the log's end."""
    with session(context) as client:
        for venue, symbol in source.instruments:
            response = client.get(f"/v1/{BARS.name}", params={"venue": venue, "symbol": symbol, "limit": 1})
            if response.headers.get("Slackwater-Lag-Records") != "0":
                return False
    return True


def reads(context: Context) -> int:
    """How many answers needed rows that were not cached, so far."""
    with session(context) as client:
        text = client.get("/metrics").text
    found = re.search(r'^slackwater_row_cache_requests_total{result="miss"} (\d+)', text, re.MULTILINE)
    if found is None:
        raise BenchError("The service does not count its reads.")
    return int(found[1])


def cold_paths(manifest: Manifest, interval: Interval, count: int) -> list[str]:
    """Different questions for 500 bars, of any instrument and place; their limits differ where places are few."""
    drawn, paths = random.Random(7), []  # noqa: S311 - the same questions every time
    for _ in range(count):
        one = drawn.choice(manifest.instruments_of(TRADES))
        last = max(one.first_start, one.last_start - 500 * interval.us)
        start = interval.floor(drawn.randrange(one.first_start, last + 1))
        query = f"venue={one.venue}&symbol={one.symbol}&interval={interval.text}&start={start}"
        paths.append(f"/v1/{BARS.name}?{query}&limit={drawn.randrange(450, 501)}")
    return paths


_ASKED = {
    "latest 100 bars": "at least 4,000/s, p99 at most 25 ms",
    "500 bars of a range": "at least 2,000/s, p99 at most 60 ms",
    **dict.fromkeys(("cold 1m", "cold 1h", "cold 1d"), "p99 at most 50 ms"),
}


def serving_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    lines = []
    for name, span in found["load"].items():
        what = f"{name}, {span['connections']} connections"
        if name.startswith("cold"):
            what = f"{what}, 500 bars from {found['trades']:,} trades"
        elif name.endswith("live"):
            what = f"{what}: {found['rate']:,} trades/s come in"
        measured = f"{span['per_s']:,}/s, p50 {span['p50']}, p99 {span['p99']}, max {span['max']:.0f} ms"
        cores = f"cores: service {span['serving_cores']}, load {span['load_cores']}"
        if "read_files" in span:
            cores = f"{cores}; {span['read_files']:,} read files"
        lines.append((what, f"{measured}; {cores}", _ASKED.get(name, "")))
    return lines
