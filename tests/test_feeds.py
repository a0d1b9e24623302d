"""What feeds make of messages: every recorded or documented one, and ones that are none of the venue's."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from ingest.feeds.feed import (
    Denied,
    FinalError,
    FrameError,
    Hole,
    Newest,
    Reply,
    Request,
    Said,
    Subscribed,
    TooMuchError,
    Trade,
    Turned,
    Void,
)
from ingest.feeds.iso_time import time_of
from ingest.feeds.members import MEMBERS, Members, members_of
from ingest.feeds.registry import FEEDS, UnknownFeedError, feed_of
from ingest.files.sources import open_source
from ingest.preset import preset_named
from slackwater.streams.content import contents_of, same
from slackwater.streams.decode import decode_lines
from slackwater.streams.mapping import Layout, parse_map
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.trades import TRADES
from tests.ingest_kit import all_lines
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
    "reconnect": Turned,
}
QUIET = {"heartbeat": Newest, "pong": Newest, "status": Newest}
AGGREGATE = {"agg_trade": "_agg"}
REST = {"rest_trades": "", "rest_trades_result": "", "rest_historical_trades": "", "rest_agg_trades": "_agg"}


def fixtures(kinds: dict[str, Any]) -> list[Any]:
    found = []
    for path in FILES:
        for number, message in enumerate(messages(path)):
            venue = venue_of(path.stem, message)
            if message["kind"] in kinds and venue in FEEDS:
                found.append(pytest.param(venue, message, id=f"{venue}-{message['kind']}-{number}"))
    return found


def venue_of(name: str, message: dict[str, Any]) -> str:
    """The messages of Bybit's three venues stand in one file, and say which in their notes."""
    if name == "bybit":
        note = message["note"].lower()
        return next((f"bybit_{kind}" for kind in ("spot", "inverse") if kind in note), "bybit_linear")
    return name + {**AGGREGATE, **REST}.get(message["kind"], "")


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
    kind = Denied if '"result":[]' in message["text"] else SAYS[message["kind"]]  # it took none of the channels
    for one in said:
        assert isinstance(one, kind), one
        if isinstance(one, Trade):
            assert decoded(one)["venue"] == venue


@pytest.mark.parametrize(("venue", "message"), fixtures(QUIET))
def test_a_sign_of_life_is_no_news(venue: str, message: dict[str, Any]) -> None:
    """One that is asked for is given. Coinbase names the newest id."""
    said = FEEDS[venue].parse(message["text"].encode())
    if "test_request" in message["text"]:
        (reply,) = said
        assert isinstance(reply, Reply) and orjson.loads(reply.text)["method"] == "public/test"
    else:
        assert not said or (venue == "coinbase" and isinstance(said[0], Newest))


def body_of(venue: str, message: dict[str, Any]) -> bytes:
    around = {"kraken": '{"error":[],"result":%s}'}.get(venue, '{"retCode":0,"result":{"list":%s}}')
    return (around % message["text"] if message["kind"] == "rest_trades_result" else message["text"]).encode()


@pytest.mark.parametrize(("venue", "message"), fixtures(REST))
def test_an_answer_of_rest_holds_trades(venue: str, message: dict[str, Any]) -> None:
    feed = FEEDS[venue]
    page = feed.rest.read(body_of(venue, message), feed.rest.newest(feed.symbols[0]), None)
    assert page.said and (page.more is None or not feed.dense)
    for trade in page.said:
        assert isinstance(trade, Trade) and decoded(trade)["symbol"] in feed.symbols


PRESETS = {
    **{"okx": "okx_rest", "bitstamp": "bitstamp_rest", "deribit": "deribit_rest", "coinbase": "coinbase_rest"},
    **dict.fromkeys(("bybit_spot", "bybit_linear", "bybit_inverse"), "bybit_rest"),
}


@pytest.mark.parametrize(
    ("venue", "message"), [one for one in fixtures({"rest_trades": Trade}) if one.values[0] in PRESETS]
)
def test_a_trade_of_rest_is_the_event_that_a_file_of_it_is(venue: str, message: dict[str, Any], tmp_path: Path) -> None:
    feed = FEEDS[venue]
    page = feed.rest.read(body_of(venue, message), feed.rest.newest(feed.symbols[0]), None)
    path = tmp_path / "answer.json"
    path.write_bytes(body_of(venue, message))
    named = [f"venue=={venue}", *([f"symbol=={feed.symbols[0]}"] if venue in {"bitstamp", "coinbase"} else [])]
    layout = preset_named(PRESETS[venue]).merged(TRADES, Layout(parse_map(TRADES, named)))
    lines = all_lines(open_source(TRADES, str(path), layout))
    told = [one.line for one in page.said if isinstance(one, Trade)]
    (one, _, bad), (other, _, wrong) = (
        decode_lines(TRADES, each, np.full(len(each), MAX_ID)) for each in (lines, told)
    )
    assert not bad and not wrong and len(lines) == len(told)
    for name in (*TRADES.entity, TRADES.identity, TRADES.order):
        assert one.column(name).to_pylist() == other.column(name).to_pylist()
    assert same(contents_of(TRADES, one), contents_of(TRADES, other)).all()


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


def one_trade(venue: str, frame: str) -> dict[str, Any]:
    (trade,) = FEEDS[venue].parse(frame.encode())
    return facts(trade)


def test_values_of_venues_with_sparse_ids_are_their_own() -> None:
    okx = (
        '{"arg":{"channel":"%s","instId":"A-B"},"data":[{"instId":"A-B","tradeId":"7","px":"0.1","sz":"2",'
        '"side":"sell","source":"0","ts":"1630048897897"}]}'
    )
    assert one_trade("okx", okx % "trades-all") == {
        "venue": "okx",
        "symbol": "A-B",
        "trade_id": 7,
        "time": 1630048897897000,
        "price": "0.1",
        "quantity": "2",
        "side": "sell",
        "time_unit": "ms",
    }
    assert not FEEDS["okx"].parse((okx % "trades").encode())  # one message there stands for several matches
    bybit = (
        '{"topic":"publicTrade.AB","type":"snapshot","ts":1,"data":[{"T":1791457528911,"s":"AB","S":"Buy","v":"0.011",'
        '"p":"82642.90","i":"5be1261b-d231-533b-89cd-0653c4f333be","BT":false,"seq":822323446907}]}'
    )
    found = one_trade("bybit_linear", bybit)
    assert (found["trade_id"], found["side"]) == ("5be1261b-d231-533b-89cd-0653c4f333be", "buy")
    assert "sequence" not in found  # its seq is one for several trades

    bitstamp = (
        '{"data":{"id":2001939623936278528,"type":1,"amount":0.1,"amount_str":"0.10000000","price":7.7,'
        '"price_str":"77204","microtimestamp":"1789456400586000","timestamp":"%s"},'
        '"channel":"live_trades_btcusd-perp","event":"trade"}'
    )
    for time in ("1789456400", "1789456400586"):  # seconds, or milliseconds
        found = one_trade("bitstamp", bitstamp % time)
        assert (found["symbol"], found["trade_id"]) == ("btcusd-perp", 2001939623936278528)
        assert (found["time"], found["price"], found["quantity"]) == (1789456400586000, "77204", "0.10000000")
        assert found["side"] == "sell"
    hyperliquid = (
        '{"channel":"trades","data":[{"coin":"BTC","side":"A","px":"83769.0","sz":"0.0048","time":1790358606027,'
        '"hash":"0x00","tid":784469253141982,"users":["0x1","0x2"]}]}'
    )
    found = one_trade("hyperliquid", hyperliquid)
    assert (found["trade_id"], found["side"]) == (784469253141982, "sell") and "users" not in found


def test_a_deribit_trade_is_counted_by_its_sequence_and_read_as_decimals() -> None:
    frame = (
        b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.ETH-PERPETUAL.100ms","data":[{'
        b'"timestamp":1766332040636,"price":0.1234567890123456789,"amount":2.2e3,"direction":"sell",'
        b'"instrument_name":"ETH-PERPETUAL","trade_seq":203024587,"trade_id":"ETH-284830839"}]}}'
    )
    (trade,) = FEEDS["deribit"].parse(frame)
    assert isinstance(trade, Trade) and trade.number == 203024587
    found = facts(trade)
    assert (found["trade_id"], found["sequence"]) == ("ETH-284830839", 203024587)
    assert (found["price"], found["quantity"]) == ("0.1234567890123456789", "2200")
    assert trade.finest == 19


def test_an_answer_that_is_an_error_says_whether_to_ask_again() -> None:
    """Some errors come with HTTP 200."""
    bodies: list[tuple[str, bytes, type[Exception]]] = [
        ("okx", b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}', FinalError),
        ("okx", b'{"code":"50011","msg":"Too Many Requests","data":[]}', TooMuchError),
        ("okx", b'{"code":"50001","msg":"Service temporarily unavailable","data":[]}', FrameError),
        ("bybit_spot", b'{"retCode":10001,"retMsg":"Not supported symbols","result":{}}', FinalError),
        ("bybit_spot", b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}', TooMuchError),
        ("bybit_spot", b'{"retCode":10016,"retMsg":"Server error","result":{}}', FrameError),
        ("bitstamp", b'{"response_code":"400.002","code":"400.002"}', TooMuchError),
        ("bitstamp", b'{"status":"error"}', FrameError),
        ("hyperliquid", b"null", FinalError),
        ("hyperliquid", b"{}", FrameError),
        ("deribit", b'{"jsonrpc":"2.0","error":{"code":10028,"message":"too_many_requests"}}', TooMuchError),
        ("deribit", b'{"jsonrpc":"2.0","error":{"code":13020,"message":"not_found"}}', FrameError),
    ]
    for venue, body, kind in bodies:
        feed = FEEDS[venue]
        with pytest.raises(kind):
            feed.rest.read(body, feed.rest.newest(feed.symbols[0]), None)


def test_a_deribit_hole_is_asked_for_at_the_history_host_where_the_other_has_forgotten() -> None:
    rest = FEEDS["deribit"].rest
    assert rest.fill is not None
    hole = Hole("A", 5, 2_000)
    asked: list[tuple[str, str, bool]] = []
    request: Request | None = rest.fill(hole)
    while request is not None:
        asked.append((request.params["start_seq"], request.params["end_seq"], request.old))
        request = rest.read(b'{"result":{"trades":[]}}', request, hole).more
    assert asked == [("5", "1004", False), ("5", "1004", True), ("1005", "2000", False), ("1005", "2000", True)]


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
    empty = {"kraken": b'{"error":[],"result":{"A":[],"last":"0"}}', "deribit": b'{"result":{"trades":[]}}'}
    for _ in range(100):
        if request is None:
            return
        request = feed.rest.read(empty.get(venue, b"[]"), request, Hole("A-B", 5, 9, None, 1_700_000_001_000_000)).more
    raise AssertionError("it asks for ever")


def test_an_unknown_venue_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownFeedError, match=r"no feed 'mtgox'.*binance_spot.*kraken"):
        feed_of("mtgox")


def test_every_feed_says_what_it_was_made_from() -> None:
    fixed = {path.stem for path in FILES}
    for feed in FEEDS.values():
        assert feed.source and feed.seen
        name = "bybit" if feed.venue.startswith("bybit_") else feed.venue.removesuffix("_agg")
        assert feed.verified <= (name in fixed)


def test_the_expected_members_are_those_of_the_recorded_frames() -> None:
    seen: dict[str, list[frozenset[str]]] = {venue: [] for venue in FEEDS}
    for one in fixtures({"trade": Trade, "last_trade": Trade, "agg_trade": Trade}):
        venue, message = one.values
        seen[venue].append(members_of(orjson.loads(message["text"])))
    made = {}
    for venue, found in seen.items():
        always = frozenset.intersection(*found)
        made[venue] = Members(always, frozenset.union(*found) - always)
    assert made == MEMBERS
    assert members_of(orjson.loads('{"a":1,"b":{"c":[{"d":2,"e":["x"]}]}}')) == {"a", "d", "e"}


def test_fixtures_are_a_part_of_this() -> None:
    assert len(fixtures(SAYS)) > 50 and len(fixtures(REST)) > 16
    assert {one.values[0] for one in fixtures({"trade": Trade, "agg_trade": Trade})} == {*FEEDS}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":["EAPI:Rate limit exceeded"]}', TooMuchError),
        (b'{"error":["EQuery:Unknown asset pair"]}', FinalError),
        (b'{"error":["EService:Unavailable"]}', FrameError),
        (b'{"error":[],"result":{"X":5}}', FrameError),
        (b'{"error":[],"result":{"X":[["1","1",1700000000.5,["b"],"m","",7]]}}', None),
        (b"[]", FrameError),
    ],
)
def test_what_kraken_says_instead_of_trades(body: bytes, error: type[Exception] | None) -> None:
    rest = FEEDS["kraken"].rest
    if error is None:  # a side that is none is for the decoder to refuse
        (trade,) = rest.read(body, rest.newest("A/B"), None).said
        assert facts(trade)["side"] == "['b']"
        return
    with pytest.raises(error):
        rest.read(body, rest.newest("A/B"), None)
