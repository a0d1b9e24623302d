"""A second service, built of `slackwater.http` alone: figures under a name of its own, bounds and a scope of its own.

It answers `POST /v1/size` with how many bytes came.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from slackwater.core.clock import SystemClock
from slackwater.http.app import application, passed
from slackwater.http.body import body_of
from slackwater.http.figures import RequestFigures
from slackwater.http.guard.admission import Admission
from slackwater.http.guard.guard import Guard
from slackwater.http.options import GuardOptions, Limits, ObservedOptions
from slackwater.http.run import server_of
from slackwater.http.server import Draining
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import SCOPES, KeyStore
from tests.live_service import until
from tests.socket_server import DEADLINE_S, answer, connect, running

LOG = logging.getLogger("slackwater.second")
MOST = 1 << 20


class Second:
    """The service, its bounds and figures."""

    def __init__(self, home: Path, guard: GuardOptions | None = None, limits: Limits | None = None) -> None:
        clock = SystemClock()
        self.limits = limits or Limits(body=MOST)
        self.figures = RequestFigures(clock, "slackwater_second")
        self.figures.looked_up = [lambda: iter([self.figures.not_done()])]
        lasting = (b"/v1/wait",)
        self.admission = Admission(self.limits.requests, self.figures.registry, "slackwater_second", lasting)
        who = Guard(KeyRing(home, clock), guard or GuardOptions(), clock, "write")
        self.app = application("A second service.", _nothing, passed(LOG, self.figures, ObservedOptions(), who))
        self.app.add_api_route("/v1/size", self.size, methods=["POST"])
        self.app.add_api_route("/v1/wait/{end}", self.wait, methods=["GET"])
        self.app.add_api_route("/metrics", self.metrics, methods=["GET"])
        self.waits = asyncio.Event()

    async def size(self, request: Request) -> Response:
        return Response(str(len(await body_of(request, self.limits.body))))

    async def wait(self, end: int) -> Response:
        if end:
            self.waits.set()
        await self.waits.wait()
        return Response(b"waited")

    async def metrics(self) -> Response:
        return Response(self.figures.text())

    @contextmanager
    def served(self) -> Iterator[int]:
        """Its port, while it runs."""
        with running(server_of(self.app, self.limits, self.admission, Draining())) as (_, port):
            yield port


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


def ask(port: int, method: str, path: str, body: bytes = b"", key: str = "") -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers with small letters, body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request(method, path, body, {"Authorization": f"Bearer {key}"} if key else {})
    found = connection.getresponse()
    data = found.read()
    connection.close()
    return found.status, {name.lower(): value for name, value in found.getheaders()}, data


def test_a_body_may_be_as_large_as_this_service_says(tmp_path: Path) -> None:
    with Second(tmp_path).served() as port:
        assert ask(port, "POST", "/v1/size", b"x" * MOST)[2] == str(MOST).encode()
        with connect(port) as one:  # refused at its head: nothing of the body need be sent
            one.sendall(f"POST /v1/size HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MOST + 1}\r\n\r\n".encode())
            status, _, body = answer(one)
        assert (status, json.loads(body)["detail"]) == (413, f"The body has more than {MOST} bytes.")


def test_its_figures_have_names_of_their_own(tmp_path: Path) -> None:
    with Second(tmp_path).served() as port:
        ask(port, "POST", "/v1/size", b"12")
        text = ask(port, "GET", "/metrics")[2].decode()
    assert '\nslackwater_second_requests_total{route="/v1/size",status="200"} 1.0\n' in text
    assert '\nslackwater_second_request_seconds_count{route="/v1/size",status="200"} 1.0\n' in text
    assert '\nslackwater_second_refused_total{reason="overload"} 0.0\n' in text
    assert "\nslackwater_second_requests_in_flight 1.0\n" in text
    ours = {line.split("{")[0].split()[0] for line in text.splitlines() if line.startswith("slackwater_")}
    assert {name for name in ours if not name.startswith("slackwater_second_")} == set()


def test_what_lasts_by_its_own_word_takes_no_place(tmp_path: Path) -> None:
    second = Second(tmp_path, limits=Limits(requests=1))
    with second.served() as port, connect(port) as one:
        one.sendall(b"GET /v1/wait/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        two = b"slackwater_second_requests_in_flight 2.0"
        until(lambda: two in ask(port, "GET", "/metrics")[2], "the one that waits is not in flight")
        assert ask(port, "POST", "/v1/size", b"1")[0] == 200
        ask(port, "GET", "/v1/wait/1")
        assert answer(one)[2] == b"waited"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/nothing", 404, "http-404"),
        ("GET", "/v1/size", 405, "http-405"),
        ("GET", "/v1/wait/x", 422, "parameters"),
        ("GET", "/", 404, "http-404"),
    ],
)
def test_every_refusal_is_a_problem_that_runs_nothing(
    tmp_path: Path, method: str, path: str, status: int, kind: str
) -> None:
    with Second(tmp_path).served() as port:
        found, headers, body = ask(port, method, path)
    assert (found, json.loads(body)["type"]) == (status, f"urn:slackwater:problem:{kind}")
    assert headers["content-type"] == "application/problem+json"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_an_error_is_told_by_its_own_logger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> Any:
        raise ZeroDivisionError

    second = Second(tmp_path)
    second.app.add_api_route("/v1/fails", fails, methods=["GET"])
    with second.served() as port:
        status, _, body = ask(port, "GET", "/v1/fails")
    assert (status, json.loads(body)["type"]) == (500, "urn:slackwater:problem:internal")
    assert ("slackwater.second", "A request to /v1/fails failed") in [(r.name, r.message) for r in caplog.records]


def test_its_routes_need_its_scope_and_its_figures_need_read(tmp_path: Path) -> None:
    keys = {scope: KeyStore(tmp_path).create(scope, scope, 1)[1] for scope in SCOPES}
    with Second(tmp_path, GuardOptions(require_key=True)).served() as port:
        found = {scope: ask(port, "POST", "/v1/size", b"1", key) for scope, key in keys.items()}
        figures = {scope: ask(port, "GET", "/metrics", key=key)[0] for scope, key in keys.items()}
        none = ask(port, "POST", "/v1/size", b"1")[0]
    assert {scope: status for scope, (status, _, _) in found.items()} == {"read": 403, "write": 200, "admin": 200}
    assert json.loads(found["read"][2])["detail"] == "This needs a key of the scope write."
    assert 'scope="write"' in found["read"][1]["www-authenticate"]
    assert (figures, none) == ({"read": 200, "write": 403, "admin": 200}, 401)


def test_a_key_that_writes_is_refused_as_soon_as_it_is_revoked(tmp_path: Path) -> None:
    _, key = KeyStore(tmp_path).create("feed", "write", 1)
    with Second(tmp_path).served() as port:
        assert ask(port, "POST", "/v1/size", b"1", key)[0] == 200
        KeyStore(tmp_path).revoke("feed", 2)
        assert ask(port, "POST", "/v1/size", b"1", key)[0] == 401
