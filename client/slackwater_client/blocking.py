"""`Client`: the calls of `questions.Calls`, carried out with httpx, one after the other. Its twin is `asynchronous`."""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Concatenate, Generic, ParamSpec, Self, TypeVar

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

    def __get__(self, client: "Client", kind: type["Client"] | None = None) -> Callable[P, T]:
        def method(*args: P.args, **named: P.kwargs) -> T:
            return client.carry_out(self._call(client.calls, *args, **named))

        return described(method, self._call, client is not None)


class _Follows(Generic[P]):
    """A method that gives the events of one of `Calls`."""

    def __init__(self, call: Callable[Concatenate[Calls, P], Follow]) -> None:
        self._call = call

    def __get__(self, client: "Client", kind: type["Client"] | None = None) -> Callable[P, Iterator[Event]]:
        def method(*args: P.args, **named: P.kwargs) -> Iterator[Event]:
            return client.follow(self._call(client.calls, *args, **named))

        return described(method, self._call, client is not None)


class Client:
    """A client of one service. Use it in a `with` block, or call `close`. Several threads may share it.

    What can be asked, and with what, is said by `slackwater_client.questions.Calls`.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
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
        self._http = httpx.Client(**wire.options(url, key, timeout), transport=transport)

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

    def carry_out(self, call: Call[T]) -> T:
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
                time.sleep(step.seconds)
            else:
                came = self._send(step)

    def follow(self, steps: Follow) -> Iterator[Event]:
        """The events that a stream gives."""
        response: httpx.Response | None = None
        pieces: Iterator[bytes] = iter(())
        came: Opened | Reply | Piece | Lost | None = None
        try:
            while True:
                step = steps.send(came)
                came = None
                if isinstance(step, Emit):
                    yield step.event
                elif isinstance(step, Pause):
                    time.sleep(step.seconds)
                elif isinstance(step, Read):
                    came = _next_piece(pieces)
                else:
                    if response is not None:
                        response.close()
                        response = None
                    if isinstance(step, Open):
                        came, response = self._open(step.request)
                        pieces = response.iter_bytes() if response is not None else iter(())
        finally:
            if response is not None:
                response.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, request: Send) -> Reply | Lost:
        try:
            built = self._http.build_request(**wire.arguments(request, self._http.timeout))
            return wire.reply(self._http.send(built))
        except wire.LOST as error:
            return wire.lost(error)

    def _open(self, request: Send) -> tuple[Opened | Reply | Lost, httpx.Response | None]:
        built = self._http.build_request(**wire.arguments(request, self._http.timeout))
        try:
            response = self._http.send(built, stream=True)
            if response.status_code == 200:
                return Opened(wire.headers(response)), response
            response.read()
            return wire.reply(response), None
        except wire.LOST as error:
            return wire.lost(error), None


def _next_piece(pieces: Iterator[bytes]) -> Piece | Lost:
    try:
        return Piece(next(pieces, b""))
    except wire.LOST as error:
        return wire.lost(error)
