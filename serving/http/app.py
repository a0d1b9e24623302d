"""The web application: a list of routes and a list of middleware.

    connection -> Observed -> Cors -> Edge -> Direct -> framework -> a route of `serving.http.routes`

The hot routes are answered directly, past the framework, whose routing and dependencies cost more than a hit. It knows
these routes too: its document describes them, and it refuses other methods.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.openapi import install
from serving.http.route import Route, add
from serving.http.routes import found
from serving.options import ServingOptions
from serving.page.headers import headers_of
from serving.page.pages import STATIC, Assets, PageRoutes
from serving.service import Service
from slackwater.core.clock import Clock
from slackwater.core.errors import SettingError
from slackwater.http.app import application, passed
from slackwater.http.guard.guard import Guard
from slackwater.http.problems import ProblemError
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Stream
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import names_of
from slackwater.views.registry import registered
from slackwater.views.view import View

_LOG = logging.getLogger("slackwater.serving")
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


EXPOSED = [
    *("ETag", "Link", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID", "Slackwater-Lag-Records"),
    *(f"Slackwater-{name}" for name in ("Version", "Definition", "Stream", "Cut", "Applied", "Complete", "Layer")),
]
"""Headers of answers that pages of allowed origins may read."""

_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST"],
    "allow_headers": ["Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "X-Request-ID"],
    "expose_headers": EXPOSED,
    "max_age": 600,
}


def create_app(
    log: Log,
    names: TopicNames,
    store: VersionStore,
    views: tuple[View, ...] | None = None,
    clock: Clock | None = None,
    options: ServingOptions | None = None,
    streams: tuple[Stream, ...] = (),
) -> FastAPI:
    """The application. `streams` are those that are registered; one without a view is refused by its own problem.

    Its lifespan starts and stops the threads; `app.state.service` is the service behind it.

    Raises:
        SettingError: a view has the name of another route.
    """
    service = Service(log, names, store, registered() if views is None else views, clock, options, streams=streams)
    routes = list(found(vars(service)))
    _refuse_twice(routes)
    direct: dict[str, DirectRoute] = {}
    text = "Bars of crypto trades, merged from a batch view and the speed layer's deltas, exact to the digit."
    app = application(text, _lifespan(service, routes), _middleware(service, direct))
    app.state.service = service
    for route in routes:
        added = add(app, route)
        if route.direct is not None:
            direct[route.path] = DirectRoute(added, route.direct)
    _add_pages(app)
    install(app)
    return app


def _lifespan(service: Service, routes: list[Route]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        for route in routes:
            if route.close is not None:
                route.close()
        service.stop()

    return lifespan


def _middleware(service: Service, direct: dict[str, DirectRoute]) -> list[Middleware]:
    options = service.options
    origins = options.guard.cors_origins
    return [
        *passed(
            _LOG,
            service.metrics,
            options.observed,
            Guard(service.keys, options.guard, service.clock),
            cors={"allow_origins": origins, **_CORS} if origins else None,
            headers_of=headers_of,
            watched={f"/v1/{name}" for name in names_of(service.views)},
            answered=service.budget.answered,
        ),
        Middleware(Direct, routes=direct),
    ]


def _refuse_twice(routes: list[Route]) -> None:
    paths = [(route.path, route.method) for route in routes]
    if twice := sorted({path for path, method in paths if paths.count((path, method)) > 1}):
        raise SettingError(f"Two routes answer {', '.join(twice)}.", "A view may not have the name of another route.")


def _add_pages(app: FastAPI) -> None:
    pages = PageRoutes(app)
    for path, page in (("/", pages.index), ("/docs", pages.docs)):
        app.add_api_route(path, page, methods=["GET"], include_in_schema=False)
    if STATIC.is_dir():
        app.mount("/static", Assets(directory=STATIC), "static")
