"""Kraken spot, websocket v2: trades in batches, with JSON numbers.

    socket    {"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,
              "qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":<ISO>}]}
    REST      /0/public/Trades?pair=..&since=<ns>: up to 1,000 after a time, upwards

Numbers are read as text: a double would round them. REST is asked by time, not by id, so a hole is looked for from the
trade before it on, or backwards from the trade behind it, in steps that double.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

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
    exact_json_of,
    made,
    member,
)
from ingest.feeds.iso_time import time_of

VENUE = "kraken"
PAGE = 1_000
FIRST_STEP_US = 10_000_000

SLACK_US = 1_000_000
"""Ids rise with the time, more or less: by so much more is asked for."""

_TOO_MUCH = ("Rate limit", "EGeneral:Too many requests", "EGeneral:Temporary lockout")
_FINAL = ("Unknown asset pair", "Invalid arguments")
_SIDES = {"b": "buy", "s": "sell"}


class _Asked(NamedTuple):
    """What a request is about: since when it asks, and how far before the hole it began."""

    symbol: str
    since_us: int = 0
    step_us: int = 0


def subscribe(symbols: Sequence[str]) -> Subscription:
    """One message; the newest fifty trades come first."""
    params = {"channel": "trade", "symbol": [*symbols], "snapshot": True}
    return Subscription("/v2", (json.dumps({"method": "subscribe", "params": params}),))


def parse(frame: bytes) -> Sequence[Said]:
    """See `Feed.parse`."""
    facts = exact_json_of(frame)
    if not isinstance(facts, dict):
        raise FrameError("not-an-object", "It is no object.")
    if facts.get("method") == "subscribe":
        return (Subscribed(),) if facts.get("success") is True else (Denied(str(facts.get("error", facts))),)
    if facts.get("channel") != "trade":
        return ()
    return [_trade(one) for one in member(facts, "data", list)]


def _trade(one: Any) -> Trade:
    return made(
        VENUE,
        member(one, "symbol", str),
        str(member(one, "trade_id", int)),
        time_of(member(one, "timestamp", str)),
        str(member(one, "price", (str, int))),
        str(member(one, "qty", (str, int))),
        member(one, "side", str),
    )


def _since(asked: _Asked) -> Request:
    params = {"pair": asked.symbol, "count": str(PAGE)}
    if asked.since_us:
        params["since"] = str(max(asked.since_us, 1) * 1000)
    return Request("/0/public/Trades", params, asked)


def _newest(symbol: str) -> Request:
    return _since(_Asked(symbol))


def _fill(hole: Hole) -> Request:
    if hole.after_us is not None:
        return _since(_Asked(hole.symbol, hole.after_us - SLACK_US))
    return _back(hole, FIRST_STEP_US)


def _back(hole: Hole, step_us: int) -> Request:
    before_us = hole.before_us if hole.before_us is not None else 0
    return _since(_Asked(hole.symbol, max(before_us - step_us, 1), step_us))


def _read(body: bytes, request: Request, hole: Hole | None) -> Page:
    facts = exact_json_of(body)
    if errors := facts.get("error") if isinstance(facts, dict) else [str(facts)[:200]]:
        said = f"The venue says {str(errors)[:200]}."
        if any(word in said for word in _TOO_MUCH):
            raise TooMuchError(said)
        raise FinalError(said) if any(word in said for word in _FINAL) else FrameError("bad-answer", said)
    asked: _Asked = request.state
    lists = [found for name, found in member(facts, "result", dict).items() if name != "last"]
    if any(not isinstance(found, list) for found in lists):
        raise FrameError("bad-answer", f"The result is {str(facts['result'])[:200]}.")
    trades = [_of_rest(asked.symbol, one) for one in (lists[0] if lists else [])]
    if hole is None:
        return Page(trades)
    first = min((trade.number or 0 for trade in trades), default=None)
    if asked.step_us and (first is None or first > hole.first) and asked.since_us > 1:
        return Page(trades, _back(hole, asked.step_us * 4))
    if not trades or max(trade.number or 0 for trade in trades) >= hole.last:
        return Page(trades)
    newest_us = max(trade.time_us for trade in trades)
    if newest_us - 1 <= asked.since_us:  # a thousand trades of one microsecond
        return Page(trades)
    return Page(trades, _since(_Asked(asked.symbol, newest_us - 1)))


def _of_rest(symbol: str, one: Any) -> Trade:
    if not isinstance(one, list) or len(one) < 7:
        raise FrameError("bad-answer", f"A trade is {str(one)[:200]}.")
    price, quantity, seconds, side, _, _, number = one[:7]
    whole, _, fraction = str(seconds).partition(".")
    if not (whole + fraction).isdecimal() or not isinstance(number, int):
        raise FrameError("bad-answer", f"A trade is {str(one)[:200]}.")
    time_us = int(whole) * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    return made(
        VENUE, symbol, str(number), (time_us, "us"), str(price), str(quantity), _SIDES.get(str(side), str(side))
    )


FEEDS = (
    Feed(
        VENUE,
        "wss://ws.kraken.com",
        "https://api.kraken.com",
        ("BTC/USD", "ETH/USD"),
        subscribe,
        parse,
        Rest(_newest, _read, _fill, by_time=True),
        source="https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade",
        seen="2026-12-01",
        connects=Budget(100, 600),
        requests=Budget(1, 1),
    ),
)
