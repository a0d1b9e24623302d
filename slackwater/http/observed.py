"""What is seen of every request, as the outermost ASGI layer: its id, its time, its line in the log, its span.

    X-Request-Id    taken from the client if it is well formed, else made; in the answer, in logs and in problems
    time            from the request's arrival to the first byte of the answer, so a client that reads slowly, a long
                    export and a stream do not look like a slow service

Not here: the figures themselves (`slackwater.http.figures`), who may come in and what must not leak
(`slackwater.http.edge`).
"""

import logging
from collections.abc import Callable, Container
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slackwater.core.key_text import without_keys
from slackwater.core.logs import ACCESS
from slackwater.core.request import REQUEST, Request, request_id
from slackwater.core.tracing import TRACES
from slackwater.http.figures import RequestFigures
from slackwater.http.options import ObservedOptions

_ACCESS = logging.getLogger(ACCESS)

MOST_PATH = 200
"""Characters of a path that a log line shows."""

UNANSWERED = 499
"""The status that is counted where a client went before its answer began; nobody is sent it."""


class Observed:
    """Wraps the application; `log` is told what is slow. `answered` is called after a 200 of a route of `watched`."""

    def __init__(
        self,
        app: ASGIApp,
        figures: RequestFigures,
        options: ObservedOptions,
        log: logging.Logger,
        watched: Container[str] = (),
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._figures = figures
        self._options = options
        self._logger = log
        self._watched = watched
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        figures = self._figures
        began_s = figures.clock.elapsed_s()
        request = Request(request_id(_given(scope)))
        header = (b"x-request-id", request.id.encode())
        status, took_s = UNANSWERED, 0.0

        async def passing(message: Message) -> None:
            nonlocal status, took_s
            if message["type"] == "http.response.start":
                status, took_s = message["status"], figures.clock.elapsed_s() - began_s
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        token = REQUEST.set(request)
        figures.in_flight += 1
        try:
            if TRACES.on:
                await self._traced(scope, receive, passing, request, lambda: status)
            else:
                await self._app(scope, receive, passing)
        finally:
            figures.in_flight -= 1
            if status == UNANSWERED:
                took_s = figures.clock.elapsed_s() - began_s
            route = _route(scope)
            figures.observe(route, status, took_s)
            if status == HTTPStatus.OK and route in self._watched:
                self._answered()
            self._log(scope, route, status, took_s)
            REQUEST.reset(token)

    async def _traced(self, scope: Scope, receive: Receive, send: Send, request: Request, status: Any) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with ExitStack() as stack:
            span, request.trace_id = stack.enter_context(TRACES.request(scope["method"], headers))
            try:
                await self._app(scope, receive, send)
            finally:
                route = _route(scope)
                span.update_name(f"{scope['method']} {route}")
                span.set_attributes(
                    {
                        "http.request.method": scope["method"],
                        "http.route": route,
                        "http.response.status_code": status(),
                        "slackwater.request_id": request.id,
                        "slackwater.read": "cold" if request.cold else "hot",
                        **({} if request.version is None else {"slackwater.version": request.version}),
                    }
                )

    def _log(self, scope: Scope, route: str, status: int, took_s: float) -> None:
        slow = 0 < self._options.slow_s <= took_s
        if not slow and not self._options.access_log:
            return
        path = quote(without_keys(scope["path"]))[
            :MOST_PATH
        ]  # never the query: it may hold what a client should not have sent there
        facts = {"method": scope["method"], "path": path, "route": route, "status": status, "seconds": round(took_s, 6)}
        text = f"{scope['method']} {path} {status} {took_s:.3f} s"
        if self._options.access_log:
            _ACCESS.info(text, extra=facts)
        if slow:
            self._logger.warning("Slow: %s", text, extra=facts)


def _given(scope: Scope) -> bytes | None:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return given[0] if len(given) == 1 else None


def _route(scope: Scope) -> str:
    """The route's own path, so that there are few labels whatever clients ask for."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", "none"))
