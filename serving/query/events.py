"""The events of a stream, as the log and the archive hold them: the archive below a version's cut, the log from there.

The cells of a view of the stream say which part of the log to read: only those that hold the entity in the requested
seconds are read, and cells that lie close together in one go. The order of events is that of their stream: sequence,
then identity; their places in the log tell apart what a foreign writer appended twice. The routes call `Events.read`.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache

from serving.query.basis import Basis
from serving.query.pool import Pool
from serving.query.read import reading
from serving.store.batch import sandbox, whole
from serving.store.fold import Ends
from serving.store.snapshot import Snapshot
from slackwater.core.checked_files import OnDamage
from slackwater.http.problems import ProblemError
from slackwater.log.errors import LogError
from slackwater.log.events import decode
from slackwater.log.log import Log, read_range
from slackwater.log.names import TopicNames
from slackwater.store.files import Locate
from slackwater.streams.entities import Entity
from slackwater.streams.schema import BASE_US
from slackwater.streams.stream import Stream
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import ArchiveFile
from slackwater.views.session import files_sql

NO_PLACE = -1
"""Offset and index of imported history, which never was in the log."""

MAX_READERS = 4
"""Archives that stay open: of a version and a stream each."""

MOST_RUNS = 8
"""Ranges that one partition is read in; more are joined where they lie closest."""

Run = tuple[int, int]
"""Offsets [start, upto)."""

Place = tuple[int, str, int, int, int]
"""What orders events: sequence, identity, partition, offset, index. No two events of a stream share it."""

FIRST_PLACE: Place = (NO_PLACE, "", NO_PLACE, NO_PLACE, NO_PLACE)
"""Before every event."""

_PLACES = (("partition", pa.int32()), ("offset", pa.int64()), ("index", pa.int16()))


class EventsRequest(NamedTuple):
    """The first `limit` events of an entity with start <= time < end, behind the place `after`."""

    stream: Stream
    entity: Entity
    start: int
    end: int
    limit: int
    after: Place = FIRST_PLACE

    @property
    def order(self) -> list[str]:
        """The columns of a place."""
        return [self.stream.order, self.stream.identity, *(name for name, _ in _PLACES)]


class Events:
    """Reads the events of streams. Thread safe."""

    def __init__(self, pool: Pool, path: Locate, inspector: Inspector, log: Log, names: TopicNames) -> None:
        self._pool = pool
        self._path = path
        self._inspector = inspector
        self._log = log
        self._names = names
        self._readers: LRUCache[tuple[str, str], ArchiveReader] = LRUCache(MAX_READERS)
        self._lock = Lock()

    async def read(self, basis: Basis, request: EventsRequest) -> pa.Table:
        """The events of `request` on a basis of a view of its stream, in order, as a table of `events_schema`.

        Raises:
            ProblemError: a file or the log cannot be read, or it takes too long.
        """
        tables = []
        if basis.snapshot.manifest.archive_of(request.stream):
            reader = await self._pool.run(partial(self._reader, basis.snapshot, request.stream))
            database = reader.cursor()
            call = partial(self._archived, reader, basis, request, database)
            tables.append(await self._pool.run(call, database.interrupt))
            database.close()
        runs = {p: found for p, ends in basis.ends.items() if (found := runs_of(ends, request))}
        if runs:
            read = partial(log_events, self._log, self._names.topic(request.stream), runs, request)
            try:
                tables.append(await self._pool.run(read))
            except LogError as error:
                raise ProblemError(503, "log", f"The event log cannot be read: {error}", retry_after_s=1) from error
        return first_of([events_schema(request.stream).empty_table(), *tables], request)

    def _archived(
        self, reader: "ArchiveReader", basis: Basis, request: EventsRequest, database: duckdb.DuckDBPyConnection
    ) -> pa.Table:
        files = reader.files(basis.partitions, request)
        stored = [entry.file for entry in files]  # a flipped bit mostly reads back without an error
        with reading(basis.snapshot.version):
            return whole(self._inspector, stored, partial(reader.events, files, request, database))

    def _reader(self, snapshot: Snapshot, stream: Stream) -> "ArchiveReader":
        key = snapshot.key, stream.name
        with self._lock:
            if key not in self._readers:
                files = snapshot.manifest.archive_of(stream)
                self._readers[key] = ArchiveReader(self._path, files, on_damage=self._inspector.suspect)
            return self._readers[key]


class ArchiveReader:
    """The archive of one version. Thread safe. `path` is that of `serving.store.batch.BatchReader`."""

    def __init__(
        self, path: Locate, files: Iterable[ArchiveFile], threads: int = 1, on_damage: OnDamage | None = None
    ) -> None:
        self._path = path
        self._files = list(files)
        names = (entry.file.checked(path) for entry in self._files)
        self._con = sandbox(names, threads, on_damage=on_damage)

    def files(self, partitions: Iterable[int], request: EventsRequest) -> list[ArchiveFile]:
        """The files of some partitions that may hold events of `request`: no others are opened, nor checked."""
        chosen = set(partitions)
        within = (entry for entry in self._files if entry.low < request.end and entry.high >= request.start)
        return [entry for entry in within if entry.partition in chosen]

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one `events`."""
        return self._con.cursor()

    def events(self, files: list[ArchiveFile], request: EventsRequest, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
        """The events of `request` in these files, in order, as a table of `events_schema`."""
        schema = events_schema(request.stream)
        if not files:
            return schema.empty_table()
        paths = files_sql(entry.file.checked(self._path) for entry in files)
        nowhere = ", ".join(f'coalesce("{name}", {NO_PLACE}) AS "{name}"' for name in ("offset", "index"))
        order = ", ".join(f'"{name}"' for name in request.order)
        mine = " AND ".join(f'"{name}" = ?' for name in request.stream.entity)
        time = f'"{request.stream.time}"'
        query = (
            f"SELECT {', '.join(f'{chr(34)}{name}{chr(34)}' for name in schema.names)} "
            f"FROM (SELECT * REPLACE ({nowhere}) FROM {paths}) "
            f"WHERE {mine} AND {time} >= ? AND {time} < ? AND ({order}) > (?, ?, ?, ?, ?) ORDER BY {order} LIMIT ?"
        )
        values = [*request.entity, request.start, request.end, *request.after, request.limit]
        found: pa.Table = cursor.sql(query, params=values).to_arrow_table()
        return found.cast(schema)

    def close(self) -> None:
        """Close the database."""
        self._con.close()


def events_schema(stream: Stream) -> pa.Schema:
    """Events with their places; offset and index of imported history are NO_PLACE."""
    return pa.schema([*stream.schema, *_PLACES])


def runs_of(ends: Ends, request: EventsRequest) -> list[Run]:
    """The offsets that may hold events of `request`, in order: what the cells of a view of its stream say."""
    low, high = request.start - request.start % BASE_US, request.end + -request.end % BASE_US
    spans = {
        (cell.start, min(cell.upto, ends.upto))
        for key in ends.keys(request.entity)
        for cell, _ in ends.parts(key, low, high)
    }
    return join_runs(sorted(spans), MOST_RUNS)


def join_runs(spans: list[Run], most: int) -> list[Run]:
    """At most `most` runs that cover `spans`, which are in order and apart; small holes are read with them."""
    holes = sorted((b[0] - a[1], i) for i, (a, b) in enumerate(pairwise(spans), 1))
    split = {i for hole, i in holes[max(0, len(holes) - most + 1) :] if hole}
    runs: list[Run] = []
    for i, (start, upto) in enumerate(spans):
        if runs and i not in split:
            runs[-1] = runs[-1][0], upto
        else:
            runs.append((start, upto))
    return runs


def log_events(log: Log, topic: str, runs: Mapping[int, list[Run]], request: EventsRequest) -> pa.Table:
    """The first events of `request` in these runs of each partition, in order, as a table of `events_schema`.

    Raises:
        LogError: the log cannot be read, or does not hold a run.
    """
    found = events_schema(request.stream).empty_table()
    for partition, spans in runs.items():
        for start, upto in spans:
            for piece in read_range(log, topic, {partition: start}, {partition: upto}):
                table = decode(request.stream, piece.records).table
                table = table.append_column("partition", pa.repeat(pa.scalar(partition, pa.int32()), table.num_rows))
                found = first_of(
                    [found, _wanted(table, request).select(found.schema.names).cast(found.schema)], request
                )
    return found


def first_of(tables: Iterable[pa.Table], request: EventsRequest) -> pa.Table:
    """The first events of several tables, in order."""
    found = pa.concat_tables(tables).sort_by([(name, "ascending") for name in request.order])
    return found.slice(0, request.limit).combine_chunks()


def place_of(events: pa.Table, row: int, request: EventsRequest) -> Place:
    """The place of an event: a page that begins `after` it goes on there."""
    values = [events.column(name)[row].as_py() for name in request.order]
    return values[0], values[1], values[2], values[3], values[4]


def _wanted(table: pa.Table, request: EventsRequest) -> pa.Table:
    time = table.column(request.stream.time)
    keep = pc.and_(pc.greater_equal(time, request.start), pc.less(time, request.end))
    for name, value in zip(request.stream.entity, request.entity, strict=True):
        keep = pc.and_(keep, pc.equal(table.column(name), value))
    behind = pa.repeat(pa.scalar(False), table.num_rows)
    for name, place in reversed(list(zip(request.order, request.after, strict=True))):
        column = table.column(name)
        behind = pc.or_(pc.greater(column, place), pc.and_(pc.equal(column, place), behind))
    return table.filter(pc.and_(keep, behind))
