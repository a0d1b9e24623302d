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

from serving.store.directory import Entity
from slackwater.core.checked_files import OnDamage, damage_in
from slackwater.store.instruments import Instrument, Instruments, name_of
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.views.interval import Interval
from slackwater.views.kinds import Value
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


class Keys(NamedTuple):
    """Which keys: those of some entities, of which all columns but the last are equal; `where` fixes further columns.

    `where` holds places in the key and the value there.
    """

    entities: tuple[Entity, ...]
    where: tuple[tuple[int, Value], ...] = ()

    def hold(self, key: tuple[Value, ...]) -> bool:
        """Whether a key of one of the entities is among them."""
        return all(key[place] == value for place, value in self.where)

    def each(self) -> "Iterator[Keys]":
        """The keys of one entity after the other."""
        return (Keys((entity,), self.where) for entity in self.entities)


class Range(NamedTuple):
    """Which bars: the first (or last) `limit` with low <= start < high, both bar starts; all of them without `limit`.

    `after` is a row's place, start and key, that all lie behind. `level` is the published interval that the bars are
    made of, whose starts `low` and `high` are then; the coarsest that tiles them where it is None.
    """

    interval: Interval
    low: int = 0
    high: int | None = None
    limit: int | None = None
    newest_first: bool = False
    after: tuple[Value, ...] = ()
    level: Interval | None = None


class RowRequest(NamedTuple):
    """Which rows of a view."""

    view: View
    keys: Keys
    range: Range


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
        self._manifest = manifest
        self.duplicates = {(each.stream, each.entity): each.events for each in manifest.duplicates}
        self._home = home
        self._files: dict[tuple[str, str, int], list[StoredFile]] = {}
        for file in manifest.views:
            self._files.setdefault((file.view, file.interval, file.shard), []).append(file.file)
        self._con = sandbox((file.file.checked(home) for file in manifest.views), threads, memory_limit, on_damage)

    def instruments(self, view: View) -> Instruments:
        """What the version has of a view's stream."""
        return self._manifest.instruments_of(view.stream)

    def places(self, view: View, entity: Entity) -> tuple[Instrument, ...]:
        """What the version knows of an entity: an entry for each partition that holds it."""
        return self.instruments(view).of(*name_of(entity))

    def entities(self, view: View) -> set[Entity]:
        """The entities of a view's stream that the version knows."""
        kinds = [column.kind.python for column in view.key_columns[: len(view.entity)]]
        return {
            tuple(kind(text) for kind, text in zip(kinds, each.entity(len(kinds)), strict=True))
            for each in self.instruments(view)
        }

    def nothing(self, request: RowRequest) -> bool:
        """Whether it is plain without reading that there are no such bars."""
        low, high = self.bounds(request)
        return low >= high

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one read; its `interrupt` ends that from another thread."""
        return self._con.cursor()

    def files(self, request: RowRequest) -> list[StoredFile]:
        """The files that the bars are read from."""
        return self._stored(request, request.keys.entities)

    def bounds(self, request: RowRequest) -> tuple[int, int]:
        """[low, high), both bar starts: what is asked, without what lies before the first event or behind the last."""
        range_, known = request.range, [each for e in request.keys.entities for each in self.places(request.view, e)]
        if not known:
            return range_.low, range_.low
        level = range_.level or range_.interval
        low = max(range_.low, level.floor(min(found.first_start for found in known)))
        high = level.end(level.floor(max(found.last_start for found in known)))
        return low, high if range_.high is None else min(high, range_.high)

    def rows(self, request: RowRequest, cursor: duckdb.DuckDBPyConnection, searched: int = 0) -> list[Row]:
        """The rows, in order of start and key. A part of `searched` microseconds is known to hold too few."""
        paths = [file.checked(self._home) for file in self.files(request)]
        rows: list[Row] = []
        for low, high in windows(request.range, *self.bounds(request)) if paths else ():
            if high - low <= searched:
                continue
            query, values = self._query(request, low, high, paths)
            query, values = _limited(request, query, values)
            rows = rows_of(request.view, cursor.sql(query, params=values).to_arrow_table())
            if request.range.limit is not None and len(rows) >= request.range.limit:
                break
        return sorted(rows, key=lambda row: (row.start, row.key))

    def states(self, request: RowRequest, speed: pa.Table, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
        """All states of a range with those of `speed` merged in, in order of start and key.

        `speed` is a table of states at the range's interval, within the range; it may be empty.
        """
        paths = [file.checked(self._home) for file in self.files(request)]
        if not paths and not speed.num_rows:
            return request.view.state_schema.empty_table()
        if speed.num_rows:
            cursor.register("speed_states", speed)
        high = request.range.high if request.range.high is not None else self.bounds(request)[1]
        query, values = self._query(request, request.range.low, high, paths, bool(speed.num_rows))
        return _ordered(cursor.sql(query, params=values).to_arrow_table(), ("start", *request.view.key[1:]))

    def count(self, request: RowRequest, cursor: duckdb.DuckDBPyConnection) -> int:
        """How many rows of the files lie in a range."""
        paths = [file.checked(self._home) for file in self.files(request)]
        if not paths:
            return 0
        condition, values = _condition(request, *self.bounds(request))
        source = f"(SELECT * FROM {files_sql(paths)} WHERE {condition})"
        found = cursor.execute(bounds_sql(request.view.stream, source), values).fetchall()
        return sum(rows for *_, rows in found)

    def close(self) -> None:
        """Close the database."""
        self._con.close()

    def _stored(self, request: RowRequest, entities: Iterable[Entity]) -> list[StoredFile]:
        level = request.range.level or coarsest_published(request.view, request.range.interval)
        shards = sorted({each.partition for entity in entities for each in self.places(request.view, entity)})
        return [file for shard in shards for file in self._files.get((request.view.name, level.text, shard), ())]

    def _query(
        self, request: RowRequest, low: int, high: int, paths: list[str], speed: bool = False
    ) -> tuple[str, list[Any]]:
        """A SELECT of the states in [low, high), at the range's interval, and its values."""
        columns, sources, values = ", ".join(request.view.state_schema.names), [], list[Any]()
        if paths:
            condition, values = _condition(request, low, high)
            sources.append(f"SELECT {columns} FROM {files_sql(paths)} WHERE {condition}")
        if speed:
            sources.append(f"SELECT {columns} FROM speed_states")
        source = f"({' UNION ALL '.join(sources)})"
        level = request.range.level or coarsest_published(request.view, request.range.interval)
        split = any(len(self._stored(request, (entity,))) > 1 for entity in request.keys.entities)
        if speed or split or level != request.range.interval:
            source = f"({merge_sql(request.view, source, request.range.interval)})"
        return f"SELECT {columns} FROM {source}", values


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


def whole_rows(
    inspector: Inspector, batch: BatchReader, request: RowRequest, cursor: duckdb.DuckDBPyConnection, searched: int = 0
) -> list[Row]:
    """The rows, from whole files. Raises DamagedFileError."""
    return whole(inspector, batch.files(request), lambda: batch.rows(request, cursor, searched))


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


def windows(of: Range, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Growing parts of [low, high), the last one all of it: enough for `limit` bars if they lie dense, then more.

    A file is sorted by key and start, so a narrow part is read without the rest.
    """
    if low >= high:
        return
    span = high - low if of.limit is None else (of.limit + of.limit // 4 + 1) * of.interval.us
    while span < high - low:
        floor = of.interval.floor  # bars of the calendar differ in length
        yield (floor(high - span), high) if of.newest_first else (low, floor(low + span))
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


def _condition(request: RowRequest, low: int, high: int) -> tuple[str, list[Any]]:
    """What holds of the rows of a range in the files, and its values."""
    view, parts, values = request.view, [], list[Any]()
    for place, name in enumerate(view.entity):
        found = sorted({entity[place] for entity in request.keys.entities})
        parts.append(f"{name} = ?" if len(found) == 1 else f"{name} IN ({', '.join('?' * len(found))})")
        values += found
    for place, value in request.keys.where:
        parts.append(f"{view.key[place]} = ?")
        values.append(value)
    return " AND ".join([*parts, "start >= ?", "start < ?"]), [*values, low, high]


def _limited(request: RowRequest, query: str, values: list[Any]) -> tuple[str, list[Any]]:
    """The first or last rows of a SELECT of states."""
    of, names = request.range, ("start", *request.view.key)
    if of.after:
        query += f" WHERE ({', '.join(names)}) > ({', '.join('?' * len(names))})"
        values = [*values, *of.after]
    if of.limit is None:
        return query, values
    way = "DESC" if of.newest_first else "ASC"
    return f"{query} ORDER BY {', '.join(f'{name} {way}' for name in names)} LIMIT {of.limit:d}", values
