"""Bitstamp: spot and perpetuals, one channel a market.

    socket    {"event":"trade","channel":"live_trades_btcusd","data":{"id":..,"amount_str":..,"price_str":..,"type":0,
              "microtimestamp":"1781416599325000",..}}
    REST      /api/v2/transactions/btcusd/?time=hour: all trades of the last minute, hour or day, in whole seconds

The numbers of JSON stand beside as text, which is read: amounts were doubles. `timestamp` is in seconds on spot and in
milliseconds on perpetuals; `microtimestamp` is the same on both. type 0 was bought, 1 was sold, by the taker. A market
that there is not is acknowledged and stays silent: its REST interface says so.
"""

from collections.abc import Sequence
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
    TooMuchError,
    Trade,
    Turned,
    json_of,
    made,
    member,
    whole,
)

VENUE = "bitstamp"
CHANNEL = "live_trades_"

_SIDES = {0: "buy", 1: "sell"}
_LONGER = {"hour": "day"}
_BUSY = {"400.002", "400.067", "400.068"}


def subscribe(symbols: Sequence[str]) -> Subscription:
    """A message a market."""
    return Subscription("", [_asked(symbol) for symbol in symbols])


def _asked(symbol: str) -> str:
    return orjson.dumps({"event": "bts:subscribe", "data": {"channel": CHANNEL + symbol}}).decode()


def parse(frame: bytes) -> Sequence[Said]:
    """See `Feed.parse`."""
    facts = json_of(frame)
    event, channel = member(facts, "event", str), member(facts, "channel", str)
    if event == "bts:subscription_succeeded":
        return (Subscribed(),)
    if event == "bts:request_reconnect":
        return (Turned(),)
    if event == "bts:error":
        return (Denied(str(member(member(facts, "data", dict), "message", str))),)
    if event != "trade" or not channel.startswith(CHANNEL):
        return ()
    return (_trade(channel.removeprefix(CHANNEL), member(facts, "data", dict)),)


def _trade(symbol: str, one: Any) -> Trade:
    time = whole(one, "microtimestamp"), "us"
    return _made(symbol, one, "id", time, member(one, "price_str", str), member(one, "amount_str", str))


def _made(symbol: str, one: Any, identity: str, time: tuple[int, str], price: str, quantity: str) -> Trade:
    side = whole(one, "type")
    return made(VENUE, symbol, str(whole(one, identity)), time, price, quantity, _SIDES.get(side, str(side)))


def _newest(symbol: str) -> Request:
    return _within(symbol, "hour")


def _within(symbol: str, span: str) -> Request:
    return Request(f"/api/v2/transactions/{symbol}/", {"time": span}, (symbol, span))


def _read(body: bytes, request: Request, hole: Hole | None) -> Page:
    del hole
    found = json_of(body)
    if not isinstance(found, list):
        if isinstance(found, dict) and found.get("code") in _BUSY:
            raise TooMuchError(f"The venue says {found['code']}.")
        raise FrameError("bad-answer", f"The answer is {body[:200]!r}.")
    symbol, span = request.state
    trades = [
        _made(
            symbol,
            one,
            "tid",
            (whole(one, "date") * 1_000_000, "s"),
            member(one, "price", str),
            member(one, "amount", str),
        )
        for one in found
    ]
    return Page(trades, _within(symbol, _LONGER[span]) if span in _LONGER else None)


FEEDS = (
    Feed(
        VENUE,
        "wss://ws.bitstamp.net",
        "https://www.bitstamp.net",
        ("btcusd", "ethusd"),
        subscribe,
        parse,
        Rest(_newest, _read, wider=True),
        source="recorded frames (tests/feed_fixtures/bitstamp.toml); https://www.bitstamp.net/websocket/v2/",
        seen="2026-12-01",
        most_symbols=500,
        connects=Budget(30, 60),
        requests=Budget(900, 60),
        session_s=90 * 24 * 3600.0,
    ),
)
