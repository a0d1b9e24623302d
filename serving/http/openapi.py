"""The OpenAPI 3.1 document: what the framework generates of the routes, with the components that they refer to.

Headers that are not declared: those of HTTP itself about the body (`Content-Type`, `Content-Length`,
`Content-Encoding`), and the security headers of every answer (docs/security.md).
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from slackwater.http.problems import MEDIA_TYPE, URN

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_OFFSETS = {"type": "string", "pattern": r"^\{.*\}$", "examples": ['{"1":10}']}


def _header(description: str, schema: dict[str, Any], required: bool = False) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema}


HEADERS: dict[str, dict[str, Any]] = {
    "Cache-Control": _header("`no-cache`, `no-store`, or `immutable` where the range is closed and pinned.", _TEXT),
    "ETag": _header("Strong; send it back in `If-None-Match`.", _TEXT, required=True),
    "Link": _header('Where the next page is, with `rel="next"`; not with the last one.', _TEXT),
    "RateLimit": _header(
        "What is left of the quota of the key, or of the client, and in how many seconds all of it is there again.",
        {**_TEXT, "examples": ['"default";r=5940;t=1']},
    ),
    "RateLimit-Policy": _header(
        "The quota: so many requests in so many seconds. Only where rates are limited.",
        {**_TEXT, "examples": ['"default";q=6000;w=60']},
    ),
    "Retry-After": _header("Seconds until another try makes sense.", _COUNT),
    "Slackwater-Applied": _header("What JSON says under `meta`, where the body is rows alone.", _OFFSETS),
    "Slackwater-Complete": _header("The same.", {"enum": ["true", "false"]}),
    "Slackwater-Cut": _header("The same.", _OFFSETS),
    "Slackwater-Definition": _header("The same.", _TEXT),
    "Slackwater-Lag-Records": _header(
        "Records of the asked partitions between `applied` and the high watermark; outside the ETag; not with as_of.",
        _COUNT,
    ),
    "Slackwater-Layer": _header("The same as for `Slackwater-Applied`.", {"enum": ["merged", "batch", "speed"]}),
    "Slackwater-Reason": _header("The same; only where it is not complete.", _TEXT),
    "Slackwater-Refusal": _header("The same; only where a newer version was refused.", _TEXT),
    "Slackwater-Stream": _header("The same: the stream whose partitions these are.", _TEXT),
    "Slackwater-Version": _header("The same.", _COUNT),
    "Vary": _header("Which request headers the form of the answer depends on.", _TEXT),
    "WWW-Authenticate": _header("How to authenticate; for a key without the scope also which one.", _TEXT),
    "X-Accel-Buffering": _header("`no`: a proxy hands events on at once.", _TEXT),
    "X-Request-ID": _header("The request's id, which the log has too; the client's own, if it sent one.", _TEXT),
}

ALWAYS = ("Cache-Control", "X-Request-ID")
LIMITED = ("RateLimit", "RateLimit-Policy")
CACHED = ("ETag", "Vary")
LAG = "Slackwater-Lag-Records"
FACTS = tuple(name for name in HEADERS if name.startswith("Slackwater-") and name != LAG)


def refer(names: Iterable[str]) -> dict[str, Any]:
    """A response's headers: references to the components."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(names)}


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
        "older": {"type": ["integer", "null"], "description": "The nearest version before that answers; null: none."},
        "newer": {"type": ["integer", "null"], "description": "The nearest version after that answers; null: none."},
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
    401: {"unauthorized": "This needs a key in the header: `Authorization: Bearer <key>`."},
    403: {"forbidden": "This needs a key of the scope admin."},
    404: {
        "unknown-instrument": "No event of binance_spot:NOPE is known. See /v1/instruments.",
        "stream-without-view": "No view is over the stream fills: it is archived and not served.",
        "unknown-version": "There is no version '99'. See /v1/versions.",
    },
    406: {"not-acceptable": "None of the requested formats is available."},
    408: {"slow-request": "The request was not complete within 10 s."},
    409: {
        "other-definition": "Version 3 is of another definition of this view.",
        "rollback-refused": "Version 3 is not whole and cannot be served.",
    },
    410: {
        "cursor-gone": "The version that this cursor stands on is not retained any more. Ask again without the cursor.",
        "version-retired": "Version 3 was retired. See /v1/versions.",
    },
    413: {"too-large": "The body has more than 4096 bytes."},
    414: {"url-too-long": "The URL has more than 8192 bytes."},
    415: {"media-type": "This takes a body of the type application/json."},
    421: {"misdirected": "This name is not served."},
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
    429: {"rate-limited": "More requests than this key's limit."},
    431: {"headers-too-large": "The headers are more than 64, or have more than 16384 bytes."},
    500: {"internal": "The service failed on this request; its log says why."},
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
    504: {"deadline": "Not answered within 10 s. Ask for a shorter range."},
}
"""Status -> its kinds, with a detail each."""

_MORE = {429: ("Retry-After",), 503: ("Retry-After",), 401: ("WWW-Authenticate",), 403: ("WWW-Authenticate",)}
"""Status -> headers of its own."""


def component(status: int) -> str:
    """The name of a status' component."""
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def responses() -> dict[str, dict[str, Any]]:
    """The components: name -> response."""
    return {component(status): _response(status, kinds) for status, kinds in _KINDS.items()}


def _response(status: int, kinds: dict[str, str]) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    examples: dict[str, Any] = {}
    for kind, detail in kinds.items():
        problem: dict[str, Any] = {"type": URN + kind, "title": title, "status": status, "detail": detail}
        if kind == "parameters":
            parameter, _, text = detail.partition(": ")
            problem["errors"] = [{"parameter": parameter, "detail": text}]
        examples[kind] = {"value": problem}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
    text = f"{title}: {', '.join(f'`{kind}`' for kind in kinds)}."
    return {"description": text, "content": content, "headers": refer((*ALWAYS, *LIMITED, *_MORE.get(status, ())))}


_TAGS = (
    ("data", "Rows of views, events and what was restated."),
    ("versions", "The published versions of the batch views, and the proofs of their hand-offs."),
    ("health", "Whether it lives, whether it keeps its promise, and its figures."),
)


def install(app: FastAPI) -> None:
    """Make `app.openapi` give the whole document, with the components that the framework does not know."""
    generated = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = generated()
            components = found.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = PROBLEM
            components |= {"responses": responses(), "headers": HEADERS}
            found["tags"] = [{"name": name, "description": text} for name, text in _TAGS]
            found["servers"] = [{"url": "/"}]
            for facts in (facts for methods in found["paths"].values() for facts in methods.values()):
                _trim(facts)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _trim(facts: dict[str, Any]) -> None:
    """Take away what the framework says twice: a reference is all that a problem needs."""
    for response in facts["responses"].values():
        if "$ref" in response:
            del response["description"]
    for parameter in facts.get("parameters", ()):
        parameter["schema"].pop("title", None)
        parameter["schema"].pop("description", None)
