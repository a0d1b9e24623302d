"""The OpenAPI 3.1 document: what FastAPI lists, completed with parameters, answers, problems, examples and security.

The routes read their own query strings (`serving.query.parameters`), so FastAPI knows their paths alone. Each of them
has an entry in OPERATIONS, or is that of a view; a test holds that none is missing, and that real answers fit their
models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from serving.http.formats.media import FORMATS, Format
from serving.http.openapi import headers, problems
from serving.http.openapi import schemas as models
from serving.query.parameters import FIRST_US, LATEST_US, MOST_SYMBOLS, MOST_VERSIONS
from serving.stream.place import TOKEN
from serving.stream.query import MOST_INTERVALS
from slackwater.streams.trades import SYMBOL, VENUE
from slackwater.views.interval import DAY_US
from slackwater.views.view import View

JSON = "application/json"
STREAM = "text/event-stream"

_GUARDED = (400, 401, 403, 408, 414, 421, 429, 431, 500, 503)
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    "(?:(?:(?:19[7-9]|[2-9][0-9]{2})[0-9])-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    "|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    f"|(?!0|1[0-8]|19[0-6]){_LEAP}-02-29)"
)
_ISO = rf"^{_DATE}(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{{1,6}})?)?(?:Z|\+00:00))?$"
_UNITS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": DAY_US}


def _intervals() -> list[str]:
    """Every text that names an interval: whole seconds that divide a day, in each unit; and a week."""
    found = [f"{n}{unit}" for unit, us in _UNITS.items() for n in range(1, DAY_US // us + 1) if DAY_US % (n * us) == 0]
    return [*found, "1w"]


_TIME: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": FIRST_US, "maximum": LATEST_US - 1},
        {"type": "string", "pattern": _ISO},
    ],
    "examples": ["2026-01-31T09:30:00Z", 1769851800000000],
}
_POINT = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MOST_VERSIONS - 1}, *_TIME["anyOf"]]}
_SYMBOLS = {
    "type": "string",
    "pattern": f"^{SYMBOL}(?:,{SYMBOL}){{0,{MOST_SYMBOLS - 1}}}$",
    "examples": ["BTCUSDT", "BTCUSDT,ETHUSDT"],
}
PARAMETERS: dict[str, dict[str, Any]] = {
    "venue": {"type": "string", "pattern": f"^{VENUE}$", "examples": ["binance_spot"]},
    "symbol": _SYMBOLS,
    "interval": {"enum": _intervals(), "default": "1m", "examples": ["1m", "4h"]},
    "start": _TIME,
    "active_since": {**_TIME, "examples": ["2026-01-31T09:30:00Z"]},
    "end": {**_TIME, "examples": ["2026-01-31T16:00:00Z", 1769875200000000]},
    "cursor": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,2000}$"},
    "layer": {"enum": ["merged", "batch", "speed"], "default": "merged"},
    "as_of": {"type": "integer", "minimum": 0, "maximum": 2**31},
}
"""Schemas by a parameter's name; those that a route gives itself stand elsewhere."""

OF_ROUTE: dict[tuple[str, str], dict[str, Any]] = {
    ("/v1/trades", "symbol"): {"type": "string", "pattern": f"^{SYMBOL}$", "examples": ["BTCUSDT"]},
    ("/v1/stream", "interval"): {
        "type": "string",
        "pattern": f"^(?:{'|'.join(_intervals())})(?:,(?:{'|'.join(_intervals())})){{0,{MOST_INTERVALS - 1}}}$",
        "default": "1m",
        "examples": ["1m", "1s,1m"],
    },
    ("/v1/stream", "last_event_id"): {"type": "string", "pattern": f"^{TOKEN.pattern}$"},
    ("/v1/restatements", "since"): {**_POINT, "examples": [7]},
    ("/v1/restatements", "until"): {**_POINT, "examples": [9]},
}
_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "A version's number; `/v1/versions` lists them.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 2**31, "examples": [7]},
}


@dataclass(frozen=True)
class Operation:
    """What is said of one operation: the model of its answer, the statuses of its problems, its group."""

    tag: str
    answer: str
    problems: Sequence[int] = ()
    is_open: bool = False  # it never asks for a key
    also: Mapping[int, str] | None = None  # further statuses that are answers, with their models
    media: str = JSON
    is_table: bool = False  # it is given in the other formats, too


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("/v1/instruments", "get"): Operation("data", "Instruments", (422, 504), is_table=True),
    ("/v1/trades", "get"): Operation("data", "TradesPage", (404, 410, 422, 504), is_table=True),
    ("/v1/restatements", "get"): Operation("data", "Restatements", (410, 422, 504), is_table=True),
    ("/v1/versions", "get"): Operation("versions", "Versions", (422, 504)),
    ("/v1/versions/{version}", "get"): Operation("versions", "Manifest", (404, 410, 422, 504)),
    ("/v1/versions/{version}/handoff", "get"): Operation("versions", "Handoff", (404, 422, 504)),
    ("/v1/versions/{version}/rollback", "post"): Operation("versions", "RolledBack", (404, 409, 410, 413, 422)),
    ("/v1/sql", "post"): Operation("data", "SqlResult", (413, 415, 422, 504)),
    ("/health/live", "get"): Operation("health", "Liveness", is_open=True),
    ("/health/ready", "get"): Operation("health", "Readiness", is_open=True, also={503: "Readiness"}),
    ("/metrics", "get"): Operation("health", "", media="text/plain; version=0.0.4; charset=utf-8"),
}
_POSTED = {"RolledBack", "SqlResult"}
_OF_VIEW = (404, 409, 410, 422, 504)
_OF_STREAM = (422,)

_TAGS = (
    ("data", "Bars, trades and what was restated."),
    ("versions", "The published versions of the batch views, and the proofs of their hand-offs."),
    ("health", "Whether it lives, whether it keeps its promise, and its figures."),
)
_SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of `slackwater key create`. It is asked for as soon as the service listens off loopback; a "
    "rollback always asks for one, of the scope admin.",
}


def install(app: FastAPI, views: Sequence[View]) -> None:
    """Make `app.openapi` give the whole document. `views` are those that have a route."""
    listed = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(listed(), views)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def complete(document: dict[str, Any], views: Sequence[View]) -> dict[str, Any]:
    """The document with everything that FastAPI does not know.

    Raises:
        KeyError: a route has no entry here.
    """
    rows = {view.name: _title(view.name) for view in views}
    for path, methods in document["paths"].items():
        for method, facts in methods.items():
            _complete(facts, path, _operation(path, method, rows), list(rows))
    components = document.setdefault("components", {})
    components["schemas"] = {"Problem": problems.PROBLEM, **models.schemas()}
    for view in views:
        row, example = rows[view.name], models.BARS_EXAMPLE if view.name == "bars" else None
        components["schemas"][row] = models.row_schema(view)
        components["schemas"][f"{row}Events"] = models.events_schema(view, row)
        components["schemas"][f"{row}Page"] = models.page_schema(view.name, row, example)
    components["responses"] = problems.responses()
    components["headers"] = headers.HEADERS
    components["securitySchemes"] = {"key": _SECURITY}
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS]
    document["servers"] = [{"url": "/"}]
    return document


def _title(view: str) -> str:
    return "".join(part.capitalize() for part in view.split("_")) + "Row"


def _operation(path: str, method: str, rows: Mapping[str, str]) -> Operation:
    name = path.rpartition("/")[2]
    if path == f"/v1/stream/{name}":
        return Operation("data", f"{rows[name]}Events", _OF_STREAM, media=STREAM)
    if path == f"/v1/{name}" and name in rows:
        return Operation("data", f"{rows[name]}Page", _OF_VIEW, is_table=True)
    return OPERATIONS[path, method]


def _complete(facts: dict[str, Any], path: str, operation: Operation, views: list[str]) -> None:
    facts["tags"] = [operation.tag]
    facts["parameters"] = [
        _VERSION if given["in"] == "path" else _parameter(path, given, views) for given in facts.get("parameters", ())
    ]
    if not facts["parameters"]:
        del facts["parameters"]
    facts["responses"] = _responses(facts["responses"]["200"], operation)
    facts["security"] = [] if operation.is_open else [{"key": []}] if "requestBody" in facts else [{}, {"key": []}]


def _parameter(path: str, given: dict[str, Any], views: list[str]) -> dict[str, Any]:
    if given["name"] == "view":
        return {**given, "schema": {"enum": views}}
    of = path.rpartition("/")[0] if path.startswith("/v1/stream/") else path
    schema = OF_ROUTE.get((of, given["name"])) or PARAMETERS.get(given["name"])
    if schema is None or "enum" in given["schema"]:
        return given
    return {**given, "schema": {**schema, **({"default": d} if (d := given["schema"].get("default")) else {})}}


def _responses(given: dict[str, Any], operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {"200": {**given, "content": _content(operation)}}
    problems_of = set(operation.problems)
    of_all = headers.ALWAYS if operation.is_open else (*headers.ALWAYS, *headers.LIMITED)
    own = headers.refer((*of_all, *_own_headers(operation)))
    found["200"]["headers"] = own
    if _is_cached(operation):
        problems_of |= {406}
        found["304"] = {"description": "The client has it: `If-None-Match` names its ETag.", "headers": own}
    also = operation.also or {}
    for status, model in also.items():
        no = {"description": "The answer is no.", "content": _json(model)}
        found[str(status)] = {**no, "headers": headers.refer(of_all)}
    guarded = (500,) if operation.is_open else _GUARDED
    for status in sorted({*problems_of, *guarded} - also.keys()):
        found[str(status)] = {"$ref": f"#/components/responses/{problems.component(status)}"}
    return dict(sorted(found.items()))


def _is_cached(operation: Operation) -> bool:
    return operation.media == JSON and not operation.is_open and operation.answer not in _POSTED


def _own_headers(operation: Operation) -> tuple[str, ...]:
    """Headers that answers of this operation have, and not every other's."""
    if operation.media == STREAM:
        return ("X-Accel-Buffering",)
    if operation.answer == "SqlResult":
        return (headers.LAG,)
    if not _is_cached(operation):
        return ()
    table = (*headers.FACTS, "Link") if operation.is_table else ()
    lag = (headers.LAG,) if operation.answer.endswith("Page") else ()
    return (*headers.CACHED, *table, *lag)


def _content(operation: Operation) -> dict[str, Any]:
    if operation.media == JSON:
        others = FORMATS[1:] if operation.is_table else ()
        return {**_json(operation.answer), **{each.media_type: {"schema": _rows(each)} for each in others}}
    if operation.media == STREAM:
        return {STREAM: {**_json(operation.answer)[JSON], "examples": {"stream": {"value": models.STREAM_EXAMPLE}}}}
    return {operation.media: {"schema": {"type": "string"}}}


def _rows(of: Format) -> dict[str, Any]:
    """The schema of a format that holds the rows alone."""
    return {"type": "string", "description": f"The rows alone, as {of.name}; the rest of the answer is in headers."}


def _json(model: str) -> dict[str, Any]:
    return {JSON: {"schema": {"$ref": f"#/components/schemas/{model}"}}}
