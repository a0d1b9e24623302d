"""The application of a service: FastAPI without its own pages and figures, behind what every request passes.

connection -> Observed -> Cors -> Edge -> the service's own middleware -> framework -> a route
"""

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from slackwater import __version__
from slackwater.http.cors import Cors
from slackwater.http.edge import Edge, Headers, answer_headers
from slackwater.http.figures import RequestFigures
from slackwater.http.guard.guard import Guard
from slackwater.http.handlers import HANDLERS
from slackwater.http.observed import Observed
from slackwater.http.options import ObservedOptions


def application(
    description: str,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    middleware: Sequence[Middleware],
    title: str = "Slackwater",
) -> FastAPI:
    """An application without routes. `middleware` is that of `passed`, and the service's own."""
    return FastAPI(
        title=title,
        version=__version__,
        description=description,
        lifespan=lifespan,
        middleware=middleware,
        exception_handlers=HANDLERS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `slackwater.http.observed` has ours
    )


def passed(
    log: logging.Logger,
    figures: RequestFigures,
    observed: ObservedOptions,
    guard: Guard,
    cors: Mapping[str, Any] | None = None,
    headers_of: Callable[[str], Headers] = answer_headers,
    watched: Container[str] = (),
    answered: Callable[[], None] = lambda: None,
) -> list[Middleware]:
    """What every request passes, the outermost first. CORS lies outside the edge, since a preflight carries no key.

    `log` is the service's own; `cors` are the arguments of `Cors`, without which no other origin may read. The rest:
    `slackwater.http.observed` and `slackwater.http.edge`.
    """
    return [
        Middleware(Observed, figures=figures, options=observed, log=log, watched=watched, answered=answered),
        *([] if cors is None else [Middleware(Cors, **cors)]),
        Middleware(Edge, guard=guard, log=log, headers_of=headers_of),
    ]
