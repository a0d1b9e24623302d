"""The bodies of POST: bounded, read as JSON, checked by a model; what is wrong names the member."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from slackwater.http.problems import ProblemError, refusal
from slackwater.http.validation import refused

_M = TypeVar("_M", bound=BaseModel)


async def body_of(request: Request, most_bytes: int) -> bytes:
    """The bytes of a body.

    Raises:
        ProblemError: 413, it is larger.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most_bytes:
            raise ProblemError(413, "too-large", f"The body has more than {most_bytes} bytes.")
    return bytes(data)


def parsed_body(model: type[_M], data: bytes) -> _M:
    """What a body says.

    Raises:
        ProblemError: 422, it is no JSON object, or a member is unknown, repeated, missing or wrong.
    """
    members = ", ".join(model.model_fields)
    try:
        found: Any = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise refusal({"body": f"is no JSON object of {members}, each once"}) from error
    if not isinstance(found, dict):
        raise refusal({"body": f"is no JSON object of {members}"})
    try:
        return model.model_validate(found, strict=True)
    except ValidationError as error:
        raise refused(error.errors(include_url=False), model) from error


def refuse_query(request: Request) -> None:
    """Raises ProblemError, 422, where a POST has a query string."""
    if request.url.query:
        raise refusal({"query": "this takes a body and no query"})


def refuse_other_types(request: Request) -> None:
    """Raises ProblemError, 415, where a body is said to be something else than JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProblemError(415, "media-type", "This takes a body of the type application/json.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a duplicate member")
    return found
