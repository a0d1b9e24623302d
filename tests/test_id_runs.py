"""Runs of trade ids against a set of ids: the same answers, in the fewest runs, through files and unions."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.store.id_runs import FEW_RUNS, IdRuns, read_runs, runs_schema, write_runs
from slackwater.streams.trades import TRADES
from slackwater.views.counts import ids_sql
from slackwater.views.session import connect
from tests import profiles

LARGEST = 2**63 - 1
INSTRUMENTS = (("v", "A"), ("v", "B"), ("w", "A"))

ids = st.one_of(st.integers(0, 40), st.sampled_from([0, LARGEST - 2, LARGEST - 1, LARGEST]))
added = st.lists(st.tuples(st.sampled_from(INSTRUMENTS), ids, st.integers(0, 5)), max_size=30)


def runs_of(found: set[tuple[tuple[str, str], int]]) -> list[tuple[str, str, int, int]]:
    """The maximal runs of a set, the slow way."""
    runs = []
    for instrument, first in sorted(found):
        if (instrument, first - 1) in found:
            continue
        last = first
        while (instrument, last + 1) in found:
            last += 1
        runs.append((*instrument, first, last))
    return runs


def rows(runs: IdRuns) -> list[tuple[str, str, int, int]]:
    return [tuple(row.values())[:4] for row in runs.table(TRADES).to_pylist()]


@profiles.examples(100)
@given(added)
def test_runs_hold_what_a_set_holds_in_the_fewest_runs(items: list[tuple[tuple[str, str], int, int]]) -> None:
    runs, held = IdRuns(), set()
    for instrument, first, more in items:
        last = min(first + more, LARGEST)
        runs.add(instrument, first, last)
        held |= {(instrument, i) for i in range(first, last + 1)}
    assert rows(runs) == runs_of(held)
    near = {i + d for _, first, more in items for i in (first, first + more) for d in (-1, 0, 1)} | {0, LARGEST}
    for instrument in INSTRUMENTS:
        for trade_id in near:
            assert ((instrument, trade_id) in runs) == ((instrument, trade_id) in held)


@profiles.examples(60)
@given(st.lists(st.tuples(st.sampled_from(INSTRUMENTS), ids), max_size=40), st.integers(0, 40))
def test_ids_give_the_same_runs_however_they_are_split(items: list[tuple[tuple[str, str], int]], at: int) -> None:
    runs = IdRuns()
    for part in (items[:at], items[at:]):
        for entity in INSTRUMENTS:
            if mine := [one for of, one in part if of == entity]:
                runs.add_ids(entity, np.array(mine, np.int64))
    assert rows(runs) == runs_of(set(items))


@profiles.examples(100)
@given(added, st.integers(0, 30), st.sampled_from([1, FEW_RUNS]))
def test_many_runs_at_once_give_the_same(items: list[tuple[tuple[str, str], int, int]], at: int, few: int) -> None:
    one_by_one, runs = IdRuns(), IdRuns()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("slackwater.store.id_runs.FEW_RUNS", few)
        for part in (items[:at], items[at:]):
            for entity in INSTRUMENTS:
                if mine := [(first, min(first + more, LARGEST)) for of, first, more in part if of == entity]:
                    runs.add_runs(entity, *(np.array(ends, np.int64) for ends in zip(*mine, strict=True)))
                for first, last in mine:
                    one_by_one.add(entity, first, last)
        both = IdRuns()
        for half in (runs, one_by_one):
            both.update(half)
    assert rows(runs) == rows(one_by_one) == rows(both)


@profiles.examples(100)
@given(added)
def test_the_ids_of_runs_that_overlap_are_counted_once(items: list[tuple[tuple[str, str], int, int]]) -> None:
    held: dict[tuple[str, str], set[int]] = {}
    runs = []
    for instrument, first, more in items:
        last = min(first + more, LARGEST)
        runs.append((*instrument, first, last, 0))
        held.setdefault(instrument, set()).update(range(first, last + 1))
    columns = list(zip(*runs, strict=True)) if runs else [[]] * 5
    with connect(threads=1) as con:
        arrays = [pa.array(column, of.type) for column, of in zip(columns, runs_schema(TRADES), strict=True)]
        con.register("runs", pa.Table.from_arrays(arrays, schema=runs_schema(TRADES)))
        found = con.execute(ids_sql(TRADES, "runs")).fetchall()
    assert {(venue, symbol): count for venue, symbol, count in found} == {of: len(ids) for of, ids in held.items()}


def test_the_ids_of_a_run_of_all_ids_are_counted_exactly() -> None:
    with connect(threads=1) as con:
        con.register("runs", pa.table([["v"], ["A"], [0], [LARGEST], [0]], runs_schema(TRADES).names))
        assert con.execute(ids_sql(TRADES, "runs")).fetchall() == [("v", "A", 2**63)]


def test_files_join_to_their_union(tmp_path: Path) -> None:
    whole = IdRuns()
    for number, (first, last) in enumerate([(0, 4), (5, 9), (20, LARGEST)]):
        runs = IdRuns()
        runs.add(INSTRUMENTS[number % 2], first, last)
        whole.add(INSTRUMENTS[number % 2], first, last)
        assert write_runs(TRADES, runs, tmp_path / f"{number}.parquet") == 1
    paths = sorted(tmp_path.iterdir())
    assert rows(read_runs(TRADES, paths)) == rows(whole)
    into = IdRuns()
    into.add(INSTRUMENTS[2], 7, 7)
    into.others[INSTRUMENTS[0]] = 3
    assert read_runs(TRADES, paths, into) is into
    assert rows(into) == [*rows(whole), (*INSTRUMENTS[2], 7, 7), (*INSTRUMENTS[0], None, None)]
    assert write_runs(TRADES, into, tmp_path / "all.parquet") == 5
    again = read_runs(TRADES, [tmp_path / "all.parquet"] * 2)
    assert rows(again) == rows(into) and again.others == {INSTRUMENTS[0]: 6}
    assert write_runs(TRADES, IdRuns(), tmp_path / "empty.parquet") == 0
    assert rows(read_runs(TRADES, [tmp_path / "empty.parquet"])) == []
