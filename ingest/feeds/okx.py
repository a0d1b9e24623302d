"""OKX: every match of spot, swaps, futures and options; numbers are text.

    socket    {"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":..,"tradeId":"130639474","px":..,
              "sz":..,"side":"buy","source":"0","ts":"1630048897897"}]}
    REST      /api/v5/market/history-trades?after=<id>: up to 100 below an id, newest first, of three months

The channel `trades-all` alone: `trades` has one message for several matches of an order. Quantities of swaps, futures
and options are contracts. Errors of REST come with HTTP 200 and a code.
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
    TooMuchError,
    Trade,
    Turned,
    json_of,
    made,
    member,
    whole,
)

VENUE = "okx"
CHANNEL = "trades-all"
PAGE = 100

PING, PONG = "ping", b"pong"
"""Texts, no JSON."""

_BUSY = {"50011", "50061"}
_FINAL = "51"
"""Codes that begin with it are about what was asked for, such as an instrument that there is not (51001)."""


def subscribe(symbols: Sequence[str]) -> Subscription:
    """One message for all."""
    args = [{"channel": CHANNEL, "instId": symbol} for symbol in symbols]
    return Subscription("/ws/v5/business", (orjson.dumps({"op": "subscribe", "args": args}).decode(),))


def parse(frame: bytes) -> Sequence[Said]:
    """See `Feed.parse`."""
    if frame == PONG:
        return ()
    facts = json_of(frame)
    if not isinstance(facts, dict):
        raise FrameError("not-an-object", "It is no object.")
    if "event" in facts:
        return _event(facts)
    if member(member(facts, "arg", dict), "channel", str) != CHANNEL:
        return ()
    return [_trade(one) for one in member(facts, "data", list)]


def _event(facts: dict[str, Any]) -> Sequence[Said]:
    event = facts["event"]
    if event == "subscribe":
        return (Subscribed(),)
    if event == "error":
        return (Denied(f"{facts.get('code', '')}: {facts.get('msg', '')}".strip(": ")),)
    # It comes about a minute before an upgrade cuts the connection.
    return (Turned(),) if event == "notice" else ()


def _trade(one: Any) -> Trade:
    return made(
        VENUE,
        member(one, "instId", str),
        member(one, "tradeId", str),
        (whole(one, "ts") * 1000, "ms"),
        member(one, "px", str),
        member(one, "sz", str),
        member(one, "side", str),
    )


def _below(symbol: str, number: str = "") -> Request:
    params = {"instId": symbol, "type": "1", "limit": str(PAGE)}
    return Request("/api/v5/market/history-trades", params | ({"after": number} if number else {}), symbol)


def _read(body: bytes, request: Request, hole: Hole | None) -> Page:
    del hole
    facts = json_of(body)
    code = member(facts, "code", str)
    if code != "0":
        said = f"The venue says {code}: {str(facts.get('msg', ''))[:200]}."
        if code in _BUSY:
            raise TooMuchError(said)
        raise FinalError(said) if code.startswith(_FINAL) else FrameError("bad-answer", said)
    trades = [_trade(one) for one in member(facts, "data", list)]
    lowest = min((trade.number for trade in trades if trade.number is not None), default=None)
    return Page(trades, _below(request.state, str(lowest)) if lowest is not None else None)


FEEDS = (
    Feed(
        VENUE,
        "wss://ws.okx.com:8443",
        "https://www.okx.com",
        ("BTC-USDT", "BTC-USDT-SWAP"),
        subscribe,
        parse,
        Rest(_below, _read),
        source="https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-all-trades-channel",
        seen="2026-12-01",
        most_symbols=200,
        connects=Budget(3, 1),
        requests=Budget(20, 2),
        ping=PING,
    ),
)
