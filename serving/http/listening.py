"""Sockets that listen, several for each address, so that new clients do not wait behind busy ones.

libuv, under uvicorn's event loop, accepts one connection a round of the loop for each listening socket (seen with libuv
1.52). Under load a round takes 15 ms, so that the hundredth new connection waited 1.5 s, health checks among them. The
sockets here are duplicates of one: each accepts one a round.
"""

import socket
from collections.abc import Iterable

from slackwater.core.errors import SettingError

ACCEPTS = 32
"""Connections that are accepted in one round of the event loop."""

BACKLOG = 2_048


def listen(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of `host`.

    Raises:
        SettingError: one of them cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [_listen(family, address) for family, _, _, _, address in dict.fromkeys(found)]
    except OSError as error:
        raise SettingError(
            f"{host}:{port} cannot be listened on: {error.strerror}.", "Is it free, and here?"
        ) from error


def copies(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """The sockets, each `ACCEPTS` times."""
    return [each for one in sockets for each in (one, *(one.dup() for _ in range(ACCEPTS - 1)))]


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found
