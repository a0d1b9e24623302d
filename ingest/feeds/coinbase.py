"""Coinbase Exchange: matches, and heartbeats that name the newest id.

    socket    {"type":"match","trade_id":..,"side":<of the maker>,"size":..,"price":..,"product_id":..,"time":<ISO>};
              the first message of a product is its last match, the same with the type last_match
    REST      /products/ID/trades?after=<id>: up to 1,000 below an id, downwards

The side is the maker's: a match of the side "sell" was bought by its taker.
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
    Newest,
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
)
from ingest.feeds.iso_time import time_of

VENUE = "coinbase"
PAGE = 1_000
_TAKER = {"buy": "sell", "sell": "buy"}


def subscribe(symbols: Sequence[str]) -> Subscription:
    """One message, both channels."""
    asked = {"type": "subscribe", "product_ids": [*symbols], "channels": ["matches", "heartbeat"]}
    return Subscription("", (orjson.dumps(asked).decode(),))


def parse(frame: bytes) -> Sequence[Said]:
    """See `Feed.parse`."""
    facts = json_of(frame)
    kind = member(facts, "type", str)
    if kind in {"match", "last_match"}:
        return (_trade(facts, member(facts, "product_id", str)),)
    if kind == "heartbeat":
        # It was 0 for months at a time, which says nothing.
        number = member(facts, "last_trade_id", int)
        return (Newest(member(facts, "product_id", str), number),) if number else ()
    if kind == "subscriptions":
        return (Subscribed(),)
    if kind == "error":
        return (Denied(f"{facts.get('message', '')}: {facts.get('reason', '')}".strip(": ")),)
    return ()


def _trade(facts: Any, symbol: str) -> Trade:
    side = member(facts, "side", str)
    return made(
        VENUE,
        symbol,
        str(member(facts, "trade_id", int)),
        time_of(member(facts, "time", str)),
        member(facts, "price", str),
        member(facts, "size", str),
        _TAKER.get(side, side),
    )


def _newest(symbol: str) -> Request:
    return Request(f"/products/{symbol}/trades", {"limit": str(PAGE)}, symbol)


def _below(symbol: str, number: int, hole: Hole) -> Request:
    count = min(PAGE, number - hole.first)
    return Request(f"/products/{symbol}/trades", {"after": str(number), "limit": str(count)}, symbol)


def _fill(hole: Hole) -> Request:
    return _below(hole.symbol, hole.last + 1, hole)


def _read(body: bytes, request: Request, hole: Hole | None) -> Page:
    found = json_of(body)
    if not isinstance(found, list):
        raise FrameError("bad-answer", f"The answer is {body[:200]!r}.")
    trades = [_trade(one, request.state) for one in found]
    lowest = min((trade.number or 0 for trade in trades), default=0)
    if hole is None or not trades or lowest <= hole.first:
        return Page(trades)
    return Page(trades, _below(hole.symbol, lowest, hole))


FEEDS = (
    Feed(
        VENUE,
        "wss://ws-feed.exchange.coinbase.com",
        "https://api.exchange.coinbase.com",
        ("BTC-USD", "ETH-USD"),
        subscribe,
        parse,
        Rest(_newest, _read, _fill),
        source="https://docs.cdp.coinbase.com/exchange/websocket-feed/channels",
        seen="2026-12-01",
        connects=Budget(8, 1),
        requests=Budget(5, 1),
    ),
)
