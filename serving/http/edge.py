"""The edge: what every request passes, as one plain ASGI layer. It asks the guard, sets headers, and lets no error
through.

Not here: what is seen of a request (`serving.http.observed`), whether it may come in (`serving.http.guard.guard`),
problems that a route raises on purpose, which the app's handlers answer (`serving.http.app`), what is refused before it
is a request (`serving.http.connection`).
"""

import logging
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.guard.guard import Admitted, Guard
from serving.http.problems import ProblemError

_LOG = logging.getLogger("slackwater.serving")

_Headers = tuple[tuple[bytes, bytes], ...]

HEADERS: _Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_NOTHING = b"default-src 'none'; frame-ancestors 'none'"
_PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI draws with style attributes; its script is a file of ours like the page's.
_DOCS = _PAGE.replace(b"style-src 'self'", b"style-src 'self' 'unsafe-inline'")
_POLICY = b"content-security-policy"

STAY_ENCRYPTED = (b"strict-transport-security", b"max-age=31536000")
ANSWER_HEADERS: _Headers = (*HEADERS, (_POLICY, _NOTHING))
PAGE_HEADERS: _Headers = (
    *HEADERS,
    (_POLICY, _PAGE),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
DOCS_HEADERS: _Headers = tuple((name, _DOCS if name == _POLICY else value) for name, value in PAGE_HEADERS)


class Edge:
    """Wraps the app."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        admitted: Admitted | None = None

        async def passing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _headers(scope, message.get("headers", ()), admitted)
            await send(message)

        try:
            admitted = self._guard.admit(scope)
            await self._app(scope, receive, passing)
        except ProblemError as refused:  # by the guard; the app answers its own
            await refused.response()(scope, receive, passing)
        except ClientDisconnect:
            _LOG.debug("A client went before its answer to %s", scope["path"])
        except Exception:  # the client gets a problem, and the log the trace
            _LOG.exception("A request to %s failed", scope["path"])
            if status:
                raise
            problem = ProblemError(500, "internal", "The service failed on this request; its log says why.")
            await problem.response()(scope, receive, passing)


def _headers(scope: Scope, given: Any, admitted: Admitted | None) -> list[tuple[bytes, bytes]]:
    found = [*given, *_policy(scope["path"])]
    if scope["scheme"] == "https":
        found.append(STAY_ENCRYPTED)
    if admitted is not None:
        if admitted.key is not None:  # what a key opens must not be given to others by a cache between
            found = [(name, _private(value) if name == b"cache-control" else value) for name, value in found]
        found += admitted.headers
    return found


def _policy(path: str) -> _Headers:
    if path == "/docs":
        return DOCS_HEADERS
    return PAGE_HEADERS if path == "/" or path.startswith("/static/") else ANSWER_HEADERS


def _private(value: bytes) -> bytes:
    return value.replace(b"public", b"private", 1)
