"""A route: what a file of `serving.http.routes` says of each path that it answers, and how the framework takes it.

    def routes(store: VersionStore, pool: Pool) -> list[Route]:     # called once; the parts by their names
        ...
        return [Route("/v1/versions", answer, "Published versions.", "versions", Versions, problems=(422, 504))]

A handler takes typed FastAPI parameters, returns the bytes of its answer and raises ProblemError. `model` describes the
answer; nothing is made of it.
"""

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

from fastapi import Depends, FastAPI, Query, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from serving.http import openapi
from serving.http.formats.negotiation import FORMATS
from slackwater.http.validation import refuse_repeated

JSON = "application/json"
EVENT_STREAM = "text/event-stream"

Method = Literal["GET", "POST"]
Direct = Callable[[Scope], Awaitable[Response]]

_GUARDED = (400, 401, 403, 408, 414, 421, 429, 431, 500, 503)
_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="A key of `slackwater key create`. It is required as soon as the service listens off loopback; what "
    "changes something always asks for one, of the scope admin.",
)


@dataclass(frozen=True)
class Route:
    """One path and method.

    Attributes:
        answer: the handler.
        summary: one sentence.
        tag: its group in the document.
        model: what the JSON of a 200 is.
        problems: statuses of problems that this route may answer with, beside those of every route.
        table: it is given in the other formats, too.
        cached: it has an ETag, so 304 is an answer; and a form by `Accept`.
        headers: further headers of a 200.
        open: it never asks for a key.
        media: what a 200 holds, if not JSON; `content` is its OpenAPI media object then.
        also: further statuses that are answers, with their models.
        body: what a POST takes.
        direct: answers past the framework (`serving.http.app`).
        listed: it stands in the OpenAPI document.
        close: called when the service ends.
    """

    path: str
    answer: Callable[..., Awaitable[Response]]
    summary: str
    tag: Literal["data", "versions", "health"]
    model: Any = None
    problems: tuple[int, ...] = ()
    method: Method = "GET"
    table: bool = False
    cached: bool = True
    headers: tuple[str, ...] = ()
    open: bool = False
    media: str = JSON
    content: Mapping[str, Any] | None = None
    also: Mapping[int, Any] | None = None
    body: type[BaseModel] | None = None
    direct: Direct | None = None
    listed: bool = True
    close: Callable[[], None] | None = None


def add(app: FastAPI, route: Route) -> APIRoute:
    """Add a route to the application; what reads can also be asked by HEAD."""
    app.add_api_route(
        route.path,
        route.answer,
        methods=[route.method],
        summary=route.summary,
        description=route.summary,
        tags=[route.tag],
        response_class=Response,
        response_model=None,
        responses=_responses(route),
        operation_id=route.method.lower() + route.path.replace("/", "_").replace("{", "").replace("}", ""),
        dependencies=[*([] if route.open else [Depends(_once)]), *([Security(_BEARER)] if route.body else [])],
        openapi_extra=_extra(route),
        include_in_schema=route.listed,
    )
    added: APIRoute = app.routes[-1]  # type: ignore[assignment]
    if route.method == "GET" and route.media != EVENT_STREAM:  # whose headers would come with what nobody can read
        head = copy(added)  # the framework reads a handler's parameters for each route that it makes
        head.methods, head.include_in_schema = {"HEAD"}, False
        app.routes.append(head)
    return added


def asked(model: Any, answer: Callable[[Request, Any], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """A handler for which the framework reads the query as `model`."""

    async def handler(request: Request, query: Annotated[model, Query()]) -> Response:
        return await answer(request, query)

    return handler


def given_parts(make: Callable[..., list[Route]], parts: Mapping[str, Any]) -> list[Route]:
    """The routes that `make` makes of the parts that it names.

    Raises:
        TypeError: there is no such part.
    """
    wanted = [name for name in get_type_hints(make) if name != "return"]
    if missing := [name for name in wanted if name not in parts]:
        raise TypeError(f"{make.__module__} asks for {missing}; there are {sorted(parts)}.")
    return make(**{name: parts[name] for name in wanted})


async def _once(request: Request) -> None:
    """Refuse duplicate parameters: the framework takes the last one without a word."""
    refuse_repeated(request.query_params.multi_items())


def _extra(route: Route) -> dict[str, Any]:
    if route.body is None:
        return {"security": [] if route.open else [{}, {"key": []}]}
    schema = route.body.model_json_schema()
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def _responses(route: Route) -> dict[int | str, dict[str, Any]]:
    of_all = openapi.ALWAYS if route.open else (*openapi.ALWAYS, *openapi.LIMITED)
    table = (*openapi.FACTS, "Link") if route.table else ()
    own = openapi.refer((*of_all, *(openapi.CACHED if route.cached else ()), *table, *route.headers))
    answer: dict[str, Any] = {"description": route.summary, "headers": own, "content": _content(route)}
    if route.model is not None:
        answer["model"] = route.model
    found: dict[int | str, dict[str, Any]] = {200: answer}
    if route.cached:
        found[304] = {"description": "The client has it: `If-None-Match` names its ETag.", "headers": own}
    also = route.also or {}
    for status, model in also.items():
        found[status] = {"description": "The answer is no.", "model": model, "headers": openapi.refer(of_all)}
    guarded = (500,) if route.open else _GUARDED
    refused = {*route.problems, *guarded, *((406,) if route.cached else ())} - also.keys()
    found |= {s: {"$ref": f"#/components/responses/{openapi.component(s)}"} for s in sorted(refused)}
    return found


def _content(route: Route) -> dict[str, Any]:
    if route.content is not None:
        return {route.media: dict(route.content)}
    others = FORMATS[1:] if route.table else ()
    text = "The rows alone, as {}; the rest of the answer is in headers."
    return {each.media_type: {"schema": {"type": "string", "description": text.format(each.name)}} for each in others}
