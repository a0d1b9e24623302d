"""The end of a server, in a real process: not ready at once, what is in flight is whole, exit code 0."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slackwater.keys.keys import KeyStore
from tests.socket_server import DEADLINE_S, answer, ask, connect, ended

ROOT = Path(__file__).parents[1]
BARS = "/v1/bars?venue=x&symbol=BTC&interval=1m"
HEAD = b"POST /v1/versions/1/rollback HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"


@contextlib.contextmanager
def running(home: Path, drain_s: float) -> Iterator[tuple[subprocess.Popen[str], int]]:
    program = [sys.executable, "-m", "tests.shutdown_program", str(home), str(drain_s)]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with connect(port) as one:
                until(lambda: ask(one, "/health/ready")[0] == 200)
            yield process, port
        finally:
            process.kill()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def key(home: Path) -> str:
    return KeyStore(home).create("root", "admin", 1)[1]


def in_flight(port: int, text: str) -> socket.socket:
    """A request that the server works on, of whose body a byte is missing."""
    one = connect(port)
    one.sendall(HEAD + f"Authorization: Bearer {text}\r\n\r\n".encode() + b"{")
    with connect(port) as other:
        until(lambda: b"\nslackwater_requests_in_flight 2.0" in ask(other, "/metrics")[2])
    return one


def test_it_is_not_ready_at_once_serves_on_for_a_while_and_ends_when_all_is_answered(tmp_path: Path) -> None:
    with running(tmp_path, 3600) as (process, port):
        one, idle, stream = in_flight(port, key(tmp_path)), connect(port), connect(port)
        with one, idle, stream:
            assert ask(idle, BARS)[0] == 200
            stream.sendall(b"GET /v1/stream/bars?venue=x&symbol=BTC HTTP/1.1\r\nHost: localhost\r\n\r\n")
            told = b""
            while b"event: snapshot" not in told:
                told += stream.recv(1 << 16)
            process.send_signal(signal.SIGTERM)
            until(lambda: ask_once(port, "/health/ready")[0] == 503)
            status, headers, body = ask_once(port, "/health/ready")
            assert (status, headers["connection"]) == (503, "close")
            assert b"shutting down" in body
            assert ask_once(port, BARS)[0] == 200
            assert ask_once(port, "/health/live")[0] == 200
            process.send_signal(signal.SIGTERM)  # a second one does not wait for load balancers
            told = ended(stream)
            assert b"event: end" in told and b"shutting-down" in told
            assert ended(idle) == b""  # it had nothing in flight
            one.sendall(b"}")
            status, headers, body = answer(one)
            assert (status, headers["connection"]) == (422, "close")  # {} gives no reason
            assert b"reason" in body
        assert process.wait(DEADLINE_S) == 0
        with pytest.raises(ConnectionRefusedError):
            connect(port)


def ask_once(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    with connect(port) as one:
        return ask(one, path)
