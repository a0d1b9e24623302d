"""The load generator asks the real service over real sockets, and fails where an answer or a connection does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from bench.load import Target, run_load

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    """A server that talks so with each client until that goes; every connection is closed behind it."""
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if talks:
            await asyncio.wait(talks)
        await server.wait_closed()


def load(talk: Talk, connections: int = 3, paths: tuple[str, ...] = ("/a", "/b")) -> tuple[dict[str, int], int, int]:
    """Statuses, answers and bytes of a short load on a server that talks so."""

    async def run() -> tuple[dict[str, int], int, int]:
        async with listening(talk) as port:
            target = Target("127.0.0.1", port, paths, [("X-Key", "k")])
            found = await asyncio.to_thread(run_load, target, connections, 0.02, 0.2)
            return found.statuses, len(found.answers_ms), found.bytes

    return asyncio.run(run())


def test_answers_are_counted_whole_however_they_come() -> None:
    """Heads and bodies in pieces; the statuses take turns with the paths."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            assert b"X-Key: k\r\n" in head
            status = b"200 OK" if head.startswith(b"GET /a ") else b"404 Not Found"
            for piece in (b"HTTP/1.1 " + status + b"\r\nContent-", b"Length: 10\r\n\r\n12345", b"67890"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    statuses, answers, size = load(talk)
    assert set(statuses) == {"200", "404"}
    assert answers == sum(statuses.values())
    assert size == 10 * answers


def test_a_connection_that_is_lost_fails_the_load() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)  # into the span that is counted

    with pytest.raises(ConnectionError):
        load(talk, 1)


def test_an_answer_without_a_length_fails_the_load() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        await reader.read()

    with pytest.raises(ValueError, match="Content-Length"):
        load(talk, 1)
