"""What feeds make of messages: every recorded or documented one, and ones that are none of the venue's."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from ingest.feeds.feed import Denied, FrameError, Hole, Newest, Request, Said, Subscribed, Trade, Void
from ingest.feeds.iso_time import time_of
from ingest.feeds.registry import FEEDS, UnknownFeedError, feed_of
from slackwater.streams.decode import decode_lines
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.trades import TRADES
from tests.test_feed_fixtures import FILES, messages

# Kind of a fixture -> what a feed says of it. Others are of no stream: nothing.
SAYS: dict[str, type] = {
    "trade": Trade,
    "last_trade": Trade,
    "snapshot": Trade,
    "agg_trade": Trade,
    "trade_placeholder": Void,
    "subscribed": Subscribed,
    "error": Denied,
}
AGGREGATE = {"agg_trade": "_agg"}
REST = {"rest_trades": "", "rest_historical_trades": "", "rest_agg_trades": "_agg"}


def fixtures(kinds: dict[str, Any]) -> list[Any]:
    found = []
    for path in FILES:
        for number, message in enumerate(messages(path)):
            venue = path.stem + {**AGGREGATE, **REST}.get(message["kind"], "")
            if message["kind"] in kinds and venue in FEEDS:
                found.append(pytest.param(venue, message, id=f"{venue}-{message['kind']}-{number}"))
    return found


def decoded(trade: Trade) -> dict[str, Any]:
    """The event that the decoder makes of a trade's line."""
    table, _, bad = decode_lines(TRADES, [trade.line], np.full(1, MAX_ID))
    assert not bad, bad
    (event,) = table.to_pylist()
    return event


@pytest.mark.parametrize(("venue", "message"), fixtures(SAYS))
def test_a_message_says_what_it_is(venue: str, message: dict[str, Any]) -> None:
    said = FEEDS[venue].parse(message["text"].encode())
    assert said, message["text"]
    for one in said:
        assert isinstance(one, SAYS[message["kind"]]), one
        if isinstance(one, Trade):
            assert decoded(one)["venue"] == venue


@pytest.mark.parametrize(("venue", "message"), fixtures(REST))
def test_an_answer_of_rest_holds_trades(venue: str, message: dict[str, Any]) -> None:
    feed = FEEDS[venue]
    symbol = feed.symbols[0]
    page = feed.rest.read(message["text"].encode(), feed.rest.newest(symbol), None)
    assert page.said and page.more is None
    for trade in page.said:
        assert isinstance(trade, Trade) and decoded(trade)["symbol"] == symbol


def facts(said: Said) -> dict[str, Any]:
    assert isinstance(said, Trade)
    return orjson.loads(said.line)


def test_values_are_the_venues_own() -> None:
    frame = (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1790649901913,"s":"BTCUSDT","t":6720857582,'
        b'"p":"83034.29000000","q":"0.00062000","T":1790649901913123,"m":true,"M":true}}'
    )
    (trade,) = FEEDS["binance_spot"].parse(frame)
    assert facts(trade) == {
        "venue": "binance_spot",
        "symbol": "BTCUSDT",
        "trade_id": 6720857582,
        "time": 1790649901913123,
        "price": "83034.29000000",
        "quantity": "0.00062000",
        "side": "sell",  # the buyer is the maker
    }
    match = b'{"type":"match","trade_id":7,"side":"sell","size":"1","price":"2","product_id":"A-B","time":"%s"}'
    (trade,) = FEEDS["coinbase"].parse(match % b"2026-08-25T03:35:57.198335Z")
    assert facts(trade)["side"] == "buy"  # the maker sold
    (trade,) = FEEDS["coinbase"].parse(match % b"2026-08-25T03:35:57.198Z")
    assert (facts(trade)["time"], facts(trade)["time_unit"]) == (1787628957198000, "ms")
    kraken = (
        b'{"channel":"trade","type":"update","data":[{"symbol":"A/B","side":"buy","price":83744.3,"qty":4e-7,'
        b'"ord_type":"limit","trade_id":1,"timestamp":"2026-09-25T17:48:26.844359Z"}]}'
    )
    (trade,) = FEEDS["kraken"].parse(kraken)
    assert (facts(trade)["price"], facts(trade)["quantity"]) == ("83744.3", "0.0000004")


def test_a_number_with_a_billion_digits_is_left_to_the_decoder_as_text() -> None:
    frame = (
        b'{"channel":"trade","type":"update","data":[{"symbol":"A/B","side":"buy","price":%s,"qty":1,'
        b'"trade_id":1,"timestamp":"2026-09-25T17:48:26.844359Z"}]}'
    )
    for number in (b"1e999999999", b"1e-999999999", b"1E+4000"):
        (trade,) = FEEDS["kraken"].parse(frame % number)
        assert facts(trade)["price"] == number.decode()
        _, _, bad = decode_lines(TRADES, [trade.line], np.full(1, MAX_ID))
        assert bad


def test_frames_of_books_say_nothing_and_a_heartbeat_names_the_newest_id() -> None:
    book = b'{"stream":"x","data":{"e":"depthUpdate","s":"BTCUSDT","b":[]}}'
    assert not FEEDS["binance_spot"].parse(book)
    beat = b'{"type":"heartbeat","last_trade_id":%d,"product_id":"A-B"}'
    assert FEEDS["coinbase"].parse(beat % 20) == (Newest("A-B", 20),)
    assert not FEEDS["coinbase"].parse(beat % 0)  # it was 0 for months at a time


@pytest.mark.parametrize("venue", FEEDS)
@pytest.mark.parametrize("frame", [b"", b"\x00", b"<html>", b'{"e":', b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_refused_with_the_reason(venue: str, frame: bytes) -> None:
    with pytest.raises(FrameError) as error:
        FEEDS[venue].parse(frame)
    assert error.value.reason == "not-json"


@pytest.mark.parametrize(("venue", "message"), fixtures(SAYS))
def test_mutated_frames_are_refused_or_read_and_never_break_anything(venue: str, message: dict[str, Any]) -> None:
    draw = random.Random(message["text"])
    text = message["text"].encode()
    for _ in range(200):
        frame = bytearray(text)
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(frame))
            kind = draw.randrange(4)
            if kind == 0:
                frame[at] = draw.randrange(256)
            elif kind == 1:
                del frame[at : at + draw.randrange(1, 20)]
            elif kind == 2:
                frame[at:at] = frame[at : at + draw.randrange(1, 20)]
            else:
                frame[at:at] = draw.choice([b"null", b"-1", b"1e999", b"true", b"[]", b"{}", b'"', b"9" * 40])
            if not frame:
                break
        try:
            said = FEEDS[venue].parse(bytes(frame))
        except FrameError as error:
            assert error.reason and error.fact
            continue
        lines = [one.line for one in said if isinstance(one, Trade)]
        if lines:
            decode_lines(TRADES, lines, np.full(len(lines), MAX_ID))  # it may refuse them


def test_times_are_read_exactly() -> None:
    assert time_of("2026-09-25T17:48:26.844359Z") == (1790358506844359, "us")
    assert time_of("2026-09-25T17:48:26Z") == (1790358506000000, "s")
    assert time_of("2026-09-25T17:48:26.844359999Z") == (1790358506844359, "us")
    for wrong in ("2026-09-25 17:48:26Z", "2026-13-25T17:48:26Z", "2026-09-25T17:48:26+02:00", "", "x"):
        with pytest.raises(FrameError):
            time_of(wrong)


@pytest.mark.parametrize("venue", FEEDS)
def test_a_hole_is_asked_for_by_requests_that_end(venue: str) -> None:
    feed = FEEDS[venue]
    if feed.rest.fill is None:
        return
    request: Request | None = feed.rest.fill(Hole("A-B", 5, 9, 1_700_000_000_000_000, 1_700_000_001_000_000))
    empty = {"kraken": b'{"error":[],"result":{"A":[],"last":"0"}}'}.get(venue, b"[]")
    for _ in range(100):
        if request is None:
            return
        request = feed.rest.read(empty, request, Hole("A-B", 5, 9, None, 1_700_000_001_000_000)).more
    raise AssertionError("it asks for ever")


def test_an_unknown_venue_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownFeedError, match=r"no feed 'mtgox'.*binance_spot.*kraken"):
        feed_of("mtgox")


def test_every_feed_says_what_it_was_made_from() -> None:
    fixed = {path.stem for path in FILES}
    for feed in FEEDS.values():
        assert feed.source and feed.seen
        assert feed.verified <= (feed.venue.removesuffix("_agg") in fixed)


def test_fixtures_are_a_part_of_this() -> None:
    assert len(fixtures(SAYS)) > 20 and len(fixtures(REST)) > 8
    assert {path.stem for path in map(Path, FILES)} >= {"binance_spot", "coinbase", "kraken"}
