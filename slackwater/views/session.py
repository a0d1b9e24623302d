"""The DuckDB session: one connection whose settings are those of this project, and a summariser of small segments.

A statement over a few rows costs 0.4 ms this way: the object behind a registered name returns the current table, and
the statement is prepared once. Registering and parsing each time costs 3 ms. Several small segments take one statement.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from slackwater.core.checked_files import PROTOCOL, CheckedFiles, OnDamage
from slackwater.streams.stream import Stream
from slackwater.views.rows import Row, table_of
from slackwater.views.sql import summarise_sql
from slackwater.views.view import View

_PATTERN = re.compile(r"[*?\[]")


def connect(
    threads: int = 0, memory_limit: str | None = None, on_damage: OnDamage | None = None
) -> duckdb.DuckDBPyConnection:
    """A new in-memory database; `threads` 0 means one a core.

    Nothing is downloaded, and the row order of inputs is not kept, which saves memory. `on_damage` is told of a file
    with a name of `slackwater.core.checked_files` whose bytes changed; the statement that reads it fails.
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
    return con


def files_sql(paths: Iterable[str]) -> str:
    """`read_parquet` over exactly these files, in SQL: no path is a pattern, and no folder's name is a column.

    A name of `slackwater.core.checked_files` is read through its checksums.
    """
    names = (path if path.startswith(f"{PROTOCOL}://") else _PATTERN.sub(r"[\g<0>]", path) for path in paths)
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    return f"read_parquet([{quoted}], hive_partitioning = false)"


_NUMBER = pa.field("segment_number", pa.int32(), nullable=False)


class _Current:
    """What DuckDB reads as a table of one name: whichever Arrow table was set last."""

    def __init__(self, schema: pa.Schema) -> None:
        self.table: pa.Table = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


LARGE_SEGMENT = 2_000
"""Events from which DuckDB's own Arrow result is the faster way."""


class Summariser:
    """Summarises segments of events for a fixed tuple of views. Not thread safe; one a worker, open until closed."""

    def __init__(self, views: tuple[View, ...], threads: int = 1) -> None:
        self._con = connect(threads)
        self._views = views
        self._current: dict[Stream, _Current] = {}
        self._several: dict[Stream, _Current] = {}
        self._names: dict[Stream, list[str]] = {}
        self._joined: dict[Stream, tuple[Sequence[pa.Table], pa.Table]] = {}
        for number, stream in enumerate(dict.fromkeys(view.stream for view in views)):
            names = self._names[stream] = _named(stream, views)
            schema = pa.schema([stream.schema.field(name) for name in names])
            self._current[stream] = _Current(stream.schema)
            self._several[stream] = _Current(schema.append(_NUMBER))
            self._con.register(f"segment_{number}", self._current[stream])
            self._con.register(f"segments_{number}", self._several[stream])
        for i, view in enumerate(views):
            number = list(self._current).index(view.stream)
            self._con.execute(f"PREPARE summarise_{i} AS {summarise_sql(view, f'segment_{number}')}")
            several = summarise_sql(view, f"segments_{number}", apart=(_NUMBER.name,))
            self._con.execute(f"PREPARE summarise_several_{i} AS {several}")

    def rows(self, view: View, events: pa.Table) -> list[Row]:
        """States at the base interval of a small table of events, sorted by key and start."""
        if not events.num_rows:
            return []
        self._current[view.stream].table = events
        found = self._con.execute(f"EXECUTE summarise_{self._views.index(view)}").fetchall()
        return sorted(_row(view, values) for values in found)

    def rows_of_each(self, view: View, segments: Sequence[pa.Table]) -> list[list[Row]]:
        """`rows` of each of several small tables, by one statement."""
        if len(segments) == 1:
            return [self.rows(view, segments[0])]
        each: list[list[Row]] = [[] for _ in segments]
        counts = [events.num_rows for events in segments]
        if any(counts):
            self._several[view.stream].table = self._join(view.stream, segments, counts)
            found = self._con.execute(f"EXECUTE summarise_several_{self._views.index(view)}").fetchall()
            for number, *values in found:
                each[number].append(_row(view, values))
        return [sorted(rows) for rows in each]

    def table(self, view: View, events: pa.Table) -> pa.Table:
        """The same as an Arrow table, in no particular order.

        By way of rows a small segment takes half the time of DuckDB's own Arrow result, a large one twice as much.
        """
        if events.num_rows < LARGE_SEGMENT:
            return table_of(view, self.rows(view, events))
        self._current[view.stream].table = events
        return self._con.sql(f"EXECUTE summarise_{self._views.index(view)}").to_arrow_table()

    def files(self, view: View, paths: Iterable[str]) -> pa.Table:
        """States at the base interval of the events in Parquet files, in no particular order."""
        return self._con.sql(summarise_sql(view, files_sql(paths))).to_arrow_table()

    def _join(self, stream: Stream, segments: Sequence[pa.Table], counts: list[int]) -> pa.Table:
        """Segments as one numbered table; those of the view before are mostly the same."""
        known, joined = self._joined.get(stream, ((), None))
        if (
            joined is None
            or len(known) != len(segments)
            or any(a is not b for a, b in zip(known, segments, strict=True))
        ):
            # One chunk: a group-by over many small chunks takes ten times as long.
            events = pa.concat_tables(segments).select(self._names[stream]).combine_chunks()
            numbers = pa.array(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
            joined = events.append_column(_NUMBER, numbers)
            self._joined[stream] = segments, joined
        return joined

    def close(self) -> None:
        """Close the connection."""
        self._con.close()


def _named(stream: Stream, views: Iterable[View]) -> list[str]:
    """The stream's columns that its views name: each one more costs an event a part of its time."""
    sql = " ".join(summarise_sql(view, "events") for view in views if view.stream == stream)
    return [name for name in stream.schema.names if re.search(rf"\b{name}\b", sql, re.IGNORECASE)]


def _row(view: View, values: Sequence[Any]) -> Row:
    width = len(view.key)
    pairs = zip(values[width + 1 :], view.columns, strict=True)
    return Row(tuple(values[:width]), values[width], tuple([c.kind.of_duckdb(v) for v, c in pairs]))
