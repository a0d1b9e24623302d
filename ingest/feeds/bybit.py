"""Bybit v5: spot, linear and inverse contracts are three venues, each with a socket of its own; numbers are text.

    socket    {"topic":"publicTrade.BTCUSDT","type":"snapshot","data":[{"i":<id>,"T":<ms>,"p":..,"v":..,"S":"Buy",
              "s":"BTCUSDT"}]}; every message is called a snapshot, and none is one
    REST      /v5/market/recent-trade: the newest 1,000 of contracts, the newest 60 of spot, and nothing older

Ids of spot are numbers, those of contracts are UUIDs. Quantities of inverse contracts are dollars. The side is the
taker's. A topic that the venue does not know fails the whole message that asks for it. Errors of REST come with HTTP
200 and a code.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from ingest.feeds.feed import (
    Budget,
    Denied,
    Feed,
    FinalError,
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
    json_of,
    made,
    member,
    whole,
)

TOPIC = "publicTrade."
TOPICS = 10
"""Those of one message: spot takes no more."""

PAGE = 1_000

PING = '{"op":"ping"}'

_SIDES = {"Buy": "buy", "Sell": "sell"}
_BUSY = {10006, 10018}
_FINAL = {10001}
"""What was asked for is none, such as a symbol that there is not."""


def subscribe(symbols: Sequence[str]) -> Subscription:
    """Ten topics a message."""
    topics = [f"{TOPIC}{symbol}" for symbol in symbols]
    some = [topics[at : at + TOPICS] for at in range(0, len(topics), TOPICS)]
    return Subscription("", [orjson.dumps({"op": "subscribe", "args": each}).decode() for each in some])


def parse(venue: str, frame: bytes) -> Sequence[Said]:
    """See `Feed.parse`."""
    facts = json_of(frame)
    if not isinstance(facts, dict):
        raise FrameError("not-an-object", "It is no object.")
    if "topic" not in facts:
        if member(facts, "op", str) != "subscribe":
            return ()  # the answer to a ping
        return (Subscribed(),) if facts.get("success") is True else (Denied(str(facts.get("ret_msg", facts))),)
    if not member(facts, "topic", str).startswith(TOPIC):
        return ()
    return [_trade(venue, one) for one in member(facts, "data", list)]


def _trade(venue: str, one: Any) -> Trade:
    return _made(venue, one, ("s", "i", "T", "p", "v", "S"))


def _made(venue: str, one: Any, names: tuple[str, str, str, str, str, str]) -> Trade:
    symbol, identity, time, price, quantity, side = names
    said = member(one, side, str)
    return made(
        venue,
        member(one, symbol, str),
        member(one, identity, str),
        (whole(one, time) * 1000, "ms"),
        member(one, price, str),
        member(one, quantity, str),
        _SIDES.get(said, said),
    )


def _newest(category: str, symbol: str) -> Request:
    params = {"category": category, "symbol": symbol, "limit": str(PAGE)}
    return Request("/v5/market/recent-trade", params, symbol)


def _read(venue: str, body: bytes, request: Request, hole: Hole | None) -> Page:
    del request, hole
    facts = json_of(body)
    code = member(facts, "retCode", int)
    if code:
        said = f"The venue says {code}: {str(facts.get('retMsg', ''))[:200]}."
        if code in _BUSY:
            raise TooMuchError(said)
        raise FinalError(said) if code in _FINAL else FrameError("bad-answer", said)
    found = member(member(facts, "result", dict), "list", list)
    return Page([_made(venue, one, ("symbol", "execId", "time", "price", "size", "side")) for one in found])


def _feed(category: str, symbols: tuple[str, ...]) -> Feed:
    venue = f"bybit_{category}"
    return Feed(
        venue,
        "wss://stream.bybit.com",
        "https://api.bybit.com",
        symbols,
        lambda asked: subscribe(asked)._replace(path=f"/v5/public/{category}"),
        partial(parse, venue),
        Rest(partial(_newest, category), partial(_read, venue)),
        source="recorded frames (tests/feed_fixtures/bybit.toml); https://bybit-exchange.github.io/docs/v5/",
        seen="2026-12-01",
        most_symbols=200,
        connects=Budget(400, 300),
        requests=Budget(100, 5),
        ping=PING,
    )


FEEDS = (
    _feed("spot", ("BTCUSDT", "BTCUSDC")),
    _feed("linear", ("BTCUSDT", "ETHUSDT")),
    _feed("inverse", ("BTCUSD", "ETHUSD")),
)
