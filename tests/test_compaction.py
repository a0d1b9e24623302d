"""Compaction as a pure function: how parts are laid out, which are merged, and how many hold one instant after it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.store.compaction import (
    MOST,
    MOST_OF_SLICE,
    MOST_WIDE,
    Merge,
    Sized,
    amplification,
    plan_merges,
    stacks,
)
from slackwater.store.layout import SLICE_ROWS, Counted, Planned, lay_out, slice_of
from slackwater.views.interval import DAY_US, Interval, parse_interval

SECOND = parse_interval("1s")
BYTES = 30


def wide(number: int, rows: int, low: int = 0, high: int = 400 * DAY_US) -> Sized:
    return Sized(number, rows, rows * BYTES, low, high)


def anything(_: Sized) -> bool:
    return True


@pytest.mark.parametrize(
    ("interval", "slices"),
    [("1s", "1d"), ("5s", "1d"), ("1m", "1M"), ("15m", "1M"), ("1h", "1y"), ("1d", "1y"), ("1w", "1y"), ("1M", None)],
)
def test_slices_are_of_days_months_or_years(interval: str, slices: str | None) -> None:
    found = slice_of(parse_interval(interval))
    assert (found and found.text) == slices
    assert slice_of(parse_interval("total")) is None


def test_large_slices_are_parts_of_their_own_and_the_rest_is_one() -> None:
    counted = [Counted(3, 10, 30, 35), Counted(1, SLICE_ROWS, 10, 19), Counted(2, SLICE_ROWS - 1, 20, 29)]
    assert lay_out(counted) == [Planned(1, SLICE_ROWS, 10, 19), Planned(None, SLICE_ROWS + 9, 20, 35)]
    assert lay_out([]) == []


@given(st.lists(st.integers(1, 3 * SLICE_ROWS), max_size=30))
def test_every_bar_is_in_one_part(rows: list[int]) -> None:
    planned = lay_out(Counted(n, count, n * 10, n * 10 + 9) for n, count in enumerate(rows))
    assert sum(each.rows for each in planned) == sum(rows)
    assert sum(each.slice is None for each in planned) == any(count < SLICE_ROWS for count in rows)


def test_a_stack_within_its_bound_stays() -> None:
    assert plan_merges(SECOND, [wide(n, 10) for n in range(MOST_WIDE)], anything, 10**9) == []


def test_the_newest_become_one_as_far_as_their_place_has_room() -> None:
    sizes = [100_000, 9_000, 800, 70, 6, 1]
    parts = [wide(n, rows) for n, rows in enumerate(sizes)]
    assert plan_merges(SECOND, parts, anything, 10**9) == [Merge((4, 5), 7 * BYTES)]
    parts[4] = wide(4, 20)
    assert plan_merges(SECOND, parts, anything, 10**9) == [Merge((3, 4, 5), 91 * BYTES)]
    assert plan_merges(SECOND, parts, anything, 0) == [Merge((4, 5), 21 * BYTES)]


def test_what_is_not_proven_is_not_merged_and_takes_its_place() -> None:
    parts = [wide(n, 10) for n in range(MOST_WIDE + 1)]
    (merge,) = plan_merges(SECOND, parts, lambda each: each.number < MOST_WIDE - 1, 10**9)
    assert merge.parts[-1] == MOST_WIDE - 2
    assert len(parts) - len(merge.parts) + 1 <= MOST_WIDE
    assert plan_merges(SECOND, parts, lambda each: each.number == MOST_WIDE, 10**9) == []


def test_slices_have_stacks_of_their_own() -> None:
    day = [Sized(n, SLICE_ROWS, 1, 5 * DAY_US, 6 * DAY_US - 1) for n in range(MOST_OF_SLICE + 1)]
    over = Sized(9, SLICE_ROWS, 1, 5 * DAY_US, 6 * DAY_US)
    assert stacks(SECOND, [*day, over]) == {5 * DAY_US: day, None: [over]}
    (merge,) = plan_merges(SECOND, [*day, over], anything, 10)
    assert merge.parts[-1] == day[-1].number


Held = tuple[Sized, dict[int, int]]
"""A part, and its bars by slice."""


def grow(interval: Interval, runs: list[dict[int, int]], budget: int) -> tuple[list[Sized], int, int]:
    """Parts after runs that each add bars to some slices; the most that ever held an instant; the bars written."""
    parts, most, written = list[Held](), 0, 0
    for number, run in enumerate(runs):
        own = held(interval, 1000 * number, run)
        parts, wrote = compacted(interval, [*parts, own], budget)
        written += wrote
        most = max(most, amplification(part for part, _ in parts))
    return [part for part, _ in parts], most, written


def held(interval: Interval, number: int, bars: dict[int, int]) -> Held:
    """A part with these bars."""
    slices = slice_of(interval)
    assert slices is not None
    rows = sum(bars.values())
    return Sized(number, rows, rows * BYTES, min(bars), slices.end(max(bars)) - 1), bars


def compacted(interval: Interval, parts: list[Held], budget: int) -> tuple[list[Held], int]:
    """The parts after what a run compacts, the last one being its own; the bars that were written."""
    slices, (own, _) = slice_of(interval), parts[-1]
    assert slices is not None
    known: dict[int, list[Held]] = {part.number: [(part, bars)] for part, bars in parts}
    written, number = 0, own.number
    for merge in plan_merges(interval, [part for part, _ in parts], lambda each: each != own, budget):
        bars: dict[int, int] = {}
        for each in merge.parts:
            ((_, more),) = known[each]
            known[each] = []
            for start, rows in more.items():
                bars[start] = bars.get(start, 0) + rows
        for planned in lay_out(Counted(s, rows, s, slices.end(s) - 1) for s, rows in bars.items()):
            number += 1
            of = {
                s: rows
                for s, rows in bars.items()
                if (s == planned.slice) or (planned.slice is None and rows < SLICE_ROWS)
            }
            known[merge.parts[-1]].append(held(interval, number, of))
            written += planned.rows
    return [each for of in known.values() for each in of], written


RUNS = st.lists(
    st.dictionaries(st.integers(0, 6).map(lambda n: n * DAY_US), st.integers(1, 40_000), min_size=1, max_size=4),
    min_size=1,
    max_size=60,
)


@given(RUNS, st.sampled_from([0, 10**6, 10**12]))
def test_at_most_eight_parts_hold_an_instant_whatever_comes(runs: list[dict[int, int]], budget: int) -> None:
    parts, most, _ = grow(SECOND, runs, budget)
    assert most <= MOST
    assert sum(part.rows for part in parts) == sum(sum(run.values()) for run in runs)


def test_ten_thousand_small_runs_cost_each_bar_a_few_writings() -> None:
    runs = [{n // 2880 * DAY_US: 30} for n in range(10_000)]
    parts, most, written = grow(SECOND, runs, 10**9)
    total = 30 * len(runs)
    assert most <= MOST
    assert sum(part.rows for part in parts) == total
    assert written < 20 * total  # 12 times
