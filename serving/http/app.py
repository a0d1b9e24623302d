"""The web application: routes generated from the views, and every error as problem JSON."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.http.cached import CachedReplies
from serving.http.cors import Cors
from serving.http.direct import Direct, DirectRoute
from serving.http.edge import Edge
from serving.http.formats.export import Exporter
from serving.http.guard.guard import Guard
from serving.http.observed import Observed
from serving.http.openapi.document import install
from serving.http.problems import MEDIA_TYPE, ProblemError
from serving.http.routes.admin import ROLLBACK_BODY, AdminRoutes
from serving.http.routes.bars import BarsRoute
from serving.http.routes.catalog import CatalogRoutes
from serving.http.routes.handoff import HANDOFF_SCHEMA, HandoffRoute
from serving.http.routes.health import HealthRoutes
from serving.http.routes.instruments import InstrumentsRoute
from serving.http.routes.restatements import RestatementsRoute
from serving.http.routes.restatements_schema import RESTATEMENTS_SCHEMA
from serving.http.routes.trades import TradesRoute
from serving.options import ServingOptions
from serving.page.pages import STATIC, Assets, PageRoutes
from serving.query.parameters import Parameter
from serving.query.questions import INSTRUMENTS_PARAMETERS, RESTATEMENTS_PARAMETERS, TRADES_PARAMETERS, bars_parameters
from serving.service import Service
from serving.sql.routes import SqlRoute
from serving.sql.schema import SQL_BODY
from serving.stream.query import stream_parameters
from serving.stream.routes import MEDIA_TYPE as EVENT_STREAM
from serving.stream.routes import StreamRoute
from serving.stream.series import revision_of
from slackwater import __version__
from slackwater.core.clock import Clock
from slackwater.core.errors import SettingError
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import defaults
from slackwater.views.registry import registered
from slackwater.views.view import View

Endpoint = Callable[[Request], Awaitable[Response]]

RESERVED = frozenset({"instruments", "trades", "versions", "restatements", "stream", "sql"})
"""Names of routes under /v1/ that no view may take."""

EXPOSED = [
    *("ETag", "Link", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID", "Slackwater-Lag-Records"),
    *(f"Slackwater-{name}" for name in ("Version", "Definition", "Stream", "Cut", "Applied", "Complete", "Layer")),
]
"""Headers of answers that pages of allowed origins may read."""

_BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="A key of `slackwater key create`.")

_PROBLEM = {"description": "A problem, RFC 9457.", "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}


def create_app(
    log: Log,
    names: TopicNames,
    store: VersionStore,
    views: tuple[View, ...] | None = None,
    clock: Clock | None = None,
    options: ServingOptions | None = None,
) -> FastAPI:
    """The application. Its lifespan starts and stops the threads; `app.state.service` is the service behind it.

    Raises:
        SettingError: a view has the name of another route.
    """
    views = registered() if views is None else views
    if taken := RESERVED & {view.name for view in views}:
        raise SettingError(f"Views cannot be named {sorted(taken)}: these are routes.")
    service = Service(log, names, store, views, clock, options)
    service.metrics.registry.register(service.gauges())
    sql = _sql_route(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        if sql is not None:
            sql.close()
        service.stop()

    app = FastAPI(
        title="Slackwater",
        version=__version__,
        description="Bars of crypto trades, merged from a batch view and the speed layer's deltas, exact to the digit.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `serving.http.observed` has the service's own
    )
    app.state.service = service
    direct = _add_routes(app, service)
    if sql is not None:
        _post_sql(app, sql.answer)
    _add_problems(app)
    install(app, defaults(service.views))
    app.add_middleware(Direct, routes=direct)
    guard = Guard(service.keys, service.options.guard, service.clock)
    app.add_middleware(Edge, guard=guard)
    if origins := service.options.guard.cors_origins:
        _allow(app, origins)
    app.add_middleware(Observed, metrics=service.metrics, options=service.options.observed)
    return app


def bars_route(service: Service, name: str, cached: CachedReplies[Any] | None = None) -> BarsRoute:
    """The route of the view of a name; without `cached` it sends nothing again."""
    exporter = Exporter(service.bases, service.exports, service.inspector, service.options.exports)
    cached = CachedReplies(0) if cached is None else cached
    return BarsRoute(name, service.views, service.bases, service.rows, service.pool, cached, exporter)


def _sql_route(service: Service) -> SqlRoute | None:
    options = service.options.sql
    if options is None:
        return None
    home, metrics = service.store.home, service.metrics
    return SqlRoute(service.bases, service.hot, service.inspector, service.keys, home, metrics, options)


def _allow(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Let pages of other origins read answers. Outside the edge, since a preflight carries no key."""
    app.add_middleware(
        Cors,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "X-Request-ID"],
        expose_headers=EXPOSED,
        max_age=600,
    )


def _add_routes(app: FastAPI, service: Service) -> dict[str, DirectRoute]:
    """Add all; those that are answered past the framework are returned by their paths."""
    direct = {}
    for view in defaults(service.views):
        route = bars_route(service, view.name, service.cached)
        text = f"Rows of the view `{view.name}`: {', '.join(view.answers)}."
        added = _get(app, f"/v1/{view.name}", route.answer, text, bars_parameters(view))
        direct[added.path] = DirectRoute(added, route.respond)
        if all(revision_of(each) is not None for each in service.views if each.name == view.name):
            text = f"Rows of the view `{view.name}` as server-sent events: a snapshot, then every change."
            stream = StreamRoute(view, service.bases, service.hub, service.clock).answer
            _get(app, f"/v1/stream/{view.name}", stream, text, stream_parameters(view), media_type=EVENT_STREAM)
    store, bases, pool, first = service.store, service.bases, service.pool, service.views[0].name
    catalog, pages = CatalogRoutes(store, service.watch, pool), PageRoutes(app)
    health = HealthRoutes(service.readiness, service.watch, service.proofs, service.layers, service.metrics)
    _get(
        app,
        "/v1/instruments",
        InstrumentsRoute(first, bases, service.hot, pool).answer,
        "Instruments in order of venue and symbol, with the unit of their quantities and their duplicates.",
        INSTRUMENTS_PARAMETERS,
    )
    trades = TradesRoute(first, bases, pool, store.home, service.inspector, service.log, service.names.topic("trades"))
    _get(app, "/v1/trades", trades.answer, "The trades behind a bar, for audit.", TRADES_PARAMETERS)
    restatements = RestatementsRoute(service.views, bases, pool, store.home, service.inspector).answer
    text = "Closed bars whose answers changed, with the answers before and after, and why."
    _get(app, "/v1/restatements", restatements, text, RESTATEMENTS_PARAMETERS, RESTATEMENTS_SCHEMA)
    _get(app, "/v1/versions", catalog.versions, "Published versions.")
    _get(app, "/v1/versions/{version}", catalog.version, "One version's manifest.")
    admin = AdminRoutes(*(service.log, service.names, store, service.views, service.clock, service.keys, service.watch))
    _post_rollback(app, admin.rollback)
    handoff = HandoffRoute(store, pool).answer
    text = "The proof that a version is its parent and the deltas between their cuts."
    _get(app, "/v1/versions/{version}/handoff", handoff, text, schema=HANDOFF_SCHEMA)
    _get(app, "/health/live", health.live, "Whether the process answers.")
    _get(app, "/health/ready", health.ready, "Whether the full promise is kept, and if not, why.")
    _get(app, "/metrics", health.metrics, "Figures for Prometheus.")
    for path, page in (("/", pages.index), ("/docs", pages.docs)):
        app.add_api_route(path, page, methods=["GET"], include_in_schema=False)
    if STATIC.is_dir():
        app.mount("/static", Assets(directory=STATIC), "static")
    return direct


def _get(
    app: FastAPI,
    path: str,
    endpoint: Endpoint,
    text: str,
    parameters: tuple[Parameter, ...] = (),
    schema: dict[str, Any] | None = None,
    media_type: str = "application/json",
) -> APIRoute:
    found: dict[str, Any] = {"description": text}
    if schema is not None:
        found["content"] = {media_type: {"schema": schema}}
    elif media_type != "application/json":
        found["content"] = {media_type: {"schema": {"type": "string"}}}
    listed: list[dict[str, Any]] = [parameter.openapi() for parameter in parameters]
    if "{version}" in path:
        listed.append({"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}})
    app.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        summary=text,
        description=text,
        response_class=Response,
        responses={200: found, "4XX": _PROBLEM, "5XX": _PROBLEM},
        openapi_extra={"parameters": listed} if listed else None,
        operation_id="get" + path.replace("/", "_").replace("{", "").replace("}", ""),
    )
    added: APIRoute = app.routes[-1]  # type: ignore[assignment]
    if media_type != EVENT_STREAM:  # its headers would come with a stream that nobody can read
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
    return added


def _post_rollback(app: FastAPI, endpoint: Endpoint) -> None:
    text = "Serve an older version that is kept, at once, after reading all its files. Needs a key of the scope admin."
    version = {"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
    _post(
        app, "/v1/versions/{version}/rollback", endpoint, text, "The move, as it was recorded.", ROLLBACK_BODY, version
    )


def _post_sql(app: FastAPI, endpoint: Endpoint) -> None:
    text = "One SELECT over the merged views of one moment, read only. Needs a key of the scope admin."
    _post(app, "/v1/sql", endpoint, text, "The result, and the moment that it is of.", SQL_BODY)


def _post(
    app: FastAPI,
    path: str,
    endpoint: Endpoint,
    text: str,
    found: str,
    body: dict[str, Any],
    *parameters: dict[str, Any],
) -> None:
    app.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        summary=text,
        description=text,
        response_class=Response,
        responses={200: {"description": found}, "4XX": _PROBLEM, "5XX": _PROBLEM},
        openapi_extra={
            "parameters": list(parameters),
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        },
        dependencies=[Security(_BEARER)],  # says so in the OpenAPI document; it is checked by `serving.http.guard.auth`
        operation_id="post" + path.replace("/", "_").replace("{", "").replace("}", ""),
    )


def _add_problems(app: FastAPI) -> None:
    async def problem(_: Request, error: Exception) -> Response:
        if isinstance(error, ProblemError):
            return error.response()
        status = error.status_code if isinstance(error, HTTPException) else 422
        found = ProblemError(status, f"http-{status}", str(getattr(error, "detail", "The request cannot be read.")))
        response = found.response()
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    for kind in (ProblemError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, problem)
