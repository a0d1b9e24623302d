"""The problems that routes can answer with, by status, as OpenAPI responses with an example of each kind."""

from http import HTTPStatus
from typing import Any

from serving.http.openapi.headers import ALWAYS, LIMITED, refer
from serving.http.problems import MEDIA_TYPE, URN

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Why a request is not answered (RFC 9457). A kind may have members of its own.",
    "properties": {
        "type": {"type": "string", "pattern": f"^{URN}[a-z0-9-]+$", "description": "Names the kind; it is stable."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "The fact, for people."},
        "errors": {
            "type": "array",
            "description": "Of the kind `parameters`: each parameter that cannot be used, and why.",
            "items": {
                "type": "object",
                "properties": {"parameter": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["parameter", "detail"],
                "additionalProperties": False,
            },
        },
        "line": {"type": "integer", "minimum": 1, "description": "Of a query's place; lines count from 1."},
        "column": {"type": "integer", "minimum": 1, "description": "Of a query's place, in characters from 1."},
    },
    "required": ["type", "title", "status", "detail"],
}

_KINDS: dict[int, dict[str, str]] = {
    400: {
        "host": "Send one Host header.",
        "bad-request": "This is no HTTP/1.1 request.",
    },
    401: {
        "unauthorized": "This needs a key in the header: `Authorization: Bearer <key>`.",
    },
    403: {
        "forbidden": "This needs a key of the scope admin.",
    },
    404: {
        "unknown-instrument": "No event of binance_spot:NOPE is known. See /v1/instruments.",
        "stream-without-view": "No view is over the stream fills: it is archived and not served.",
        "unknown-version": "There is no version '99'. See /v1/versions.",
    },
    406: {
        "not-acceptable": "None of the formats that are asked for is given.",
    },
    408: {
        "slow-request": "The request was not complete within 10 s.",
    },
    409: {
        "other-definition": "Version 3 is of another definition of this view.",
        "rollback-refused": "Version 3 is not whole and cannot be served.",
    },
    410: {
        "cursor-gone": "The version that this cursor stands on is not kept any more. Ask again without the cursor.",
        "version-retired": "Version 3 was retired. See /v1/versions.",
    },
    413: {
        "too-large": "The body has more than 4096 bytes.",
    },
    414: {
        "url-too-long": "The URL has more than 8192 bytes.",
    },
    415: {
        "media-type": "This takes a body of the type application/json.",
    },
    421: {
        "misdirected": "This name is not served.",
    },
    422: {
        "parameters": "interval: '7m' cannot be used: Use 1s, 5s, 1m, or any that divides a day, or 1w.",
        "sql-refused": "There is no table 'trades'. There are bars_1h, bars_1m, bars_1s, instruments.",
        "sql-failed": 'Binder Error: Referenced column "price" not found in FROM clause!',
        "sql-memory": "The query needs more than 512 MB.",
        "sql-size": "The result has more than 8 MB. Ask for fewer rows or columns.",
        "sql-engine": "The database did not survive this query. The service did.",
        "too-many-parts": "More than 10000 deltas; ask for fewer or shorter bars.",
        "too-many-rows": "A start has more than 20000 rows. Ask for fewer keys.",
    },
    429: {
        "rate-limited": "More requests than this key's limit.",
    },
    431: {
        "headers-too-large": "The headers are more than 64, or have more than 16384 bytes.",
    },
    500: {
        "internal": "The service failed on this request; its log says why.",
    },
    503: {
        "not-serving": "The service is starting. See /health/ready.",
        "shutting-down": "The service is shutting down.",
        "too-many-streams": "There are 2000 streams already, which is the limit.",
        "slow-client": "The client took nothing for 15 s. Come again with the last id.",
        "overloaded": "Too many requests are in work. Come again.",
        "busy": "Too many cold reads are waiting.",
        "memory": "This takes more memory than reads may. Ask for a shorter range.",
        "files-unreadable": "Files of version 3 cannot be read.",
        "version-damaged": "Version 3 is not whole.",
        "log": "The event log cannot be read: no broker answers.",
        "keys-unreadable": "The service cannot read its keys.",
    },
    504: {
        "deadline": "Not answered within 10 s. Ask for a shorter range.",
    },
}
"""Status -> its kinds, with a detail each."""

_AGAIN = (429, 503)
"""Those that say when to come again."""

_OF_KEYS = (401, 403)


def component(status: int) -> str:
    """The name of a status' component."""
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def responses() -> dict[str, dict[str, Any]]:
    """The components: name -> response."""
    return {component(status): _response(status, kinds) for status, kinds in _KINDS.items()}


def _response(status: int, kinds: dict[str, str]) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    examples = {
        kind: {"value": {"type": URN + kind, "title": title, "status": status, "detail": detail, **_more(kind, detail)}}
        for kind, detail in kinds.items()
    }
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
    text = f"{title}: {', '.join(f'`{kind}`' for kind in kinds)}."
    more = (*(("Retry-After",) if status in _AGAIN else ()), *(("WWW-Authenticate",) if status in _OF_KEYS else ()))
    own = refer((*ALWAYS, *LIMITED, *more))
    return {"description": text, "content": content, "headers": own}


def _more(kind: str, detail: str) -> dict[str, Any]:
    parameter, _, text = detail.partition(": ")
    return {"errors": [{"parameter": parameter, "detail": text}]} if kind == "parameters" else {}
