"""What the routes of the ingest service share: the type of a body, who sends it, and how they answer."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from slackwater.http.problems import ProblemError, refusal

SOURCE = "slackwater-source"
"""The header that names where a body is from, for the dead letters and the ledger of instruments."""

FRESH = {"Cache-Control": "no-store"}

_SOURCE = re.compile(r"[ -~]{1,200}")


def source_named(request: Request) -> str:
    """Who sends it. Raises ProblemError, 422."""
    source = request.headers.get(SOURCE, "http")
    if not _SOURCE.fullmatch(source):
        raise refusal({SOURCE: "is no name of 1 to 200 printable characters"})
    return source


def type_of(request: Request, types: Iterable[str]) -> str:
    """The type of its body, which is one of some. Raises ProblemError, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in types:
        raise ProblemError(415, "media-type", f"This takes a body of one of the types {', '.join(types)}.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "content-encoding", "Send the body as it is; compressed files go in by the command.")
    return kind


def answered(status: int, facts: Mapping[str, Any]) -> Response:
    """An answer in JSON that no cache keeps."""
    return Response(orjson.dumps(facts), status, FRESH, "application/json")
