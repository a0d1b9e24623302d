"""The web application: a list of routes and a list of middleware, and every error as problem JSON.

    connection -> Observed -> Cors -> Edge -> Direct -> framework -> a route of `serving.http.routes`

The hot routes are answered directly, past the framework, whose routing and dependencies cost more than a hit. It knows
these routes too: its document describes them, and it refuses other methods.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.edge import Edge
from serving.http.guard.guard import Guard
from serving.http.observed import Observed
from serving.http.openapi import install
from serving.http.problems import ProblemError
from serving.http.route import Route, add, models_of
from serving.http.routes import found
from serving.options import ServingOptions
from serving.page.pages import STATIC, Assets, PageRoutes
from serving.query.fields import refused
from serving.service import Service
from slackwater import __version__
from slackwater.core.clock import Clock
from slackwater.core.errors import SettingError
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Stream
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import names_of
from slackwater.views.registry import registered
from slackwater.views.view import View

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
    app = FastAPI(
        title="Slackwater",
        version=__version__,
        description="Bars of crypto trades, merged from a batch view and the speed layer's deltas, exact to the digit.",
        lifespan=_lifespan(service, routes),
        middleware=_middleware(service, direct),
        exception_handlers=dict.fromkeys((ProblemError, HTTPException, RequestValidationError), _problem),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `serving.http.observed` has the service's own
    )
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
    """What every request passes, the outermost first. CORS lies outside the edge, since a preflight carries no key."""
    guard = service.options.guard
    return [
        Middleware(
            Observed,
            metrics=service.metrics,
            options=service.options.observed,
            views={f"/v1/{name}" for name in names_of(service.views)},
            answered=service.budget.answered,
        ),
        *([Middleware(Cors, allow_origins=guard.cors_origins, **_CORS)] if guard.cors_origins else []),
        Middleware(Edge, guard=Guard(service.keys, guard, service.clock)),
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


class Cors(CORSMiddleware):
    """Pages of other origins: a refused preflight is problem JSON, too."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser is told before it asks."""
        found = super().preflight_response(request_headers)
        if found.status_code < 400:
            return found
        refused = ProblemError(found.status_code, "preflight", f"{bytes(found.body).decode()}.").response()
        refused.headers.update({n: v for n, v in found.headers.items() if not n.startswith("content-")})
        return refused


async def _problem(request: Request, error: Exception) -> Response:
    if isinstance(error, ProblemError):
        return error.response()
    if isinstance(error, RequestValidationError):
        (model,) = models_of(request.scope["route"])
        return refused(error.errors(), model).response()
    status = error.status_code if isinstance(error, HTTPException) else 500
    response = ProblemError(status, f"http-{status}", str(getattr(error, "detail", ""))).response()
    response.headers.update(getattr(error, "headers", None) or {})
    return response
