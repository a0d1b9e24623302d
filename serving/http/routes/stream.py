"""`GET /v1/stream/<view>`: rows as server-sent events until one side ends it, for every view whose rows can be told
apart by a revision.

    retry, snapshot of each interval, then <view> | version | heartbeat ..., at last end

The response is a plain ASGI one: what FastAPI and Starlette give for such streams makes each event of each client anew,
and lets a client that does not read block for ever. Here the bytes are made once for all (`serving.stream.channel`),
and a client that takes nothing is disconnected (`serving.stream.hub`): what waits to be sent would hold its connection
open for ever. ASGI has no means for that, so the server gives the transport as an extension of the scope
(`slackwater.http.connection`). Under another server the task that waits is cancelled, and the connection is its own.

Not here: the parameters (`serving.stream.query`).
"""

import asyncio
import socket
from typing import Annotated, Any

from pydantic import Field, create_model
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.http.models import Closed, Count, Offsets, absent, row_fields
from serving.http.route import EVENT_STREAM, Route, asked
from serving.query.bases import Bases
from serving.stream.client import Client, Push, end_event
from serving.stream.hub import Hub
from serving.stream.query import StreamQuery, stream_query_of
from serving.stream.series import revision_of
from slackwater.http.connection import PUSH, TRANSPORT
from slackwater.views.definitions import defaults
from slackwater.views.view import View

SEND_BUFFER_BYTES = 128 * 1024
"""What the system may hold of a stream that is not read: enough for a burst, and little enough to notice it."""

RETRY = b"retry: 2000\n\n"


class _Connection:
    """Made in the task that answers the request."""

    def __init__(self, scope: Scope) -> None:
        self.aborted = False
        self._task = asyncio.current_task()
        self.push: Push | None = scope.get("extensions", {}).get(PUSH)
        self._transport: Any = scope.get("extensions", {}).get(TRANSPORT)
        held = self._transport and self._transport.get_extra_info("socket")
        if held is not None:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def abort(self) -> None:
        """Close it, and wake whoever waits for it to take more."""
        self.aborted = True
        if self._transport is not None:
            self._transport.abort()
        elif self._task is not None:
            self._task.cancel()


class StreamResponse(Response):
    """One client's stream of the view `name`."""

    def __init__(self, hub: Hub, name: str, query: StreamQuery) -> None:
        media = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(headers=media)
        del self.headers["content-length"]
        self._hub = hub
        self._name = name
        self._query = query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = _Connection(scope)
        client = self._hub.open(self._name, self._query, connection.abort, connection.push)
        waiting = asyncio.create_task(_wait_for_disconnect(client, receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send(client, send, RETRY)
            while not client.closed:
                data = self._hub.take(client)
                if data:
                    await self._send(client, send, data)
                else:
                    await client.wait()
            if client.ended is not None and not connection.aborted:
                await self._send(client, send, end_event(client.ended), more=False)
        except asyncio.CancelledError:
            if not connection.aborted:
                raise
        finally:
            waiting.cancel()
            self._hub.leave(client)

    async def _send(self, client: Client, send: Send, data: bytes, more: bool = True) -> None:
        client.sending_s = self._hub.now_s()
        await send({"type": "http.response.body", "body": data, "more_body": more})
        client.sent_s, client.sending_s = self._hub.now_s(), None


async def _wait_for_disconnect(client: Client, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.disconnected = True
    client.wake()


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
