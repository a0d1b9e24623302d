"""The real service of a `World` behind a real socket, and a proxy in front of it that misbehaves as it is told.

    with LiveService(world) as service:        uvicorn on a loopback port; `restart()` takes the same port again
        with Proxy(service.port) as proxy:     proxy.cut_after(200) ends the next connection after 200 bytes

The service's threads do not run: `world.step()` does what they do, when the test wants it.
"""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import uvicorn

from tests.serving_world import World

DEADLINE_S = 20.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    ends = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.005)


class LiveService:
    """The world's application on 127.0.0.1."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve until `stop`."""
        taken = socket.socket()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", self.port))
        self.port = taken.getsockname()[1]
        config = uvicorn.Config(self.world.app, lifespan="off", log_level="error", timeout_graceful_shutdown=1)
        server = self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, args=([taken],), daemon=True)
        self._thread.start()
        until(lambda: server.started, "the service listens")

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive()
            self._server = None

    def restart(self) -> None:
        """A new process, as far as a client can tell: same port, same log and home, nothing in memory."""
        self.stop()
        self.world.serve()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Proxy:
    """Passes bytes on. Each connection takes one order from the front of the queue; without one it is passed whole."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._orders: deque[Callable[[socket.socket], None]] = deque()
        self._open: list[socket.socket] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut_after(self, size: int) -> None:
        """The next connection ends after so many bytes of the service's answer."""
        self._orders.append(lambda client: self._pass(client, size))

    def answer(self, response: bytes) -> None:
        """The next connection gets these bytes for an answer."""
        self._orders.append(lambda client: self._say(client, response))

    def cut_all(self) -> None:
        """End every connection that is open now."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE_S)
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the listener was closed
                return
            self.connections += 1
            self._open.append(client)
            order = self._orders.popleft() if self._orders else self._pass
            threading.Thread(target=order, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket, size: int | None = None) -> None:
        try:
            service = socket.create_connection(("127.0.0.1", self._to))
        except ConnectionRefusedError:
            client.close()
            return
        self._open.append(service)
        threading.Thread(target=_pump, args=(client, service, None), daemon=True).start()
        _pump(service, client, size)

    @staticmethod
    def _say(client: socket.socket, response: bytes) -> None:
        with client:
            client.recv(65_536)
            client.sendall(response)


def _pump(source: socket.socket, to: socket.socket, size: int | None) -> None:
    """Pass bytes on until one side ends, or so many were passed; then end both."""
    left = size
    with suppress(OSError), source, to:
        while data := source.recv(65_536 if left is None else min(left, 65_536)):
            to.sendall(data)
            left = left if left is None else left - len(data)
            if left == 0:
                break
        for one in (source, to):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
