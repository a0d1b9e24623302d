"""The chain of a delta key's cells: what joins, what does not, and that the order of arrival changes nothing.

Cells are drawn as [start, upto); a row's only number tells two cells over one slice apart.
"""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.deltas.cell import Cell, DeltaKey
from slackwater.deltas.chain import Chain
from slackwater.deltas.errors import CellConflictError
from slackwater.views.rows import Row
from tests.profiles import examples

DELTA_KEY = DeltaKey("bars", "0123456789abcdef", "topic", 0)


def cell(start: int, upto: int, number: int = 0) -> Cell:
    return Cell(DELTA_KEY, start, upto, (Row(("v", "S"), 0, (number,)),))


def chain(*cells: tuple[int, int]) -> Chain:
    found = Chain()
    for start, upto in cells:
        found.put(cell(start, upto))
    return found


def walked(known: Chain, start: int) -> list[tuple[int, int]]:
    return [(one.start, one.upto) for one in known.walk(start)]


def end(known: Chain, start: int) -> int:
    return known.end(start)


def test_cells_that_join_are_walked_in_order_and_a_gap_ends_the_chain() -> None:
    #   cells     [0,4) [4,6) [6,8)      [9,12)
    known = chain((9, 12), (4, 6), (0, 4), (6, 8))
    assert walked(known, 0) == [(0, 4), (4, 6), (6, 8)]
    assert walked(known, 4) == [(4, 6), (6, 8)]
    assert walked(known, 9) == [(9, 12)]
    assert walked(known, 8) == walked(known, 5) == walked(known, 12) == []
    assert known.last(0) == cell(6, 8)
    assert known.last(8) is None
    assert len(known) == 4


def test_the_cell_that_fills_the_gap_joins_both_sides() -> None:
    known = chain((0, 4), (9, 12))
    assert end(known, 0) == 4
    assert known.put(cell(4, 9))
    assert walked(known, 0) == [(0, 4), (4, 9), (9, 12)]


def test_it_is_complete_when_no_cell_beyond_the_chains_end_is_known() -> None:
    #   [0,4) [4,6)      [9,12)        12 is beyond 6
    known = Chain()
    assert known.complete(0)
    assert known.put(cell(0, 4))
    assert known.complete(4)
    assert not known.complete(3)
    known.put(cell(9, 12))
    known.put(cell(4, 6))
    assert not known.complete(end(known, 0))
    known.put(cell(6, 9))
    assert known.complete(end(known, 0))


def test_the_largest_upto_of_a_start_wins_whenever_it_comes() -> None:
    #   open cell grows:  [0,3) [0,7) [0,5)       the stale [0,5) comes last
    known = Chain()
    assert known.put(cell(0, 3, 3)) is True
    assert known.put(cell(0, 7, 7)) is True
    assert known.put(cell(0, 5, 5)) is False
    assert list(known.walk(0)) == [cell(0, 7, 7)]
    assert len(known) == 1


def test_a_cell_that_grew_past_the_next_start_no_longer_joins_it() -> None:
    #   [0,4) [4,6)  then  [0,5): 4 is no longer an end
    known = chain((0, 4), (4, 6), (0, 5))
    assert walked(known, 0) == [(0, 5)]
    assert not known.complete(5)


def test_a_cell_again_changes_nothing() -> None:
    known = chain((0, 4), (4, 6))
    assert known.put(cell(4, 6)) is False
    assert known.put(cell(0, 4)) is False
    assert walked(known, 0) == [(0, 4), (4, 6)]


def test_two_cells_over_one_slice_that_differ_are_an_alarm_and_the_first_stays() -> None:
    known = Chain()
    known.put(cell(4, 6, 1))
    for _ in range(2):
        with pytest.raises(CellConflictError, match=r"over \[4, 6\) differ"):
            known.put(cell(4, 6, 2))
        assert list(known.walk(4)) == [cell(4, 6, 1)]
    assert known.put(cell(4, 6, 1)) is False
    with pytest.raises(CellConflictError):
        known.put(Cell(DELTA_KEY, 4, 6, ()))
    assert known.put(cell(4, 7, 2)) is True  # a longer one is no conflict: it covers more


def test_a_lane_is_walked_from_any_start_while_it_grows() -> None:
    known = chain((0, 4))
    walk = known.walk(0)
    assert next(walk) == cell(0, 4)
    known.put(cell(4, 6))
    assert list(walk) == [cell(4, 6)]


def test_cells_below_an_offset_are_forgotten_and_no_longer_known() -> None:
    #   [0,4) [4,6) [6,8)    forget below 4, then below 100
    known = chain((0, 4), (4, 6), (6, 8))
    known.drop_below(4)
    assert (walked(known, 0), walked(known, 4), len(known)) == ([], [(4, 6), (6, 8)], 2)
    assert not known.complete(6)
    known.drop_below(100)
    assert len(known) == 0
    assert known.complete(0)
    assert known.put(cell(4, 6)) is True


# ------------------------------------------------------------------------------------------------- any order of arrival

# Cells as one log makes them: bounds tile it, and every cell is seen open, growing, several times; some are missing.


@st.composite
def tilings(draw: st.DrawFn) -> tuple[list[Cell], list[int]]:
    """Cells of one log in no order, and the bounds of its tiling."""
    bounds = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=10)))
    cells: list[Cell] = []
    for start, upto in itertools.pairwise(bounds):
        seen = draw(st.sets(st.integers(start + 1, upto), max_size=3))
        if draw(st.integers(0, 4)):
            seen.add(upto)
        cells += [cell(start, at, number=start * 100 + at) for at in seen for _ in range(draw(st.integers(1, 2)))]
    return draw(st.permutations(cells)), bounds


def expected(cells: Iterable[Cell], start: int) -> list[Cell]:
    """The chain by its definition, slowly: per start the largest, then cell after cell while they join."""
    all_of = list(cells)
    joined: list[Cell] = []
    while largest := max((one for one in all_of if one.start == start), key=lambda one: one.upto, default=None):
        joined.append(largest)
        start = largest.upto
    return joined


@examples(150)
@given(tilings(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_is_irrelevant(tiling: tuple[list[Cell], list[int]], chance: object) -> None:
    cells, bounds = tiling
    known, other = Chain(), Chain()
    changed = [known.put(one) for one in cells]
    chance.shuffle(again := cells + cells)  # type: ignore[attr-defined]
    for one in again:
        other.put(one)
    for start in bounds:
        joined = expected(cells, start)
        assert list(known.walk(start)) == list(other.walk(start)) == joined
        assert known.last(start) == (joined[-1] if joined else None)
        assert known.complete(end(known, start)) == all(one.upto <= end(known, start) for one in cells)
    assert len(known) == len(other) == len({one.start for one in cells})
    assert any(changed) == bool(cells)


@examples(100)
@given(tilings(), st.integers(0, 60))
def test_forgetting_is_as_if_the_lower_cells_had_never_come(tiling: tuple[list[Cell], list[int]], offset: int) -> None:
    cells, bounds = tiling
    known, other = Chain(), Chain()
    for one in cells:
        known.put(one)
        if one.start >= offset:
            other.put(one)
    known.drop_below(offset)
    assert len(known) == len(other)
    for start in bounds:
        assert list(known.walk(start)) == list(other.walk(start))
    assert [known.complete(at) for at in range(62)] == [other.complete(at) for at in range(62)]
