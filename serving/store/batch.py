"""The batch reader: one version's views, read by DuckDB from exactly that version's Parquet files.

A query reads the coarsest published interval that divides its own, and of that only the parts of the instrument's
partitions that hold bars of the range; a bar that is in several parts is merged. The database of a version may open
those files and nothing else, and its settings are locked.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.store.request import Entity, Range, RowRequest
from slackwater.core.checked_files import OnDamage, damage_in
from slackwater.store.files import Locate
from slackwater.store.instruments import NO_INSTRUMENTS, Instrument, Instruments, name_of
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.views.interval import Interval
from slackwater.views.rows import Row, rows_of
from slackwater.views.session import connect, files_sql
from slackwater.views.sql import count_sql, merge_sql
from slackwater.views.view import View

_T = TypeVar("_T")

READ_MEMORY = "1GB"
"""What the reads of one database may take together."""

KNOWN_ENTITIES = 4_096
"""Entities whose places stay looked up."""

UNREADABLE = (duckdb.IOException, duckdb.PermissionException)
"""What DuckDB raises where a file is gone: in a sandbox, it takes the name for a pattern that it may not expand."""

OUT_OF_MEMORY = duckdb.OutOfMemoryException


class _Read(NamedTuple):
    """A part, and how SQL reads it."""

    file: StoredFile
    low: int
    high: int
    sql: str


class BatchReader:
    """The batch views of one version. Thread safe: each read has a cursor of its own.

    `path` is `DataFiles.path`: all of a version's files are named, and those of one read are fetched by who checks them
    before it (`whole`).
    """

    def __init__(
        self,
        path: Locate,
        manifest: Manifest,
        threads: int = 1,
        memory_limit: str = READ_MEMORY,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.version = manifest.version
        self.duplicates = {(each.stream, each.entity): each.events for each in manifest.duplicates}
        self._instruments = manifest.instruments
        self._places = lru_cache(KNOWN_ENTITIES)(partial(_places, manifest.instruments))
        self._parts: dict[tuple[str, str, int], list[_Read]] = {}
        names = []
        for each in manifest.parts:
            name = each.file.checked(path)
            names.append(name)
            self._parts.setdefault((each.view, each.interval, each.shard), []).append(
                _Read(each.file, each.low, each.high, files_sql([name]))
            )
        self._con = sandbox(names, threads, memory_limit, on_damage)

    def instruments(self, view: View) -> Instruments:
        """What the version has of a view's stream."""
        return self._instruments.get(view.stream.name, NO_INSTRUMENTS)

    def places(self, view: View, entity: Entity) -> tuple[Instrument, ...]:
        """What the version knows of an entity: an entry for each partition that holds it."""
        return self._places(view.stream.name, entity)

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
        return [part.file for part in self._of(request, *self.bounds(request))]

    def stamp(self, request: RowRequest) -> tuple[str, ...]:
        """Names what the bars of a range are read from: where it is equal in two versions, so are the bars."""
        of = request.range
        high = self.bounds(request)[1] if of.high is None else of.high
        return tuple(part.file.sha256 for part in self._of(request, of.low, high))

    def bounds(self, request: RowRequest) -> tuple[int, int]:
        """[low, high), both bar starts: the range without what lies before the first event or after the last."""
        view, of = request.view, request.range
        known = [each for entity in request.keys.entities for each in self.places(view, entity)]
        if not known:
            return of.low, of.low
        level = of.level or of.interval
        low = max(of.low, level.floor(min([each.first_start for each in known])))
        high = level.end(level.floor(max([each.last_start for each in known])))
        return low, high if of.high is None else min(high, of.high)

    def rows(self, request: RowRequest, cursor: duckdb.DuckDBPyConnection, searched: int = 0) -> list[Row]:
        """The rows, in order of start and key. A part of `searched` microseconds is known to hold too few."""
        of, rows = request.range, list[Row]()
        for low, high in windows(of, *self.bounds(request)):
            parts = self._of(request, low, high)
            if high - low <= searched or not parts:
                continue
            query, values = _limited(request, *self._query(request, parts, low, high))
            rows = rows_of(request.view, cursor.sql(query, params=values).to_arrow_table())
            if of.limit is not None and len(rows) >= of.limit:
                break
        return sorted(rows, key=_start_and_key)

    def states(self, request: RowRequest, speed: pa.Table, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
        """All states of a range with those of `speed` merged in, in order of start and key.

        `speed` is a table of states at the range's interval, within the range; it may be empty.
        """
        high = request.range.high if request.range.high is not None else self.bounds(request)[1]
        parts = self._of(request, request.range.low, high)
        if not parts and not speed.num_rows:
            return request.view.state_schema.empty_table()
        if speed.num_rows:
            cursor.register("speed_states", speed)
        query, values = self._query(request, parts, request.range.low, high, bool(speed.num_rows))
        return _ordered(cursor.sql(query, params=values).to_arrow_table(), ("start", *request.view.key[1:]))

    def count(self, request: RowRequest, cursor: duckdb.DuckDBPyConnection) -> int:
        """How many rows of the files lie in a range; a bar counts as often as parts hold it."""
        low, high = self.bounds(request)
        condition, values = _condition(request, low, high)
        queries = [count_sql(f"{part.sql} WHERE {condition}") for part in self._of(request, low, high)]
        return sum(rows for query in queries for (rows,) in cursor.execute(query, values).fetchall())

    def bars_of_ids(
        self, request: RowRequest, names: tuple[str, str], ids: Sequence[int], cursor: duckdb.DuckDBPyConnection
    ) -> list[tuple[int, int, int]]:
        """The bars of an entity that ids lie in, as (start, smallest id, largest id); a bar as often as parts hold it.

        `names` are the columns of the view's states that hold those ids.
        """
        low, high = self.bounds(request)
        condition, values = _condition(request, low, high)
        first, last = names
        # The outer bounds let row groups be passed over, by their statistics.
        condition += (
            f" AND {last} >= ? AND {first} <= ? AND ({' OR '.join([f'({first} <= ? AND {last} >= ?)'] * len(ids))})"
        )
        values += [min(ids), max(ids), *(number for each in ids for number in (each, each))]
        selects = [
            f"SELECT start, {first}, {last} FROM {part.sql} WHERE {condition}" for part in self._of(request, low, high)
        ]
        return [row for select in selects for row in cursor.execute(select, values).fetchall()]

    def close(self) -> None:
        """Close the database."""
        self._con.close()

    def _of(self, request: RowRequest, low: int, high: int) -> list[_Read]:
        """The parts of the coarsest level that tiles the range's interval which hold bars of [low, high)."""
        view, level = request.view, _level(request)
        shards = sorted({each.partition for e in request.keys.entities for each in self.places(view, e)})
        parts = (part for shard in shards for part in self._parts.get((view.name, level.text, shard), ()))
        return [part for part in parts if part.low < high and part.high >= low]

    def _query(
        self, request: RowRequest, parts: list[_Read], low: int, high: int, speed: bool = False
    ) -> tuple[str, list[Any]]:
        """A SELECT of the states in [low, high), at the range's interval, and its values."""
        view, interval = request.view, request.range.interval
        columns = ", ".join(view.state_schema.names)
        condition, values = _condition(request, low, high)
        sources = [f"SELECT {columns} FROM {part.sql} WHERE {condition}" for part in parts]
        if speed:
            sources.append(f"SELECT {columns} FROM speed_states")
        source = f"({' UNION ALL '.join(sources)})"
        if speed or _level(request) != interval or self._split(request, parts, low, high):
            source = f"({_merging(view, interval).replace(_SOURCE, source)})"
        return f"SELECT {columns} FROM {source}", values * len(parts)

    def _split(self, request: RowRequest, parts: list[_Read], low: int, high: int) -> bool:
        """Whether the rows of one key may lie in several of these parts."""
        if len(parts) < 2 or len(request.keys.entities) == 1:
            return len(parts) > 1
        return any(len(self._of(request._replace(keys=keys), low, high)) > 1 for keys in request.keys.each())


_SOURCE, _MERGES = "<source>", dict[tuple[str, str], str]()


def _merging(view: View, interval: Interval) -> str:
    """The SELECT that merges the states of `_SOURCE` to an interval; made once of a definition."""
    known = _MERGES.get((view.definition, interval.text))
    return known or _MERGES.setdefault((view.definition, interval.text), merge_sql(view, _SOURCE, interval))


def _places(of: Mapping[str, Instruments], stream: str, entity: Entity) -> tuple[Instrument, ...]:
    return of.get(stream, NO_INSTRUMENTS).of(*name_of(entity))


def _level(request: RowRequest) -> Interval:
    """The published interval that a range is read from."""
    return request.range.level or request.view.coarsest[request.range.interval.text]


_start_and_key = attrgetter("start", "key")


def whole(inspector: Inspector, files: Iterable[StoredFile], read: Callable[[], _T]) -> _T:
    """What `read` gives, if these files are whole before it and after.

    Bytes that changed in silence fail the read itself (`slackwater.core.checked_files`); the inspector is notified.

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
