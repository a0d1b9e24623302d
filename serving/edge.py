"""The edge: what every request passes, as one plain ASGI layer. It measures, sets headers, and lets no error through.

Not here: problems that a route raises on purpose, which the app's handlers answer (`serving.app`).
"""

import logging
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics
from serving.problems import ProblemError

_LOG = logging.getLogger("slackwater.serving")

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Edge:
    """Wraps the app."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        clock = self._metrics.clock
        began = clock.elapsed_s()
        self._metrics.in_flight += 1
        status = 0

        async def passing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, passing)
        except Exception:  # the client gets a problem, and the log the trace
            _LOG.exception("A request to %s failed", scope["path"])
            if status:
                raise
            problem = ProblemError(500, "internal", "The service failed on this request; its log says why.")
            await problem.response()(scope, receive, passing)
        finally:
            self._metrics.in_flight -= 1
            self._metrics.observe(_route(scope), status, clock.elapsed_s() - began)


def _route(scope: Scope) -> str:
    """The route's own path, so that there are few labels whatever clients ask for."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", "none"))
