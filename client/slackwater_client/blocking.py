"""`Client`: the calls of `questions`, carried out with httpx, one after the other."""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from slackwater_client import questions, wire
from slackwater_client.bars import Bars
from slackwater_client.catalog import Handoff, Instrument, Readiness, Versions
from slackwater_client.events import Event
from slackwater_client.follow import Emit
from slackwater_client.http import Call, Lost, Open, Opened, Pause, Piece, Read, Reply, Send
from slackwater_client.questions import Names
from slackwater_client.restatements import Restatements
from slackwater_client.retry import Retry
from slackwater_client.times import Time
from slackwater_client.trades import Trades

T = TypeVar("T")


class Client:
    """A client of one service. Use it in a `with` block, or call `close`. Several threads may share it.

    Every method may raise `ProblemError` (the service refused, and says why), `ConnectionFailedError` (it was not
    reached, or broke off, as often as `retry` allows), `ProtocolError` (this is no service of Slackwater) and
    `ArgumentError`. Times are given as datetimes with a zone, ISO 8601 text in UTC, or whole microseconds since the
    epoch.
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
        self._retry = retry or Retry()
        self._http = httpx.Client(**wire.options(url, key, timeout), transport=transport)

    def bars(
        self,
        venue: str,
        symbol: Names,
        interval: str = "1m",
        start: Time | None = None,
        end: Time | None = None,
        limit: int | None = None,
        *,
        layer: str | None = None,
        as_of: int | None = None,
        fill: str | None = None,
    ) -> Bars:
        """Bars of one or several symbols of a venue, all of one moment, however many pages they take.

        With `start`: those of [start, end) by their own start, all or the first `limit`. Without: the latest `limit`
        (500, if None; 10,000 at most) before `end`.

        Args:
            venue: Such as `binance_spot`; `instruments` lists them.
            symbol: One, or several.
            interval: A divisor of a day such as `1s`, `5m`, `4h`, or `1w`.
            start: First time, inclusive.
            end: End time, exclusive.
            limit: At most so many bars in all.
            layer: `merged` (the default), or `batch` or `speed` alone.
            as_of: Answer from this version's batch view alone.
            fill: `previous` gives bars without trades too, with the close before.
        """
        return self._carry_out(
            questions.bars(self._retry, venue, symbol, interval, start, end, limit, layer, as_of, fill)
        )

    def trades(self, venue: str, symbol: str, start: Time, end: Time, limit: int | None = None) -> Trades:
        """The trades of one symbol in [start, end), all or the first `limit`, each with its place in the log."""
        return self._carry_out(questions.trades(self._retry, venue, symbol, start, end, limit))

    def instruments(
        self,
        venue: str | None = None,
        symbol: Names | None = None,
        *,
        prefix: str | None = None,
        q: str | None = None,
        active_since: Time | None = None,
    ) -> tuple[Instrument, ...]:
        """Every wanted instrument with a trade, however many pages they take; all, if nothing is said.

        They come in order of venue, symbol and partition. One that lies in several partitions is named once for each;
        one that is new while the pages are read may be missing.

        Args:
            venue: Of this venue.
            symbol: One, or several.
            prefix: How the symbol begins.
            q: Words, each of which stands in the symbol or the venue, in large or small letters.
            active_since: With a trade in this second or later.
        """
        return self._carry_out(questions.instruments(self._retry, venue, symbol, prefix, q, active_since))

    def versions(self) -> Versions:
        """The published versions of the batch views, newest first, and which one is served."""
        return self._carry_out(questions.versions(self._retry))

    def handoff(self, version: int) -> Handoff:
        """The whole proof that a version is its parent and the deltas between their cuts."""
        return self._carry_out(questions.handoff(self._retry, version))

    def restatements(
        self,
        since: Time | None = None,
        until: Time | None = None,
        venue: str | None = None,
        symbol: Names | None = None,
        interval: str | None = None,
        cause: str | None = None,
        limit: int | None = None,
    ) -> Restatements:
        """Closed bars that changed, oldest first, with what they were before and after, all or the first `limit`.

        Args:
            since: A version's number (those behind it), or a time (those made at or after it).
            until: Up to and with this version, or before this time.
            venue: Of this venue alone.
            symbol: Of these symbols alone.
            interval: `1s`, `1m` or `1h` alone.
            cause: `late_trade`, `new_definition` or `repair` alone.
            limit: At most so many in all.
        """
        return self._carry_out(questions.restatements(self._retry, since, until, venue, symbol, interval, cause, limit))

    def ready(self) -> Readiness:
        """Whether the service keeps its full promise now; true or false where a condition is asked for."""
        return self._carry_out(questions.ready(self._retry))

    def rollback(self, version: int, reason: str) -> Mapping[str, Any]:
        """Serve an older version that is kept. Needs a key of the scope admin; never sent twice."""
        return self._carry_out(questions.rollback(self._retry, version, reason))

    def stream(
        self,
        venue: str,
        symbols: Names,
        intervals: Names = "1m",
        limit: int | None = None,
        *,
        last_event_id: str = "",
        silence: float = 25.0,
    ) -> Iterator[Event]:
        """Bars as they change, by events: for each interval a `Snapshot`, then `Changes`; `slackwater_client.events`.

        It does not end by itself: leave the loop, or call `close()` on it. A lost stream is said (`Disconnected`) and
        opened again where it was left; it fails for good after `retry.attempts` tries in a row without an event.

        Args:
            venue: The venue.
            symbols: One, or several.
            intervals: One, or several.
            limit: Bars of each symbol and interval in a snapshot: 100 if None, 1,000 at most.
            last_event_id: Go on behind this event: the `id` of one that came before.
            silence: Seconds without a byte, after which the stream counts as lost; the service sends one every 10.
        """
        steps = questions.stream(self._retry, venue, symbols, intervals, limit, last_event_id)
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
                        came, response = self._open(step.request, silence)
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

    def _carry_out(self, call: Call[T]) -> T:
        came: Reply | Lost | None = None
        while True:
            try:
                step = call.send(came)
            except StopIteration as done:
                answer: T = done.value
                return answer
            if isinstance(step, Pause):
                came = None
                time.sleep(step.seconds)
            else:
                came = self._send(step)

    def _send(self, request: Send) -> Reply | Lost:
        try:
            return wire.reply(self._http.send(self._http.build_request(**wire.arguments(request))))
        except wire.LOST as error:
            return wire.lost(error)

    def _open(self, request: Send, silence_s: float) -> tuple[Opened | Reply | Lost, httpx.Response | None]:
        built = self._http.build_request(**wire.arguments(request), timeout=wire.patient(self._http.timeout, silence_s))
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
