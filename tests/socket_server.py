"""The real server on a real socket, in a thread, over the small world's log: for what only bytes on a wire show."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from serving.run import server_of
from slackwater.http.server import Server

DEADLINE_S = 60.0


@contextmanager
def served(app: Any, ready: bool = True, **more: Any) -> Iterator[tuple[Server, int]]:
    """The server of an application of `create_app`, as `running`."""
    with running(server_of(app, **more), ready) as found:
        yield found


@contextmanager
def running(server: Server, ready: bool = True) -> Iterator[tuple[Server, int]]:
    """The server and its port, answering if `ready`; it is told to end and waited for afterwards."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()  # whoever connects before the server accepts waits
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        port = int(listening.getsockname()[1])
        if ready:
            _wait(port)
        yield server, port
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    """A connection; what is waited for on it comes within DEADLINE_S."""
    found = socket.socket()
    found.settimeout(DEADLINE_S)
    found.connect(("127.0.0.1", port))
    return found


def ask(one: socket.socket, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
    """One GET on a connection that stays open."""
    lines = (f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", "")
    one.sendall("\r\n".join(lines).encode())
    return answer(one)


def answer(one: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next answer on a connection: status, headers with small letters, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(one)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += _more(one)
    return int(first.split()[1]), headers, body


def ended(one: socket.socket) -> bytes:
    """What still comes until the other side ends the connection."""
    data = b""
    try:
        while more := one.recv(1 << 16):
            data += more
    except ConnectionError:
        pass  # it ended harder
    return data


def _wait(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            with connect(port) as one:
                ask(one, "/health/live")
                return
        except ConnectionError:  # this client was too slow, by chance
            continue
    raise TimeoutError


def _more(one: socket.socket) -> bytes:
    found = one.recv(1 << 16)
    if not found:
        raise ConnectionResetError("the connection ended before the answer")
    return found
