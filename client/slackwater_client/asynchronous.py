"""`AsyncClient`: the calls of `questions.Calls`, carried out with httpx on an event loop. Its twin is `blocking`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import httpx

from slackwater_client import wire
from slackwater_client.described import described
from slackwater_client.events import Event
from slackwater_client.follow import Emit, Follow
from slackwater_client.http import Call, Lost, Open, Opened, Pause, Piece, Read, Reply, Send
from slackwater_client.questions import Calls
from slackwater_client.retry import Retry

P = ParamSpec("P")
T = TypeVar("T")


class _Asks(Generic[P, T]):
    """A method that carries out one of `Calls`."""

    def __init__(self, call: Callable[Concatenate[Calls, P], Call[T]]) -> None:
        self._call = call

    def __get__(self, client: "AsyncClient", kind: object = None) -> Callable[P, Coroutine[Any, Any, T]]:
        async def method(*args: P.args, **named: P.kwargs) -> T:
            return await client.carry_out(self._call(client.calls, *args, **named))

        return described(method, self._call, client is not None)


class _Follows(Generic[P]):
    """A method that gives the events of one of `Calls`."""

    def __init__(self, call: Callable[Concatenate[Calls, P], Follow]) -> None:
        self._call = call

    def __get__(self, client: "AsyncClient", kind: object = None) -> Callable[P, AsyncIterator[Event]]:
        def method(*args: P.args, **named: P.kwargs) -> AsyncIterator[Event]:
            return client.follow(self._call(client.calls, *args, **named))

        return described(method, self._call, client is not None)


class AsyncClient:
    """A client of one service. Use it in an `async with` block, or call `close`. Tasks of one event loop may share it.

    What can be asked, and with what, is said by `slackwater_client.questions.Calls`.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: Of the service, such as `http://127.0.0.1:8000`; a path before `/v1` may follow.
            key: What `slackwater key create` printed, where the service asks for one.
            timeout: Seconds without a byte, after which a request is given up and tried again.
            retry: How often and when it is tried again.
            transport: Of httpx, for proxies and certificates of one's own.
        """
        self.calls = Calls(retry or Retry())
        self._http = httpx.AsyncClient(**wire.options(url, key, timeout), transport=transport)

    view = _Asks(Calls.view)
    events = _Asks(Calls.events)
    bars = _Asks(Calls.bars)
    trades = _Asks(Calls.trades)
    instruments = _Asks(Calls.instruments)
    gaps = _Asks(Calls.gaps)
    versions = _Asks(Calls.versions)
    handoff = _Asks(Calls.handoff)
    restatements = _Asks(Calls.restatements)
    ready = _Asks(Calls.ready)
    rollback = _Asks(Calls.rollback)
    ingest = _Asks(Calls.ingest)
    stream = _Follows(Calls.stream)

    async def carry_out(self, call: Call[T]) -> T:
        """What a call returns, after all that it wants done."""
        came: Reply | Lost | None = None
        while True:
            try:
                step = call.send(came)
            except StopIteration as done:
                answer: T = done.value
                return answer
            came = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                came = await self._send(step)

    async def follow(self, steps: Follow) -> AsyncIterator[Event]:
        """The events that a stream gives."""
        response: httpx.Response | None = None
        pieces: AsyncIterator[bytes] | None = None
        came: Opened | Reply | Piece | Lost | None = None
        try:
            while True:
                step = steps.send(came)
                came = None
                if isinstance(step, Emit):
                    yield step.event
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Read):
                    came = await _next_piece(pieces)
                else:
                    if response is not None:
                        await response.aclose()
                        response = None
                    if isinstance(step, Open):
                        came, response = await self._open(step.request)
                        pieces = response.aiter_bytes() if response is not None else None
        finally:
            if response is not None:
                await response.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, request: Send) -> Reply | Lost:
        try:
            built = self._http.build_request(**wire.arguments(request, self._http.timeout))
            return wire.reply(await self._http.send(built))
        except wire.LOST as error:
            return wire.lost(error)

    async def _open(self, request: Send) -> tuple[Opened | Reply | Lost, httpx.Response | None]:
        built = self._http.build_request(**wire.arguments(request, self._http.timeout))
        try:
            response = await self._http.send(built, stream=True)
            if response.status_code == 200:
                return Opened(wire.headers(response)), response
            await response.aread()
            return wire.reply(response), None
        except wire.LOST as error:
            return wire.lost(error), None


async def _next_piece(pieces: AsyncIterator[bytes] | None) -> Piece | Lost:
    try:
        return Piece(b"" if pieces is None else await anext(pieces, b""))
    except wire.LOST as error:
        return wire.lost(error)
