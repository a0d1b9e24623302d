"""The direct way: the hot routes are answered past the framework, whose routing and dependencies cost more than a hit.

    edge (keys, limits, figures) -> direct -> framework: every other route, and what is no GET or HEAD

The framework knows these routes too: its document describes them, and it refuses other methods.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.problems import ProblemError

_METHODS = frozenset({"GET", "HEAD"})


class DirectRoute(NamedTuple):
    """A route of the framework and what answers it. `respond` takes an ASGI request; it raises ProblemError."""

    route: Any
    respond: Callable[[Scope], Awaitable[Response]]


class Direct:
    """Wraps the framework. `routes` by their paths."""

    def __init__(self, app: ASGIApp, routes: Mapping[str, DirectRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        found = self._routes.get(scope.get("path", "")) if scope.get("method") in _METHODS else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = found.route  # as the framework does; the edge counts by it
        try:
            response = await found.respond(scope)
        except ProblemError as error:
            response = error.response()
        await response(scope, receive, send)
