"""The DuckDB session: one connection whose settings are those of this project, and a summariser of small segments.

A statement over a few rows costs 0.4 ms this way: the object behind a registered name returns the current table, and
the statement is prepared once. Registering and parsing each time costs 3 ms. Several small segments take one statement.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from slackwater.core.checked_files import PROTOCOL, CheckedFiles, OnDamage
from slackwater.streams.stream import Stream
from slackwater.views.rows import Row, rows_from, table_of
from slackwater.views.sql import literal_sql, rows_sql, summarise_sql
from slackwater.views.view import View

_PATTERN = re.compile(r"[*?\[]")


def connect(
    threads: int = 0,
    memory_limit: str | None = None,
    on_damage: OnDamage | None = None,
    spill: Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """A new in-memory database; `threads` 0 means one a core.

    Nothing is downloaded, and the row order of inputs is not kept, which saves memory. `on_damage` is told of a file
    with a name of `slackwater.core.checked_files` whose bytes changed; the statement that reads it fails. What does not
    fit the memory goes to the folder `spill`, which is made when it is needed; None: one of DuckDB's own choice.
    """
    con = duckdb.connect()
    con.register_filesystem(CheckedFiles(on_damage))
    con.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    con.execute("SET enable_progress_bar = false")  # it would be drawn into what a command prints as JSON
    con.execute("SET preserve_insertion_order = false")
    if threads:
        con.execute(f"SET threads = {int(threads)}")
    if memory_limit is not None:
        con.execute("SET memory_limit = ?", [memory_limit])
    if spill is not None:
        con.execute("SET temp_directory = ?", [str(spill)])
    return con


def files_sql(paths: Iterable[str], numbered: bool = False) -> str:
    """`read_parquet` over exactly these files, in SQL: no path is a pattern, and no folder's name is a column.

    A name of `slackwater.core.checked_files` is read through its checksums. `numbered`: `file_row_number` is a column.
    """
    names = (path if path.startswith(f"{PROTOCOL}://") else _PATTERN.sub(r"[\g<0>]", path) for path in paths)
    quoted = ", ".join(map(literal_sql, names))
    numbers = ", file_row_number = true" if numbered else ""
    return f"read_parquet([{quoted}], hive_partitioning = false{numbers})"


_NUMBER = pa.field("segment_number", pa.int32(), nullable=False)


class _Current:
    """What DuckDB reads as a table of one name: whichever Arrow table was set last."""

    def __init__(self, schema: pa.Schema) -> None:
        self.table: pa.Table = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


LARGE_SEGMENT = 2_000
"""Events from which DuckDB's own Arrow result is the faster way."""


class _Segments:
    """The segments of a stream that a statement reads: one of all columns, or several with those that views name."""

    def __init__(self, stream: Stream, names: list[str]) -> None:
        self.one = _Current(stream.schema)
        self.several = _Current(pa.schema([*map(stream.schema.field, names), _NUMBER]))
        self._names = names
        self._joined: Sequence[pa.Table] = ()

    def join(self, tables: Sequence[pa.Table], counts: list[int]) -> None:
        """Let `several` be these, numbered; those of the view before are mostly the same."""
        if len(tables) == len(self._joined) and all(map(operator.is_, tables, self._joined)):
            return
        # One chunk: a group-by over many small chunks takes ten times as long.
        events = pa.concat_tables(tables).select(self._names).combine_chunks()
        numbers = pa.array(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
        self.several.table = events.append_column(_NUMBER, numbers)
        self._joined = tables


class Summariser:
    """Summarises segments of events for a fixed tuple of views. Not thread safe; one a worker, open until closed."""

    def __init__(self, views: tuple[View, ...], threads: int = 1) -> None:
        self._con = connect(threads)
        self._views = views
        self._segments: dict[Stream, _Segments] = {}
        self._calls: dict[str, duckdb.Statement] = {}
        for number, stream in enumerate(dict.fromkeys(view.stream for view in views)):
            segments = self._segments[stream] = _Segments(stream, _named(stream, views))
            self._con.register(f"segment_{number}", segments.one)
            self._con.register(f"segments_{number}", segments.several)
        for i, view in enumerate(views):
            number = list(self._segments).index(view.stream)
            one, several = f"segment_{number}", f"segments_{number}"
            self._con.execute(f"PREPARE table_{i} AS {summarise_sql(view, one)}")
            self._con.execute(f"PREPARE rows_{i} AS {rows_sql(view, one)}")
            self._con.execute(f"PREPARE several_{i} AS {rows_sql(view, several, (_NUMBER.name,))}")
            # To parse even the call of a prepared statement takes a tenth of what few rows do.
            for name in (f"rows_{i}", f"several_{i}"):
                (self._calls[name],) = self._con.extract_statements(f"EXECUTE {name}")
        self._readers = [list(_readers(view)) for view in views]

    def rows(self, view: View, events: pa.Table) -> list[Row]:
        """States at the base interval of a small table of events, sorted by key and start."""
        if not events.num_rows:
            return []
        self._segments[view.stream].one.table = events
        return list(rows_from(self._columns(view, "rows"), len(view.key)))

    def rows_of_each(self, view: View, segments: Sequence[pa.Table]) -> list[list[Row]]:
        """`rows` of each of several small tables, by one statement."""
        if len(segments) == 1:
            return [self.rows(view, segments[0])]
        each: list[list[Row]] = [[] for _ in segments]
        counts = [events.num_rows for events in segments]
        if any(counts):
            self._segments[view.stream].join(segments, counts)
            numbers, *columns = self._columns(view, "several")
            for number, row in zip(numbers, rows_from(columns, len(view.key)), strict=True):
                each[number].append(row)
        return each

    def table(self, view: View, events: pa.Table) -> pa.Table:
        """The same as an Arrow table, in no particular order.

        By way of rows a small segment takes half the time of DuckDB's own Arrow result, a large one twice as much.
        """
        if events.num_rows < LARGE_SEGMENT:
            return table_of(view, self.rows(view, events))
        self._segments[view.stream].one.table = events
        return self._con.sql(f"EXECUTE table_{self._views.index(view)}").to_arrow_table()

    def files(self, view: View, paths: Iterable[str]) -> pa.Table:
        """States at the base interval of the events in Parquet files, in no particular order."""
        return self._con.sql(summarise_sql(view, files_sql(paths))).to_arrow_table()

    def _columns(self, view: View, statement: str) -> list[Iterable[Any]]:
        """What a statement over some events gives for Python, by columns; in the order of its rows, which is that of
        their key and start."""
        i = self._views.index(view)
        found = self._con.execute(self._calls[f"{statement}_{i}"]).fetchall()
        found.sort()  # flat tuples take half the time of rows
        columns: list[Iterable[Any]] = list(zip(*found, strict=True))
        for at, reader in self._readers[i]:
            columns[at] = map(reader, columns[at])
        return columns

    def close(self) -> None:
        """Close the connection."""
        self._con.close()


def _named(stream: Stream, views: Iterable[View]) -> list[str]:
    """The stream's columns that its views name: each one more costs an event a part of its time."""
    sql = " ".join(summarise_sql(view, "events") for view in views if view.stream == stream)
    return [name for name in stream.schema.names if re.search(rf"\b{name}\b", sql, re.IGNORECASE)]


def _readers(view: View) -> Iterator[tuple[int, Callable[[str], int]]]:
    """Of the columns that have one, counted from the last, the reader."""
    for at, column in enumerate(view.columns, -len(view.columns)):
        if column.kind.reader is not None:
            yield at, column.kind.reader
