"""Buckets and the quantiles that they give: in Python, in SQL, and against the sorted numbers themselves."""

from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.decimals import decimal_text
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Quantiles
from slackwater.views.bars import BARS
from slackwater.views.expressions import kind_in
from slackwater.views.interval import parse_interval
from slackwater.views.keys import Bucket
from slackwater.views.kinds import INTEGER
from slackwater.views.measures import Count
from slackwater.views.quantiles import quantile_key, quantile_kinds, quantile_rows, quantiles_sql
from slackwater.views.rows import table_of
from slackwater.views.session import connect
from slackwater.views.sizes import SIZES
from slackwater.views.view import View
from tests import naive
from tests.draws import LARGEST_PRICE, event_lists
from tests.laws import merged_in_sql, summarised
from tests.profiles import examples

_numbers = st.integers(0, 10**12) | st.integers(0, 10**38 - 1) | st.sampled_from([0, 999, 1000, 9999, 10**18])
_signed = st.builds(lambda n, sign: n * sign, _numbers, st.sampled_from([1, -1]))


@pytest.mark.parametrize(
    ("units", "bucket", "low", "high"),
    [
        (0, 0, 0, 1),
        (7, 7, 7, 8),
        (999, 999, 999, 1000),
        (1000, 1100, 1000, 1010),
        (1234, 1123, 1230, 1240),
        (9999, 1999, 9990, 10_000),
        (98_765, 2987, 98_700, 98_800),
        (-7, -7, -7, -6),
        (-1234, -1123, -1239, -1229),
    ],
)
def test_a_bucket_by_hand(units: int, bucket: int, low: int, high: int) -> None:
    assert Bucket("x").of(units) == bucket
    assert Bucket("x").bounds(bucket) == (low, high)


@examples(300)
@given(_signed, _signed, st.integers(1, 6))
def test_a_number_lies_in_its_bucket_and_buckets_are_in_order(a: int, b: int, digits: int) -> None:
    bucket = Bucket("x", digits)
    low, high = bucket.bounds(bucket.of(a))
    assert low <= a < high
    assert bucket.of(a) == naive.bucket(a, digits) == bucket.of(low) == bucket.of(high - 1)
    assert high - low == 1 or (high - low) * 10 ** (digits - 1) <= abs(a)
    assert (bucket.of(a) <= bucket.of(b)) or a > b


@pytest.mark.parametrize(
    ("expr", "scale", "most"),
    [
        *(("price", 8, LARGEST_PRICE), ("-price", 8, LARGEST_PRICE)),
        *(("sequence", 0, 2**63 - 1), ("-sequence", 0, 2**63 - 1)),
        *(("price::DECIMAL(19,8) * quantity", 16, 10**29 - 1), ("price::DECIMAL(38,12)", 12, 10**22 - 1)),
    ],
)
@examples(30)
@given(data=st.data())
def test_a_bucket_and_its_bounds_in_sql_are_those_in_python(expr: str, scale: int, most: int, data: Any) -> None:
    """The expression is replaced by a column of its type, so that every number can be drawn."""
    kind = kind_in(TRADES, expr)
    numbers = data.draw(st.lists(_numbers.filter(lambda n: n <= most), min_size=1, max_size=20))
    numbers = [-n if expr.startswith("-") else n for n in numbers]
    bucket = Bucket(expr)
    column = bucket.column("bucket", lambda _: kind)
    low, high = bucket.bounds_sql("bucket", kind.digits)
    with connect(threads=1) as con:
        con.execute(f"CREATE TABLE t (n INTEGER, x {kind.sql})")
        con.executemany(
            "INSERT INTO t VALUES (?, ?)", [(i, naive.text(n, scale) if scale else n) for i, n in enumerate(numbers)]
        )
        of = f"(SELECT n, {column.sql.replace(expr, 'x')} AS bucket FROM t)"
        found = con.execute(f"SELECT bucket, {low}, {high} FROM {of} ORDER BY n").fetchall()
    assert found == [(bucket.of(n), *bucket.bounds(bucket.of(n))) for n in numbers]


def test_the_least_integer_of_64_bits_has_a_bucket() -> None:
    sql = Bucket("x").column("bucket", lambda _: INTEGER).sql
    with connect(threads=1) as con:
        ((found,),) = con.execute(f"SELECT {sql} FROM (SELECT ({-(2**63)})::BIGINT AS x)").fetchall()
    assert found == Bucket("x").of(-(2**63)) == -16922


@examples(60)
@given(event_lists(), st.sampled_from(["1s", "1M", "total"]))
def test_quantiles_hold_the_number_of_their_rank_between_their_bounds(events: list[Any], text: str) -> None:
    interval = parse_interval(text)
    rows = merged_in_sql(SIZES, summarised(SIZES, events), interval)
    found = quantile_rows(SIZES, rows)
    groups: dict[Any, list[int]] = {}
    for event in events:
        groups.setdefault((event.venue, event.symbol, naive.floor(event.time, interval)), []).append(event.quantity)
    assert {(*each.key, each.start) for each in found} == set(groups)
    for each in found:
        sizes = sorted(groups[*each.key, each.start])
        for name, part in (("p50", (1, 2)), ("p90", (9, 10)), ("p99", (99, 100))):
            number = sizes[max(1, ceil(len(sizes) * part[0] / part[1])) - 1]
            low, high = Bucket("quantity").bounds(naive.bucket(number, 3))
            assert low <= number < high
            assert each.answers[f"{name}_low"] == decimal_text(low, 8)
            assert each.answers[f"{name}_high"] == decimal_text(high, 8)


@examples(40)
@given(event_lists())
def test_quantiles_in_sql_are_those_in_python(events: list[Any]) -> None:
    rows = summarised(SIZES, events)
    with connect(threads=1) as con:
        con.register("states", table_of(SIZES, rows))
        lines = con.execute(quantiles_sql(SIZES, "states")).fetchall()
    kinds = list(quantile_kinds(SIZES).values())
    width = len(quantile_key(SIZES)) + 1
    found = {
        line[:width]: [k.answer(int(v.scaleb(k.scale))) for k, v in zip(kinds, line[width:], strict=True)]
        for line in lines
    }
    assert found == {(*each.key, each.start): list(each.answers.values()) for each in quantile_rows(SIZES, rows)}
    assert all(list(each.answers) == list(quantile_kinds(SIZES)) for each in quantile_rows(SIZES, rows))


def test_a_quantile_of_what_may_be_nothing_is_null() -> None:
    view = View(
        name="sells",
        derived={"bucket": Bucket("quantity")},
        measures={"sells": Count(where="side = 'sell'")},
        answers={},
        quantiles={"p50": Quantiles("0.5", of="sells")},
        stream=TRADES,
    )
    assert view.key == ("venue", "symbol", "bucket")
    rows = summarised(view, [naive.Event("v", "S", 1, naive.A_MONDAY_US, 1, 1, "buy")])
    (found,) = quantile_rows(view, rows)
    assert found.answers == {"p50_low": None, "p50_high": None}
    with connect(threads=1) as con:
        con.register("states", table_of(view, rows))
        assert con.execute(quantiles_sql(view, "states")).fetchall() == [("v", "S", naive.A_MONDAY_US, None, None)]


def test_a_view_without_buckets_has_no_quantiles() -> None:
    assert quantile_kinds(BARS) == {}
