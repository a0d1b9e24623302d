"""The response of `GET /v1/stream/<view>`: bars as server-sent events until one side ends it.

    retry, snapshot of each interval, then <view> | version | heartbeat ..., at last end

A plain ASGI response: what FastAPI and Starlette give for such streams makes each event of each client anew, and lets
a client that does not read block for ever. Here the bytes are made once for all (`serving.stream.channel`), and a
client that takes nothing is disconnected (`serving.stream.hub`): what waits to be sent would hold its connection open
for ever. ASGI has no means for that, so the server gives the transport as an extension of the scope
(`serving.http.connection`). Under another server the task that waits is cancelled, and the connection is that server's.
"""

import asyncio
import socket
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.stream.client import Client, end_event
from serving.stream.hub import Hub
from serving.stream.query import StreamQuery

TRANSPORT = "slackwater.transport"
"""The extension's name."""

SEND_BUFFER_BYTES = 128 * 1024
"""What the system may hold of a stream that is not read: enough for a burst, and little enough to notice it."""

RETRY = b"retry: 2000\n\n"


class _Connection:
    """Made in the task that answers the request."""

    def __init__(self, scope: Scope) -> None:
        self.aborted = False
        self._task = asyncio.current_task()
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
        """See ASGI."""
        connection = _Connection(scope)
        client = self._hub.open(self._name, self._query, connection.abort)
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
