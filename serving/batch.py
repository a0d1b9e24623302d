"""The batch reader: one version's views, read by DuckDB from exactly that version's Parquet files.

A query reads the coarsest published interval that divides its own, and of that only the shards of the instrument's
partitions. The database of a version may open those files and nothing else, and its settings are locked.

Not here: deadlines and the bound on concurrent reads (`serving.pool`), and kept results (`serving.row_cache`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from versions.manifest import Instrument, Manifest
from views.interval import Interval, coarsest_published
from views.rows import Row, rows_of
from views.session import connect, files_sql
from views.sql import merge_sql
from views.view import View


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
    after: tuple[str, ...] = ()


class BatchReader:
    """The batch views of one version. Thread safe: each read has a cursor of its own."""

    def __init__(self, home: Path, manifest: Manifest, threads: int = 2, memory_limit: str | None = None) -> None:
        self.version = manifest.version
        self.instruments: dict[tuple[str, str], tuple[Instrument, ...]] = {}
        for found in manifest.instruments:
            name = found.venue, found.symbol
            self.instruments[name] = (*self.instruments.get(name, ()), found)
        self._paths: dict[tuple[str, str, int], list[str]] = {}
        for file in manifest.views:
            self._paths.setdefault((file.view, file.interval, file.shard), []).append(str(home / file.file.path))
        self._con = sandbox((path for paths in self._paths.values() for path in paths), threads, memory_limit)

    def nothing(self, want: Want) -> bool:
        """Whether it is plain without reading that there are no such bars."""
        known = self.instruments.get((want.venue, want.symbol), ())
        return not any(
            want.interval.floor(found.last_start) >= want.low
            and (want.high is None or want.interval.floor(found.first_start) < want.high)
            for found in known
        )

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one `bars`; its `interrupt` ends that from another thread."""
        return self._con.cursor()

    def bars(self, want: Want, cursor: duckdb.DuckDBPyConnection) -> list[Row]:
        """The bars, in order of start and key."""
        level = coarsest_published(want.interval).text
        shards = {found.partition for found in self.instruments.get((want.venue, want.symbol), ())}
        paths = [path for shard in sorted(shards) for path in self._paths.get((want.view.name, level, shard), ())]
        if not paths:
            return []
        query, values = _select(want, paths)
        rows = rows_of(want.view, cursor.sql(query, params=values).to_arrow_table())
        return sorted(rows, key=lambda row: (row.start, row.key))

    def close(self) -> None:
        """Close the database."""
        self._con.close()


def sandbox(paths: Iterable[str], threads: int, memory_limit: str | None) -> duckdb.DuckDBPyConnection:
    """A database that may open exactly these files."""
    con = connect(threads, memory_limit)
    con.execute("SET allowed_paths = ?", [list(paths)])
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def _select(want: Want, paths: list[str]) -> tuple[str, list[Any]]:
    low, values = "start >= ?", [want.venue, want.symbol, want.low]
    high = ""
    if want.high is not None:
        high = " AND start < ?"
        values.append(want.high)
    source = f"(SELECT * FROM {files_sql(paths)} WHERE venue = ? AND symbol = ? AND {low}{high})"
    query = f"SELECT * FROM ({merge_sql(want.view, source, want.interval)})"
    rest = want.view.key[2:]
    if rest and want.after:
        query += f" WHERE start > ? OR ({', '.join(rest)}) > ({', '.join('?' * len(rest))})"
        values += [want.low, *want.after]
    way = "DESC" if want.newest_first else "ASC"
    order = ", ".join(f"{name} {way}" for name in ("start", *rest))
    return f"{query} ORDER BY {order} LIMIT {int(want.limit)}", values
