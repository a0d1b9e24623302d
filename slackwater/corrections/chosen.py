"""The events that a correction is of, found in the archive of a version and in the log behind it.

archive of version 9, cut C     |  log from C on
files, by epoch, as they are    |  decoded, a slice at a time       -> the table `chosen`, each event with its place
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from slackwater.corrections.selection import Selection, SelectionError
from slackwater.log.events import decode
from slackwater.log.log import Log, read_range
from slackwater.store.archive_file import archive_table
from slackwater.store.files import Locate
from slackwater.streams.stream import Stream
from slackwater.versions.corrections import EPOCH, gone_schema
from slackwater.versions.manifest import ArchiveFile, Manifest
from slackwater.views.counts import ends_sql, events_sql, later_events_sql, repeated_ids_sql, span_sql
from slackwater.views.limits import Limits
from slackwater.views.session import files_sql
from slackwater.views.sql import literal_sql

SHOWN = 10


class Summary(NamedTuple):
    """How many events, of which entities, from when to when (microseconds, None for none), and the first of them."""

    events: int
    entities: Mapping[tuple[str, ...], int]
    low: int | None
    high: int | None
    first: list[dict[str, Any]]


class Chosen:
    """Collects events of one stream. Open until the block of `choosing` ends; not thread safe."""

    def __init__(self, con: duckdb.DuckDBPyConnection, stream: Stream, fetch: Locate, archive: Iterable[ArchiveFile]):
        self._con = con
        self._stream = stream
        self._fetch = fetch
        self._archive = list(archive)
        con.register("nothing", gone_schema(stream).empty_table())
        con.execute("CREATE TEMP TABLE chosen AS SELECT * FROM nothing")

    def select(self, selection: Selection) -> None:
        """Add the events of the archive that a selection is of. Raises SelectionError: it has no such epoch."""
        files = [entry for entry in self._archive if selection.may_be_in(entry.low, entry.high)]
        if selection.epoch:
            files = [entry for entry in files if entry.epoch == selection.epoch]
            if not files:
                newest = list(dict.fromkeys(entry.epoch for entry in reversed(self._archive)))[:5]
                raise SelectionError(
                    f"The archive of {self._stream.name} has no epoch {selection.epoch!r}.",
                    f"The newest are {', '.join(newest) or 'none'}; `slackwater correct epochs` lists all.",
                )
        where = self._condition(selection)
        for epoch, of in _by_epoch(files).items():
            self._con.execute(f"INSERT INTO chosen {self._of(of, epoch)} WHERE {where}")

    def select_in_log(self, selection: Selection, log: Log, topic: str, cut: Mapping[int, int]) -> None:
        """Add those of the log from a cut on. Raises LogError."""
        if selection.epoch:  # what is no epoch yet is in none
            return
        where = self._condition(selection)
        bounds = log.bounds(topic)
        starts = {p: max(cut.get(p, at.start), at.start) for p, at in bounds.items()}
        for piece in read_range(log, topic, starts, {p: at.end for p, at in bounds.items()}):
            table = decode(self._stream, piece.records).table
            if table.num_rows:
                places = table.column("offset"), table.column("index")
                self._con.register("piece", archive_table(self._stream, piece.partition, table, *places))
                self._con.execute(f"INSERT INTO chosen SELECT *, NULL AS {EPOCH} FROM piece WHERE {where}")
                self._con.unregister("piece")

    def select_duplicates(self, entities: Sequence[tuple[str, ...]]) -> None:
        """Add the events of some entities whose identity an event before them has: the first one stays."""
        if not entities:
            return
        stream = self._stream
        columns = dict(zip(stream.entity, map(list, zip(*entities, strict=True)), strict=True))
        self._con.register("doubled", pa.table({name: pa.array(of, pa.string()) for name, of in columns.items()}))
        entity, place = ", ".join(f'"{n}"' for n in stream.entity), ", ".join(map(_quoted, self._place))
        every = f"SELECT {place} FROM {self._files(self._archive)} SEMI JOIN doubled USING ({entity})"
        self._con.execute(f"CREATE TEMP TABLE repeated AS {repeated_ids_sql(stream, f'({every})')}")
        self._con.execute("CREATE TEMP TABLE found AS SELECT *, 0 AS version FROM nothing")
        for entry in self._archive:
            epoch = entry.epoch if entry.start is None else None
            found = f"{self._of([entry], epoch, f', {entry.version} AS version')} SEMI JOIN repeated USING ({place})"
            self._con.execute(f"INSERT INTO found {found}")
        # Of one version, what the log held came before what was imported; a late file holds offsets of all its run.
        later = later_events_sql(stream, "found", 'version, "offset" NULLS LAST, "index"')
        columns_sql = ", ".join(map(_quoted, gone_schema(stream).names))
        self._con.execute(f"INSERT INTO chosen SELECT {columns_sql} FROM ({later})")

    def summary(self) -> Summary:
        """What was found."""
        ((events, low, high),) = self._con.execute(span_sql(self._stream, "chosen")).fetchall()
        of = {tuple(name): count for *name, count in self._con.execute(events_sql(self._stream, "chosen")).fetchall()}
        first = self._con.sql(f"SELECT * FROM chosen ORDER BY ALL LIMIT {SHOWN}").to_arrow_table().to_pylist()
        return Summary(events, of, low, high, first)

    def ends(self) -> dict[int, int]:
        """Partition -> the offset behind the last one that the log held."""
        return dict(self._con.execute(ends_sql("chosen")).fetchall())

    def write(self, path: Path) -> None:
        """Write them, in the order of their places."""
        order = ", ".join(map(_quoted, ["partition", "offset", "index", EPOCH, *self._place]))
        self._con.execute("SET preserve_insertion_order = true")
        rows = f"SELECT * FROM chosen ORDER BY {order}"
        self._con.execute(f"COPY ({rows}) TO {literal_sql(str(path))} (FORMAT parquet, COMPRESSION zstd)")

    @property
    def _place(self) -> list[str]:
        return [*self._stream.entity, self._stream.identity]

    def _condition(self, selection: Selection) -> str:
        if selection.ids is not None:
            self._con.register("ids", selection.ids)
        return selection.condition(self._stream, "ids")

    def _of(self, files: Sequence[ArchiveFile], epoch: str | None, more: str = "") -> str:
        name = "NULL" if epoch is None else literal_sql(epoch)
        return f"SELECT *, {name} AS {EPOCH}{more} FROM {self._files(files)}"

    def _files(self, files: Iterable[ArchiveFile]) -> str:
        return files_sql(entry.file.checked(self._fetch) for entry in files)


@contextmanager
def choosing(stream: Stream, fetch: Locate, manifest: Manifest, limits: Limits) -> Iterator[Chosen]:
    """Choose events of a version's archive.

    Raises:
        SelectionError: a file cannot be read.
    """
    try:
        with limits.connect() as con:
            yield Chosen(con, stream, fetch, manifest.archive_of(stream))
    except duckdb.IOException as error:
        raise SelectionError(f"The archive cannot be read: {error}.") from error


def _by_epoch(files: Iterable[ArchiveFile]) -> dict[str | None, list[ArchiveFile]]:
    """Files by the epoch of imported history; None: those of the log."""
    found: dict[str | None, list[ArchiveFile]] = {}
    for entry in files:
        found.setdefault(entry.epoch if entry.start is None else None, []).append(entry)
    return found


def _quoted(name: str) -> str:
    return f'"{name}"'
