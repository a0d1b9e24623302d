"""`GET /v1/stream/<view>`: rows as server-sent events, for every view whose rows can be told apart by a revision.

Not here: the response (`serving.stream.response`), the parameters (`serving.stream.query`).
"""

from typing import Annotated, Any

from pydantic import Field, create_model
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Count, Offsets, absent
from serving.http.route import EVENT_STREAM, Route, asked
from serving.http.routes.bars import row_fields
from serving.query.bases import Bases
from serving.stream.hub import Hub
from serving.stream.query import StreamQuery, stream_query_of
from serving.stream.response import StreamResponse
from serving.stream.series import revision_of
from slackwater.views.definitions import defaults
from slackwater.views.view import View

_EXAMPLE = """\
retry: 2000

id: MS4yLjYzNw
event: snapshot
data: {"interval":"1m","bars":[{"symbol":"BTCUSDT","start":1795263240000000,"revision":637}],"meta":{"version":1}}

id: MS4yLjYzOQ
event: heartbeat
data: {"applied":{"2":639},"lag":0,"version":1,"complete":true}

"""


_META = {"$ref": "#/components/schemas/Meta"}
_Revision = Annotated[int, Field(description="Grows with every change of the row.")]


class Heartbeat(Closed):
    """That nothing changed."""

    applied: Offsets
    lag: Count
    version: Count
    complete: bool
    reason: str = absent()


def events_schema(view: View) -> dict[str, Any]:
    """One event of a view's stream; a stream is as many as come. `data` is JSON on one line."""
    members: dict[str, Any] = {name: (kind, ...) for name, kind in row_fields(view).items()}
    members |= {view.entity[-1]: (str, ...), "revision": (_Revision, ...), "correction": (bool, absent())}
    row = create_model("Row", __base__=Closed, **members)
    rows = {"type": "array", "items": row.model_json_schema()}
    bars = _closed({"interval": {"type": "string"}, view.name: rows, "meta": _META})
    data: dict[str, dict[str, Any]] = {
        "snapshot": bars,
        view.name: bars,
        "version": _META,
        "heartbeat": Heartbeat.model_json_schema(),
        "end": {"$ref": "#/components/schemas/Problem"},
    }
    return {
        "type": "object",
        "properties": {
            "event": {"type": "string"},
            "id": {"type": "string"},
            "data": {"type": "string"},
            "retry": {"type": "integer", "minimum": 0},
        },
        "required": ["event", "data"],
        "oneOf": [_event(name, schema) for name, schema in data.items()],
    }


def _closed(members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


def _event(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    data = {"contentMediaType": "application/json", "contentSchema": schema}
    return {"properties": {"event": {"const": name}, "data": data}}


def routes(views: tuple[View, ...], bases: Bases, hub: Hub) -> list[Route]:
    """See `serving.http.route`."""
    streamed = [
        v for v in defaults(views) if all(revision_of(each) is not None for each in views if each.name == v.name)
    ]
    return [_route(view, bases, hub) for view in streamed]


def _route(view: View, bases: Bases, hub: Hub) -> Route:
    async def answer(request: Request, query: StreamQuery) -> Response:
        bases.snapshot()
        hub.admit()
        return StreamResponse(hub, view.name, query.resumed(request.headers.get("last-event-id")))

    text = f"Rows of the view `{view.name}` as server-sent events: a snapshot, then every change."
    return Route(
        *(f"/v1/stream/{view.name}", asked(stream_query_of(view), answer), text, "data"),
        problems=(422,),
        cached=False,
        headers=("X-Accel-Buffering",),
        media=EVENT_STREAM,
        content={"schema": events_schema(view), "examples": {"stream": {"value": _EXAMPLE}}},
    )
