"""The server: uvicorn's, which ends in an order of its own and then as asked, with exit code 0.

    SIGTERM   readiness 503, at once; for `drain_s` everything is served, with `Connection: close`
    then      no new connections; streams are told to end; what is in flight is finished, FINISH_S at most
    then      the application's threads stop; exit

A second signal skips the first step. Not here: what a connection may do (`slackwater.http.connection`).
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from types import FrameType

import uvicorn

from slackwater.core.errors import SettingError


class Draining:
    """Where the server is. `began` may be set by a signal handler; tasks of the event loop wait for `ended`."""

    REASON = "The service is shutting down."

    def __init__(self) -> None:
        self.began = False
        self.ended = asyncio.Event()
        self._at_end: list[Callable[[], None]] = []

    def reasons(self) -> list[str]:
        """That it has begun."""
        return [self.REASON] if self.began else []

    def at_end(self, call: Callable[[], None]) -> None:
        """Call this, on the event loop, when streams are to end."""
        self._at_end.append(call)

    def end(self) -> None:
        """End streams, once."""
        if not self.ended.is_set():
            self.ended.set()
            for call in self._at_end:
                call()


ACCEPTS = 32
"""Duplicates of each listening socket. libuv (as of 1.52) accepts one connection a round of the event loop for each,
and under load a round takes 15 ms: the hundredth new connection waited 1.5 s, health checks among them.
"""

BACKLOG = 2_048

FINISH_S = 7
"""How long what is in flight may take: with what comes before and after, an exit within 10 s of the drain's end."""


class Server(uvicorn.Server):
    """See the module. `drain_s` in seconds."""

    def __init__(self, config: uvicorn.Config, draining: Draining, drain_s: float = 0.0) -> None:
        config.timeout_graceful_shutdown = FINISH_S
        super().__init__(config)
        self._draining = draining
        self._drain_s = drain_s
        self._signals = 0

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on `sockets`, or where the configuration says."""
        await super().serve(copies(sockets or listen(self.config.host, self.config.port)))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: readiness is off before the event loop sees it."""
        self._draining.began = True
        self._signals += 1
        super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        """Serve until told to end, and the drain's time on."""
        await super().main_loop()
        self._draining.began = True
        loop = asyncio.get_running_loop()
        ends_s, ticks = loop.time() + self._drain_s, 0
        while loop.time() < ends_s and self._signals < 2:
            await asyncio.sleep(0.1)
            ticks += 1
            await self.on_tick(ticks)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, then as uvicorn does."""
        self._draining.end()
        await super().shutdown(sockets)
        self._captured_signals.clear()  # else they are raised again, and the exit code is the signal's


def listen(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of `host`.

    Raises:
        SettingError: one of them cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [_listen(family, address) for family, _, _, _, address in dict.fromkeys(found)]
    except OSError as error:
        raise SettingError(
            f"{host}:{port} cannot be listened on: {error.strerror}.", "Is it free, and here?"
        ) from error


def copies(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """The sockets, each `ACCEPTS` times."""
    return [each for one in sockets for each in (one, *(one.dup() for _ in range(ACCEPTS - 1)))]


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found
