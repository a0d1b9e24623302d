"""Binance: spot, USD-M and COIN-M futures; raw and aggregate trades are six venues, since their ids are six spaces.

    socket    {"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":<id>,"p":..,"q":..,"T":<time>,
              "m":<buyer is the maker>}}; aggregates are "aggTrade" with "a" for the id
    REST      historicalTrades?fromId (raw), aggTrades?fromId: up to 1,000 from an id on, upwards

Spot's socket gives microseconds where it is asked to; futures give milliseconds. COIN-M quantities are contracts. A raw
trade of futures whose X is not MARKET (an insurance fund's, a deleveraging's, NA with a price of 0) uses an id and is
no market trade. historicalTrades of futures asks for an API key (SLACKWATER_FEED_KEY_FILES) and goes back some months.

The time of a trade is its own ("T"), not that of the message ("E").
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from ingest.feeds.feed import (
    Budget,
    Denied,
    Feed,
    FrameError,
    Hole,
    Page,
    Request,
    Rest,
    Said,
    Subscribed,
    Subscription,
    Trade,
    Turned,
    Void,
    json_of,
    made,
    member,
)

PAGE, RAW_PAGE = 1_000, 500
"""The most trades that an answer holds: aggregates, and raw trades (of futures; spot would give 1,000)."""

MARKET = "MARKET"

US_DIGITS = 16
"""A time of so many digits is in microseconds: in milliseconds it were in the year 33658."""

DAY_S = 24 * 3600.0


def subscribe(stream: str, query: str, symbols: Sequence[str]) -> Subscription:
    """By a message, not in the address: the venue answers a message, so that silence is told from acceptance."""
    names = [f"{symbol.lower()}@{stream}" for symbol in symbols]
    asked = orjson.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}).decode()
    return Subscription(f"/stream{query}", (asked,))


def parse(venue: str, stream: str, frame: bytes) -> Sequence[Said]:
    """See `Feed.parse`."""
    facts = json_of(frame)
    if not isinstance(facts, dict):
        raise FrameError("not-an-object", "It is no object.")
    if "error" in facts or ("code" in facts and "msg" in facts):
        return (Denied(str(facts.get("error", facts))),)
    if "result" in facts and "data" not in facts:
        return (Subscribed(),)
    event = facts.get("data", facts)
    if not isinstance(event, dict):
        raise FrameError("bad-data", "data is no object.")
    if event.get("e") == "serverShutdown":
        return (Turned(),)
    if event.get("e") != stream:
        return ()
    return (_event(venue, "a" if stream == "aggTrade" else "t", event),)


def _event(venue: str, identity: str, event: dict[str, Any]) -> Trade | Void:
    symbol, number = member(event, "s", str), member(event, identity, int)
    time = _time(member(event, "T", int))
    if event.get("X", MARKET) != MARKET:
        return Void(symbol, number, time[0], str(event["X"]))
    side = "sell" if member(event, "m", bool) else "buy"
    return made(venue, symbol, str(number), time, member(event, "p", str), member(event, "q", str), side)


def _time(value: int) -> tuple[int, str]:
    return (value, "us") if len(str(value)) >= US_DIGITS else (value * 1000, "ms")


def rest(venue: str, path: str, aggregate: bool) -> Rest:
    """The REST interface below `path`, such as /api/v3."""
    route = f"{path}/aggTrades" if aggregate else f"{path}/historicalTrades"
    recent = route if aggregate else f"{path}/trades"

    page = PAGE if aggregate else RAW_PAGE

    def newest(symbol: str) -> Request:
        return Request(recent, {"symbol": symbol, "limit": str(page)}, symbol)

    def fill(hole: Hole) -> Request:
        return _from(hole.symbol, hole.first, hole.last)

    def _from(symbol: str, first: int, last: int) -> Request:
        params = {"symbol": symbol, "fromId": str(first), "limit": str(min(page, last - first + 1))}
        return Request(route, params, symbol)

    def read(body: bytes, request: Request, hole: Hole | None) -> Page:
        found = json_of(body)
        if not isinstance(found, list):
            raise FrameError("bad-answer", f"The answer is {body[:200]!r}.")
        trades = [_of_rest(venue, request.state, aggregate, one) for one in found]
        if hole is None or not trades or (trades[-1].number or 0) >= hole.last:
            return Page(trades)
        return Page(trades, _from(hole.symbol, (trades[-1].number or 0) + 1, hole.last))

    return Rest(newest, read, fill)


def _of_rest(venue: str, symbol: str, aggregate: bool, trade: Any) -> Trade:
    identity, price, quantity, time, maker = (
        ("a", "p", "q", "T", "m") if aggregate else ("id", "price", "qty", "time", "isBuyerMaker")
    )
    return made(
        venue,
        symbol,
        str(member(trade, identity, int)),
        _time(member(trade, time, int)),
        member(trade, price, str),
        member(trade, quantity, str),
        "sell" if member(trade, maker, bool) else "buy",
    )


def _feed(venue: str, socket: str, url: str, path: str, symbols: tuple[str, ...], **more: Any) -> Feed:
    aggregate = venue.endswith("_agg")
    stream = "aggTrade" if aggregate else "trade"
    query = more.pop("query", "")
    socket += more.pop("routes", ("", ""))[aggregate]
    parsed: Callable[[bytes], Sequence[Said]] = partial(parse, venue, stream)
    asked: Callable[[Sequence[str]], Subscription] = partial(subscribe, stream, query)
    return Feed(
        venue,
        socket,
        url,
        symbols,
        asked,
        parsed,
        rest(venue, path, aggregate),
        seen="2026-12-01",
        most_symbols=200,
        connects=Budget(300, 300),
        session_s=DAY_S,
        key_header="X-MBX-APIKEY",
        **more,
    )


_SPOT = {
    "socket": "wss://stream.binance.com:9443",
    "url": "https://api.binance.com",
    "path": "/api/v3",
    "symbols": ("BTCUSDT", "ETHUSDT"),
    "query": "?timeUnit=MICROSECOND",
    "requests": Budget(200, 60),  # 6,000 of weight a minute, 25 each
    "source": "https://github.com/binance/binance-spot-api-docs (web-socket-streams.md, rest-api.md)",
}
_USDM = {
    "socket": "wss://fstream.binance.com",
    "url": "https://fapi.binance.com",
    "path": "/fapi/v1",
    # On the other route a stream is acknowledged, and nothing comes.
    "routes": ("/public", "/market"),
    "symbols": ("BTCUSDT", "ETHUSDT"),
    "requests": Budget(100, 60),  # 2,400 of weight a minute, 20 each
    "source": "frames recorded by nkaz001/hftbacktest; https://developers.binance.com/docs/derivatives",
}
_COINM = {
    "socket": "wss://dstream.binance.com",
    "url": "https://dapi.binance.com",
    "path": "/dapi/v1",
    "symbols": ("BTCUSD_PERP", "ETHUSD_PERP"),
    "requests": Budget(100, 60),
    "source": "frames recorded by nkaz001/hftbacktest; https://developers.binance.com/docs/derivatives",
}

FEEDS = tuple(
    _feed(f"{venue}{kind}", **facts)  # type: ignore[arg-type]
    for venue, facts in (("binance_spot", _SPOT), ("binance_usdm", _USDM), ("binance_coinm", _COINM))
    for kind in ("", "_agg")
)
