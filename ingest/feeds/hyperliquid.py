"""Hyperliquid: perpetuals, those of builders and spot on one socket; numbers are text.

    socket    {"channel":"trades","data":[{"coin":"BTC","side":"B","px":..,"sz":..,"time":<ms>,"tid":..,"hash":..}]};
              the first such frame after a subscription is history, and nothing in it says so
    REST      POST /info {"type":"recentTrades","coin":"BTC"}: the newest ten, and nothing older

B was bought, A was sold, by the taker. `tid` is the trade's and has no order; `hash` is the order's, so it is not read.
A coin that there is not closes the socket, and every other subscription with it. Frames name the addresses of buyer and
seller: they are in raw frames that are recorded, and in no event.
"""

from collections.abc import Sequence
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
    Trade,
    json_of,
    made,
    member,
    whole,
)

VENUE = "hyperliquid"
PING = '{"method":"ping"}'

_SIDES = {"B": "buy", "A": "sell"}


def subscribe(symbols: Sequence[str]) -> Subscription:
    """A message a coin."""
    asked = [{"method": "subscribe", "subscription": {"type": "trades", "coin": symbol}} for symbol in symbols]
    return Subscription("/ws", [orjson.dumps(each).decode() for each in asked])


def parse(frame: bytes) -> Sequence[Said]:
    """See `Feed.parse`."""
    facts = json_of(frame)
    channel = member(facts, "channel", str)
    if channel == "subscriptionResponse":
        return (Subscribed(),)
    if channel == "error":
        return (Denied(str(facts.get("data", ""))),)
    return [_trade(one) for one in member(facts, "data", list)] if channel == "trades" else ()


def _trade(one: Any) -> Trade:
    side = member(one, "side", str)
    return made(
        VENUE,
        member(one, "coin", str),
        str(member(one, "tid", int)),
        (whole(one, "time") * 1000, "ms"),
        member(one, "px", str),
        member(one, "sz", str),
        _SIDES.get(side, side),
    )


def _newest(symbol: str) -> Request:
    return Request("/info", {}, symbol, orjson.dumps({"type": "recentTrades", "coin": symbol}))


def _read(body: bytes, request: Request, hole: Hole | None) -> Page:
    del hole
    found = json_of(body)
    if found is None:
        raise FinalError(f"There is no coin {request.state}.")
    if not isinstance(found, list):
        raise FrameError("bad-answer", f"The answer is {body[:200]!r}.")
    return Page([_trade(one) for one in found])


FEEDS = (
    Feed(
        VENUE,
        "wss://api.hyperliquid.xyz",
        "https://api.hyperliquid.xyz",
        ("BTC", "ETH"),
        subscribe,
        parse,
        Rest(_newest, _read),
        source="recorded frames (tests/feed_fixtures/hyperliquid.toml); https://hyperliquid.gitbook.io/hyperliquid-docs",
        seen="2026-12-01",
        replays=True,
        most_symbols=200,
        connects=Budget(20, 60),
        requests=Budget(50, 60),  # 1,200 of weight a minute, 20 each
        ping=PING,
    ),
)
