"""What is declared of an instrument: strict facts, what holds at a time, what a row adds, what a quantity is worth."""

import json
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.instruments.errors import FactsError, NoValueError, UnreadableRowsError
from slackwater.instruments.facts import FIELDS, Facts
from slackwater.instruments.given import facts_of
from slackwater.instruments.judged import judge
from slackwater.instruments.rows import Refusal, form_of, parse
from slackwater.instruments.table import Table
from slackwater.instruments.worth import in_quote, in_settlement, rounded_text

T0 = 1_723_161_600_000_000  # 2024-08-09
SPOT: dict[str, Any] = {"venue": "x", "symbol": "BTCUSDT", "kind": "spot", "base": "BTC", "quote": "USDT"}
LINEAR = {**SPOT, "kind": "linear"}
INVERSE = {**SPOT, "symbol": "BTCUSD_PERP", "kind": "inverse", "quote": "USD", "multiplier": "100"}
OPTION = {
    **{"venue": "deribit", "symbol": "BTC-27DEC24-100000-C", "kind": "option", "base": "BTC", "quote": "BTC"},
    **{"settlement": "BTC", "multiplier": "1", "tick": "0.0001", "lot": "0.1", "expiry": "2024-12-27T08:00:00Z"},
    **{"strike": 100000, "right": "call", "underlying": "BTC-USD"},
}


def row(effective: int = 0, **more: Any) -> Facts:
    return facts_of({**INVERSE, "effective": effective, **more})


def test_what_is_not_given_follows_from_the_kind() -> None:
    assert facts_of(SPOT) == Facts("x", "BTCUSDT", "spot", "BTC", "USDT", "USDT", Decimal(1))
    assert facts_of(LINEAR).settlement == "USDT"
    assert facts_of(INVERSE).settlement == "BTC"
    assert facts_of({**OPTION, "effective": ""}).expiry == 1_735_286_400_000_000


@pytest.mark.parametrize(
    ("facts", "unit"),
    [
        (SPOT, "base"),
        (LINEAR, "base"),
        ({**LINEAR, "multiplier": "1.000"}, "base"),
        ({**LINEAR, "multiplier": "0.01"}, "contracts"),
        (INVERSE, "contracts"),
        ({**INVERSE, "multiplier": 1}, "contracts"),
        (OPTION, "contracts"),
    ],
)
def test_the_unit_of_quantities_follows_from_kind_and_multiplier(facts: dict[str, Any], unit: str) -> None:
    assert facts_of(facts).quantity_unit == unit


@pytest.mark.parametrize(
    ("of", "wrong", "reason", "text"),
    [
        (SPOT, {"venue": "X"}, "bad-venue", "'X'"),
        (SPOT, {"venue": ""}, "missing-field", "without venue"),
        (SPOT, {"symbol": "A..B"}, "bad-symbol", "A..B"),
        (SPOT, {"symbol": "a b"}, "bad-symbol", "a b"),
        (SPOT, {"symbol": 7}, "bad-symbol", "7"),
        (SPOT, {"kind": "swap"}, "bad-kind", "spot, linear, inverse, option"),
        (SPOT, {"base": "B C"}, "bad-base", "'B C'"),
        (SPOT, {"quote": None}, "missing-field", "without quote"),
        (SPOT, {"quote": "x" * 33}, "bad-quote", "no currency"),
        (SPOT, {"settlement": "USD"}, "bad-settlement", "settled in USDT"),
        (INVERSE, {"settlement": "USD"}, "bad-settlement", "settled in BTC"),
        (SPOT, {"multiplier": 2}, "not-of-kind", "multiplier of 2"),
        (INVERSE, {"multiplier": ""}, "missing-field", "without multiplier"),
        (INVERSE, {"multiplier": "0"}, "bad-multiplier", "above 0"),
        (INVERSE, {"multiplier": "-1"}, "bad-multiplier", "above 0"),
        (INVERSE, {"multiplier": "1e11"}, "bad-multiplier", "10^10 or more"),
        (INVERSE, {"multiplier": "0x10"}, "bad-multiplier", "no decimal number"),
        (INVERSE, {"multiplier": "1e999"}, "bad-multiplier", "no decimal number"),
        (INVERSE, {"multiplier": True}, "bad-multiplier", "text or a number"),
        (INVERSE, {"multiplier": "0.000000001"}, "bad-multiplier", "9 digits"),
        (SPOT, {"tick": "1e-10"}, "tick-too-small", "10 digits behind the point, and 8 are stored"),
        (SPOT, {"tick": "0.000000015"}, "tick-too-small", "would be refused"),
        (SPOT, {"tick": 0}, "bad-tick", "above 0"),
        (SPOT, {"lot": "1e-9"}, "lot-too-small", "would be refused"),
        (SPOT, {"lot": "nan"}, "bad-lot", "'nan'"),
        (SPOT, {"expiry": T0}, "not-of-kind", "expiry"),
        (LINEAR, {"strike": "1"}, "not-of-kind", "strike"),
        (INVERSE, {"underlying": "BTC-USD"}, "not-of-kind", "underlying"),
        (OPTION, {"right": "C"}, "bad-right", "call or put"),
        (OPTION, {"right": ""}, "missing-field", "without right"),
        (OPTION, {"strike": None}, "missing-field", "without strike"),
        (OPTION, {"expiry": None}, "missing-field", "without expiry"),
        (OPTION, {"underlying": None}, "missing-field", "without underlying"),
        (OPTION, {"settlement": None}, "missing-field", "without settlement"),
        (OPTION, {"expiry": 1735286400}, "bad-expiry", "microseconds"),
        (OPTION, {"expiry": "2024-12-27T08:00:00"}, "bad-expiry", "offset"),
        (OPTION, {"expiry": "2024-13-27T08:00:00Z"}, "bad-expiry", "month"),
        (SPOT, {"effective": 1}, "bad-effective", "0 for always"),
        (SPOT, {"effective": "yesterday"}, "bad-effective", "no time"),
        (SPOT, {"effective": -T0}, "bad-effective", "from 2009 on"),
        (SPOT, {"ticks": "1"}, "unknown-field", "'ticks'"),
    ],
)
def test_what_is_no_fact_is_refused_with_its_reason(of: dict[str, Any], wrong: Any, reason: str, text: str) -> None:
    with pytest.raises(FactsError) as raised:
        facts_of({**of, **wrong})
    assert raised.value.reason == reason
    assert text in str(raised.value)


@pytest.mark.parametrize("facts", [SPOT, LINEAR, INVERSE, OPTION, {**INVERSE, "expiry": T0, "effective": T0}])
def test_facts_come_back_from_what_they_give(facts: dict[str, Any]) -> None:
    made = facts_of(facts)
    assert facts_of(made.given()) == made
    assert facts_of(json.loads(json.dumps(made.given()))) == made


def test_a_number_of_json_keeps_its_digits() -> None:
    (found,) = parse(
        b'{"venue":"x","symbol":"A","kind":"spot","base":"A","quote":"B","tick":0.10,"lot":1e-05}', "lines"
    )
    assert isinstance(found.read, Facts)
    assert (found.read.given()["tick"], found.read.given()["lot"]) == ("0.1", "0.00001")


FILES = [
    (
        "csv",
        "a.csv",
        b"\xef\xbb\xbfvenue,symbol,kind,base,quote,multiplier\r\nx,A,spot,A,B,\r\n\r\nx,B,inverse,A,B,0\r\nx,C\r\n",
        ["line 2", "line 4", "line 5"],
    ),
    (
        "lines",
        "a.jsonl",
        b'{"venue":"x","symbol":"A","kind":"spot","base":"A","quote":"B"}\n\n[1]\n{"venue":"x","venue":"y"}\n{\n',
        ["line 1", "line 3", "line 4", "line 5"],
    ),
    (
        "array",
        "a.json",
        b' [{"venue":"x","symbol":"A","kind":"spot","base":"A","quote":"B"}, 7, "{}", {"tick": NaNa}]'.replace(
            b"NaNa", b"[]"
        ),
        ["element 1", "element 2", "element 3", "element 4"],
    ),
]


@pytest.mark.parametrize(
    ("form", "name", "data", "places"), FILES, ids=lambda each: each if isinstance(each, str) else ""
)
def test_every_row_of_a_file_has_its_place(form: str, name: str, data: bytes, places: list[str]) -> None:
    assert form_of(name, data) == form
    rows = parse(data, form)  # type: ignore[arg-type]
    assert [each.place for each in rows] == places
    assert isinstance(rows[0].read, Facts)
    assert all(isinstance(each.read, Refusal) and each.read.error for each in rows[1:])


@pytest.mark.parametrize(
    ("form", "data", "text"),
    [
        ("csv", b"", "It is empty"),
        ("csv", b"venue,symbl\n", "'symbl'"),
        ("csv", b"venue,venue\n", "'venue'"),
        ("csv", b'venue,symbol\n"x', "no CSV"),
        ("csv", b"\xff", "not UTF-8"),
        ("array", b"{}", "no JSON array"),
        ("array", b"[{]", "no JSON array"),
        ("array", b"[" * 100_000, "no JSON array"),
        ("array", b'[{"tick": NaN}]', "NaN is no number"),
    ],
)
def test_what_has_no_rows_is_refused_as_a_whole(form: Any, data: bytes, text: str) -> None:
    with pytest.raises(UnreadableRowsError) as raised:
        parse(data, form)
    assert text in str(raised.value)


def test_a_row_holds_from_its_time_until_the_next_one() -> None:
    table = Table([row(T0 + 10, multiplier=2), row(T0, multiplier=1), row(T0 + 20, multiplier=3)])
    found = [table.at("x", "BTCUSD_PERP", T0 + at) for at in (-1, 0, 9, 10, 19, 20, 10**12)]
    assert [each and int(each.multiplier) for each in found] == [None, 1, 1, 2, 2, 3, 3]
    assert table.newest("x", "BTCUSD_PERP") == row(T0 + 20, multiplier=3)
    assert table.at("x", "OTHER", T0) is table.newest("y", "BTCUSD_PERP") is None
    always = table.with_rows([row(0, multiplier=9), row(T0 + 10, multiplier=8)])
    found = [always.at("x", "BTCUSD_PERP", at) for at in (0, T0 - 1, T0, T0 + 10)]
    assert [each and int(each.multiplier) for each in found] == [9, 9, 1, 8]
    assert len(always) == 4 and len(table) == 3


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3)), max_size=8), st.integers(0, 7))
def test_the_table_holds_what_a_slow_search_finds(rows: list[tuple[int, int]], at: int) -> None:
    table = Table(row(T0 + time, multiplier=value) for time, value in rows)
    kept = {time: value for time, value in rows if time <= at}
    found = table.at("x", "BTCUSD_PERP", T0 + at)
    assert (found and int(found.multiplier)) == (kept[max(kept)] if kept else None)


def test_a_row_that_says_what_holds_already_adds_nothing() -> None:
    table = Table([row(T0)])
    judged = judge(table, [row(T0), row(T0 + 5), row(T0 + 9, multiplier=10), row(T0 + 12)])
    assert (judged.added, judged.unchanged, judged.conflicts) == (2, 2, ())
    assert judge(table.with_rows(judged.new), judged.new).new == ()
    assert judge(table, [row(T0 - 1)]).added == 1


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_rows_are_judged_in_order_of_time_whatever_their_order(order: tuple[int, ...]) -> None:
    rows = [row(T0), row(T0 + 1, multiplier=2), row(T0 + 2)]
    table = Table(judge(Table(), [rows[i] for i in order]).new)
    assert [table.at("x", "BTCUSD_PERP", T0 + i) for i in range(3)] == rows


def test_other_facts_of_one_time_are_in_conflict_or_replace() -> None:
    table, other = Table([row(T0)]), row(T0, multiplier=10)
    judged = judge(table, [row(T0 + 1, multiplier=3), other])
    assert [each.index for each in judged.conflicts] == [1]
    assert judged.conflicts[0].error(other) == (f"x:BTCUSD_PERP has the multiplier 100 from {T0} on, and this says 10.")
    replaced = judge(table, [other], replace=True)
    assert (replaced.replaced, replaced.added, replaced.conflicts) == (1, 0, ())
    assert table.with_rows(replaced.new).at("x", "BTCUSD_PERP", T0) == other
    for rows in ([other, row(T0, multiplier=11)], [other, other, row(T0, multiplier=11)]):
        assert len(judge(table, rows, replace=True).conflicts) == 1  # which of the two is meant, nobody knows


@pytest.mark.parametrize(
    ("facts", "price", "quantity", "quote", "settlement"),
    [
        (SPOT, "60000.01", "0.00003", "1.8000003", "1.8000003"),
        ({**LINEAR, "multiplier": "0.01"}, "60000.1", "7", "4200.007", "4200.007"),
        (INVERSE, "60000", "9", "900", "0.015"),
        (INVERSE, "70000.3", "1", "100", "0.0014285653061487"),
        ({**OPTION, "multiplier": "10"}, "0.0525", "0.3", "0.1575", "0.1575"),
        (LINEAR, "9999999999.99999999", "9999999999.99999999", *["99999999999999999800.0000000000000001"] * 2),
    ],
)
def test_a_quantity_is_worth_what_its_kind_says(
    facts: dict[str, Any], price: str, quantity: str, quote: str, settlement: str
) -> None:
    made, at = facts_of(facts), (Decimal(price), Decimal(quantity))
    assert rounded_text(in_quote(made, *at)) == quote
    assert rounded_text(in_settlement(made, *at)) == settlement


def test_a_value_that_does_not_follow_from_the_facts_is_refused() -> None:
    with pytest.raises(NoValueError, match="settled in USDC"):
        in_settlement(facts_of({**LINEAR, "settlement": "USDC"}), Decimal(1), Decimal(1))
    with pytest.raises(NoValueError, match="price 0"):
        in_settlement(facts_of(INVERSE), Decimal(0), Decimal(1))


def test_values_are_rounded_half_even_by_integers() -> None:
    half = Fraction(1, 2 * 10**16)
    assert [rounded_text(Fraction(n, 10**16) + half) for n in (0, 1, 2)] == [
        "0",
        "0.0000000000000002",
        "0.0000000000000002",
    ]
    assert rounded_text(Fraction(2, 3), 4) == "0.6667"


def test_the_names_of_facts_are_the_columns_of_a_file() -> None:
    assert FIELDS[:5] == ("venue", "symbol", "kind", "base", "quote") and FIELDS[-1] == "effective"
