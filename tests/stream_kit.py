"""A client of the streams, on the real application in the test's own event loop, and what a client knows by its events.

async with Listener(world, "symbol=BTC&interval=1m,1h") as listener:
    world.trade(...); world.emit(); world.step()
    await settle(world)
    listener.picture["1m"]["BTC", start]
"""

import asyncio
import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

import httpx

from tests.serving_world import World

DEADLINE_S = 60.0


class Event(NamedTuple):
    """One event; `data` is read from JSON."""

    name: str
    ident: str
    data: Any


class Parser:
    """Bytes -> events, as the specification of server-sent events says, for the fields that are used."""

    def __init__(self) -> None:
        self.retry: str | None = None
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
        """The events that are whole now."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        events = []
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            self.retry = fields.get("retry", self.retry)
            if "data" in fields:
                events.append(Event(fields["event"], fields.get("id", ""), json.loads(fields["data"])))
        return events


class Picture:
    """What a client knows: interval -> (symbol, start) -> the bar with its revision."""

    def __init__(self) -> None:
        self.bars: dict[str, dict[tuple[str, Any], dict[str, Any]]] = {}
        self.low: dict[str, dict[str, Any]] = {}
        self.meta: dict[str, Any] = {}
        self.version: int | None = None
        self.tells_all = True

    def apply(self, event: Event, limit: int) -> None:
        """Take an event; a bar's revision may only grow, and grows when the bar is different."""
        if event.name == "version":
            self.version = event.data["version"]
        if event.name not in {"snapshot", "bars"}:
            return
        found = {(bar["symbol"], bar["start"]): bar for bar in event.data["bars"]}
        assert len(found) == len(event.data["bars"])
        assert list(found) == sorted(found, key=lambda place: (place[1], place[0]))
        name = event.data["interval"]
        self.meta = event.data["meta"]
        self.version = self.meta["version"]
        if event.name == "snapshot":
            self.bars[name] = found
            symbols = {symbol for symbol, _ in found}
            starts = {symbol: [start for of, start in found if of == symbol] for symbol in symbols}
            self.low[name] = {symbol: min(of) for symbol, of in starts.items() if len(of) >= limit}
            self.tells_all = limit > 0  # without a limit it tells what changes from now on, and nothing before it
            return
        known = self.bars[name]
        for place, bar in found.items():
            if place in known:
                same = plain(known[place]) == plain(bar)
                grown = bar["revision"] - known[place]["revision"]
                assert grown == 0 if same else grown > 0, (known[place], bar)
            known[place] = bar


def plain(bar: Mapping[str, Any]) -> dict[str, Any]:
    """A bar as `/v1/bars` gives it of one symbol."""
    return {name: value for name, value in bar.items() if name not in {"symbol", "revision", "correction"}}


class Listener:
    """One stream. Without `reads` it takes nothing. `picture` is what it knows from a stream before."""

    def __init__(
        self,
        world: World,
        query: str,
        headers: Mapping[str, str] | None = None,
        path: str = "bars",
        picture: Picture | None = None,
    ) -> None:
        self.world = world
        self.query = f"venue=x&{query}"
        self.events: list[Event] = []
        self.raw = b""
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.picture = picture or Picture()
        self.reads = asyncio.Event()
        self.reads.set()
        self.closed = False
        self._path = f"/v1/stream/{path}"
        self._sent = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        self._parser = Parser()
        self._leave = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def limit(self) -> int:
        """The limit of its snapshots."""
        return int(parse_qs(self.query).get("limit", ["100"])[0])

    @property
    def last_id(self) -> str:
        """The id that a browser would send when it comes again."""
        return next((event.ident for event in reversed(self.events) if event.ident), "")

    def names(self) -> list[str]:
        """The events' names."""
        return [event.name for event in self.events]

    def forget(self) -> None:
        """Forget the events so far, not the picture."""
        self.events.clear()

    async def __aenter__(self) -> Self:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": self.query.encode(),
            "headers": self._sent,
            "scheme": "http",
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        self._task = asyncio.create_task(self.world.app(scope, self._receive, self._send))
        await self.until(lambda: self.status is not None)
        await settle(self.world)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self.reads.set()
        assert self._task is not None
        await self._task

    async def until(self, condition: Any) -> None:
        """Wait for a condition."""
        ends = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < ends, "not within the deadline"
            assert self._task is not None
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.001)

    async def _receive(self) -> dict[str, Any]:
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.raw += message["body"]
        self.closed = not message.get("more_body", False)
        if self.status != 200:
            return
        for event in self._parser.feed(message["body"]):
            self.events.append(event)
            self.picture.apply(event, self.limit)


async def settle(world: World) -> None:
    """Until the streams have given everything that they have."""
    ends = time.monotonic() + DEADLINE_S
    hub = world.service.hub
    await asyncio.sleep(0)
    while not hub.idle:
        assert time.monotonic() < ends, "not within the deadline"
        await asyncio.sleep(0.001)


async def ask(world: World, url: str) -> httpx.Response:
    """A request in this event loop."""
    transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(url)


async def agrees(world: World, listener: Listener, symbols: list[str], intervals: list[str], iso: bool = False) -> None:
    """The picture is what `/v1/bars` answers, from the first bar of the snapshot on; older bars that came agree too."""
    for interval in intervals:
        known = listener.picture.bars[interval]
        for symbol in symbols:
            query = f"venue=x&symbol={symbol}&interval={interval}&limit=10000&times={'iso' if iso else 'us'}"
            response = await ask(world, f"/v1/bars?{query}")
            found = [] if response.status_code == 404 else response.json()["bars"]
            expected = {bar["start"]: bar for bar in found}
            low = listener.picture.low[interval].get(symbol)
            mine = {start: plain(bar) for (of, start), bar in known.items() if of == symbol}
            assert {start: expected.get(start) for start in mine} == mine
            if listener.picture.tells_all:
                assert {s for s in expected if low is None or s >= low} <= mine.keys()
