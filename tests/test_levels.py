"""Calendar intervals, which published bars tile which, and which levels make up a prefix."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.views.bars import BARS
from slackwater.views.errors import IntervalError
from slackwater.views.interval import CLOSED_AFTER_US, Interval, parse_interval
from slackwater.views.levels import finer_published, prefix_levels, published_by
from slackwater.views.session import connect
from slackwater.views.sql import end_sql, floor_sql
from slackwater.views.view import View
from tests import naive
from tests.draws import EARLIEST_US, INTERVALS, YEAR_9999_US
from tests.naive import DAY_US, SECOND_US
from tests.profiles import examples

MONTH, YEAR, TOTAL, WEEK = (parse_interval(text) for text in ("1M", "1y", "total", "1w"))
DEEP = replace(BARS, published=("1s", "1m", "1h", "1d", "1w", "1M", "1y", "total"))


def us(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * SECOND_US  # type: ignore[misc, arg-type]


def test_every_day_of_400_years_lies_in_its_month_and_year() -> None:
    day = datetime(1970, 1, 1, tzinfo=UTC)
    for number in range(146_097):
        month, year = MONTH.floor(number * DAY_US + 5), YEAR.floor(number * DAY_US + 5)
        assert (month, year) == ((number - day.day + 1) * DAY_US, (number - day.timetuple().tm_yday + 1) * DAY_US)
        day += timedelta(days=1)


@examples(200)
@given(st.integers(EARLIEST_US, 2**62 - 1), st.sampled_from(INTERVALS))
def test_a_bar_ends_where_the_next_one_begins(time: int, interval: Interval) -> None:
    start = interval.floor(time)
    end = interval.end(start)
    assert start == naive.floor(time, interval)
    assert start <= time < end and end - start <= interval.us
    assert interval.floor(end - 1) == start
    assert interval.before(end) == start
    if interval is not TOTAL:
        assert interval.floor(end) == end


@examples(60)
@given(st.lists(st.integers(EARLIEST_US, 2**62 - 1), min_size=1, max_size=20), st.sampled_from(INTERVALS))
def test_the_floor_and_the_end_in_sql_are_those_in_python(times: list[int], interval: Interval) -> None:
    with connect(threads=1) as con:
        con.execute("CREATE TABLE t (n BIGINT, time BIGINT)")
        con.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(times)))
        floor = f"({floor_sql('time', interval)})"
        found = con.execute(f"SELECT {floor}, {end_sql(floor, interval)} FROM t ORDER BY n").fetchall()
    assert found == [(interval.floor(time), interval.end(interval.floor(time))) for time in times]


@examples(200)
@given(st.integers(EARLIEST_US, YEAR_9999_US), st.sampled_from(INTERVALS))
def test_the_last_closed_bar_is_the_last_one_that_ended_two_seconds_ago(newest: int, interval: Interval) -> None:
    last = interval.last_closed(newest)
    start = interval.floor(newest)
    for bar in (start, interval.before(start), interval.before(interval.before(start))):
        assert (bar <= last) == (interval.end(bar) + CLOSED_AFTER_US <= newest)


def test_a_month_is_tiled_by_days_and_not_by_weeks() -> None:
    names = ("1s", "1h", "1d", "1w", "1M", "1y", "total")
    tiles = {a: [b for b in names if parse_interval(a).tiles(parse_interval(b))] for a in names}
    assert tiles["1s"] == list(names)
    assert tiles["1h"] == list(names[1:])
    assert tiles["1d"] == ["1d", "1w", "1M", "1y", "total"]
    assert tiles["1w"] == ["1w", "total"]
    assert tiles["1M"] == ["1M", "1y", "total"]
    assert tiles["1y"] == ["1y", "total"]
    assert tiles["total"] == ["total"]


@pytest.mark.parametrize("text", [interval.text for interval in INTERVALS[-20:]])
def test_tiling_is_what_the_bars_say(text: str) -> None:
    """a tiles b: wherever a bar of b begins, a bar of a begins."""
    a = parse_interval(text)
    starts = [us(2023, 12, 31) + n * DAY_US for n in range(800)]
    for b in (parse_interval(name) for name in ("1d", "1w", "1M", "1y", "total")):
        begins = {b.floor(time) for time in starts} - {0}
        expected = all(a.floor(start) == start for start in begins) and a.us <= b.us
        assert a.tiles(b) == expected, (a.text, b.text)


@pytest.mark.parametrize(
    ("interval", "level", "finer"),
    [
        *(("1s", "1s", None), ("5m", "1m", None), ("1d", "1d", "1h"), ("1w", "1w", "1d"), ("1M", "1M", "1d")),
        *(("1y", "1y", "1M"), ("total", "total", "1y"), ("12h", "1h", None)),
    ],
)
def test_a_read_is_made_of_the_coarsest_published_bars_that_tile_it(
    interval: str, level: str, finer: str | None
) -> None:
    assert DEEP.coarsest[interval].text == level
    if finer is not None:
        assert finer_published(DEEP, parse_interval(interval)).text == finer


def test_a_view_is_not_read_at_what_its_base_does_not_divide() -> None:
    minutes = replace(BARS, base="5m", published=("5m", "1h"))
    assert minutes.coarsest["15m"].text == "5m"
    assert not {"1m", "1s", "90s"} & minutes.coarsest.keys()


def test_what_is_published_by_several_views_stands_once_the_finest_first() -> None:
    hours = replace(BARS, name="hours", base="1h", published=("1h", "1M"))
    assert [interval.text for interval in published_by([BARS, hours])] == ["1s", "1m", "1h", "1M"]


def test_a_prefix_is_read_from_the_coarsest_levels() -> None:
    at = us(2026, 11, 28, 10, 30, 7)
    assert [(level.interval.text, level.low, level.high) for level in prefix_levels(DEEP, at)] == [
        ("1y", 0, us(2026, 1, 1)),
        ("1M", us(2026, 1, 1), us(2026, 11, 1)),
        ("1d", us(2026, 11, 1), us(2026, 11, 28)),
        ("1h", us(2026, 11, 28), us(2026, 11, 28, 10)),
        ("1m", us(2026, 11, 28, 10), us(2026, 11, 28, 10, 30)),
        ("1s", us(2026, 11, 28, 10, 30), at),
    ]


def test_the_total_answers_only_where_all_lies_before_the_time() -> None:
    at = us(2026, 11, 28)
    assert [level.interval for level in prefix_levels(DEEP, at, newest=at - SECOND_US)] == [TOTAL]
    for newest in (at, at + SECOND_US, None):
        assert TOTAL not in [level.interval for level in prefix_levels(DEEP, at, newest)]


def test_a_prefix_up_to_within_a_bar_of_the_base_is_refused() -> None:
    with pytest.raises(IntervalError, match="lies within a bar of 1s") as refused:
        prefix_levels(BARS, us(2026, 11, 28) + 1)
    assert str(us(2026, 11, 28)) in refused.value.hint


@pytest.mark.parametrize("view", [BARS, DEEP, replace(BARS, published=("1s", "1d", "1w", "1M"))])
@examples(100)
@given(st.integers(EARLIEST_US // SECOND_US, YEAR_9999_US // SECOND_US))
def test_the_levels_of_a_prefix_follow_on_each_other(view: View, seconds: int) -> None:
    levels = prefix_levels(view, seconds * SECOND_US)
    assert levels[0].low == 0 and levels[-1].high == seconds * SECOND_US
    for one, next_one in pairwise(levels):
        assert one.high == next_one.low
    for interval, low, high in levels:
        assert low < (high or 0) and interval.floor(low) == low and interval.floor(high or 0) == high
