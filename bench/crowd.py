"""A crowd: clients that ask in a loop over connections that stay open, and what becomes of each request.

    ask -> 200       ask again at once
        -> 503, 429  with Retry-After and a whole problem? If polite, wait at least as long as it says; ask again
        -> else      malformed

It reads statuses and lengths of answers, and refusals whole: an HTTP library would spend more of the shared cores on a
request than the service does. Not here: what a figure means (`bench.overload`).
"""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvloop

_END = b"\r\n\r\n"


@dataclass
class Crowd:
    """What is asked and what was found. Times in seconds; `at` of an answer is since the beginning."""

    port: int
    path: str
    polite: bool = True
    headers: str = ""
    admitted: list[tuple[float, float]] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    lost: int = 0
    began_s: float = 0.0
    over: bool = False

    @property
    def request(self) -> bytes:
        """The bytes of one request."""
        return f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{self.headers}\r\n".encode()


class _Client(asyncio.Protocol):
    def __init__(self, crowd: Crowd, draw: random.Random) -> None:
        self._crowd = crowd
        self._request = crowd.request
        self._draw = draw
        self._data = b""
        self._transport: Any = None
        self._asked_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of it."""
        self._data += data
        at = self._data.find(_END)
        if at < 0:
            return
        head = self._data[:at].lower()
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(self._data) < at + len(_END) + int(length or 0):
            return
        status, body = int(head[9:12]), self._data[at + len(_END) :]
        self._data = b""
        self._answered(status, head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        """The service ended it: come again as a refused client does."""
        if not self._crowd.over:
            self._crowd.lost += 1

    def _ask(self) -> None:
        if not self._crowd.over and not self._transport.is_closing():
            self._asked_s = time.perf_counter()
            self._transport.write(self._request)

    def _answered(self, status: int, head: bytes, body: bytes) -> None:
        crowd, now_s = self._crowd, time.perf_counter()
        found = (now_s - crowd.began_s, now_s - self._asked_s)
        if status == 200:
            crowd.admitted.append(found)
            self._ask()
            return
        wait = head.partition(b"\r\nretry-after: ")[2].partition(b"\r\n")[0]
        if status not in {429, 503} or not wait.isdigit() or not _whole(body, status):
            crowd.malformed.append(f"{status} {head[:200]!r} {body[:200]!r}")
        crowd.refused.append(found)
        if crowd.polite and wait.isdigit():
            asyncio.get_running_loop().call_later(int(wait) * self._draw.uniform(1.0, 2.0), self._ask)
        else:
            self._ask()


def _whole(body: bytes, status: int) -> bool:
    try:
        found = orjson.loads(body)
    except ValueError:
        return False
    return bool(found["status"] == status and found["type"].startswith("urn:") and found["title"] and found["detail"])


def run_crowd(crowd: Crowd, clients: int, seconds: float) -> dict[str, Any]:
    """Let `clients` ask for `seconds`; answers and refusals as [second, milliseconds], and this process's CPU."""
    return uvloop.run(_run(crowd, clients, seconds))


async def _run(crowd: Crowd, clients: int, seconds: float) -> dict[str, Any]:
    loop, draw = asyncio.get_running_loop(), random.Random(7)  # noqa: S311 - no secret
    crowd.began_s, used = time.perf_counter(), time.process_time()
    made = [await loop.create_connection(lambda: _Client(crowd, draw), "127.0.0.1", crowd.port) for _ in range(clients)]
    await asyncio.sleep(seconds)
    crowd.over = True
    for transport, _ in made:
        transport.abort()
    return {
        "clients": clients,
        "seconds": time.perf_counter() - crowd.began_s,
        "cpu_s": time.process_time() - used,
        "admitted": crowd.admitted,
        "refused": crowd.refused,
        "malformed": crowd.malformed,
        "lost": crowd.lost,
    }
