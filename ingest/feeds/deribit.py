"""Deribit: perpetuals, futures, options and spot, JSON-RPC on one socket, with JSON numbers.

    socket    {"method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.100ms","data":[{"trade_seq":..,
              "trade_id":"403691824","timestamp":<ms>,"price":92294.5,"amount":10.0,"direction":"sell",..}]}}
    REST      public/get_last_trades_by_instrument?start_seq=..&end_seq=..: up to 1,000, of the last day; older ones are
              at history.deribit.com

The id is text; the order is trade_seq, which counts the trades of an instrument without holes. Amounts are dollars on
inverse contracts. Numbers are read as text: a double would round them. The venue asks for a sign of life
(`test_request`) and ends a connection that gives none.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from ingest.feeds.feed import (
    Budget,
    Denied,
    Feed,
    FrameError,
    Hole,
    Page,
    Reply,
    Request,
    Rest,
    Said,
    Subscribed,
    Subscription,
    TooMuchError,
    Trade,
    exact_json_of,
    made,
    member,
    whole,
)

VENUE = "deribit"
PATH = "/public/get_last_trades_by_instrument"
PAGE = 1_000
HEARTBEAT_S = 30

ALIVE = '{"jsonrpc":"2.0","id":3,"method":"public/test","params":{}}'

_BUSY = {10028, 10047}


class _Asked(NamedTuple):
    """What a request is about: an instrument, and, of a hole, sequences first..last, both in it."""

    symbol: str
    first: int = 0
    last: int = 0


def subscribe(symbols: Sequence[str]) -> Subscription:
    """All channels in one message, and the venue's own heartbeats."""
    channels = [f"trades.{symbol}.100ms" for symbol in symbols]
    asked = (("public/subscribe", {"channels": channels}), ("public/set_heartbeat", {"interval": HEARTBEAT_S}))
    messages = [
        orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).decode()
        for number, (method, params) in enumerate(asked, 1)
    ]
    return Subscription("/ws/api/v2", messages)


def parse(frame: bytes) -> Sequence[Said]:
    """See `Feed.parse`."""
    facts = exact_json_of(frame)
    if not isinstance(facts, dict):
        raise FrameError("not-an-object", "It is no object.")
    if "error" in facts:
        return (Denied(str(facts["error"])),)
    if "result" in facts:
        return _taken(facts["result"])
    method, params = member(facts, "method", str), member(facts, "params", dict)
    if method == "heartbeat":
        return (Reply(ALIVE),) if params.get("type") == "test_request" else ()
    if method != "subscription" or not member(params, "channel", str).startswith("trades."):
        return ()
    return [_trade(one) for one in member(params, "data", list)]


def _taken(result: Any) -> Sequence[Said]:
    """The channels that there are: others are left out without a word."""
    if not isinstance(result, list):
        return ()  # of a heartbeat or a test
    symbols = [str(channel).removeprefix("trades.").removesuffix(".100ms") for channel in result]
    return (Subscribed(symbols),) if symbols else (Denied("It takes none of the channels: they are unknown."),)


def _trade(one: Any) -> Trade:
    return made(
        VENUE,
        member(one, "instrument_name", str),
        member(one, "trade_id", str),
        (whole(one, "timestamp") * 1000, "ms"),
        str(member(one, "price", (str, int))),
        str(member(one, "amount", (str, int))),
        member(one, "direction", str),
        whole(one, "trade_seq"),
    )


def _newest(symbol: str) -> Request:
    return Request(PATH, {"instrument_name": symbol, "count": str(PAGE), "sorting": "desc"}, _Asked(symbol))


def _fill(hole: Hole) -> Request:
    return _between(hole.symbol, hole.first, hole.last)


def _between(symbol: str, first: int, last: int, old: bool = False) -> Request:
    last = min(last, first + PAGE - 1)
    params = {
        "instrument_name": symbol,
        "start_seq": str(first),
        "end_seq": str(last),
        "count": str(PAGE),
        "sorting": "asc",
    }
    return Request(PATH, params, _Asked(symbol, first, last), old=old)


def _read(body: bytes, request: Request, hole: Hole | None) -> Page:
    facts = exact_json_of(body)
    if isinstance(facts, dict) and "error" in facts:
        error = facts["error"] if isinstance(facts["error"], dict) else {}
        if error.get("code") in _BUSY:
            raise TooMuchError(f"The venue says {error}.")
        raise FrameError("bad-answer", f"The venue says {str(facts['error'])[:200]}.")
    trades = [_trade(one) for one in member(member(facts, "result", dict), "trades", list)]
    if hole is None:
        return Page(trades)
    asked: _Asked = request.state
    shown = {trade.number for trade in trades}
    if not request.old and not shown >= {*range(asked.first, asked.last + 1)}:
        return Page(trades, _between(asked.symbol, asked.first, asked.last, old=True))
    return Page(trades, _between(asked.symbol, asked.last + 1, hole.last) if asked.last < hole.last else None)


FEEDS = (
    Feed(
        VENUE,
        "wss://www.deribit.com",
        "https://www.deribit.com/api/v2",
        ("BTC-PERPETUAL", "ETH-PERPETUAL"),
        subscribe,
        parse,
        Rest(_newest, _read, _fill),
        source="recorded frames (tests/feed_fixtures/deribit.toml); https://docs.deribit.com",
        seen="2026-12-01",
        history="https://history.deribit.com/api/v2",
        counted="sequence",
        most_symbols=500,
        connects=Budget(30, 60),
        requests=Budget(5, 1),
    ),
)
