"""Every call of the clients, once: its parameters, its text, and what its answer becomes. No I/O is done here.

`blocking.Client` and `asynchronous.AsyncClient` carry them out, each in its way, under the same names.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from slackwater_client.bars import BAR, Bar
from slackwater_client.catalog import Gap, Handoff, Instrument, Readiness, Versions
from slackwater_client.errors import ArgumentError, ProtocolError
from slackwater_client.exchange import document, exchange
from slackwater_client.follow import MEDIA_TYPE, Follow, follow
from slackwater_client.http import Call, Send
from slackwater_client.intake import NOTHING, Given, Ingested, bodies
from slackwater_client.pages import ARROW, MOST_ROWS, has_arrow, listed, pages, takes_arrow
from slackwater_client.restatements import RESTATEMENT, Restatement
from slackwater_client.retry import Retry
from slackwater_client.rows import Kinds, Row, Rows, row_of
from slackwater_client.times import Time, time_text
from slackwater_client.trades import TRADE, Trade

R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")
Names = str | Iterable[str]
"""One name, several with commas between, or several."""

MOST_GAPS = 1_000

Keys = Names | int
"""The values of a key column that are wanted."""


class Calls:
    """What can be asked. Every call may raise `ProblemError` (the service refused, and says why), `ProtocolError` (this
    is no service of Slackwater), `ArgumentError`, and `ConnectionFailedError`: it was not reached, or broke off, as
    often as `retry` allows.

    Times are given as datetimes with a zone, ISO 8601 text in UTC, or whole microseconds since the epoch.
    """

    def __init__(self, retry: Retry) -> None:
        self.retry = retry

    def view(
        self,
        view: str,
        /,
        *,
        interval: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        limit: int | None = None,
        at: Time | None = None,
        layer: str | None = None,
        as_of: Time | None = None,
        fill: str | None = None,
        quantiles: bool = False,
        **keys: Keys,
    ) -> Call[Rows[Row]]:
        """Rows of any view, all of one moment, however many pages they take.

        With `start`: those of [start, end) by their own start, all or the first `limit`. Without: the latest `limit`
        (500, if None; 10,000 at most) before `end`. With `at`: everything before that time, a row for each key.

        A row has an attribute for each column of the answer, typed as the answer types it: decimals exact, times in
        microseconds. That is said by Arrow, where pyarrow is there; else what is written as a decimal is one.

        Args:
            view: Its name, such as `bars`, `flow` or `sizes`.
            interval: A divisor of a day such as `1s`, `5m`, `4h`, or `1w`, `1M`, `1y`, `total`; by default `1m`, or
                the view's base where that makes up no minute.
            start: First time, inclusive.
            end: End time, exclusive.
            limit: At most so many rows in all.
            at: A time before which everything counts; without interval, start and end.
            layer: `merged` (the default), or `batch` or `speed` alone.
            as_of: Answer from one version's batch view alone: its number, the name of a pin, or a time, which means
                the version that was served then.
            fill: `previous` gives rows without events too, as the view says what they hold.
            quantiles: Instead of rows the quantiles that the view declares, both bounds of each.
            keys: Values of key columns by their names: `venue="binance_spot", symbol=["BTCUSDT", "ETHUSDT"]`,
                `side="buy"`; one, or several.
        """
        whole = start is not None and at is None and limit is None and fill is None and not quantiles
        params = {
            **_keys(keys),
            **({"interval": interval} if at is None else {"at": time_text(at, "at")}),
            **_range(start, end),
            **{"limit": _page_limit(limit, start is not None or at is not None), "layer": layer},
            **{
                "as_of": None if as_of is None else time_text(as_of, "as_of"),
                "fill": fill,
                "quantiles": "true" if quantiles else None,
            },
        }
        return (yield from self._rows(f"/v1/{_name(view)}", view, params, keys, limit, whole))

    def events(self, stream: str, /, start: Time, end: Time, limit: int | None = None, **keys: Keys) -> Call[Rows[Row]]:
        """The events of any stream in [start, end), all or the first `limit`, each with its place in the log.

        Args:
            stream: Its name, such as `trades`.
            start: First time, inclusive.
            end: End time, exclusive.
            limit: At most so many in all.
            keys: The entity, such as `venue="binance_spot", symbol="BTCUSDT"`.
        """
        params = {**_keys(keys), **_range(start, end), "limit": _page_limit(limit, True)}
        return (yield from self._rows(f"/v1/{_name(stream)}", stream, params, {}, limit, False))

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
        as_of: Time | None = None,
        fill: str | None = None,
    ) -> Call[Rows[Bar]]:
        """`view("bars", ...)` of one or several symbols of a venue, whose rows are `Bar`."""
        asked = {"venue": venue, "symbol": _names(symbol, "symbol")}
        params = {
            **asked,
            **{"interval": interval, **_range(start, end), "limit": _page_limit(limit, start is not None)},
            **{"layer": layer, "as_of": None if as_of is None else time_text(as_of, "as_of"), "fill": fill},
        }
        whole = start is not None and limit is None and fill is None
        given = {"symbol": asked["symbol"]}
        arrow = start is not None and takes_arrow(limit)
        return (yield from self._rows("/v1/bars", "bars", params, given, limit, whole, BAR, Bar.of, arrow))

    def trades(self, venue: str, symbol: str, start: Time, end: Time, limit: int | None = None) -> Call[Rows[Trade]]:
        """`events("trades", ...)` of one symbol, whose rows are `Trade`."""
        params = {"venue": venue, "symbol": symbol, **_range(start, end), "limit": _page_limit(limit, True)}
        arrow = takes_arrow(limit)
        return (yield from self._rows("/v1/trades", "trades", params, {}, limit, False, TRADE, Trade.of, arrow))

    def instruments(
        self,
        venue: str | None = None,
        symbol: Names | None = None,
        *,
        prefix: str | None = None,
        q: str | None = None,
        active_since: Time | None = None,
    ) -> Call[tuple[Instrument, ...]]:
        """Every wanted instrument of the stream `trades`, however many pages they take; all, if nothing is said.

        They come in order of venue, symbol and partition. One that lies in several partitions is named once for each;
        one that is new while the pages are read may be missing.

        Args:
            venue: Of this venue.
            symbol: One, or several.
            prefix: How the symbol begins.
            q: Words, each of which stands in the symbol or the venue, in large or small letters.
            active_since: With a trade in this second or later.
        """
        wanted = {
            **{"stream": "trades", "venue": venue, "symbol": None if symbol is None else _names(symbol, "symbol")},
            **{"prefix": prefix, "q": q, "limit": MOST_ROWS},
            "active_since": None if active_since is None else time_text(active_since, "active_since"),
        }
        items = yield from listed(Send("/v1/instruments", _params(wanted)), "instruments", self.retry)
        return _read(items, lambda found: tuple(map(Instrument.of, found)), "/v1/instruments")

    def gaps(
        self, venue: str | None = None, symbol: Names | None = None, limit: int = MOST_GAPS
    ) -> Call[tuple[Gap, ...]]:
        """What is missing of the stream `trades` where a venue's ids are dense, the newest of each instrument first.

        Args:
            venue: Of this venue; without it, of all.
            symbol: One, or several.
            limit: At most so many, up to 1,000.
        """
        wanted = {"venue": venue, "symbol": None if symbol is None else _names(symbol, "symbol"), "limit": limit}

        def read(found: Any) -> tuple[Gap, ...]:
            return tuple(Gap.of(item) for item in found["gaps"] if item["stream"] == "trades")

        return (yield from self._asked("/v1/gaps", read, _params(wanted)))

    def versions(self) -> Call[Versions]:
        """The published versions of the batch views, newest first, and which one is served."""
        return (yield from self._asked("/v1/versions", Versions.of))

    def handoff(self, version: int) -> Call[Handoff]:
        """The whole proof that a version is its parent and the deltas between their cuts."""
        return (yield from self._asked(f"/v1/versions/{_version(version)}/handoff", Handoff.of))

    def restatements(
        self,
        since: Time | None = None,
        until: Time | None = None,
        venue: str | None = None,
        symbol: Names | None = None,
        interval: str | None = None,
        cause: str | None = None,
        limit: int | None = None,
        *,
        view: str = "bars",
    ) -> Call[Rows[Restatement]]:
        """Closed rows that changed, oldest first, with what they were before and after, all or the first `limit`.

        Args:
            since: A version's number (those behind it), or a time (those made at or after it).
            until: Up to and with this version, or before this time.
            venue: Of this venue alone.
            symbol: Of these symbols alone.
            interval: Of this published interval alone.
            cause: `late_trade`, `new_definition` or `repair` alone.
            limit: At most so many in all.
            view: Of which view.
        """
        params = {
            "view": view,
            "since": None if since is None else time_text(since, "since"),
            "until": None if until is None else time_text(until, "until"),
            "symbol": None if symbol is None else _names(symbol, "symbol"),
            **{"venue": venue, "interval": interval, "cause": cause, "limit": _page_limit(limit, True)},
        }
        found = self._rows("/v1/restatements", "restatements", params, {}, limit, False, RESTATEMENT, Restatement.of)
        return (yield from found)

    def ready(self) -> Call[Readiness]:
        """Whether the service keeps its full promise now; true or false where a condition is asked for."""
        reply = yield from exchange(Send("/health/ready"), self.retry, frozenset({200, 503}))
        return _read(document(reply), Readiness.of, "/health/ready")

    def rollback(self, version: int, reason: str) -> Call[Mapping[str, Any]]:
        """Serve an older version that is retained. Needs a key of the scope admin; never sent twice."""
        path, body = f"/v1/versions/{_version(version)}/rollback", json.dumps({"reason": reason}).encode()
        request = Send(path, headers=(("Content-Type", "application/json"),), method="POST", body=body)
        return document((yield from exchange(request, self.retry)))

    def ingest(self, stream: str, events: Iterable[Given], *, source: str = "") -> Call[Ingested]:
        """Hand events to the ingest service, which is what the client's `url` names then: `http://127.0.0.1:8001`, say.

        Returns when all that was accepted is in the event log, and all that was refused in the dead letters. They go in
        requests of some thousands, which are sent again as often as `retry` allows: what went in before is a duplicate
        then, so calling it again after an error loses and doubles nothing. Needs a key of the scope write.

        Args:
            stream: Its name, such as `trades`.
            events: Each as a mapping of its fields or as a line of JSON. Prices and quantities are text or Decimal.
            source: What the dead letters call it; by default `http`.
        """
        found, path = NOTHING, f"/v1/ingest/{_name(stream)}"
        headers = (("Content-Type", "application/x-ndjson"), *((("Slackwater-Source", source),) if source else ()))
        for body in bodies(events):
            request = Send(path, headers=headers, method="POST", body=body, repeatable=True)
            found = _read(document((yield from exchange(request, self.retry))), found.plus, path)
        return found

    def stream(
        self,
        view: str,
        /,
        *,
        interval: Names | None = None,
        limit: int | None = None,
        last_event_id: str = "",
        silence: float = 25.0,
        **keys: Keys,
    ) -> Follow:
        """Rows of any view as they change: for each interval a `Snapshot`, then `Changes`; `slackwater_client.events`.

        It does not end by itself: leave the loop, or close it. A lost stream is said (`Disconnected`) and opened again
        where it was left; it fails for good after `retry.attempts` tries in a row without an event.

        Args:
            view: Its name, such as `bars`, whose rows are `Bar`; those of other views are as `view` gives them.
            interval: One, or several; by default as in `view`.
            limit: Rows of each key and interval in a snapshot: 100 if None, 1,000 at most.
            last_event_id: Go on behind this event: the `id` of one that came before.
            silence: Seconds without a byte, after which the stream counts as lost; the service sends one every 10.
            keys: Values of key columns by their names, as in `view`.
        """
        asked = _keys(keys)
        params = {**asked, "interval": None if interval is None else _names(interval, "interval"), "limit": limit}
        headers = (("Accept", MEDIA_TYPE), ("Cache-Control", "no-store"))
        request = Send(f"/v1/stream/{_name(view)}", _params(params), headers, silence_s=silence)
        made: Callable[[Mapping[str, Any]], Any] = Bar.of if view == "bars" else row_of
        return follow(request, view, partial(_with, _single(asked), made), self.retry, last_event_id)

    def _rows(
        self,
        path: str,
        name: str,
        params: Mapping[str, str | int | None],
        keys: Mapping[str, Keys],
        limit: int | None,
        whole: bool,
        kinds: Kinds | None = None,
        made: Callable[[Mapping[str, Any]], Any] = row_of,
        arrow: bool | None = None,
    ) -> Call[Rows[Any]]:
        """All pages of rows. `whole`: one answer of Arrow may hold a whole range; JSON does not repeat `keys`."""
        as_arrow = has_arrow() and kinds is None if arrow is None else arrow
        headers = (("Accept", ARROW),) if as_arrow else ()
        if as_arrow and whole:
            params = {**params, "limit": "all"}
        parts, meta = yield from pages(Send(path, _params(params), headers), name, self.retry, limit)
        given = _single(_keys(keys))
        parts = [[{**given, **item} for item in part] if isinstance(part, list) else part for part in parts]
        return Rows(parts, meta, made, kinds)

    def _asked(self, path: str, make: Callable[[Mapping[str, Any]], T], params: Any = ()) -> Call[T]:
        return _read(document((yield from exchange(Send(path, params), self.retry))), make, path)


def _with(given: Mapping[str, str], made: Callable[[Mapping[str, Any]], R], item: Mapping[str, Any]) -> R:
    """A row of an item that does not repeat what was asked for."""
    return made({**given, **item})


def _name(given: str) -> str:
    if not given.isidentifier():
        raise ArgumentError(f"{given!r} is no name of a view or a stream.", "Such as bars, flow or trades.")
    return given


def _names(given: Names, name: str) -> str:
    """Names with commas between.

    Raises:
        ArgumentError: there is none.
    """
    found = given if isinstance(given, str) else ",".join(given)
    if not found:
        raise ArgumentError(f"{name} is empty.", "Give at least one.")
    return found


def _keys(keys: Mapping[str, Keys]) -> dict[str, str]:
    return {name: str(value) if isinstance(value, int) else _names(value, name) for name, value in keys.items()}


def _single(keys: Mapping[str, str]) -> dict[str, str]:
    """Those of which one value was asked for."""
    return {name: value for name, value in keys.items() if "," not in value}


def _read(found: U, make: Callable[[U], T], path: str) -> T:
    try:
        return make(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"The answer of {path} cannot be read: {error!r}.") from error


def _page_limit(limit: int | None, pages_follow: bool) -> int | None:
    """The parameter `limit`, which is of a page: what is asked for in all, or as much as a page can hold."""
    if limit is not None and limit < 1:
        raise ArgumentError(f"limit is {limit}.", "Give 1 or more, or None.")
    return min(limit or MOST_ROWS, MOST_ROWS) if pages_follow else limit


def _range(start: Time | None, end: Time | None) -> dict[str, str | None]:
    return {
        "start": None if start is None else time_text(start, "start"),
        "end": None if end is None else time_text(end, "end"),
    }


def _params(values: Mapping[str, str | int | None]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in values.items() if value is not None)


def _version(version: int) -> int:
    if isinstance(version, bool) or not isinstance(version, int):
        raise ArgumentError(f"version is {version!r}.", "Give a version's number.")
    return version
