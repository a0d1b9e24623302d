"""Makes parts: the states of a segment of archive files, at every published interval, as Parquet. Map-only.

    <folder>/<view>/<interval>/<shard>.parquet             a row a bar, sorted by key and start
    <folder>/<view>/<interval>/<shard>-<slice>.parquet     the bars of one slice (`slackwater.store.layout`)
    <folder>/<view>/<shard>.json                           which of these there are: a listing decides nothing

A file gets its name when it is whole, so a bundle that is run twice on any runner writes the same bytes. DuckDB reads
events and writes states; no row of either is an element, or crosses the runner.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import duckdb

from slackwater.core.faults import reach
from slackwater.pipeline.segment import Segment
from slackwater.store.layout import Counted, Planned, lay_out, slice_of
from slackwater.store.local_files import gone_if_it_fails
from slackwater.views.errors import ViewError
from slackwater.views.interval import Interval
from slackwater.views.levels import finer_published
from slackwater.views.limits import Limits
from slackwater.views.session import files_sql
from slackwater.views.sql import end_sql, finish_sql, floor_sql, literal_sql, merge_sql, slices_sql, summarise_sql
from slackwater.views.view import View

ROW_GROUP_ROWS = 16_384
"""Small enough that a cold range of one instrument reads a few of them only."""


class Written(NamedTuple):
    """A part as it was written: its interval, its path below the folder, its bars, and the starts of first and last."""

    interval: str
    path: str
    rows: int
    low: int
    high: int


def shard_path(folder: Path, view: str, interval: Interval, shard: int, of: int | None = None) -> Path:
    """Where the states of a shard are, or those of one of its slices."""
    return folder / view / interval.word / (f"{shard}.parquet" if of is None else f"{shard}-{of}.parquet")


def result_path(folder: Path, view: str, shard: int) -> Path:
    """Where it says which parts were made of a shard."""
    return folder / view / f"{shard}.json"


def write_result(folder: Path, view: str, shard: int, written: list[Written]) -> None:
    """Say which parts were made."""
    path = result_path(folder, view, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with gone_if_it_fails(temporary):
        temporary.write_text(json.dumps(written))
        temporary.replace(path)


def read_result(folder: Path, view: str, shard: int) -> list[Written]:
    """Which parts were made. Raises FileNotFoundError."""
    return [Written(*each) for each in json.loads(result_path(folder, view, shard).read_text())]


class MakeParts(beam.DoFn):
    """Segment of archive files -> the paths of the parts that were made of it, for each view that it is for.

    `sliced`: large slices are parts of their own. `finished` also writes answers, decimals as text.
    """

    def __init__(
        self, views: tuple[View, ...], folder: Path, limits: Limits, sliced: bool = True, finished: bool = False
    ) -> None:
        self._views = views
        self._folder = folder
        self._limits = limits
        self._sliced = sliced
        self._finished = finished

    def setup(self) -> None:
        """Open a session."""
        self._con = self._limits.connect()

    def process(self, segment: Segment) -> Iterator[str]:
        """Make the parts of one segment."""
        for view in self._views:
            if not segment.is_for(view):
                continue
            try:
                yield from self._make(view, segment)
            except duckdb.OutOfMemoryException as error:
                where = f"{view.stream.name} in shard {segment.slot.shard}"
                raise ViewError(
                    f"{view.name} of {where} takes too much memory: {error}.", self._limits.too_small
                ) from error

    def teardown(self) -> None:
        """Close the session."""
        self._con.close()

    def _make(self, view: View, segment: Segment) -> Iterator[str]:
        shard, written = segment.slot.shard, list[Written]()
        writer = PartWriter(self._con, view, self._folder, shard, self._sliced)
        for interval in view.intervals:
            if interval == view.intervals[0]:
                select = summarise_sql(view, files_sql(segment.paths))
            else:
                select = merge_sql(view, _table(finer_published(view, interval)), interval)
            try:
                self._con.execute(f"CREATE OR REPLACE TEMP TABLE {_table(interval)} AS {select}")
            except duckdb.OutOfMemoryException:
                raise
            except duckdb.Error as error:
                where = f"{view.stream.name} in shard {shard}"
                raise ViewError(f"The view {view.name} makes no states of {where}: {error}") from error
            written += writer.write(_table(interval), interval)
            if self._finished:
                path = shard_path(self._folder, view.name, interval, shard)
                copy_to(self._con, finish_sql(view, _table(interval)), view, path.parent / "answers" / path.name)
        for interval in view.intervals:
            self._con.execute(f"DROP TABLE {_table(interval)}")
        write_result(self._folder, view.name, shard, written)
        yield from (str(self._folder / each.path) for each in written)


class PartWriter:
    """Writes the parts of one view and shard below a folder; `prefix` is before their names."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        view: View,
        folder: Path,
        shard: int,
        sliced: bool = True,
        prefix: str = "",
    ) -> None:
        self._con = con
        self._view = view
        self._folder = folder
        self._shard = shard
        self._sliced = sliced
        self._prefix = prefix

    def write(self, table: str, interval: Interval) -> Iterator[Written]:
        """Write the states of a table, a row a bar; it is sorted anew where it becomes several parts."""
        slices = slice_of(interval) if self._sliced else None
        counted = [Counted(*row) for row in self._con.execute(slices_sql(table, slices)).fetchall()]
        planned = lay_out(counted) if self._sliced else [Planned(None, *each[1:]) for each in counted]
        if len(planned) > 1:  # so that each part reads its own rows and no others
            self._con.execute(f"CREATE OR REPLACE TEMP TABLE sorted AS SELECT * FROM {table} ORDER BY start")
            table = "sorted"
        own = [each.slice for each in planned if each.slice is not None]
        for each in planned:
            path = shard_path(self._folder, self._view.name, interval, self._shard, each.slice)
            path = path.with_name(self._prefix + path.name)
            rows = f"SELECT * FROM {table}"
            if each.slice is not None and slices is not None:
                rows += f" WHERE start >= {each.slice} AND start < {end_sql(str(each.slice), slices)}"
            elif own and slices is not None:
                rows += f" WHERE {floor_sql('start', slices)} NOT IN ({', '.join(map(str, own))})"
            copy_to(self._con, rows, self._view, path)
            yield Written(interval.text, str(path.relative_to(self._folder)), each.rows, each.low, each.high)
        if table == "sorted":
            self._con.execute("DROP TABLE sorted")


def copy_to(con: duckdb.DuckDBPyConnection, select: str, view: View, path: Path) -> None:
    """Write the rows of a SELECT in the order of key and start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    order = ", ".join([*view.key, "start"])
    con.execute("SET preserve_insertion_order = true")
    try:
        with gone_if_it_fails(temporary):
            reach("compute.write")
            con.execute(
                f"COPY (SELECT * FROM ({select}) ORDER BY {order}) TO {literal_sql(str(temporary))} "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
            )
            reach("compute.rename")
            temporary.replace(path)
    finally:
        con.execute("SET preserve_insertion_order = false")


def _table(interval: Interval) -> str:
    return f"states_{interval.word}"
