"""The connection of a stream, which can be cut: what waits to be sent would hold it open for ever.

ASGI has no word for it, so the server gives the transport as an extension of the scope (`serving.http.connection`).
Under another server the task that waits is cancelled, and the connection is that server's.
"""

import asyncio
import socket
from typing import Any

from starlette.types import Scope

TRANSPORT = "slackwater.transport"
"""The extension's name."""

SEND_BUFFER_BYTES = 128 * 1024
"""What the system may hold of a stream that is not read: enough for a burst, and little enough to notice it."""


class StreamConnection:
    """Made in the task that answers the request."""

    def __init__(self, scope: Scope) -> None:
        self.is_cut = False
        self._task = asyncio.current_task()
        self._transport: Any = scope.get("extensions", {}).get(TRANSPORT)
        held = self._transport and self._transport.get_extra_info("socket")
        if held is not None:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def cut(self) -> None:
        """Cut it, and wake whoever waits for it to take more."""
        self.is_cut = True
        if self._transport is not None:
            self._transport.abort()
        elif self._task is not None:
            self._task.cancel()
