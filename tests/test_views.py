"""Views by example: definitions and their hash, exact numbers, overflow, merges and rows."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slackwater.views.view
from slackwater.core.decimals import decimal_text
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Answer, Column, Ratio, ratio_units
from slackwater.views.bars import BARS
from slackwater.views.errors import OverflowingStateError, UnknownViewError, ViewError
from slackwater.views.finished import finished_schema
from slackwater.views.interval import parse_interval
from slackwater.views.keys import Bucket
from slackwater.views.measures import Count, First, Last, Measure, Min, Sum
from slackwater.views.registry import VIEWS, registered
from slackwater.views.rows import Row, rows_of, table_of
from slackwater.views.session import Summariser, connect
from slackwater.views.sql import bounds_sql, finish_sql, merge_sql
from slackwater.views.view import View
from tests import naive
from tests.draws import LARGEST_PRICE, events_table
from tests.laws import merge_all
from tests.naive import A_MONDAY_US, SECOND_US, Event
from tests.profiles import examples

T0 = A_MONDAY_US
MEASURES: dict[str, Measure] = {"size": Sum("quantity"), "last": Last("price", by="sequence")}
ANSWERS: dict[str, Answer] = {"size": Column("size", gap="0"), "same": Ratio("size", "size")}
SMALL = View(name="small", measures=MEASURES, answers=ANSWERS, stream=TRADES)


def trade(trade_id: int = 1, time: int = T0, price: int = 10**8, quantity: int = 10**8, side: str = "buy") -> Event:
    return Event("binance", "BTCUSDT", trade_id, time, price, quantity, side)


def states_table(view: View, *states: tuple[int, ...]) -> pa.Table:
    """The states as a table, a second apart."""
    return table_of(view, [Row(("v", "S"), T0 + i * SECOND_US, state) for i, state in enumerate(states)])


def answers_in_sql(view: View, *states: tuple[int, ...]) -> list[tuple[object, ...]]:
    with connect(threads=1) as con:
        con.register("states", states_table(view, *states))
        return [line[3:] for line in sorted(con.execute(finish_sql(view, "states")).fetchall())]


# ----------------------------------------------------------------------------------------------------------- definition


def test_the_definition_of_bars_is_what_it_was() -> None:
    # Published versions and deltas carry this. If it changes, what `bars` means has changed: say so in the changelog.
    assert BARS.definition == "a14e786f19202bf8"


OTHER_MEANINGS = {
    "name": replace(SMALL, name="other"),
    "stream": replace(SMALL, stream=replace(TRADES, name="fills")),
    "key": replace(SMALL, key=("venue", "symbol", "side")),
    "a derived key": replace(SMALL, key=("venue", "symbol", "bucket"), derived={"bucket": Bucket("quantity")}),
    "a bucket's digits": replace(SMALL, key=("venue", "symbol", "bucket"), derived={"bucket": Bucket("quantity", 2)}),
    "the base": replace(SMALL, base="5s", published=("5s", "1m", "1h")),
    "what is published": replace(SMALL, published=("1s", "1m", "1h", "1d")),
    "a measure's expression": replace(SMALL, measures={**MEASURES, "size": Sum("price")}),
    "a measure's kind": replace(SMALL, measures={**MEASURES, "last": First("price", by="sequence")}),
    "a measure's order": replace(SMALL, measures={**MEASURES, "last": Last("price", by="time")}),
    "a measure's name": replace(SMALL, measures={"size": Sum("quantity"), "final": Last("price", by="sequence")}),
    "one measure more": replace(SMALL, measures={**MEASURES, "events": Count()}),
    "one measure less": replace(SMALL, measures={"size": Sum("quantity")}),
    "the order of measures": replace(SMALL, measures=dict(reversed(MEASURES.items()))),
    "an answer's column": replace(SMALL, answers={**ANSWERS, "size": Column("last", gap="0")}),
    "an answer's kind": replace(SMALL, answers={**ANSWERS, "size": Ratio("size", "size", gap="0")}),
    "an answer's gap": replace(SMALL, answers={**ANSWERS, "size": Column("size")}),
    "an answer's name": replace(SMALL, answers={"volume": Column("size", gap="0"), "same": Ratio("size", "size")}),
    "one answer less": replace(SMALL, answers={"size": Column("size", gap="0")}),
    "the order of answers": replace(SMALL, answers=dict(reversed(ANSWERS.items()))),
}


def test_every_part_of_the_meaning_changes_the_definition() -> None:
    definitions = [SMALL.definition, *(view.definition for view in OTHER_MEANINGS.values())]
    assert len(set(definitions)) == len(definitions)
    assert all(len(d) == 16 and int(d, 16) >= 0 for d in definitions)


@pytest.mark.parametrize("constant", ["GRID", "MAX_LINES"])
def test_every_constant_of_the_meaning_changes_the_definition(constant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = replace(SMALL).definition
    monkeypatch.setattr(slackwater.views.view, constant, getattr(slackwater.views.view, constant) + 1)
    assert replace(SMALL).definition != before


def test_a_view_declared_again_is_the_same_view() -> None:
    again = View(
        name="".join(["sm", "all"]),
        measures={"size": Sum("quantity"), "last": Last("price", by="sequence")},
        answers={"size": Column("size", gap="0"), "same": Ratio("size", "size")},
        stream=TRADES,
    )
    assert again.measures is not SMALL.measures
    assert (again.definition, again, hash(again)) == (SMALL.definition, SMALL, hash(SMALL))
    through = pickle.loads(pickle.dumps(SMALL))
    assert (through.definition, through, through.state_schema) == (SMALL.definition, SMALL, SMALL.state_schema)


def test_views_with_measures_in_another_order_are_other_views_and_never_share_a_state() -> None:
    #   state of `ab`: (price, quantity)      state of `ba`: (quantity, price)
    ab = View("x", {"a": Sum("price"), "b": Sum("quantity")}, {"a": Column("a")}, stream=TRADES)
    ba = View("x", {"b": Sum("quantity"), "a": Sum("price")}, {"a": Column("a")}, stream=TRADES)
    assert ab != ba
    summariser = Summariser((ab, ba))
    events = events_table([trade(price=5, quantity=7)])
    assert summariser.rows(ab, events)[0].state == (5 * 10**8, 7 * 10**8)
    assert summariser.rows(ba, events)[0].state == (7 * 10**8, 5 * 10**8)
    assert (ab.finish((16, 0)), ba.finish((16, 0))) == ({"a": "0.0000000000000016"}, {"a": "0"})
    summariser.close()


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_definition_is_the_same_in_every_process(seed: str) -> None:
    program = "from slackwater.views.registry import VIEWS; print(*(view.definition for view in VIEWS))"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.split() == [view.definition for view in VIEWS]


def test_a_view_is_found_by_its_name() -> None:
    assert registered(only=["bars"]) == (BARS,)
    assert len({view.name for view in VIEWS}) == len(VIEWS)
    with pytest.raises(UnknownViewError, match=r"No view 'bar'\. There are bars"):
        registered(only=["bar"])


def test_every_kind_has_its_own_state_columns() -> None:
    view = View(
        "x",
        {"a": First("price", by="sequence"), "b": Min("price"), "c": Sum("price"), "d": Count()},
        {},
        key=("venue", "symbol", "side"),
        stream=TRADES,
    )
    price, total = pa.decimal128(18, 8), pa.decimal128(38, 16)
    assert [(f.name, f.type, f.nullable) for f in view.state_schema] == [
        ("venue", pa.string(), False),
        ("symbol", pa.string(), False),
        ("side", pa.string(), False),
        ("start", pa.int64(), False),
        ("a_id", pa.int64(), False),
        ("a", price, False),
        ("b", price, False),
        ("c", total, False),
        ("d", pa.int64(), False),
    ]
    assert [(c.name, c.scale) for c in view.columns] == [("a_id", 0), ("a", 8), ("b", 8), ("c", 16), ("d", 0)]


# -------------------------------------------------------------------------------------------------------- exact numbers


@pytest.mark.parametrize(
    ("units", "scale", "text"),
    [
        (0, 8, "0"),
        (1, 8, "0.00000001"),
        (-1, 8, "-0.00000001"),
        (10, 8, "0.0000001"),
        (10**8, 8, "1"),
        (10**9, 8, "10"),
        (150_000_000, 8, "1.5"),
        (-150_000_000, 8, "-1.5"),
        (LARGEST_PRICE, 8, "9999999999.99999999"),
        (10**18, 8, "10000000000"),
        (1, 16, "0.0000000000000001"),
        (10**38 - 1, 16, "9999999999999999999999.9999999999999999"),
        (1 - 10**38, 16, "-9999999999999999999999.9999999999999999"),
    ],
)
def test_a_decimal_is_text_without_exponent_and_trailing_zeros(units: int, scale: int, text: str) -> None:
    assert decimal_text(units, scale) == text


@examples(300)
@given(st.integers(1 - 10**38, 10**38 - 1), st.sampled_from([8, 16]))
def test_a_decimal_as_text_is_what_the_oracle_says(units: int, scale: int) -> None:
    assert decimal_text(units, scale) == naive.text(units, scale)


# over and under of a ratio, and the quotient, all in units of 1e-8 of the quotient: over = quotient * under
RATIOS = {
    "exact": (6, 2, "0.00000003"),
    "down": (10, 3, "0.00000003"),
    "up": (11, 3, "0.00000004"),
    "tie to the even one below": (1, 2, "0"),
    "tie to the even one above": (3, 2, "0.00000002"),
    "tie to the even one below again": (5, 2, "0.00000002"),
    "tie below zero, towards zero": (-1, 2, "0"),
    "tie below zero, away from zero": (-3, 2, "-0.00000002"),
    "tie with a divisor below zero": (3, -2, "-0.00000002"),
    "both below zero": (-3, -2, "0.00000002"),
    "no tie with an odd divisor, below": (1, 3, "0"),
    "no tie with an odd divisor, above": (2, 3, "0.00000001"),
    "odd quotient, odd divisor, below": (4, 3, "0.00000001"),
    "odd quotient, odd divisor, above": (5, 3, "0.00000002"),
    "under a tie": (2 * 10**20 - 1, 4 * 10**20, "0"),
    "over a tie": (2 * 10**20 + 1, 4 * 10**20, "0.00000001"),
    "zero": (0, 7, "0"),
    "carry into the whole": (2 * 10**8 - 1, 2, "1"),
    "the largest over the smallest": (10**38 - 1, 1, "999999999999999999999999999999.99999999"),
    "the largest over the largest": (10**38 - 1, 10**30 - 1, "1"),
    "the smallest over the largest": (1, 10**30 - 1, "0"),
}
RATIO = View("x", {"over": Sum("quantity"), "under": Sum("price")}, {"ratio": Ratio("over", "under")}, stream=TRADES)


@pytest.mark.parametrize("case", RATIOS)
def test_a_ratio_is_rounded_half_even_in_python_and_in_sql(case: str) -> None:
    over, under, text = RATIOS[case]
    assert decimal_text(ratio_units(over, under * 10**8), 8) == text
    assert RATIO.finish((over, under * 10**8)) == {"ratio": text}
    assert answers_in_sql(RATIO, (over, under * 10**8)) == [(text,)]


def test_a_ratio_without_a_divisor_is_null_in_python_in_sql_and_in_arrow() -> None:
    assert RATIO.finish((10**16, 0)) == {"ratio": None}
    assert answers_in_sql(RATIO, (10**16, 0)) == [(None,)]
    assert finished_schema(RATIO).field("ratio").nullable


@pytest.mark.parametrize("under", [1, 10**8 - 1, 10**8 + 1, -1, 150_000_000])
def test_a_ratio_whose_divisor_does_not_fit_is_refused_in_python_and_in_sql(under: int) -> None:
    with pytest.raises(ViewError, match=f"{under} in units of 1e-16 is no divisor"):
        ratio_units(10**16, under)
    with pytest.raises(duckdb.Error, match="Division by zero"):
        answers_in_sql(RATIO, (10**16, under))


def test_a_bar_by_hand() -> None:
    #   id       8      7      9      9
    #   time     0.5    0.9    0.1    0.999999      the close is of the largest id: 9, and of two the larger price
    #   price    20     10     30     31            the open of the smallest: 7
    #   amount   1 buy  2 sell 0.5    0.00000001
    unit = 10**8
    events = [
        trade(8, T0 + 500_000, 20 * unit, unit),
        trade(7, T0 + 900_000, 10 * unit, 2 * unit, "sell"),
        trade(9, T0 + 100_000, 30 * unit, unit // 2),
        trade(9, T0 + 999_999, 31 * unit, 1),
    ]
    summariser = Summariser((BARS,))
    (row,) = summariser.rows(BARS, events_table(events))
    summariser.close()
    assert (row.key, row.start) == (("binance", "BTCUSDT"), T0)
    assert BARS.finish(row.state) == {
        "open": "10",
        "high": "31",
        "low": "10",
        "close": "31",
        "volume": "3.50000001",
        "notional": "55.00000031",
        "vwap": "15.71428576",  # 15.714285756...
        "buy_volume": "1.50000001",
        "trades": 4,
        "first_sequence": 7,
        "last_sequence": 9,
    }
    assert answers_in_sql(BARS, row.state) == [tuple(BARS.finish(row.state).values())]


# ------------------------------------------------------------------------------------------------------------- overflow

SUM_MAX = 10**38 - 1
COUNT_MAX = 2**63 - 1
TALLY = View(
    "x",
    {"total": Sum("quantity"), "events": Count()},
    {"total": Column("total"), "events": Column("events")},
    stream=TRADES,
)


def merged_in_sql(view: View, *states: tuple[int, ...]) -> list[Row]:
    with connect(threads=1) as con:
        con.register("states", states_table(view, *states))
        return rows_of(view, con.sql(merge_sql(view, "states", parse_interval("1h"))).to_arrow_table())


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((SUM_MAX, 1), (1, 1)),
        ((SUM_MAX, 1), (SUM_MAX, 1)),
        ((-SUM_MAX, 1), (-1, 1)),
        ((6 * 10**37, 1), (6 * 10**37, 1)),  # fits 128 bits, not 38 digits
        ((0, COUNT_MAX), (0, 1)),
        ((0, COUNT_MAX), (0, COUNT_MAX)),
    ],
)
def test_a_merge_that_does_not_fit_raises_in_python_and_in_sql(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    for pair in ((a, b), (b, a)):
        with pytest.raises(OverflowingStateError, match="does not fit"):
            TALLY.merge(*pair)
        with pytest.raises(duckdb.Error, match=r"Overflow|out of range"):
            merged_in_sql(TALLY, *pair)


def test_a_merge_that_fits_by_one_unit_is_exact_in_python_and_in_sql() -> None:
    for a, b in (((SUM_MAX - 1, COUNT_MAX - 1), (1, 1)), ((1 - SUM_MAX, 1), (-1, COUNT_MAX - 1))):
        total = a[0] + b[0]
        assert TALLY.merge(a, b) == (total, COUNT_MAX)
        assert merged_in_sql(TALLY, a, b) == [Row(("v", "S"), T0, (total, COUNT_MAX))]


def test_a_summary_that_does_not_fit_raises_and_the_next_segment_is_summarised() -> None:
    summariser = Summariser((BARS,))
    large = [trade(i, price=LARGEST_PRICE, quantity=LARGEST_PRICE) for i in range(101)]  # far beyond the contract
    with pytest.raises(duckdb.Error, match="Overflow"):
        summariser.rows(BARS, events_table(large))
    assert summariser.rows(BARS, events_table([trade()])) == naive.summarise(BARS, [trade()])
    with pytest.raises(duckdb.Error, match="Overflow"):
        summariser.table(BARS, events_table(large))
    assert summariser.rows(BARS, events_table(large[:99])) == naive.summarise(BARS, large[:99])
    summariser.close()


# ------------------------------------------------------------------------------------------------------- merge and rows


def test_a_merge_returns_a_new_state_and_nothing_is_the_identity() -> None:
    a, b = (1, 5, 9, 5, 1, 5, 1, 1, 0, 1), (2, 6, 6, 6, 2, 6, 2, 2, 2, 1)
    kept = (tuple(a), tuple(b))
    assert BARS.merge(a, b) == (1, 5, 9, 5, 2, 6, 3, 3, 2, 2)
    assert (a, b) == kept
    assert merge_all(BARS, iter([])) is None
    assert merge_all(BARS, iter([a])) == a
    assert merge_all(BARS, iter([a, b])) == BARS.merge(a, b)


def test_a_table_without_rows_has_the_schema_and_no_rows() -> None:
    assert table_of(BARS, []).schema == BARS.state_schema
    assert rows_of(BARS, BARS.state_schema.empty_table()) == []
    assert rows_of(BARS, pa.Table.from_batches([], schema=BARS.state_schema)) == []


@pytest.mark.parametrize("column", ["volume", "trades", "open", "open_id"])
def test_a_null_in_a_state_is_refused(column: str) -> None:
    table = states_table(BARS, (1,) * 10)
    at = table.schema.get_field_index(column)
    with pytest.raises(ViewError, match="1 nulls"):
        rows_of(BARS, table.set_column(at, column, pa.nulls(1, table.schema.field(at).type)))


def test_bounds_are_the_first_and_the_last_start_of_each_instrument() -> None:
    rows = [Row(("v", s), T0 + n * SECOND_US, (1,) * 10) for s, n in (("A", 5), ("A", 2), ("A", 9), ("B", 7))]
    with connect(threads=1) as con:
        con.register("states", table_of(BARS, rows))
        found = sorted(con.execute(bounds_sql(TRADES, "states")).fetchall())
    assert found == [("v", "A", T0 + 2 * SECOND_US, T0 + 9 * SECOND_US, 3), ("v", "B", *[T0 + 7 * SECOND_US] * 2, 1)]
