"""The laws of a view, written once: `laws(view)` gives them by name, each a property test without arguments.

    events --summarise--> states --merge--> states --finish--> answers
             SQL                   SQL, Python      SQL, Python

Every arrow is compared with the naive oracle (`naive`), the SQL ones with the Python ones, and the merges with the
algebra: identity, commutativity, associativity, and no matter how events are split, ordered and dealt into segments.

Not here: what is drawn (`draws`), and which views are held to the laws (`test_view_laws`).
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from slackwater.deltas.cell import Cell, decode_cell, delta_key_of, encode_value
from slackwater.views.finished import finish_table, finished_schema
from slackwater.views.interval import Interval
from slackwater.views.levels import prefix_levels
from slackwater.views.merge import State
from slackwater.views.rows import Row, rows_of, table_of
from slackwater.views.session import Summariser, connect
from slackwater.views.sql import finish_sql, merge_sql
from slackwater.views.view import View
from tests import naive
from tests.draws import LARGEST_ID, event_lists, events_table, finishable_rows, intervals, row_lists, states
from tests.prepared import Prepared
from tests.profiles import examples

Law = Callable[[], None]


def merge_all(view: View, states: Iterable[State]) -> State | None:
    """The merge of any number of states; None, the identity, for none."""
    total: State | None = None
    for state in states:
        total = state if total is None else view.merge(total, state)
    return total


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return connect(threads=1)


@cache
def _summariser(view: View) -> Summariser:
    return Summariser((view,))


def summarised(view: View, events: Sequence[Any]) -> list[Row]:
    """`events` summarised as one segment."""
    return _summariser(view).rows(view, events_table(events, view.stream))


def merged_in_sql(view: View, rows: Iterable[Row], interval: Interval) -> list[Row]:
    """`rows` merged to `interval` by DuckDB; the result has the state's own types."""
    return rows_of(view, _merged_table(view, table_of(view, rows), interval))


def merged_in_python(view: View, rows: Iterable[Row], interval: Interval) -> list[Row]:
    """`rows` merged to `interval` by the view's Python merge."""
    bars: dict[tuple[tuple[Any, ...], int], list[State]] = {}
    for key, start, state in rows:
        bars.setdefault((key, interval.floor(start)), []).append(state)
    found = ((key, start, merge_all(view, of)) for (key, start), of in bars.items())
    return sorted(Row(key, start, state) for key, start, state in found if state is not None)


@contextmanager
def _reading(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor of its own, so that a failed query leaves nothing unread, that sees `tables` by name."""
    with _connection().cursor() as cursor:
        for name, table in tables.items():
            cursor.register(name, table)
        yield cursor


@cache
def _over(view: View) -> Prepared:
    return Prepared(_connection(), "states", view.state_schema)


def _merged_table(view: View, table: pa.Table, interval: Interval) -> pa.Table:
    cursor, statement = _over(view).of(merge_sql(view, "states", interval), table)
    merged = cursor.sql(statement).to_arrow_table()
    assert same_types(merged.schema, view.state_schema)
    return merged


def _finished_in_sql(view: View, rows: Iterable[Row]) -> dict[tuple[object, ...], dict[str, object]]:
    cursor, statement = _over(view).of(finish_sql(view, "states"), table_of(view, rows))
    found = cursor.execute(statement).fetchall()
    width = len(view.key) + 1
    return {line[:width]: dict(zip(view.answers, line[width:], strict=True)) for line in found}


def same_types(a: pa.Schema, b: pa.Schema) -> bool:
    """Whether names, order and types agree; DuckDB says of every column that it may be null."""
    return [(f.name, f.type) for f in a] == [(f.name, f.type) for f in b]


def laws(view: View, meaning: View | None = None, quick: settings | None = None) -> Mapping[str, Law]:
    """The laws of `view` by name. Each raises where it is broken, and takes no argument.

    Args:
        view: the view that is held to the laws.
        meaning: the declaration that the oracle and the generators read, where `view` is a broken copy of it.
        quick: settings to use instead of each law's own.
    """
    meant = meaning or view
    any_state, any_rows, bars = states(meant), row_lists(meant, unique=False), row_lists(meant, unique=True)
    lengths = intervals(meant)
    base = lengths[0]
    any_interval = st.sampled_from(lengths) | st.sampled_from([base, *lengths[-4:]])
    any_events = event_lists(meant.stream)

    found: dict[str, Law] = {}

    def law(count: int, *drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def add(body: Callable[..., None]) -> Callable[..., None]:
            found[body.__name__] = (quick or examples(count))(given(*drawn)(body)) if drawn else body
            return body

        return add

    @law(30, any_state)
    def identity(state: State) -> None:
        assert merge_all(view, []) is None
        assert merge_all(view, [state]) == state
        assert [*map(type, state)] == view.row_types[len(view.key) + 1 :]

    @law(30, bars)
    def merging_bars_that_stand_alone_changes_nothing(rows: list[Row]) -> None:
        assert merged_in_sql(view, rows, base) == sorted(rows)

    @law(100, any_state, any_state)
    def commutativity(a: State, b: State) -> None:
        merge = view.merge
        assert merge(a, b) == merge(b, a)

    @law(100, any_state, any_state, any_state)
    def associativity(a: State, b: State, c: State) -> None:
        merge = view.merge
        assert merge(merge(a, b), c) == merge(a, merge(b, c))

    @law(60, any_rows, st.integers(0, 10), st.integers(0, 10))
    def codec_through_arrow_through_parquet_and_through_a_cell(rows: list[Row], skip: int, split: int) -> None:
        table = table_of(view, rows)
        assert table.schema.equals(view.state_schema)
        assert rows_of(view, table) == sorted(rows)
        assert rows_of(view, table.slice(skip)) == sorted(rows[skip:])
        chunks = pa.concat_tables([table.slice(0, split), table.slice(split)])
        assert rows_of(view, chunks) == sorted(rows)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(chunks)
        assert rows_of(view, pa.ipc.open_stream(sink.getvalue()).read_all()) == sorted(rows)
        sink = io.BytesIO()
        pq.write_table(table, sink)
        assert rows_of(view, pq.read_table(io.BytesIO(sink.getvalue()))) == sorted(rows)
        cell = Cell(delta_key_of(view, "topic", 0), 0, 1, tuple(sorted(rows)))
        assert decode_cell(cell.delta_key, encode_value(cell), view) == cell

    @law(15, any_rows, any_interval)
    def codec_through_parquet_that_duckdb_writes(rows: list[Row], interval: Interval) -> None:
        with TemporaryDirectory() as folder:
            path = str(Path(folder) / "states.parquet")
            with _reading(states=table_of(view, rows)) as cursor:
                cursor.execute(f"COPY ({merge_sql(view, 'states', interval)}) TO '{path}' (FORMAT parquet)").fetchall()
            table = pq.read_table(path)
        assert same_types(table.schema, view.state_schema)
        assert rows_of(view, table) == merged_in_python(view, rows, interval)

    @law(60, any_rows, any_interval, st.randoms(use_true_random=False))
    def merge_in_sql_is_merge_in_python(rows: list[Row], interval: Interval, random: Random) -> None:
        in_python = merged_in_python(view, rows, interval)
        random.shuffle(rows)
        assert merged_in_sql(view, rows, interval) == in_python
        assert merged_in_python(view, rows, interval) == in_python

    @law(30, any_rows, any_interval)
    def a_coarse_bar_is_merged_from_finer_ones(rows: list[Row], interval: Interval) -> None:
        others = [*[i for i in lengths if i.tiles(interval)][-3:], meant.coarsest[interval.text]]
        for finer in dict.fromkeys(others):
            through = _merged_table(view, table_of(view, rows), finer)
            assert rows_of(view, _merged_table(view, through, interval)) == merged_in_python(view, rows, interval)

    @law(30, any_rows, st.integers(0, LARGEST_ID))
    def a_prefix_is_every_state_before_a_time(rows: list[Row], time: int) -> None:
        at = base.floor(min([row.start for row in rows], key=lambda start: abs(start - time), default=time))
        newest = max((row.start for row in rows), default=None)
        found: list[Row] = []
        for interval, low, high in prefix_levels(meant, at, newest):
            bars = merged_in_sql(view, rows, interval)
            found += [row for row in bars if low <= row.start and (high is None or row.start < high)]
        total = {key: merge_all(view, [row.state for row in found if row.key == key]) for key in {r.key for r in found}}
        expected = {
            key: [row.state for row in rows if row.key == key and row.start < at] for key in {r.key for r in rows}
        }
        assert total == {key: merge_all(view, of) for key, of in expected.items() if of}

    @law(60, any_events)
    def summarise_is_what_the_oracle_says(events: list[Any]) -> None:
        expected = naive.summarise(meant, events, base)
        assert summarised(view, events) == expected
        table = _summariser(view).table(view, events_table(events, view.stream))
        assert table.schema.equals(view.state_schema)
        assert rows_of(view, table) == expected

    @law(20, any_events, st.integers(0, 24))
    def summarise_of_files_is_what_the_oracle_says(events: list[Any], split: int) -> None:
        with TemporaryDirectory() as folder:
            paths = [str(Path(folder) / name) for name in ("a.parquet", "b'].parquet")]
            for path, part in zip(paths, (events[:split], events[split:]), strict=True):
                pq.write_table(events_table(part, view.stream), path)
            table = _summariser(view).files(view, paths)
        assert same_types(table.schema, view.state_schema)
        assert rows_of(view, table) == naive.summarise(meant, events, base)

    @law(50, any_events, st.data())
    def segments_merge_to_the_whole_however_events_are_dealt(events: list[Any], data: st.DataObject) -> None:
        order = data.draw(st.permutations(events))
        hands = data.draw(st.lists(st.integers(0, 4), min_size=len(events), max_size=len(events)))
        interval = data.draw(any_interval)
        dealt = [[e for e, hand in zip(order, hands, strict=True) if hand == i] for i in range(5)]
        rows = [row for part in dealt for row in summarised(view, part)]
        expected = naive.summarise(meant, events, interval)
        assert merged_in_python(view, rows, interval) == expected
        assert merged_in_sql(view, rows, interval) == expected

    @law(8, any_events)
    def segments_merge_to_the_whole_at_every_split(events: list[Any]) -> None:
        whole = summarised(view, events)
        for at in range(len(events) + 1):
            halves = summarised(view, events[:at]) + summarised(view, events[at:])
            assert merged_in_python(view, halves, base) == whole
            assert merged_in_sql(view, halves, base) == whole

    @law(50, finishable_rows(meant))
    def finish_in_sql_and_of_a_table_is_finish_in_python(rows: list[Row]) -> None:
        answers = [view.finish(row.state) for row in rows]
        in_sql = _finished_in_sql(view, rows)
        assert len(in_sql) == len(rows)
        for row, answer in zip(rows, answers, strict=True):
            assert list(answer) == list(view.answers)
            assert answer == naive.finish(meant, row.state)
            assert answer == in_sql[*row.key, row.start]
        table = finish_table(view, table_of(view, rows))
        assert table.schema == finished_schema(view)
        for name, kind in view.answer_kinds.items():
            column, expected = table.column(name), [answer[name] for answer in answers]
            assert [value is None for value in column.to_pylist()] == [value is None for value in expected]
            found = [kind.answer(value) for value in kind.values(column.drop_null())]
            assert found == [value for value in expected if value is not None]

    return found
