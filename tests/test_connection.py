"""Connections with real sockets: every bound of a request's head, body and times, and admission."""

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.responses import Response

from serving.http.app import create_app
from serving.options import ServingOptions
from slackwater.core.rate import Rate
from slackwater.http.options import GuardOptions, Limits
from tests.serving_world import NAMES, World, cut_in_a_minute
from tests.socket_server import DEADLINE_S, answer, ask, connect, ended, served

BARS = "/v1/bars?venue=x&symbol=BTC&interval=1m"
PATIENT = Limits(requests=3, connections=40, sweep_s=0.05, head_s=3600, body_s=3600, idle_s=3600)
QUICK = Limits(connections=40, sweep_s=0.05, head_s=0.3, body_s=0.3, idle_s=0.3)
"""For tests of times alone: on a slow machine a client of any other test would be too slow for it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("connection"))
    cut_in_a_minute(made)
    made.serve(ServingOptions(poll_s=0.0, limits=PATIENT))
    made.step()
    made.step()
    yield made
    made.service.stop()


@pytest.fixture(scope="module")
def port(world: World) -> Iterator[int]:
    with served(world.app) as (_, found):
        yield found


@pytest.fixture(scope="module")
def quick(world: World) -> Iterator[int]:
    options = ServingOptions(poll_s=0.0, limits=QUICK)
    with served(create_app(world.log, NAMES, world.store, world.views, world.clock, options)) as (_, found):
        yield found


@pytest.fixture
def one(port: int) -> Iterator[socket.socket]:
    with connect(port) as found:
        yield found


@pytest.fixture
def slow(quick: int) -> Iterator[socket.socket]:
    """A connection to the quick server."""
    with connect(quick) as found:
        yield found


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def problem(found: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    status, headers, body = found
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    facts = json.loads(body)
    assert facts["status"] == status
    return status, facts["type"].rpartition(":")[2]


def others_are_answered(port: int, path: str = BARS) -> None:
    def answered() -> bool:
        with connect(port) as other:
            try:
                return ask(other, path)[0] == 200
            except ConnectionError:  # this client was too slow, by chance
                return False

    until(answered)


def test_requests_one_after_the_other_are_answered_on_one_connection(one: socket.socket) -> None:
    first = ask(one, BARS)
    assert first[0] == 200
    assert ask(one, BARS, f"If-None-Match: {first[1]['etag']}")[0] == 304
    assert ask(one, "/nothing")[0] == 404
    assert "server" not in first[1]


def test_a_key_is_no_key_however_long_until_the_head_is_too_large(one: socket.socket) -> None:
    wrong = ask(one, BARS, "Authorization: Bearer nonsense")
    assert wrong[0] == 401
    assert ask(one, BARS, f"Authorization: Bearer {'a' * 30_000}")[2] == wrong[2]
    assert problem(ask(one, BARS, f"Authorization: Bearer {'a' * 1_000_000}")) == (431, "headers-too-large")


def test_requests_sent_together_are_answered_in_their_order(one: socket.socket) -> None:
    heads = (f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" for path in ("/health/live",))
    kept = "".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in (BARS, "/nothing"))
    one.sendall((kept + "".join(heads)).encode())
    data = ended(one)
    assert re.findall(rb"HTTP/1\.1 (\d+)", data) == [b"200", b"404", b"200"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, "url-too-long")),
        (b"GET /" + b"a" * 10_000, (414, "url-too-long")),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", (431, "headers-too-large")),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000, (431, "headers-too-large")),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 1_000_000, (431, "headers-too-large")),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n", (431, "headers-too-large")),
        (b"POST /v1/versions/1/rollback HTTP/1.1\r\nContent-Length: 209715200\r\n\r\n", (413, "too-large")),
        (b"GET /v1/bars HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", (413, "too-large")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "bad-request")),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", (400, "bad-request")),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", (400, "bad-request")),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", (400, "bad-request")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else f"{len(value)} bytes",
)
def test_what_is_too_large_or_no_request_is_refused_and_the_connection_ends(
    one: socket.socket, port: int, sent: bytes, expected: tuple[int, str]
) -> None:
    one.sendall(sent)
    found = answer(one)
    assert problem(found) == expected
    assert found[1]["connection"] == "close"
    assert ended(one) == b""
    others_are_answered(port)


@pytest.mark.parametrize(
    "line",
    [
        "OPTIONS * HTTP/1.1",
        "CONNECT example.com:443 HTTP/1.1",
        "GET http://example.com/v1/bars HTTP/1.1",
        "GET //example.com/%2e%2e/v1/bars HTTP/1.1",
        "GET /%00%ff%0d%0aX:y HTTP/1.1",
        "GET / HTTP/2.0",
        "PRI * HTTP/2.0",
        "GET /",
        "TRACE / HTTP/1.1",
        "get / HTTP/1.1",
        "DELETE /v1/versions/1 HTTP/1.1",
        "GET /v1/bars?%FF=%00 HTTP/1.1",
        "GET /health/live HTTP/1.0",
        "GET /health/live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x",
        "GET /health/live HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    ],
)
def test_an_odd_request_is_answered_or_refused_and_nothing_breaks(
    one: socket.socket, port: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    one.sendall(f"{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
    found = ended(one)
    assert re.match(rb"HTTP/1.1 (200|400|404|405|421|422) ", found), found[:200]
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]
    others_are_answered(port)


def test_a_body_without_a_length_is_refused_when_it_has_become_too_large(one: socket.socket, port: int) -> None:
    head = b"POST /v1/versions/1/rollback HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    one.sendall(head + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 2)
    found = ended(one)
    assert b" 413 " in found or b" 401 " in found  # who has no key is told so first
    assert found.count(b"HTTP/1.1 ") == 1
    others_are_answered(port)


def test_who_goes_on_sending_is_not_read_for_long(one: socket.socket, port: int) -> None:
    one.sendall(b"POST /v1/bars HTTP/1.1\r\nHost: x\r\nContent-Length: 209715200\r\n\r\n")
    sent = 0
    try:
        while sent < 209_715_200:
            sent += one.send(b"x" * 65_536)
    except OSError:
        pass  # reset, as it must be at some point
    assert sent < 64_000_000  # what buffers of the machine take, and a little
    others_are_answered(port)


@pytest.mark.parametrize("begun", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
def test_a_head_that_does_not_end_is_refused(slow: socket.socket, quick: int, begun: bytes) -> None:
    slow.sendall(begun)
    found = ended(slow)
    assert found.startswith(b"HTTP/1.1 408 ") if begun.strip() else found == b""
    others_are_answered(quick)


def test_a_head_that_drips_is_refused_however_steadily(slow: socket.socket) -> None:
    slow.settimeout(0.02)
    slow.sendall(b"GET / HTTP/1.1\r\n")
    deadline, found = time.monotonic() + DEADLINE_S, b""
    while not found and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError):  # what it was told is still there to be read
            slow.sendall(b"X: a\r\n")
        try:
            found = slow.recv(4096)
        except TimeoutError:
            continue
    assert found.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_does_not_end_is_refused_or_cut_off(slow: socket.socket, world: World, quick: int) -> None:
    slow.sendall(b"POST /v1/versions/1/rollback HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    found = ended(slow)
    assert found.count(b"HTTP/1.1 ") == 1  # here 401, before the body is looked at
    until(lambda: world.service.admission.in_work == 0)
    others_are_answered(quick)


def test_an_idle_connection_is_closed_after_its_answer(quick: int) -> None:
    def closed() -> bool:
        with connect(quick) as one:
            one.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return ended(one).endswith(b'{"live":true}')  # not so if this client was too slow, by chance

    until(closed)


def test_connections_that_do_nothing_end_and_too_many_are_told_so(quick: int) -> None:
    many = [connect(quick) for _ in range(120)]
    try:
        told = [ended(each) for each in many]
    finally:
        for each in many:
            each.close()
    refused = [data for data in told if data]
    assert refused and all(data.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in data for data in refused)
    assert b"" in told
    others_are_answered(quick)


class Slow:
    """A route that answers when it is told to."""

    def __init__(self, world: World) -> None:
        self.go = False
        world.app.add_api_route("/v1/slow", self.answer)

    async def answer(self) -> dict[str, bool]:
        while not self.go:
            await asyncio.sleep(0.005)
        return {"slow": True}


def test_beyond_the_bound_requests_are_refused_and_health_is_not(world: World, port: int) -> None:
    slow = Slow(world)
    admission = world.service.admission
    busy = [connect(port) for _ in range(3)]
    for each in busy:
        each.sendall(b"GET /v1/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: admission.in_work == 3)
    with connect(port) as more:
        for _ in range(3):
            found = ask(more, BARS)
            assert problem(found) == (503, "overloaded")
            assert found[1]["retry-after"] == "1"
            assert "connection" not in found[1], "it may come again on the same connection"
        more.sendall(b"HEAD /v1/bars HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += more.recv(4096)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert ask(more, "/health/live")[0] == 200
        assert ask(more, "/health/ready")[0] in {200, 503}
        status, _, figures = ask(more, "/metrics")
        assert status == 200
        assert b'slackwater_refused_total{reason="overload"} 4.0' in figures
        body = b"POST /v1/versions/1/rollback HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        more.sendall(body)
        found = answer(more)
        assert problem(found) == (503, "overloaded")
        assert found[1]["connection"] == "close"
    slow.go = True
    assert [answer(each)[2] for each in busy] == [b'{"slow":true}'] * 3
    for each in busy:
        each.close()
    until(lambda: admission.in_work == 0)
    others_are_answered(port)


def test_who_does_not_read_is_cut_off_and_what_never_answers_is_a_504(tmp_path: Path) -> None:
    made = World(tmp_path)
    app = made.serve(ServingOptions(poll_s=0.0, limits=Limits(answer_s=0.3, stalled_s=0.3, sweep_s=0.05)))
    slow = Slow(made)

    async def large() -> Response:
        return Response(b"x" * 64_000_000)

    app.add_api_route("/v1/large", large)
    with served(app) as (_, port), connect(port) as one, connect(port) as other:
        one.sendall(b"GET /v1/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert problem(answer(one)) == (504, "deadline")
        assert ended(one) == b""
        slow.go = True
        other.sendall(b"GET /v1/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        refused = made.service.metrics.registry.get_sample_value
        until(lambda: refused("slackwater_refused_total", {"reason": "slow-reader"}) == 1)
        assert len(ended(other)) < 64_000_000
        until(lambda: made.service.admission.in_work == 0)
        others_are_answered(port, "/health/live")
    made.service.stop()


def test_new_clients_do_not_wait_a_round_of_the_loop_each(tmp_path: Path) -> None:
    made = World(tmp_path)
    app = made.serve(ServingOptions(poll_s=0.0))
    held, go, done, rounds, many = threading.Event(), threading.Event(), threading.Event(), 0, 96

    async def hold() -> None:
        """Keep the event loop until all have come, and count its rounds until all are accepted."""
        loop = asyncio.get_running_loop()

        def tick() -> None:
            nonlocal rounds
            rounds += 1
            if len(server.server_state.connections) > many:
                done.set()
            else:
                loop.call_soon(tick)

        held.set()
        go.wait(DEADLINE_S)
        tick()

    app.add_api_route("/v1/hold", hold)
    with served(app) as (server, port), connect(port) as one:
        one.sendall(b"GET /v1/hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert held.wait(DEADLINE_S)
        others = [connect(port) for _ in range(many)]
        go.set()
        assert done.wait(DEADLINE_S)
        assert rounds <= many // 8
        assert answer(one)[0] == 200
        for each in others:
            each.close()
    made.service.stop()


@pytest.mark.parametrize(("proxies", "second"), [([], 429), (["192.0.2.1"], 429), (["127.0.0.1"], 200)])
def test_a_forwarded_address_is_believed_from_a_trusted_proxy_alone(
    tmp_path: Path, proxies: list[str], second: int
) -> None:
    made = World(tmp_path)
    app = made.serve(ServingOptions(poll_s=0.0, guard=GuardOptions(rate=Rate(1, 3600))))
    more = {"proxy_headers": True, "forwarded_allow_ips": proxies} if proxies else {}
    with served(app, **more) as (_, port), connect(port) as one:
        answers = [ask(one, "/v1/versions", f"X-Forwarded-For: 198.51.100.{i}")[0] for i in (1, 2)]
    assert answers == [200, second]
    made.service.stop()
