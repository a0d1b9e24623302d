"""The benchmark of the ingest service: events for each second of CPU that its process uses, the broker apart.

    lines       bodies of NDJSON over HTTP, by several connections at once
    arrow       the same events as Arrow streams
    file        chunks as `slackwater ingest FILE` hands them over

Bodies are made before the clock starts. Every event is new, and durable when it is counted.
"""

import io
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx
import pyarrow as pa

from bench.house import BenchError, House, Room
from bench.trades import Trades
from ingest import handed
from ingest.chunk import of_lines
from ingest.live import pass_at, pass_events
from ingest.service.bodies import ARROW, NDJSON
from ops.context import CLOCK
from ops.services import services
from slackwater.streams.rows import event_lines
from slackwater.streams.trades import TRADES


class IntakeShape(NamedTuple):
    """Events of each kind, of a body, and how many connections send them."""

    events: int = 1_000_000
    body: int = 5_000
    connections: int = 2


INTAKE_SHAPE = IntakeShape()
READY_S = 60.0


def measure_intake(house: House, source: Trades, shape: IntakeShape = INTAKE_SHAPE) -> dict[str, Any]:
    """Events a second of CPU and of time, by kind."""
    found: dict[str, Any] = {}
    for kind in ("lines", "arrow", "file"):
        room = house.room(f"intake-{kind}")
        house.say(f"intake: {shape.events:,} events as {kind}")
        media, bodies = _bodies(kind, source, shape)
        found[kind] = _measured(room, media, bodies, shape)
        room.stop()
    return {"events": shape.events, **found}


def intake_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    asked = {"lines": "120 k", "arrow": "300 k", "file": "250 k"}
    return [
        (
            f"ingest service, {found['events']:,} events as {kind}",
            f"{found[kind]['per_cpu_s'] / 1e3:,.0f} k a CPU second, {found[kind]['per_s'] / 1e3:,.0f} k/s",
            f"at least {least} a CPU second",
        )
        for kind, least in asked.items()
    ]


def _bodies(kind: str, source: Trades, shape: IntakeShape) -> tuple[str, list[bytes]]:
    bodies, number, left = list[bytes](), pass_at(source.loop, CLOCK.now_us()) - 40, shape.events
    while left:
        events = pass_events(source.loop, number).slice(0, left)
        number, left = number + 1, left - events.num_rows
        for start in range(0, events.num_rows, shape.body):
            bodies.append(_body(kind, events.slice(start, shape.body)))
    return {"lines": NDJSON, "arrow": ARROW, "file": handed.MEDIA_TYPE}[kind], bodies


def _body(kind: str, events: pa.Table) -> bytes:
    if kind == "arrow":
        sink = io.BytesIO()
        plain = events.select(["venue", "symbol", "trade_id", "time", "price", "quantity", "side"])
        with pa.ipc.new_stream(sink, plain.schema) as stream:
            stream.write_table(plain)
        return sink.getvalue()
    lines = event_lines(TRADES, events)
    return handed.encode(of_lines("bench", lines, more=True)) if kind == "file" else b"\n".join(lines)


def _measured(room: Room, media: str, bodies: Sequence[bytes], shape: IntakeShape) -> dict[str, Any]:
    (service,) = (each for each in services(room.context.settings) if each.name == "intake")
    room.start(service)
    url = f"http://127.0.0.1:{room.context.settings.ingest_port}"
    room.wait(lambda: _ready(url), "the ingest service", READY_S)
    path = "/v1/ingest/trades" + ("?time_unit=us" if media == ARROW else "")
    used, began, wrong, accepted = room.house.watch.cpu_s("intake"), time.perf_counter(), list[str](), list[int]()

    def send(mine: Sequence[bytes]) -> None:
        with httpx.Client(base_url=url, timeout=60.0, headers={"Content-Type": media}) as client:
            for body in mine:
                response = client.post(path, content=body)
                while response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    time.sleep(float(response.headers["Retry-After"]))
                    response = client.post(path, content=body)
                if response.status_code != httpx.codes.OK:
                    wrong.append(response.text[:300])
                    return
                accepted.append(response.json()["accepted"])

    threads = [threading.Thread(target=send, args=(bodies[n :: shape.connections],)) for n in range(shape.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, cpu_s = time.perf_counter() - began, room.house.watch.cpu_s("intake") - used
    if wrong or sum(accepted) != shape.events:
        raise BenchError(f"{sum(accepted):,} of {shape.events:,} events were accepted.", *wrong[:1])
    return {
        "per_cpu_s": round(shape.events / cpu_s),
        "per_s": round(shape.events / seconds),
        "seconds": round(seconds, 2),
    }


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5.0).is_success
    except httpx.HTTPError:
        return False
