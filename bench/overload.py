"""The benchmark of overload and of hostile clients: what is still answered, how late, and what it costs.

    capacity    as many clients as the service is sized for, each asking again as soon as it is answered
    overload    ten times as many, for a minute: those who retry after `Retry-After`, then those who do not
    after       the first clients again, at once
    hostile     a body of 200 MB, headers of 100 KB, heads that drip, connections that do nothing: memory, the others

The service is the real process, with a key; nothing is produced meanwhile, so all that is requested is in memory. The
crowd is a process of its own on the same cores, and its share of them is given.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

import numpy as np
import psutil

from bench.house import House, Room
from bench.latency import flows, ready, start_layers
from bench.trades import Trades
from ops.context import CLOCK
from slackwater.keys.keys import KeyStore

READY_S = 90.0
FILL_S = 6.0
CONNECTING_S = 1.0
"""Latencies of requests in a span's first second are not counted: its clients all connect then."""


class OverloadSpans(NamedTuple):
    """How it is measured: clients at capacity, how many times as many, seconds of each span."""

    clients: int = 64
    times: int = 10
    capacity_s: float = 10.0
    overload_s: float = 60.0
    rude_s: float = 20.0
    after_s: float = 5.0
    idle: int = 1_000
    body_mb: int = 200


OVERLOAD_SPANS = OverloadSpans()


def measure_overload(house: House, source: Trades, spans: OverloadSpans) -> dict[str, Any]:
    """The figures; times in milliseconds."""
    room = house.room("overload")
    venue, symbol = source.instruments[source.busiest()]
    serving = start_layers(room)
    producer = room.job("produce", {"rate": 1000}, "producer")
    room.wait(lambda: flows(room.context), "the first trades", READY_S)
    time.sleep(FILL_S)
    producer.finish()
    room.wait(lambda: ready(room.context), "the last trades", READY_S)
    _, key = KeyStore(room.context.settings.home).create("bench", "read", CLOCK.now_us())
    path = f"/v1/bars?venue={venue}&symbol={symbol}&interval=1s&limit=100"
    headers = f"Authorization: Bearer {key}\r\n"
    many = spans.clients * spans.times

    def crowd(clients: int, seconds: float, polite: bool) -> dict[str, Any]:
        house.say(f"overload: {clients} clients{'' if polite else ' who come again at once'} for {seconds:.0f} s")
        before = house.watch.cpu_s("serving")
        given = {"path": path, "headers": headers, "clients": clients, "seconds": seconds, "polite": polite}
        found = room.job("crowd", given).finish(tell=False)
        return {**_figures(found), "serving_cores": _per_s(house.watch.cpu_s("serving") - before, found)}

    crowd(spans.clients, 2.0, True)
    figures = {
        "capacity": crowd(spans.clients, spans.capacity_s, True),
        "overload": crowd(many, spans.overload_s, True),
        "after": crowd(spans.clients, spans.after_s, True),
        "rude": crowd(many, spans.rude_s, False),
        "after_rude": crowd(spans.clients, spans.after_s, True),
    }
    house.say("overload: hostile clients")
    hostile = _hostile(room, psutil.Process(serving.pid), spans)
    room.stop()
    return {**figures, "hostile": hostile, "times": spans.times}


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "clients": found["clients"],
        "per_s": _per_s(len(found["admitted"]), found),
        "admitted": _spread(found["admitted"]),
        "refused_per_s": _per_s(len(found["refused"]), found),
        "refused": _spread(found["refused"]),
        "malformed": len(found["malformed"]),
        "lost": found["lost"],
        "crowd_cores": _per_s(found["cpu_s"], found),
    }


def _per_s(count: float, found: dict[str, Any]) -> float:
    return round(count / float(found["seconds"]), 2)


def _spread(span: list[list[float]]) -> dict[str, Any]:
    found = [took for at, took in span if at - took > CONNECTING_S]
    if not found:
        return {"count": 0}
    p50, p99, most = (round(float(v) * 1e3, 1) for v in np.percentile(found, [50, 99, 100]))
    return {"count": len(found), "p50": p50, "p99": p99, "max": most}


def _hostile(room: Room, process: psutil.Process, spans: OverloadSpans) -> dict[str, Any]:
    port = room.context.settings.port
    attacks: dict[str, Callable[[int], str]] = {
        "body": lambda at: _large_body(at, spans.body_mb << 20),
        "header": lambda at: _answered(at, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"),
        "drip": _drip,
        "idle": lambda at: _idle(at, spans.idle),
    }
    _others(port)
    found: dict[str, Any] = {}
    for name, attack in attacks.items():
        began = time.monotonic()
        with _Meanwhile(process, port) as meanwhile:
            answer = attack(port)
        found[name] = {
            "answer": answer,
            "seconds": round(time.monotonic() - began, 1),
            "grown_mb": round(meanwhile.grown / 1e6, 1),
            "others_ms": meanwhile.slowest_ms,
        }
    return found


class _Meanwhile:
    """What is seen from a thread while a client is hostile: memory at its largest, another client at its slowest."""

    def __init__(self, process: psutil.Process, port: int) -> None:
        self.grown = 0
        self.slowest_ms = 0.0
        self._process = process
        self._port = port
        self._before = process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.slowest_ms = max(self.slowest_ms, _others(self._port))
            self.grown = max(self.grown, self._process.memory_info().rss - self._before)
            if self._over.wait(0.05):
                return


def _others(port: int) -> float:
    """How long another client waits."""
    began = time.perf_counter()
    _answered(port, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return round((time.perf_counter() - began) * 1e3, 1)


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def _answered(port: int, sent: bytes) -> str:
    with _connect(port) as one:
        one.sendall(sent)
        return _status(one)


def _status(one: socket.socket) -> str:
    """The status of the answer; empty if the connection ends without one."""
    try:
        return one.recv(4096)[9:12].decode("latin-1")
    except OSError:
        return "reset"


def _large_body(port: int, size: int) -> str:
    with _connect(port) as one:
        one.sendall(b"POST /v1/bars HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        try:
            for _ in range(size // 65_536):
                one.sendall(piece)
        except OSError:
            return "cut off"
        return _status(one)


def _drip(port: int, clients: int = 100) -> str:
    """Heads that grow by a header every half second; the status of the first."""
    with ExitStack() as exits:
        many = [exits.enter_context(_connect(port)) for _ in range(clients)]
        for one in many:
            one.sendall(b"GET / HTTP/1.1\r\n")
            one.settimeout(0.5 / clients)
        while True:
            for one in many:
                try:
                    one.sendall(b"X: a\r\n")
                    return one.recv(4096)[9:12].decode("latin-1")
                except TimeoutError:
                    continue
                except OSError:
                    return "reset"


def _idle(port: int, clients: int) -> str:
    """Connections that do nothing until all are ended; how many were."""
    with ExitStack() as exits:
        many = [exits.enter_context(_connect(port)) for _ in range(clients)]
        return f"{sum(_status(one) in {'', '503', '408'} for one in many)} of {clients} closed"
