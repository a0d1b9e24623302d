"""Intervals: which texts name one, where its bars start, and which published bars tile it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_layer.sink import PartWriter
from slackwater.views.bars import BARS
from slackwater.views.errors import IntervalError
from slackwater.views.interval import INTERVALS, NAMED_INTERVALS, PUBLISHED_INTERVALS, Interval, parse_interval
from slackwater.views.rows import Row, table_of
from slackwater.views.session import connect
from slackwater.views.sql import merge_sql
from tests import naive
from tests.draws import EARLIEST_US
from tests.naive import A_MONDAY_US, SECOND_US, WEEK_US
from tests.profiles import examples

T0 = A_MONDAY_US


def test_every_divisor_of_a_day_is_an_interval_and_no_other_number_of_seconds() -> None:
    for seconds in range(1, 86_401):
        text = f"{seconds}s"
        if 86_400 % seconds == 0:
            assert parse_interval(text) == Interval(text, seconds * SECOND_US)
        else:
            with pytest.raises(IntervalError):
                parse_interval(text)


@pytest.mark.parametrize(
    ("text", "us"),
    [("1m", 60), ("90m", 5400), ("1440m", 86_400), ("1h", 3600), ("8h", 28_800), ("24h", 86_400), ("1d", 86_400)],
)
def test_an_interval_has_units(text: str, us: int) -> None:
    assert parse_interval(text) == Interval(text, us * SECOND_US)
    assert parse_interval(text).origin_us == 0


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "s",
            "1",
            "0s",
            "00s",
            "01s",
            "-1s",
            "+1s",
            "1.5s",
            "1e1s",
            " 1s",
            "1s ",
            "1s\n",
            "1 s",
            "1S",
            "1ms",
        ),
        *(
            "1us",
            "\u0661s",
            "\uff11s",
            "1s1s",
            "7s",
            "7m",
            "5h",
            "2d",
            "7d",
            "168h",
            "604800s",
            "2w",
            "0w",
            "01w",
        ),
        *("86401s", "999999s", "1000000s", "9" * 5000 + "s"),
    ],
)
def test_what_is_no_interval_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(IntervalError) as refused:
        parse_interval(text)
    assert refused.value.fact == f"{text!r} is no interval."
    assert refused.value.hint == "Use 1s, 5s, 1m, 15m, 1h, 1d or any that divides a day, or 1w, 1M, 1y, total."
    assert not refused.value.retriable


def test_a_week_starts_on_monday() -> None:
    #   Sat 4 Oct   Sun 5 Oct   | Mon 6 Oct ........ Sun 12 Oct | Mon 13 Oct
    week = parse_interval("1w")
    monday = datetime(2025, 10, 6, tzinfo=UTC)
    assert monday.timestamp() * SECOND_US == T0
    assert monday.weekday() == 0
    assert week.floor(T0) == T0
    assert week.floor(T0 - 1) == T0 - WEEK_US
    assert week.floor(T0 + WEEK_US - 1) == T0
    assert week.floor(T0 + WEEK_US) == T0 + WEEK_US
    assert datetime.fromtimestamp(week.floor(EARLIEST_US) / SECOND_US, UTC) == datetime(2008, 12, 29, tzinfo=UTC)


@examples(200)
@given(st.integers(EARLIEST_US, 2**63 - 1), st.sampled_from(NAMED_INTERVALS))
def test_a_floor_is_the_last_start_at_or_before_the_time(time: int, interval: Interval) -> None:
    start = interval.floor(time)
    assert start <= time < start + interval.us
    assert interval.floor(start) == start
    assert start == naive.floor(time, interval.us)


def test_the_published_intervals_tile_every_interval() -> None:
    assert [i.text for i in PUBLISHED_INTERVALS] == ["1s", "1m", "1h"]
    coarsest = {i.text: BARS.coarsest[i.text].text for i in NAMED_INTERVALS}
    assert {text for text, found in coarsest.items() if found == "1s"} == {"1s", "5s", "10s", "15s", "30s"}
    assert {text for text, found in coarsest.items() if found == "1m"} == {"1m", "3m", "5m", "15m", "30m"}
    assert {text for text, found in coarsest.items() if found == "1h"} == {
        *("1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w")
    }
    assert BARS.coarsest["90m"].text == "1m"
    assert BARS.coarsest["90s"].text == "1s"


def test_no_table_and_no_folder_of_two_intervals_has_one_name_where_capitals_do_not_count() -> None:
    words = {each.word.lower() for each in INTERVALS.values()}
    assert len(words) == len(INTERVALS) and {"1m", "1mo"} < words


def test_a_view_may_publish_minutes_and_months(tmp_path: Path) -> None:
    view = replace(BARS, published=("1s", "1m", "1h", "1M", "1y"))
    first = (("x", "BTC"), T0, (1, 100, 100, 100, 1, 100, 5, 5, 5, 0, 1)[: len(view.columns)])
    written = []
    with connect() as con:
        con.register("states", table_of(view, [Row(*first)]))
        writer = PartWriter(con, view, tmp_path, 0)
        for interval in view.intervals:
            con.execute(f"CREATE OR REPLACE TEMP TABLE merged AS {merge_sql(view, 'states', interval)}")
            written += writer.write("merged", interval)
    starts = [pq.read_table(tmp_path / each.path).column("start").to_pylist() for each in written]
    assert starts == [[each.floor(T0)] for each in view.intervals]
    assert [(each.low, each.high) for each in written] == [(each.floor(T0),) * 2 for each in view.intervals]
    assert len({each.path.lower() for each in written}) == 5
