"""`GET /v1/stream/<view>`: bars as server-sent events. A snapshot, then every change, until one side ends it.

    retry, snapshot of each interval, then <view> | version | heartbeat ..., at last end

A plain ASGI response: what FastAPI and Starlette give for such streams makes each event of each client anew, and lets
a client that does not read block for ever. Here the bytes are made once for all (`serving.stream.channel`), a client
is asked for no more than it takes, and one that takes nothing is cut (`serving.stream.hub`).
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.query.basis import Bases
from serving.stream.client import Client, end_event
from serving.stream.cut import StreamConnection
from serving.stream.hub import Hub
from serving.stream.query import StreamQuery
from slackwater.core.clock import Clock

MEDIA_TYPE = "text/event-stream"
RETRY = b"retry: 2000\n\n"


class StreamRoute:
    """Answers for the view of one name."""

    def __init__(self, name: str, bases: Bases, hub: Hub, clock: Clock) -> None:
        self._name = name
        self._bases = bases
        self._hub = hub
        self._clock = clock

    async def answer(self, request: Request, query: StreamQuery) -> Response:
        """The stream. Raises ProblemError before it begins."""
        query = query.behind(request.headers.get("last-event-id"))
        self._bases.snapshot()
        self._hub.admit()
        return StreamResponse(self._hub, self._clock, self._name, query)


class StreamResponse(Response):
    """One client's stream."""

    def __init__(self, hub: Hub, clock: Clock, name: str, query: StreamQuery) -> None:
        super().__init__(headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._clock = clock
        self._name = name
        self._query = query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        connection = StreamConnection(scope)
        client = self._hub.open(self._name, self._query, connection.cut)
        gone = asyncio.create_task(_gone(client, receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send(client, send, RETRY)
            while not client.over:
                data = self._hub.take(self._name, client)
                if data:
                    await self._send(client, send, data)
                else:
                    await client.wait()
            if client.ended is not None and not connection.is_cut:
                await self._send(client, send, end_event(client.ended), more=False)
        except asyncio.CancelledError:
            if not connection.is_cut:
                raise
        finally:
            gone.cancel()
            self._hub.leave(self._name, client)

    async def _send(self, client: Client, send: Send, data: bytes, more: bool = True) -> None:
        client.sending_s = self._clock.elapsed_s()
        await send({"type": "http.response.body", "body": data, "more_body": more})
        client.sent_s, client.sending_s = self._clock.elapsed_s(), None


async def _gone(client: Client, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.gone = True
    client.wake()
