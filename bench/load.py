"""A load generator: closed-loop HTTP/1.1 clients over sockets that stay open, in one process and one event loop.

Tools such as wrk or oha are not on a user's machine and not on PyPI, and the HTTP libraries that are spend more of a
core on a request than the service does, so that they would measure themselves. This reads no more of an answer than
its status and its length, and says how much CPU it took of the cores that it shares with the service.

Not here: what is requested, and what a figure means (`bench.serving`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "


class Target(NamedTuple):
    """Where the load goes. `headers` are sent with every request; `paths` are asked for in turn."""

    host: str
    port: int
    paths: Sequence[str]
    headers: Sequence[tuple[str, str]] = ()

    def requests(self) -> list[bytes]:
        """The bytes of each request."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return [f"GET {p} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{lines}\r\n".encode() for p in self.paths]


class Found(NamedTuple):
    """What the load found: seconds of wall time and of this process's CPU, milliseconds of each answer, statuses."""

    seconds: float
    cpu_s: float
    answers_ms: list[float]
    statuses: dict[str, int]
    bytes: int

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self._asdict())


class _Load:
    def __init__(self, requests: list[bytes]) -> None:
        self.requests = requests
        self.answers_ms: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.bytes = 0
        self.asked = 0
        self.counting = False
        self.lost: Exception | None = None

    def next(self) -> bytes:
        self.asked += 1
        return self.requests[self.asked % len(self.requests)]

    def answered(self, status: bytes, size: int, began: float) -> None:
        if self.counting:
            self.answers_ms.append((time.perf_counter() - began) * 1e3)
            self.statuses[status.decode()] += 1
            self.bytes += size


class _Client(asyncio.Protocol):
    """One connection: asks, reads the whole answer, asks again."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._transport: Any = None
        self._head = b""
        self._left = -1
        self._size = 0
        self._status = b""
        self._began = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._head += data
            at = self._head.find(_HEAD_END)
            if at < 0:
                return
            head = self._head[: at + 2].lower()
            self._status = head[9:12]
            where = head.find(_LENGTH)
            if where < 0:
                self._fail(ValueError("An answer without a Content-Length."))
                return
            where += len(_LENGTH)
            self._size = int(head[where : head.index(b"\r", where)])
            self._left = self._size - (len(self._head) - at - len(_HEAD_END))
        else:
            self._left -= len(data)
        if self._left <= 0:
            self._load.answered(self._status, self._size, self._began)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._load.counting:
            self._fail(exc or ConnectionError("The service closed a connection."))

    def _ask(self) -> None:
        self._head, self._left = b"", -1
        self._began = time.perf_counter()
        self._transport.write(self._load.next())

    def _fail(self, error: Exception) -> None:
        self._load.lost = self._load.lost or error
        self._transport.abort()


def run_load(target: Target, connections: int, warm_s: float, span_s: float) -> Found:
    """Ask over `connections` connections at once, each as soon as it has its answer; count what lies in the span.

    Raises:
        OSError: a connection could not be made, or was lost.
        ValueError: an answer has no length.
    """
    return uvloop.run(_run(target, connections, warm_s, span_s))


async def _run(target: Target, connections: int, warm_s: float, span_s: float) -> Found:
    load, loop = _Load(target.requests()), asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Client(load), target.host, target.port) for _ in range(connections)]
    await asyncio.sleep(warm_s)
    began, used = time.perf_counter(), time.process_time()
    load.counting = True
    await asyncio.sleep(span_s)
    load.counting = False
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - used
    for transport, _ in made:
        transport.abort()
    if load.lost is not None:
        raise load.lost
    return Found(seconds, cpu_s, load.answers_ms, dict(load.statuses), load.bytes)
