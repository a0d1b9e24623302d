"""A venue on this machine: a socket and a REST interface, with faults that a test or a seed orders.

What the venue knows is the truth: a list of trades in the words of a dialect (`dialects.py`). Not here: how a frame or
an answer of a venue reads.
"""

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ingest.capture.options import Address
from tests.feeds.dialects import Dialect, Told


@dataclass
class Faults:
    """What goes wrong, as chances per frame or request between 0 and 1, and as counts that run out."""

    drop: float = 0.0
    duplicate: float = 0.0
    swap: float = 0.0
    cut: float = 0.0
    nonsense: float = 0.0
    abort: float = 0.0
    close: float = 0.0
    mute: float = 0.0
    deaf: float = 0.0
    busy: float = 0.0
    broken: float = 0.0
    retry_after: str | None = "0"


@dataclass
class Venue:
    """The truth, and who listens. `lag` trades are not shown by REST yet."""

    dialect: Dialect
    faults: Faults = field(default_factory=Faults)
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    truth: list[Told] = field(default_factory=list)
    snapshot: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    acknowledge: bool = True
    session_s: float = 0.0
    hidden: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._accepted: set[_Listener] = set()
        self._aging: set[asyncio.Task[None]] = set()
        self.address = Address()

    async def tell(self, trade: Told) -> None:
        """A trade happens: the truth grows, and listeners hear of it, if nothing goes wrong."""
        self.truth.append(trade)
        for listener in list(self._listeners):
            await listener.hear(trade)

    async def say(self, text: str | bytes) -> None:
        """Send a frame to all listeners as it is."""
        for listener in list(self._listeners):
            await listener.send(text)

    @property
    def listeners(self) -> int:
        """How many connections hear of trades."""
        return len(self._listeners)

    @property
    def accepted(self) -> int:
        """How many believe that they do."""
        return len(self._accepted)

    def freeze_all(self) -> None:
        """Every connection is dead and nobody says so: nothing is read, nothing is sent."""
        for listener in list(self._accepted):
            self.counts["frozen"] += 1
            listener.freeze()
            self._accepted.discard(listener)
            self._listeners.discard(listener)

    def deafen_all(self) -> None:
        """Every connection lives on, and hears of nothing more."""
        self._listeners.clear()

    def cut_all(self) -> None:
        """Every connection ends without a word."""
        for listener in list(self._listeners):
            listener.abort()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen until the end of the block; `address` says where."""
        async with (
            serve(self._connected, "127.0.0.1", 0, ping_interval=None, close_timeout=0.2) as sockets,
            await asyncio.start_server(self._asked, "127.0.0.1", 0) as rest,
        ):
            ports = [server.sockets[0].getsockname()[1] for server in (sockets, rest)]
            self.address = Address(f"ws://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
            yield

    async def _connected(self, connection: ServerConnection) -> None:
        self.counts["connections"] += 1
        listener = _Listener(self, connection)
        if self.session_s:
            aging = asyncio.create_task(listener.age(self.session_s))
            self._aging.add(aging)
            aging.add_done_callback(self._aging.discard)
        try:
            async for message in connection:
                answer = self.dialect.answer(str(message))
                if answer is None:
                    continue
                if self.acknowledge:
                    await connection.send(answer)
                self._accepted.add(listener)
                if self._chance(self.faults.mute):
                    self.counts["mute"] += 1  # acknowledged, and then silent
                    continue
                async with listener.turn:  # what comes follows what is replayed
                    self._listeners.add(listener)
                    for frame in self.dialect.replay(self.truth[-self.snapshot :] if self.snapshot else ()):
                        await connection.send(frame)
        except ConnectionClosed:
            self.counts["closed"] += 1
        finally:
            self._listeners.discard(listener)
            self._accepted.discard(listener)

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            writer.write(self._answered(first.split(" ")[1], body))
            await writer.drain()
        writer.close()

    def _answered(self, target: str, body: bytes) -> bytes:
        self.counts["requests"] += 1
        if self._chance(self.faults.busy):
            self.counts["busy"] += 1
            after = "" if self.faults.retry_after is None else f"Retry-After: {self.faults.retry_after}\r\n"
            return _response(HTTPStatus.TOO_MANY_REQUESTS, b"{}", after)
        if self._chance(self.faults.broken):
            self.counts["broken"] += 1
            return _response(HTTPStatus.BAD_GATEWAY, b"<html>")
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if body:
            asked |= orjson.loads(body)
        shown = [trade for trade in self.truth if trade.number not in self.hidden]
        return _response(HTTPStatus.OK, self.dialect.rest(parts.path, asked, shown))

    def _chance(self, of: float) -> bool:
        return of > 0 and self.draw.random() < of


class _Listener:
    """One connection that is subscribed, with what goes wrong on it."""

    def __init__(self, venue: Venue, connection: ServerConnection) -> None:
        self._venue = venue
        self._connection = connection
        self._held: str | bytes | None = None
        self._deaf = False
        self.turn = asyncio.Lock()

    async def hear(self, trade: Told) -> None:
        async with self.turn:
            await self._hear(trade)

    async def _hear(self, trade: Told) -> None:
        venue, faults, chance = self._venue, self._venue.faults, self._venue._chance
        frame: str | bytes = venue.dialect.frame(trade, False)
        if chance(faults.deaf):
            self._deaf = True
            venue.counts["deaf"] += 1
        if self._deaf or chance(faults.drop):
            venue.counts["dropped"] += 1
            return
        if chance(faults.cut):
            frame = frame[: venue.draw.randrange(len(frame))]
            venue.counts["cut"] += 1
        if chance(faults.nonsense):
            await self.send(venue.draw.choice(["", "pong", "<html>", "[", '{"e":', "{}", "[]", "null", "\x00"]))
        if chance(faults.swap) and self._held is None:
            self._held = frame
            return
        await self.send(frame)
        if self._held is not None:
            held, self._held = self._held, None
            await self.send(held)
        if chance(faults.duplicate):
            await self.send(frame)
        if chance(faults.abort):
            venue.counts["aborted"] += 1
            self.abort()
        elif chance(faults.close):
            venue.counts["ended"] += 1
            with contextlib.suppress(ConnectionClosed):
                await self._connection.close(venue.draw.choice([1000, 1001, 1011, 1012]))

    async def send(self, frame: str | bytes) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send(frame, text=True)

    def abort(self) -> None:
        self._connection.transport.abort()

    def freeze(self) -> None:
        self._connection.transport.pause_reading()

    async def age(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._venue.counts["aged"] += 1
        with contextlib.suppress(ConnectionClosed):
            await self._connection.close(1001)


def _response(status: HTTPStatus, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


class Running:
    """A venue in a thread, for tests that are not on its event loop."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._ready = threading.Event()
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def do(self, work: Callable[[], Any]) -> Any:
        """Run a coroutine function on the venue's loop, to its end."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(30)

    def start(self, work: Callable[[], Any]) -> None:
        """Begin to run a coroutine function on the venue's loop."""
        asyncio.run_coroutine_threadsafe(work(), self._loop)

    def tell(self, *trades: Told) -> None:
        """Trades happen."""

        async def all_of() -> None:
            for trade in trades:
                await self.venue.tell(trade)

        self.do(all_of)

    def call(self, work: Callable[[], Any]) -> None:
        """Call a function on the venue's loop."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (work(), done.set()))
        assert done.wait(30)

    def stop(self) -> None:
        """End it."""
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._serve())

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        async with self.venue.serve():
            self._ready.set()
            await self._end.wait()


@contextmanager
def running(venue: Venue) -> Iterator[Running]:
    """A venue that runs in a thread until the end of the block."""
    made = Running(venue)
    try:
        yield made
    finally:
        made.stop()
