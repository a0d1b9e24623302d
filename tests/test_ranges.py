"""Ranges of time: together they are everything, no bar lies in two, and none holds much more than it may."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_layer.ranges import EVERYTHING, Spread, Times, ranges
from slackwater.views.interval import parse_interval
from tests.profiles import examples

DAY_US = 86_400_000_000
YEARS = st.integers(1_230_940_800_000_000, 1_800_000_000_000_000)
FILES = st.lists(st.builds(lambda a, b, rows: Spread(min(a, b), max(a, b), rows), YEARS, YEARS, st.integers(1, 900)))


@examples(100)
@given(FILES, st.sampled_from(["1s", "1m", "1d", "1w", "1M", "total"]))
def test_they_follow_each_other_from_the_first_time_to_the_last(files: list[Spread], text: str) -> None:
    interval = parse_interval(text)
    found = ranges(files, interval, 100)
    assert (found[0].low, found[-1].high) == EVERYTHING
    for before, after in pairwise(found):
        assert before.low < before.high == after.low
        assert interval.floor(after.low) == after.low, "between two bars"


def test_files_that_follow_each_other_are_cut_into_about_equal_rows() -> None:
    files = [Spread(day * DAY_US, (day + 1) * DAY_US - 1, 100) for day in range(20_000, 20_100)]
    found = ranges(files, parse_interval("1s"), 1_000)
    rows = [sum(100 for file in files if file.low < of.high and file.high >= of.low) for of in found]
    assert len(found) in (9, 10) and max(rows) <= 1_200


def test_one_long_file_is_cut_too() -> None:
    found = ranges([Spread(20_000 * DAY_US, 20_100 * DAY_US, 10_000)], parse_interval("1m"), 1_000)
    lengths = {of.high - of.low for of in found[1:-1]}
    assert len(found) in (9, 10) and max(lengths) <= 12 * DAY_US


@pytest.mark.parametrize("rows", [0, 5, 1_000])
def test_what_is_few_is_one(rows: int) -> None:
    assert ranges([Spread(20_000 * DAY_US, 20_001 * DAY_US, rows)], parse_interval("1s"), 1_001) == [EVERYTHING]
    assert ranges([], parse_interval("1s")) == [Times(*EVERYTHING)]
