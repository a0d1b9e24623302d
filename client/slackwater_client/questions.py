"""Every question that can be asked, as a call: its parameters, and what its answer becomes. No I/O is done here.

`blocking.Client` and `asynchronous.AsyncClient` have a method for each; what they mean is documented there.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from slackwater_client.bars import Bars
from slackwater_client.catalog import Handoff, Instrument, Readiness, Versions
from slackwater_client.errors import ArgumentError, ProtocolError
from slackwater_client.exchange import document, exchange
from slackwater_client.follow import MEDIA_TYPE, Follow, follow
from slackwater_client.http import Call, Send
from slackwater_client.pages import ARROW, MOST_ROWS, listed, pages, takes_arrow
from slackwater_client.restatements import Restatements
from slackwater_client.retry import Retry
from slackwater_client.times import Time, time_text
from slackwater_client.trades import Trades

if TYPE_CHECKING:
    from slackwater_client.pages import Part

T = TypeVar("T")
U = TypeVar("U")
Headers = tuple[tuple[str, str], ...]
_AS_ARROW: Headers = (("Accept", ARROW),)
Names = str | Iterable[str]
"""One name, several with commas between, or several."""


def bars(
    retry: Retry,
    venue: str,
    symbol: Names,
    interval: str,
    start: Time | None,
    end: Time | None,
    limit: int | None,
    layer: str | None,
    as_of: int | None,
    fill: str | None,
) -> Call[Bars]:
    """See `Client.bars`."""
    symbols = names(symbol, "symbol")
    params = {
        **{"venue": venue, "symbol": symbols, "interval": interval},
        **_range(start, end),
        **{"limit": _page_limit(limit, start is not None), "layer": layer, "as_of": as_of, "fill": fill},
    }
    headers: Headers = ()
    if start is not None and takes_arrow(limit):
        headers = _AS_ARROW
        if limit is None and fill is None:  # a whole range in one answer; what is filled comes in pages alone
            params["limit"] = "all"
    parts, meta = yield from pages(Send("/v1/bars", _params(params), headers), "bars", retry, limit)
    if "," not in symbols:
        parts = [_with_symbol(part, symbols) for part in parts]
    return Bars(parts, meta)


def trades(retry: Retry, venue: str, symbol: str, start: Time, end: Time, limit: int | None) -> Call[Trades]:
    """See `Client.trades`."""
    params = {"venue": venue, "symbol": symbol, **_range(start, end), "limit": _page_limit(limit, True)}
    headers = _AS_ARROW if takes_arrow(limit) else ()
    parts, meta = yield from pages(Send("/v1/trades", _params(params), headers), "trades", retry, limit)
    return Trades(parts, meta)


def restatements(
    retry: Retry,
    since: Time | None,
    until: Time | None,
    venue: str | None,
    symbol: Names | None,
    interval: str | None,
    cause: str | None,
    limit: int | None,
) -> Call[Restatements]:
    """See `Client.restatements`."""
    params = {
        "view": "bars",
        "since": None if since is None else time_text(since, "since"),
        "until": None if until is None else time_text(until, "until"),
        "symbol": None if symbol is None else names(symbol, "symbol"),
        **{"venue": venue, "interval": interval, "cause": cause, "limit": _page_limit(limit, True)},
    }
    parts, meta = yield from pages(Send("/v1/restatements", _params(params)), "restatements", retry, limit)
    return Restatements(parts, meta)


def instruments(
    retry: Retry,
    venue: str | None,
    symbol: Names | None,
    prefix: str | None,
    q: str | None,
    active_since: Time | None,
) -> Call[tuple[Instrument, ...]]:
    """See `Client.instruments`."""
    wanted = {
        **{"venue": venue, "symbol": None if symbol is None else names(symbol, "symbol"), "prefix": prefix, "q": q},
        "active_since": None if active_since is None else time_text(active_since, "active_since"),
    }
    request = Send("/v1/instruments", _params({**wanted, "limit": MOST_ROWS}))
    items = yield from listed(request, "instruments", retry)
    return _read(items, lambda found: tuple(map(Instrument.of, found)), request.path)


def versions(retry: Retry) -> Call[Versions]:
    """See `Client.versions`."""
    return (yield from _asked("/v1/versions", retry, Versions.of))


def handoff(retry: Retry, version: int) -> Call[Handoff]:
    """See `Client.handoff`."""
    return (yield from _asked(f"/v1/versions/{_version(version)}/handoff", retry, Handoff.of))


def ready(retry: Retry) -> Call[Readiness]:
    """See `Client.ready`."""
    reply = yield from exchange(Send("/health/ready"), retry, frozenset({200, 503}))
    return _read(document(reply), Readiness.of, "/health/ready")


def rollback(retry: Retry, version: int, reason: str) -> Call[Mapping[str, Any]]:
    """See `Client.rollback`."""
    path, body = f"/v1/versions/{_version(version)}/rollback", json.dumps({"reason": reason}).encode()
    request = Send(path, headers=(("Content-Type", "application/json"),), method="POST", body=body)
    return document((yield from exchange(request, retry)))


def stream(retry: Retry, venue: str, symbols: Names, intervals: Names, limit: int | None, last_event_id: str) -> Follow:
    """See `Client.stream`."""
    symbol = names(symbols, "symbols")
    params = {"venue": venue, "symbol": symbol, "interval": names(intervals, "intervals"), "limit": limit}
    headers = (("Accept", MEDIA_TYPE), ("Cache-Control", "no-store"))
    return follow(Send("/v1/stream/bars", _params(params), headers), symbol, retry, last_event_id)


def _with_symbol(part: "Part", symbol: str) -> "Part":
    """JSON does not repeat the one symbol that was asked for; Arrow does."""
    return [{"symbol": symbol, **item} for item in part] if isinstance(part, Sequence) else part


def names(given: Names, name: str) -> str:
    """Names with commas between.

    Raises:
        ArgumentError: there is none.
    """
    found = given if isinstance(given, str) else ",".join(given)
    if not found:
        raise ArgumentError(f"{name} is empty.", "Give at least one.")
    return found


def _asked(path: str, retry: Retry, make: Callable[[Mapping[str, Any]], T]) -> Call[T]:
    return _read(document((yield from exchange(Send(path), retry))), make, path)


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
