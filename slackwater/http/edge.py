"""The edge: what every request passes, as one plain ASGI layer. It asks the guard, sets headers, and lets no error
through.

Not here: what is seen of a request (`slackwater.http.observed`), whether it may come in
(`slackwater.http.guard.guard`), problems that a route raises on purpose, which the app's handlers answer
(`slackwater.http.handlers`), what is refused before it is a request (`slackwater.http.connection`).
"""

import logging
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slackwater.http.guard.guard import Admitted, Guard
from slackwater.http.problems import ProblemError

Headers = tuple[tuple[bytes, bytes], ...]

HEADERS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_NOTHING = b"default-src 'none'; frame-ancestors 'none'"
POLICY = b"content-security-policy"

STAY_ENCRYPTED = (b"strict-transport-security", b"max-age=31536000")
ANSWER_HEADERS: Headers = (*HEADERS, (POLICY, _NOTHING))


def answer_headers(_: str) -> Headers:
    """Those of an answer that is no page: nothing in it is ever run or shown."""
    return ANSWER_HEADERS


class Edge:
    """Wraps the app; `log` is told what failed. `headers_of` a path are added to its answers."""

    def __init__(
        self, app: ASGIApp, guard: Guard, log: logging.Logger, headers_of: Callable[[str], Headers] = answer_headers
    ) -> None:
        self._app = app
        self._guard = guard
        self._logger = log
        self._headers_of = headers_of

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
                message["headers"] = self._headers(scope, message.get("headers", ()), admitted)
            await send(message)

        try:
            admitted = self._guard.admit(scope)
            await self._app(scope, receive, passing)
        except ProblemError as refused:  # by the guard; the app answers its own
            await refused.response()(scope, receive, passing)
        except ClientDisconnect:
            self._logger.debug("A client went before its answer to %s", scope["path"])
        except Exception:  # the client gets a problem, and the log the trace
            self._logger.exception("A request to %s failed", scope["path"])
            if status:
                raise
            problem = ProblemError(500, "internal", "The service failed on this request; its log says why.")
            await problem.response()(scope, receive, passing)

    def _headers(self, scope: Scope, given: Any, admitted: Admitted | None) -> list[tuple[bytes, bytes]]:
        found = [*given, *self._headers_of(scope["path"])]
        if scope["scheme"] == "https":
            found.append(STAY_ENCRYPTED)
        if admitted is not None:
            if admitted.key is not None:  # what a key opens must not be given to others by a cache between
                found = [(name, _private(value) if name == b"cache-control" else value) for name, value in found]
            found += admitted.headers
        return found


def _private(value: bytes) -> bytes:
    return value.replace(b"public", b"private", 1)
