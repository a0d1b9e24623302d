"""The benchmark of streams: from just before a trade is sent to the log until an event at a client holds it.

The processes and the trades are those of `bench_latency`. Three spans: one client; many clients; as many, some of
which take nothing. Of many, a few are sampled: each trade counts once for every one of these. The clients are one
process, which shares the cores with everything else; so are its figures and the serving process' memory given.
"""

import re
import time
from typing import Any, NamedTuple

import httpx
import numpy as np

from bench.house import BenchError, House, Job, Room
from bench.latency import READY_S, flows, percentiles, start_layers
from bench.trades import Trades

PROCESSES = ("broker", "speed", "serving", "producer", "client")
SAMPLED = 10

LATEST_S = 5.0
"""How long after a span what was sent in it may still come; what does not is reported as lost."""


class StreamSpans(NamedTuple):
    """How it is measured: trades a second, seconds before and within a span, how many clients and how many stuck."""

    rate: int = 1000
    warm_s: float = 8.0
    span_s: float = 30.0
    clients: int = 1000
    stalled: int = 10


STREAM_SPANS = StreamSpans()


def measure_stream(house: House, source: Trades, spans: StreamSpans) -> dict[str, Any]:
    """Percentiles of each span in milliseconds, cores used, and memory of the serving process in megabytes."""
    room = house.room("stream")
    venue, symbol = source.instruments[source.busiest()]
    start_layers(room)
    producer = room.job("produce", {"rate": spans.rate}, "producer")
    room.wait(lambda: flows(room.context), "the first trades", READY_S)
    time.sleep(spans.warm_s)
    spent = []
    for clients, stalled in ((1, 0), (spans.clients, 0), (spans.clients, spans.stalled)):
        house.say(f"streams: {clients:,} clients, {stalled} of them stalled, for {spans.span_s:.0f} s")
        given = {"clients": clients, "stalled": stalled, "sampled": min(SAMPLED, clients - stalled)}
        before = house.watch.now_mb("serving")
        job = room.job("listen", {"venue": venue, "symbol": symbol, **given}, "client")
        spent.append({**given, "before_mb": round(before), **_span(house, room, job, clients, spans)})
        room.wait(lambda: _open(room) == 0, "the end of the streams", READY_S)
    sent = producer.finish()
    room.stop()
    sent_ns = np.array(sent["sent_ns"], np.int64)  # of the ids 1, 2, ...
    return {
        "rate": round(sent["trades"] / sent["seconds"]),
        "instrument": ":".join(sent["instrument"]),
        "spans": [_figures(sent_ns, found) for found in spent],
    }


def _span(house: House, room: Room, job: Job, clients: int, spans: StreamSpans) -> dict[str, Any]:
    room.wait(lambda: _open(room) >= clients, f"{clients} streams", READY_S)
    time.sleep(spans.warm_s)
    used = {name: house.watch.cpu_s(name) for name in PROCESSES}
    first_mb, began = house.watch.now_mb("serving"), time.time_ns()
    time.sleep(spans.span_s)
    ended, last_mb = time.time_ns(), house.watch.now_mb("serving")
    cores = {name: round((house.watch.cpu_s(name) - was) / spans.span_s, 2) for name, was in used.items()}
    time.sleep(LATEST_S)
    found = job.finish()
    return {**found, "span": (began, ended), "cores": cores, "first_mb": round(first_mb), "last_mb": round(last_mb)}


def _open(room: Room) -> int:
    """How many streams are open, as the service counts them."""
    text = httpx.get(f"{room.context.url}/metrics", timeout=10.0).text
    found = re.search(r"^slackwater_streams ([0-9]+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _figures(sent_ns: Any, found: dict[str, Any]) -> dict[str, Any]:
    began, ended = found["span"]
    wanted = np.flatnonzero((sent_ns >= began) & (sent_ns < ended))
    latencies, events = [], 0
    for seen in found["seen"]:
        if not seen:
            raise BenchError("A client was given nothing.")
        seen_ns, newest = (np.array(column, np.int64) for column in zip(*seen, strict=True))
        if newest[-1] <= wanted[-1]:
            raise BenchError(f"{wanted[-1] + 1 - newest[-1]} trades never came to a client.")
        events += int(((seen_ns >= began) & (seen_ns < ended)).sum())
        latencies.append((seen_ns[np.searchsorted(newest, wanted + 1)] - sent_ns[wanted]) / 1e6)
    if found["lost"]:
        raise BenchError(f"{found['lost']} clients that read were cut.")
    seconds = (ended - began) / 1e9
    return {
        "clients": found["clients"],
        "stalled": found["stalled"],
        "stalled_cut": found["stalled_lost"],
        "latency": percentiles(np.concatenate(latencies)),
        "events_per_s": round(events / seconds / len(found["seen"]), 1),
        "cores": found["cores"],
        "memory": {name: found[f"{name}_mb"] for name in ("before", "first", "last")},
    }
