"""The batch reader: one version's views, read by DuckDB from exactly that version's Parquet files.

A query reads the coarsest published interval that divides its own, and of that only the shards of the instrument's
partitions. The database of a version may open those files and nothing else, and its settings are locked.

Not here: deadlines and the bound on concurrent reads (`serving.query.pool`), and kept results
(`serving.store.row_cache`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.core.checked_files import OnDamage, damage_in
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.views.interval import Interval
from slackwater.views.levels import coarsest_published
from slackwater.views.rows import Row, rows_of
from slackwater.views.session import connect, files_sql
from slackwater.views.sql import bounds_sql, merge_sql
from slackwater.views.view import View

_T = TypeVar("_T")

READ_MEMORY = "1GB"
"""What the reads of one database may take together."""

UNREADABLE = (duckdb.IOException, duckdb.PermissionException)
"""What DuckDB raises where a file is gone: in a sandbox, it takes the name for a pattern that it may not expand."""


OUT_OF_MEMORY = duckdb.OutOfMemoryException


class Want(NamedTuple):
    """Bars of one instrument: the first (or last) `limit` bars with low <= start < high, both bar starts.

    `after` skips the rows at `low` whose further key columns are not behind it.
    """

    view: View
    venue: str
    symbol: str
    interval: Interval
    low: int
    high: int | None
    limit: int
    newest_first: bool
    after: tuple[str | int, ...] = ()


class Range(NamedTuple):
    """All bars of some instruments of a venue with low <= start < high, both bar starts."""

    view: View
    venue: str
    symbols: tuple[str, ...]
    interval: Interval
    low: int
    high: int


class BatchReader:
    """The batch views of one version. Thread safe: each read has a cursor of its own."""

    def __init__(
        self,
        home: Path,
        manifest: Manifest,
        threads: int = 1,
        memory_limit: str = READ_MEMORY,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.version = manifest.version
        self.instruments = manifest.instruments_of(TRADES)
        self.duplicates = {(each.venue, each.symbol): each.events for each in manifest.duplicates}
        self._home = home
        self._files: dict[tuple[str, str, int], list[StoredFile]] = {}
        for file in manifest.views:
            self._files.setdefault((file.view, file.interval, file.shard), []).append(file.file)
        self._con = sandbox((file.file.checked(home) for file in manifest.views), threads, memory_limit, on_damage)

    def nothing(self, want: Want) -> bool:
        """Whether it is plain without reading that there are no such bars."""
        known = self.instruments.of(want.venue, want.symbol)
        return not any(
            want.interval.floor(found.last_start) >= want.low
            and (want.high is None or want.interval.floor(found.first_start) < want.high)
            for found in known
        )

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one `bars`; its `interrupt` ends that from another thread."""
        return self._con.cursor()

    def files(self, want: Want) -> list[StoredFile]:
        """The files that the bars are read from."""
        return self._stored(want.view, want.venue, (want.symbol,), want.interval)

    def range_files(self, want: Range) -> list[StoredFile]:
        """The files that a range is read from."""
        return self._stored(want.view, want.venue, want.symbols, want.interval)

    def _stored(self, view: View, venue: str, symbols: Iterable[str], interval: Interval) -> list[StoredFile]:
        level = coarsest_published(view, interval).text
        shards = sorted({each.partition for s in symbols for each in self.instruments.of(venue, s)})
        return [file for shard in shards for file in self._files.get((view.name, level, shard), ())]

    def bounds(self, want: Want) -> tuple[int, int]:
        """[low, high), both bar starts: what is asked, without what lies before the first event or behind the last."""
        known = self.instruments.of(want.venue, want.symbol)
        if not known:
            return want.low, want.low
        low = max(want.low, want.interval.floor(min(found.first_start for found in known)))
        high = want.interval.end(want.interval.floor(max(found.last_start for found in known)))
        return low, high if want.high is None else min(high, want.high)

    def bars(self, want: Want, cursor: duckdb.DuckDBPyConnection, searched: int = 0) -> list[Row]:
        """The bars, in order of start and key. A part of `searched` microseconds is known to hold too few."""
        level = coarsest_published(want.view, want.interval)
        paths = [file.checked(self._home) for file in self.files(want)]
        if not paths:
            return []
        rows: list[Row] = []
        for low, high in windows(want, *self.bounds(want)):
            if high - low <= searched:
                continue
            query, values = _select(want, low, high, paths, want.interval != level)
            rows = rows_of(want.view, cursor.sql(query, params=values).to_arrow_table())
            if len(rows) >= want.limit:
                break
        return sorted(rows, key=lambda row: (row.start, row.key))

    def range_states(self, want: Range, speed: pa.Table, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
        """The states of a range with those of `speed` merged in, in order of start and key.

        `speed` is a table of states at the range's interval, within the range; it may be empty.
        """
        columns = ", ".join(want.view.state_schema.names)
        paths = [file.checked(self._home) for file in self.range_files(want)]
        sources, values = [], []
        if paths:
            marks = ", ".join("?" * len(want.symbols))
            condition = f"venue = ? AND symbol IN ({marks}) AND start >= ? AND start < ?"
            sources.append(f"SELECT {columns} FROM {files_sql(paths)} WHERE {condition}")
            values = [want.venue, *want.symbols, want.low, want.high]
        if speed.num_rows:
            cursor.register("speed_states", speed)
            sources.append(f"SELECT {columns} FROM speed_states")
        if not sources:
            return want.view.state_schema.empty_table()
        source = f"({' UNION ALL '.join(sources)})"
        if speed.num_rows or coarsest_published(want.view, want.interval) != want.interval or self._split(want):
            source = f"({merge_sql(want.view, source, want.interval)})"
        states = cursor.sql(f"SELECT {columns} FROM {source}", params=values).to_arrow_table()
        return _ordered(states, ("start", *want.view.key[1:]))

    def _split(self, want: Range) -> bool:
        """Whether the bars of one instrument lie in several files."""
        return any(len(self._stored(want.view, want.venue, (s,), want.interval)) > 1 for s in want.symbols)

    def range_rows(self, want: Range, cursor: duckdb.DuckDBPyConnection) -> int:
        """How many rows of the files lie in a range."""
        paths = [file.checked(self._home) for file in self.range_files(want)]
        if not paths:
            return 0
        marks = ", ".join("?" * len(want.symbols))
        source = f"(SELECT venue, symbol, start FROM {files_sql(paths)} WHERE start >= ? AND start < ?)"
        query = f"SELECT * FROM ({bounds_sql(source)}) WHERE venue = ? AND symbol IN ({marks})"
        found = cursor.execute(query, [want.low, want.high, want.venue, *want.symbols]).fetchall()
        return sum(rows for *_, rows in found)

    def close(self) -> None:
        """Close the database."""
        self._con.close()


def whole(inspector: Inspector, files: Iterable[StoredFile], read: Callable[[], _T]) -> _T:
    """What `read` gives, if these files are whole before it and after.

    Bytes that changed in silence fail the read itself (`slackwater.core.checked_files`); the inspector is told, so it
    knows then.

    Raises:
        DamagedFileError: one is not; whatever was read is not used.
    """
    files = list(files)
    inspector.check(files)
    try:
        found = read()
    except duckdb.Error as error:
        inspector.check(files)  # what DuckDB raises of a file that was damaged meanwhile may be any of its errors
        damage = damage_in(error)
        if damage is not None:  # and is whole again
            raise DamagedFileError(Path(damage[0]), "the bytes that were written", damage[1]) from error
        raise
    inspector.check(files)
    return found


def whole_bars(
    inspector: Inspector, batch: BatchReader, want: Want, cursor: duckdb.DuckDBPyConnection, searched: int = 0
) -> list[Row]:
    """The bars, from whole files. Raises DamagedFileError."""
    return whole(inspector, batch.files(want), lambda: batch.bars(want, cursor, searched))


def whole_range(inspector: Inspector, batch: BatchReader, want: Range, cursor: duckdb.DuckDBPyConnection) -> list[Row]:
    """The rows of a range in order of start and key, from whole files. Raises DamagedFileError."""
    nothing = want.view.state_schema.empty_table()
    states = whole(inspector, batch.range_files(want), lambda: batch.range_states(want, nothing, cursor))
    rows = rows_of(want.view, states)
    return sorted(rows, key=lambda row: (row.start, row.key)) if len(want.view.key) > 2 else rows


def sandbox(
    names: Iterable[str], threads: int, memory_limit: str = READ_MEMORY, on_damage: OnDamage | None = None
) -> duckdb.DuckDBPyConnection:
    """A database that may open exactly the files of these names, `StoredFile.checked`."""
    con = connect(threads, memory_limit, on_damage)
    con.execute("SET allowed_paths = ?", [list(names)])
    con.execute("SET parquet_metadata_cache = true")  # no file is ever replaced in place
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def windows(want: Want, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Growing parts of [low, high), the last one all of it: enough for `limit` bars if they lie dense, then more.

    A file is sorted by key and start, so a narrow part is read without the rest.
    """
    span = (want.limit + want.limit // 4 + 1) * want.interval.us
    while span < high - low:
        floor = want.interval.floor  # bars of the calendar differ in length
        yield (floor(high - span), high) if want.newest_first else (low, floor(low + span))
        span *= 16
    yield low, high


def _ordered(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table in the order of these columns, a number and texts. Rows of one instrument and one file come so."""
    starts = table.column(names[0]).to_numpy()
    if (starts[1:] > starts[:-1]).all():
        return table
    # By ranks: Arrow compares texts, which takes ten times as long.
    ranks = [_ranks(table.column(name)) for name in names[1:]]
    return table.take(pa.array(np.lexsort((*reversed(ranks), starts))))


def _ranks(texts: pa.ChunkedArray) -> Any:
    """The place of each text among all of them in their order, equal for equal ones."""
    return pc.index_in(texts, pa.array(sorted(texts.unique().to_pylist()), texts.type)).to_numpy()


def _select(want: Want, low: int, high: int, paths: list[str], merge: bool) -> tuple[str, list[Any]]:
    source = f"(SELECT * FROM {files_sql(paths)} WHERE venue = ? AND symbol = ? AND start >= ? AND start < ?)"
    if merge or len(paths) > 1:
        source = f"({merge_sql(want.view, source, want.interval)})"
    query, values = f"SELECT * FROM {source}", [want.venue, want.symbol, low, high]
    rest = want.view.key[2:]
    if rest and want.after:
        query += f" WHERE start > ? OR ({', '.join(rest)}) > ({', '.join('?' * len(rest))})"
        values += [want.low, *want.after]
    way = "DESC" if want.newest_first else "ASC"
    order = ", ".join(f"{name} {way}" for name in ("start", *rest))
    return f"{query} ORDER BY {order} LIMIT {int(want.limit)}", values
