"""The oracle, held to numbers worked out by hand; nothing here is computed by another part of the project."""

import ast
import json
import sys
from pathlib import Path

import pytest

import verify
from tests.bars_oracle import Oracle

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
T0 = 1_759_708_800_000_000  # 2025-10-06T00:00:00Z, a Monday
LATER_MS = T0 // 1000 + 30 * 86_400_000  # an append time that refuses no time used here
GENESIS = 1_230_940_800_000_000  # 2009-01-03T00:00:00Z
LARGEST = 9_223_372_036_854_775_807  # 2^63 - 1


def line(
    trade_id: object = 1, time: object = T0, price: object = "10", quantity: object = "1", **other: object
) -> bytes:
    """One line of the log; `other` adds or replaces fields."""
    fields = {"venue": "binance", "symbol": "BTCUSDT", "trade_id": trade_id, "time": time, "price": price}
    return json.dumps({**fields, "quantity": quantity, "side": "buy", **other}).encode()


def shown(*lines: bytes, intervals: tuple[int, ...] = (SECOND,), append_time_ms: int = LATER_MS) -> Oracle:
    """An oracle that was shown the lines, a record each."""
    oracle = Oracle(intervals)
    for one in lines:
        oracle.record(one, append_time_ms)
    return oracle


def bars(oracle: Oracle, interval: int = SECOND) -> list[dict[str, object]]:
    return oracle.bars("binance", "BTCUSDT", interval)


def test_two_bars_of_a_small_log_are_what_the_hand_says() -> None:
    #   seconds  0.0      0.4      0.9 | 1.0             3.0
    #   id       1        2        3   | 4               5
    #   price    10.5     12       9   | 11.00000001     8
    #   amount   2 buy    1 sell   0.5 | 3 sell          1    (0.5: buy, 1: buy)
    oracle = Oracle([SECOND, MINUTE])
    oracle.record(
        b"\n".join(
            [
                line(1, T0, "10.5", "2"),
                line(2, T0 + 400_000, "12", "1", side="sell"),
                line(3, T0 + 999_999, "9.00", "0.50000000"),
            ]
        ),
        LATER_MS,
    )
    oracle.record(line(4, T0 + SECOND, "11.00000001", "3", side="sell"), LATER_MS)
    oracle.record(line(5, T0 + 3 * SECOND, "8", "1"), LATER_MS)

    first, second, third = bars(oracle)
    assert first == {
        "start": T0,
        "open": "10.5",
        "high": "12",
        "low": "9",
        "close": "9",
        "volume": "3.5",
        "notional": "37.5",  # 21 + 12 + 4.5
        "vwap": "10.71428571",  # 10.714285714...
        "buy_volume": "2.5",
        "trades": 3,
        "first_sequence": 1,
        "last_sequence": 3,
        "closed": True,  # the trade at 3.0 is the first one 2 s after its end
    }
    assert second == {
        "start": T0 + SECOND,
        "open": "11.00000001",
        "high": "11.00000001",
        "low": "11.00000001",
        "close": "11.00000001",
        "volume": "3",
        "notional": "33.00000003",
        "vwap": "11.00000001",
        "buy_volume": "0",
        "trades": 1,
        "first_sequence": 4,
        "last_sequence": 4,
        "closed": False,
    }
    assert third["start"] == T0 + 3 * SECOND  # the empty second between them is absent
    (minute,) = bars(oracle, MINUTE)
    assert minute == {
        "start": T0,
        "open": "10.5",
        "high": "12",
        "low": "8",
        "close": "8",
        "volume": "7.5",
        "notional": "78.50000003",
        "vwap": "10.46666667",  # 10.466666670666...
        "buy_volume": "3.5",
        "trades": 5,
        "first_sequence": 1,
        "last_sequence": 5,
        "closed": False,
    }
    assert (oracle.events, oracle.refused) == (5, {})


def test_open_and_close_follow_the_trade_id_whatever_the_order_and_the_time() -> None:
    #   log      first    then     last
    #   id       8        7        9
    #   time     0.5      0.9      0.1
    #   price    20       10       30
    lines = [line(8, T0 + 500_000, "20"), line(7, T0 + 900_000, "10"), line(9, T0 + 100_000, "30")]
    (bar,) = bars(shown(*lines))
    assert (bar["open"], bar["close"], bar["first_sequence"], bar["last_sequence"]) == ("10", "30", 7, 9)
    assert bars(shown(*reversed(lines))) == [bar]


def test_equal_ids_are_ordered_by_price_and_each_counts() -> None:
    #   id       7        7        7
    #   price    9.5      10       9        as numbers: 9 < 9.5 < 10 (as text "10" would come first)
    lines = [line(7, T0, "9.5"), line(7, T0, "10"), line(7, T0, "9")]
    for order in (lines, lines[::-1], lines[1:] + lines[:1]):
        (bar,) = bars(shown(*order))
        assert (bar["open"], bar["close"], bar["trades"], bar["volume"]) == ("9", "10", 3, "3")
        assert bar["first_sequence"] == bar["last_sequence"] == 7


def test_a_duplicate_past_ingest_is_counted_as_it_stands() -> None:
    oracle = shown(line(), line())
    (bar,) = bars(oracle)
    assert (bar["trades"], bar["volume"], bar["notional"], oracle.events) == (2, "2", "20", 2)


def test_a_late_trade_is_added_to_its_old_bar_which_stays_closed() -> None:
    #   log   1 at 0 s    2 at 60 s    3 at 0.2 s (late, lowest price)
    oracle = shown(line(1, T0, "10"), line(2, T0 + MINUTE, "20"))
    before = bars(oracle)
    oracle.record(line(3, T0 + 200_000, "5"), LATER_MS)
    after = bars(oracle)
    assert [bar["start"] for bar in after] == [T0, T0 + MINUTE]
    assert (before[0]["low"], before[0]["closed"]) == ("10", True)
    assert (after[0]["low"], after[0]["close"], after[0]["trades"], after[0]["closed"]) == ("5", "5", 2, True)
    assert after[1] == before[1]


@pytest.mark.parametrize(
    ("cheap", "dear", "vwap"),
    [
        ("1.00000000", "1.00000001", "1"),  # 1.000000005, a tie down to the even 0
        ("1.00000001", "1.00000002", "1.00000002"),  # 1.000000015, a tie up to the even 2
        ("1.00000002", "1.00000003", "1.00000002"),  # 1.000000025, a tie down to the even 2
        ("1.00000009", "1.00000010", "1.0000001"),  # 1.000000095, a tie up that carries
    ],
)
def test_vwap_rounds_a_tie_to_the_even_digit(cheap: str, dear: str, vwap: str) -> None:
    (bar,) = bars(shown(line(1, price=cheap), line(2, price=dear)))
    assert bar["vwap"] == vwap


@pytest.mark.parametrize(
    ("cheap_quantity", "dear_quantity", "vwap"),
    [
        ("1.00000001", "1", "1"),  # below the tie by one unit of volume
        ("1", "1.00000001", "1.00000001"),  # above it
        ("2", "1", "1"),  # 1/3
        ("1", "2", "1.00000001"),  # 2/3
    ],
)
def test_vwap_beside_a_tie_rounds_to_the_nearest(cheap_quantity: str, dear_quantity: str, vwap: str) -> None:
    lines = [line(1, price="1", quantity=cheap_quantity), line(2, price="1.00000001", quantity=dear_quantity)]
    assert bars(shown(*lines))[0]["vwap"] == vwap


def test_sums_near_the_largest_notional_keep_every_digit() -> None:
    #   101 trades of 9999999999.99999999 x 999.99999999
    #   one notional  = (10^18 - 1)(10^11 - 1) e-16 = (10^29 - 10^18 - 10^11 + 1) e-16
    #                 = 9999999999899.9999900000000001
    #   101 of them   = 1009999999989899.9989900000000101
    #   101 x 999.99999999 = 100999.99999899
    price, quantity = "9999999999.99999999", "999.99999999"
    oracle = shown(*[line(trade_id, price=price, quantity=quantity) for trade_id in range(LARGEST - 100, LARGEST + 1)])
    (bar,) = bars(oracle)
    assert bar["notional"] == "1009999999989899.9989900000000101"
    assert bar["volume"] == bar["buy_volume"] == "100999.99999899"
    assert bar["vwap"] == bar["high"] == bar["low"] == price
    assert (bar["trades"], bar["first_sequence"], bar["last_sequence"]) == (101, LARGEST - 100, LARGEST)


def test_the_smallest_amounts_print_without_exponent() -> None:
    (bar,) = bars(shown(line(price="0.00000001", quantity="0.00000001")))
    assert (bar["open"], bar["volume"], bar["notional"]) == ("0.00000001", "0.00000001", "0.0000000000000001")
    (bar,) = bars(shown(line(price="0000000100.00", quantity="0010")))
    assert (bar["open"], bar["volume"], bar["notional"], bar["vwap"]) == ("100", "10", "1000", "100")


def test_a_week_starts_on_monday_and_a_day_at_midnight() -> None:
    #   Sunday 5 October 23:59:59.999999 | Monday 6 October 00:00 ... Sunday 12 October | Monday 13 October
    times = [T0 - 1, T0, T0 + 7 * DAY - 1, T0 + 7 * DAY]
    oracle = shown(*[line(i, time) for i, time in enumerate(times)], intervals=(DAY, WEEK))
    weeks = [(bar["start"], bar["trades"], bar["closed"]) for bar in bars(oracle, WEEK)]
    assert weeks == [(T0 - WEEK, 1, True), (T0, 2, False), (T0 + WEEK, 1, False)]
    assert [bar["start"] for bar in bars(oracle, DAY)] == [T0 - DAY, T0, T0 + 6 * DAY, T0 + 7 * DAY]


def test_the_first_allowed_week_began_on_29_december_2008() -> None:
    #   2009-01-03 was a Saturday, five days after that Monday
    (bar,) = bars(shown(line(time=GENESIS), intervals=(WEEK,)), WEEK)
    assert bar["start"] == GENESIS - 5 * DAY


def test_a_bar_closes_at_exactly_two_seconds_past_its_end() -> None:
    #   bar [0 s, 1 s)      newest event   2.999999 s  open
    #                                      3.000000 s  closed
    oracle = shown(line(1, T0), line(2, T0 + 3 * SECOND - 1))
    assert bars(oracle)[0]["closed"] is False
    oracle.record(line(3, T0 + 3 * SECOND), LATER_MS)
    assert bars(oracle)[0]["closed"] is True
    assert bars(oracle)[-1]["closed"] is False


def test_only_an_applied_event_of_the_same_instrument_closes_a_bar() -> None:
    oracle = shown(
        line(1, T0),
        line(2, T0 + MINUTE, symbol="ETHUSDT"),
        line(3, T0 + MINUTE, venue="kraken"),
        line(4, T0 + MINUTE, price="0"),  # refused, so not applied
    )
    assert bars(oracle)[0]["closed"] is False


def test_a_bar_that_arrives_late_is_born_closed() -> None:
    oracle = shown(line(2, T0 + 3 * SECOND), line(1, T0))
    assert [bar["closed"] for bar in bars(oracle)] == [True, False]


def test_instruments_are_sorted_and_kept_apart() -> None:
    oracle = shown(
        line(1, symbol="ETHUSDT"), line(1, symbol="BTCUSDT"), line(1, venue="a_1-b"), line(1, symbol="A/B_c.d:e-f")
    )
    assert oracle.instruments == [
        ("a_1-b", "BTCUSDT"),
        ("binance", "A/B_c.d:e-f"),
        ("binance", "BTCUSDT"),
        ("binance", "ETHUSDT"),
    ]
    assert all(oracle.bars(*instrument, SECOND)[0]["trades"] == 1 for instrument in oracle.instruments)
    assert oracle.bars("binance", "XRPUSDT", SECOND) == []


def test_a_range_is_half_open_over_the_bars_starts() -> None:
    #   bars at 0, 1, 2, 3 s; asked [1 s, 3 s)
    oracle = shown(*[line(i, T0 + i * SECOND) for i in (3, 1, 0, 2)])
    asked = oracle.bars("binance", "BTCUSDT", SECOND, T0 + SECOND, T0 + 3 * SECOND)
    assert [bar["start"] for bar in asked] == [T0 + SECOND, T0 + 2 * SECOND]
    assert len(oracle.bars("binance", "BTCUSDT", SECOND, start=T0 + 1)) == 3
    assert len(oracle.bars("binance", "BTCUSDT", SECOND, end=T0 + 1)) == 1
    assert oracle.bars("binance", "BTCUSDT", SECOND, T0, T0) == []


def test_an_imported_event_counts_as_one_from_the_log() -> None:
    oracle = Oracle([SECOND, WEEK])
    oracle.trade("binance", "BTCUSDT", 1, T0, "10.5", "2", "sell")
    oracle.trade("binance", "BTCUSDT", 2, T0 + 1, "11", "1", "buy")
    same = shown(line(1, T0, "10.5", "2", side="sell"), line(2, T0 + 1, "11"), intervals=(SECOND, WEEK))
    assert bars(oracle) == bars(same)
    assert bars(oracle, WEEK) == bars(same, WEEK)
    assert oracle.events == 2


def test_an_interval_that_no_bar_can_have_is_refused() -> None:
    for length in (0, -SECOND, 7 * SECOND, 2 * DAY, 2 * WEEK):
        with pytest.raises(ValueError, match="neither divides a day nor is a week"):
            Oracle([SECOND, length])
    with pytest.raises(ValueError, match="No bars of 60000000 microseconds"):
        Oracle([SECOND]).bars("binance", "BTCUSDT", MINUTE)


WRONG_KINDS: tuple[object, ...] = (None, True, False, 1.0, [], {}, [[]], "", " ", "\ud800", "é")
GOOD = line(5).decode()

# Each is one line between two good ones: (reason, the line).
REFUSED: dict[str, tuple[str, bytes]] = {
    # not a JSON object in UTF-8
    "empty line": ("not JSON", b""),
    "spaces": ("not JSON", b"   "),
    "torn": ("not JSON", GOOD[:-1].encode()),
    "two objects": ("not JSON", (GOOD + GOOD).encode()),
    "two objects, spaced": ("not JSON", (GOOD + " " + GOOD).encode()),
    "comma after": ("not JSON", (GOOD + ",").encode()),
    "trailing comma": ("not JSON", GOOD.replace("}", ",}").encode()),
    "byte-order mark": ("not JSON", b"\xef\xbb\xbf" + GOOD.encode()),
    "no-break space": ("not JSON", "\u00a0".encode() + GOOD.encode()),
    "form feed": ("not JSON", b"\x0c" + GOOD.encode()),
    "zero byte after": ("not JSON", GOOD.encode() + b"\0"),
    "control character in a string": ("not JSON", GOOD.replace("}", ', "x": "\t"}').encode()),
    "single quotes": ("not JSON", GOOD.replace('"', "'").encode()),
    "NaN": ("not JSON", GOOD.replace("}", ', "x": NaN}').encode()),
    "nested NaN": ("not JSON", GOOD.replace("}", ', "x": [{"y": NaN}]}').encode()),
    "Infinity": ("not JSON", GOOD.replace("}", ', "x": Infinity}').encode()),
    "-Infinity": ("not JSON", GOOD.replace("}", ', "x": -Infinity}').encode()),
    "NaN as price": ("not JSON", GOOD.replace('"10"', "NaN").encode()),
    "leading zero": ("not JSON", GOOD.replace("}", ', "x": 01}').encode()),
    "nested 201 deep": ("too deep", GOOD.replace("}", ', "x": ' + "[" * 200 + "]" * 200 + "}").encode()),
    "nested 201 deep behind strings": (
        "too deep",
        GOOD.replace("}", ', "]": "]}\\"]", "x": ' + '[{"]":' * 100 + "1" + "}]" * 100 + "}").encode(),
    ),
    "nested far too deep": ("too deep", GOOD.replace("}", ', "x": ' + "[" * 200_000 + "]" * 200_000 + "}").encode()),
    "objects nested far too deep": ("too deep", b'{"x":' * 200_000),
    "an endless trade id": ("trade_id", GOOD.replace('"trade_id": 5', f'"trade_id": {"9" * 5000}').encode()),
    "an endless time below zero": ("time", line(time=424242).replace(b"424242", b"-" + b"9" * 5000)),
    "an endless integer as venue": ("venue", line(venue=424242).replace(b"424242", b"9" * 5000)),
    "not UTF-8": ("not UTF-8", GOOD.replace("}", ', "x": "?"}').encode().replace(b"?", b"\xff")),
    "overlong UTF-8": ("not UTF-8", GOOD.replace("}", ', "x": "?"}').encode().replace(b"?", b"\xc0\xaf")),
    "encoded surrogate": ("not UTF-8", GOOD.replace("}", ', "x": "?"}').encode().replace(b"?", b"\xed\xa0\x80")),
    "UTF-16": ("not JSON", GOOD.encode("utf-16-le")),
    "an array": ("not an object", f"[{GOOD}]".encode()),
    "an array of pairs": ("not an object", json.dumps(list(json.loads(GOOD).items())).encode()),
    "a string": ("not an object", b'"x"'),
    "a number": ("not an object", b"1"),
    "null": ("not an object", b"null"),
    # keys
    "duplicate key": ("duplicate key", GOOD.replace("}", ', "price": "10"}').encode()),
    "duplicate unknown key": ("duplicate key", GOOD.replace("}", ', "x": 1, "x": 1}').encode()),
    "duplicate key, escaped": ("duplicate key", GOOD.replace("}", ', "pric\\u0065": "10"}').encode()),
    "empty object": ("venue", b"{}"),
    **{
        f"no {name}": (name, json.dumps({k: v for k, v in json.loads(GOOD).items() if k != name}).encode())
        for name in ("venue", "symbol", "trade_id", "time", "price", "quantity", "side")
    },
    **{
        f"{name} is {value!r}": (name, line(**{name: value}))
        for name in ("venue", "symbol", "trade_id", "time", "price", "quantity", "side")
        for value in WRONG_KINDS
    },
    **{
        f"venue {value!r}": ("venue", line(venue=value))
        for value in ("Binance", "_a", "-a", "a b", "a.b", "a" * 33, "a\n", "a\u0663", "\u017f", "../x", 1)
    },
    **{
        f"symbol {value!r}": ("symbol", line(symbol=value))
        for value in (
            "_A",
            ".A",
            "/A",
            "A..B",
            "A//B",
            "A" * 65,
            "A B",
            "A\n",
            "\nA",
            "A\u0663",
            "A..",
            "A//",
            "A\\B",
            1,
        )
    },
    **{
        f"{name} {value!r}": (name, line(**{name: value}))
        for name in ("price", "quantity")
        for value in (
            *("0", "0.0", "0000000000.00000000", "-1", "+1", "1e3", "1E3", "1_000", "1,5", ".5", "1.", "1.123456789"),
            *(
                "12345678901",
                "00000000001",
                "10000000000",
                " 1",
                "1 ",
                "1\n",
                "\u0661",
                "\uff11",
                "1.\u0661",
                "0x1",
                "NaN",
                "Infinity",
            ),
            *(1, 10, 1.5, 0),
        )
    },
    **{
        f"{name} {text}": (name, line(**{name: 424242}).replace(b"424242", text.encode()))
        for name in ("trade_id", "time")
        for text in ("-1", "1.0", "1e3", "1E18", "9223372036854775808", '"?"', str(2**64), str(-(2**63)), "1e999")
    },
    "time before the first block": ("time", line(time=GENESIS - 1)),
    "time too far ahead": ("time", line(time=LATER_MS * 1000 + 60 * SECOND + 1)),
    "notional of exactly 10^13": ("notional", line(price="1000000000", quantity="10000")),
    "notional above, by fractions": ("notional", line(price="9999999999.99999999", quantity="1000.00000001")),
    **{
        f"side {value!r}": ("side", line(side=value))
        for value in ("BUY", "Buy", "buy ", "buys", "b", "sel", 1, ["buy"])
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_line_is_refused_alone_and_its_neighbours_count(name: str) -> None:
    reason, bad = REFUSED[name]
    oracle = shown(b"\n".join([line(1), bad, line(2)]))
    assert oracle.refused == {reason: 1}
    assert oracle.events == 2
    assert bars(oracle) == bars(shown(line(1), line(2)))
    assert oracle.instruments == [("binance", "BTCUSDT")]


ACCEPTED: dict[str, bytes] = {
    "plain": GOOD.encode(),
    "JSON white space around": b" \t\r" + GOOD.encode() + b" \t\r",
    "an escaped key": GOOD.replace('"price"', '"pric\\u0065"').encode(),
    "an escaped value": GOOD.replace("BTC", "\\u0042TC").encode(),
    "nested 200 deep": GOOD.replace("}", ', "x": ' + "[" * 199 + "]" * 199 + "}").encode(),
    "a thousand shallow arrays": GOOD.replace("}", ', "x": [' + "[]," * 1000 + '"\\\\"]}').encode(),
    "a thousand brackets in a string": GOOD.replace("}", ', "x": "\\"' + "[{" * 1000 + '"}').encode(),
    "an endless integer in an unknown field": GOOD.replace("}", f', "x": [{"9" * 5000}, -{"9" * 5000}]}}').encode(),
    "unknown fields of every kind": line(5, x=None, y=[1.5, True, {"price": "-1"}], z="é", w=10**400),
    "nested duplicate keys": GOOD.replace("}", ', "x": {"y": 1, "y": 2}, "z": [{"price": 1, "price": 2}]}').encode(),
    "a lone surrogate in an unknown field": GOOD.replace("}", ', "x": "\\ud800", "\\udc00": 1}').encode(),
    "a float beyond all bounds in an unknown field": GOOD.replace("}", ', "x": 1e999, "y": -1E-999}').encode(),
    "an unknown field called null": GOOD.replace("}", ', "": ""}').encode(),
    "minus zero as trade id": GOOD.replace('"trade_id": 5', '"trade_id": -0').encode(),
    "the largest trade id": line(LARGEST),
    "the longest venue": line(5, venue="0" * 32),
    "a venue of one letter": line(5, venue="a"),
    "the longest symbol": line(5, symbol="A" * 64),
    "every mark in a symbol": line(5, symbol="a_./:-:/._-"),
    "the largest amount": line(5, price="9999999999.99999999", quantity="0.00000001"),
    "the largest notional": line(5, price="9999999999.99999999", quantity="1000"),
    "leading zeros": line(5, price="0000000010", quantity="0000000000.00000001"),
    "the first block's day": line(5, GENESIS),
    "one minute ahead of the log": line(5, LATER_MS * 1000 + 60 * SECOND),
    "sell": line(5, side="sell"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_the_contract_allows_counts(name: str) -> None:
    oracle = shown(ACCEPTED[name])
    assert (oracle.events, oracle.refused) == (1, {})


def test_time_is_held_to_the_append_time_of_its_own_record() -> None:
    oracle = Oracle([SECOND])
    oracle.record(line(1, T0 + 60 * SECOND), T0 // 1000)
    oracle.record(line(2, T0 + 60 * SECOND), T0 // 1000 - 1)
    assert (oracle.events, oracle.refused) == (1, {"time": 1})


def test_time_stops_at_the_largest_integer_however_late_the_log() -> None:
    oracle = shown(line(1, LARGEST), line(2, LARGEST + 1), append_time_ms=LARGEST)
    assert (oracle.events, oracle.refused) == (1, {"time": 1})


def test_sixty_four_lines_count_and_sixty_five_are_refused_as_a_whole() -> None:
    lines = [line(i) for i in range(65)]
    whole = shown(b"\n".join(lines[:64]))
    assert (whole.events, whole.refused) == (64, {})
    refused = shown(b"\n".join(lines))
    assert (refused.events, refused.refused) == (0, {"more than 64 lines": 1})
    trailing = shown(b"\n".join(lines[:64]) + b"\n")  # splits into 65
    assert (trailing.events, trailing.refused) == (0, {"more than 64 lines": 1})
    assert bars(refused) == bars(trailing) == []


def test_a_line_end_after_the_last_line_is_one_more_empty_line() -> None:
    oracle = shown(line(1) + b"\n")
    assert (oracle.events, oracle.refused) == (1, {"not JSON": 1})


def test_an_object_over_two_lines_is_two_bad_lines() -> None:
    oracle = shown(GOOD.replace(", ", ",\n", 1).encode(), line(2))
    assert (oracle.events, oracle.refused) == (1, {"not JSON": 2})


@pytest.mark.parametrize("value", [None, b""])
def test_an_empty_value_is_refused_as_a_whole(value: bytes | None) -> None:
    oracle = Oracle([SECOND])
    oracle.record(value, LATER_MS)
    assert (oracle.events, oracle.refused, oracle.instruments) == (0, {"empty value": 1}, [])


ROOM = Path(str(verify.__file__)).parent
OUTSIDE = {"archive.py": {"pyarrow", "decimal"}, "client.py": {"httpx"}}


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda path: path.name)
def test_the_proof_imports_the_standard_library_and_nothing_of_the_product(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    roots: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import reaches into the project"
            roots.add(str(node.module).split(".")[0])
    assert roots <= sys.stdlib_module_names | {"verify"} | OUTSIDE.get(path.name, set())
    assert not (roots - OUTSIDE.get(path.name, set())) & {"decimal", "fractions", "importlib", "sqlite3"}
    assert "__import__" not in source
