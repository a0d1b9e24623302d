"""What becomes of an exception that a route or the framework raises: every one is answered as problem JSON."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from slackwater.http.problems import ProblemError
from slackwater.http.validation import refused


async def answer(request: Request, error: Exception) -> Response:
    """The answer to a request that ended with an error."""
    if isinstance(error, ProblemError):
        return error.response()
    if isinstance(error, RequestValidationError):
        (model,) = models_of(request.scope["route"]) or [BaseModel]
        return refused(error.errors(), model).response()
    status = error.status_code if isinstance(error, HTTPException) else 500
    response = ProblemError(status, f"http-{status}", str(getattr(error, "detail", ""))).response()
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def models_of(route: APIRoute) -> list[type[BaseModel]]:
    """The models of a route's query."""
    kinds = [each.field_info.annotation for each in route.dependant.query_params]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


HANDLERS: dict[Any, Any] = dict.fromkeys((ProblemError, HTTPException, RequestValidationError), answer)
"""For the framework: exception -> what answers it."""
