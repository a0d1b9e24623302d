"""The benchmark of latency: from just before a trade is sent to the log until a REST answer that holds it is there.

The broker, the speed layer and the service run as always; one process sends 1,000 trades a second, one a record, as
they happen, and one asks for the last bars of the busiest instrument over a connection that stays open. A trade is
visible in the first answer whose `last_sequence` has come to its id. All of them share the machine's cores. Sending is
the log's writer without ingest, which adds up to 2 ms of linger under a burst and none to a lone trade.

Two spans are measured: without batch runs, and with one every few seconds; of the second also the trades that were
sent when answers changed to a new version.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx
import numpy as np

from bench.budget import budget_of, stages_now
from bench.house import BenchError, House, Room
from bench.trades import Trades
from ops.context import Context
from ops.services import Service, services
from ops.supervisor import Child

READY_S = 90.0
SWAP_S = 0.5
"""Trades that were sent within so long of a new version count as sent around it."""

PROCESSES = ("broker", "speed", "serving", "producer", "client")


class Spans(NamedTuple):
    """How it is measured: trades a second, seconds before and within a span, seconds between two batch runs.

    For some 20 s a new broker compiles itself on one of the two cores; who measures that measures Java.
    """

    rate: int = 1000
    warm_s: float = 25.0
    span_s: float = 30.0
    batch_every_s: int = 5


SPANS = Spans()


def measure_latency(house: House, source: Trades, spans: Spans) -> dict[str, Any]:
    """Percentiles of both spans, in milliseconds."""
    room = house.room("latency")
    venue, symbol = source.instruments[source.busiest()]
    start_layers(room)
    producer = room.job("produce", {"rate": spans.rate}, "producer")
    asker = room.job("poll", {"venue": venue, "symbol": symbol}, "client")
    room.wait(lambda: flows(room.context), "the first trades", READY_S)
    house.say(f"latency: {spans.rate:,} trades/s for {spans.span_s:.0f} s")
    time.sleep(spans.warm_s)
    before = {name: house.watch.cpu_s(name) for name in PROCESSES}
    passed = stages_now(room.context)
    marks = [_span(spans)]
    budget = budget_of(passed, stages_now(room.context))
    cores = {name: round((house.watch.cpu_s(name) - used) / spans.span_s, 2) for name, used in before.items()}
    house.say(f"latency: the same with a batch run every {spans.batch_every_s} s")
    room.start(Service("batch", ("batch", "run", "--every", str(spans.batch_every_s)), ""))
    room.wait(lambda: room.context.store.pointer().version > 0, "the first version", READY_S)
    time.sleep(spans.warm_s / 10)
    marks.append(_span(spans))
    sent = producer.finish()
    time.sleep(0.5)  # what was sent last is asked for once more
    found = asker.finish()
    room.stop()
    return {**_figures(sent, found, marks), "cores": cores, "budget": budget, "client": room.context.log.client}


def start_layers(room: Room) -> Child:
    """Start the speed layer and the service, and wait until the service keeps its promise; the service's process."""
    known = {service.name: service for service in services(room.context.settings)}
    room.start(known["speed"])
    serving = room.start(known["serving"])
    room.wait(lambda: ready(room.context), "the service", READY_S)
    return serving


def ready(context: Context) -> bool:
    """Whether the service keeps its promise in full."""
    try:
        return httpx.get(f"{context.url}/health/ready", timeout=2.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def flows(context: Context) -> bool:
    """Whether there is a trade in the log."""
    return any(bounds.end for bounds in context.log.bounds(context.names.topic("trades")).values())


def _span(spans: Spans) -> tuple[int, int]:
    """A span of the wall clock, in nanoseconds, after it is over."""
    began = time.time_ns()
    time.sleep(spans.span_s)
    return began, time.time_ns()


def _figures(sent: dict[str, Any], found: dict[str, Any], marks: Sequence[tuple[int, int]]) -> dict[str, Any]:
    sent_ns = np.array(sent["sent_ns"], np.int64)  # of the ids 1, 2, ...
    seen_ns, newest = (np.array(column, np.int64) for column in zip(*found["seen"], strict=True))
    if newest[-1] < len(sent_ns):
        raise BenchError(f"{len(sent_ns) - newest[-1]} trades never became visible.")
    visible_ns = seen_ns[np.searchsorted(newest, np.arange(1, len(sent_ns) + 1))]
    latency_ms = (visible_ns - sent_ns) / 1e6
    swaps = [at for at, _ in found["versions"][1:]]
    quiet, batch = ((sent_ns >= a) & (sent_ns < b) for a, b in marks)
    around = np.zeros(len(sent_ns), bool)
    for at in swaps:
        around |= abs(sent_ns - at) < SWAP_S * 1e9
    asked = [ms for at, ms in found["asked"] if marks[0][0] <= at < marks[0][1]]
    seconds = (marks[0][1] - marks[0][0]) / 1e9
    first, last = (bisect_left(swaps, at) for at in marks[1])
    return {
        "rate": round(sent["trades"] / sent["seconds"]),
        "instrument": ":".join(sent["instrument"]),
        "without_batch": percentiles(latency_ms[quiet]),
        "with_batch": {**percentiles(latency_ms[batch]), "versions": last - first},
        "around_new_versions": percentiles(latency_ms[batch & around]),
        "answer": {**percentiles(np.array(asked)), "per_s": round(len(asked) / seconds)},
    }


def percentiles(values: Any) -> dict[str, Any]:
    """Milliseconds."""
    if not len(values):
        return {"count": 0}
    p50, p90, p99, most = (round(float(v), 2) for v in np.percentile(values, [50, 90, 99, 100]))
    return {"p50": p50, "p90": p90, "p99": p99, "max": most, "count": len(values)}
