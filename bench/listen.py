"""The clients of streams that the benchmark opens: many connections in one process, some of which take nothing.

They are plain sockets in one event loop, since a thousand clients of any library would take both cores. Those that are
sampled note when the id of the newest trade came; the others only count bytes.
"""

import asyncio
import re
import threading
import time
from typing import Any
from urllib.parse import urlencode

from slackwater.views.bars import BARS

RECEIVE_BUFFER_BYTES = 16 * 1024
"""Of a client that takes nothing: so it is full soon."""

_NEWEST = re.compile(rb'"last_sequence":([0-9]+)')


class Listener(asyncio.Protocol):
    """One client. `seen` holds (nanoseconds, newest id), where it is sampled."""

    def __init__(self, request: bytes, sampled: bool, stalled: bool) -> None:
        self.seen: list[tuple[int, int]] = []
        self.bytes = 0
        self.lost = False
        self._closed = False
        self._request = request
        self._sampled = sampled
        self._stalled = stalled
        self._newest = 0
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Ask."""
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take note."""
        self.bytes += len(data)
        if self._stalled:
            self._transport.pause_reading()
        if not self._sampled:
            return
        whole, mark, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest
        found = max(map(int, _NEWEST.findall(whole)), default=0) if mark else 0
        if found > self._newest:
            self._newest = found
            self.seen.append((time.time_ns(), found))

    def connection_lost(self, error: Exception | None) -> None:
        """It was cut, unless we end."""
        self.lost = not self._closed

    def close(self) -> None:
        """End."""
        self._closed = True
        self._transport.abort()


def listen(host: str, port: int, given: dict[str, Any], closed: threading.Event) -> dict[str, Any]:
    """Open `clients` streams of one instrument, `stalled` of which take nothing, and listen until `closed`.

    `seen` holds, of each of `sampled` clients, (nanoseconds, newest id) where it changed.
    """
    query = urlencode({"venue": given["venue"], "symbol": given["symbol"], "interval": "1s", "limit": 10})
    request = f"GET /v1/stream/{BARS.name}?{query} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()

    async def run() -> list[Listener]:
        loop = asyncio.get_running_loop()
        count, sampled, stalled = given["clients"], given["sampled"], given["stalled"]
        found = []
        for number in range(count):
            client = Listener(request, number < sampled, number >= count - stalled)
            await loop.create_connection(lambda client=client: client, host, port)  # type: ignore[misc]
            found.append(client)
        while not closed.is_set():
            await asyncio.sleep(0.05)
        for client in found:
            client.close()
        return found

    found = asyncio.run(run())
    quick, stuck = found[: given["clients"] - given["stalled"]], found[given["clients"] - given["stalled"] :]
    return {
        "seen": [client.seen for client in found[: given["sampled"]]],
        "bytes": sum(client.bytes for client in quick),
        "lost": sum(client.lost for client in quick),
        "stalled_lost": sum(client.lost for client in stuck),
    }
