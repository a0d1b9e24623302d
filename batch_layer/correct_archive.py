"""Takes events out of the archive: each file that holds some is written again without them, under a name of its own.

    asked     events of the ledger, by their places          archive   f g h
    gone      those of them that the archive holds           becomes   f g' h      g' lists what g did, less `gone`

So whoever reads the archive of a version (compute, audits, `--full`, candidates, the service) needs to know nothing of
corrections. A file keeps its number, epoch and offsets, also where nothing is left in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from slackwater.core.faults import reach
from slackwater.store.archive_file import archive_schema, copy_without
from slackwater.streams.stream import Stream
from slackwater.versions.corrections import EPOCH, Correction, gone_schema
from slackwater.versions.manifest import ArchiveFile
from slackwater.versions.store import VersionStore
from slackwater.views.session import files_sql
from slackwater.views.sql import count_sql, literal_sql

GONE = "gone"
"""The table of what was taken out, as `gone_schema`."""


class ArchiveCorrector:
    """Corrects the archive of one stream in a session, which has the table GONE then. `folder` is the run's."""

    def __init__(self, con: duckdb.DuckDBPyConnection, store: VersionStore, stream: Stream, folder: Path) -> None:
        self._con = con
        self._store = store
        self._stream = stream
        self._folder = folder
        self._written = 0
        con.register("nothing", gone_schema(stream).empty_table())
        con.execute(f"CREATE OR REPLACE TEMP TABLE {GONE} AS SELECT * FROM nothing")

    @property
    def events(self) -> int:
        """How many were taken out."""
        ((count,),) = self._con.execute(count_sql(GONE)).fetchall()
        return int(count)

    def correct(self, archive: Sequence[ArchiveFile], corrections: Iterable[Correction]) -> list[ArchiveFile]:
        """The archive without the events of some corrections; those that it does not hold are passed over."""
        files = files_sql(correction.file.checked(self._store.data.fetch) for correction in corrections)
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE asked AS SELECT DISTINCT * FROM {files}")
        return [self._without(entry) for entry in archive]

    def _without(self, entry: ArchiveFile) -> ArchiveFile:
        stream = self._stream
        same = [*stream.entity, stream.identity, *([] if entry.start is None else ["offset", "index"])]
        mine = self._mine(entry)
        if not self._con.execute(f"SELECT 1 FROM asked WHERE {mine} LIMIT 1").fetchall():
            return entry
        file = files_sql([entry.file.checked(self._store.data.fetch)], numbered=True)
        using = ", ".join(f'"{name}"' for name in same)
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE hits AS SELECT * FROM {file} "
            f"SEMI JOIN (SELECT * FROM asked WHERE {mine}) USING ({using})"
        )
        rows = self._con.sql("SELECT file_row_number FROM hits ORDER BY ALL").to_arrow_table().column(0).to_numpy()
        if not len(rows):
            return entry
        columns = ", ".join(f'"{name}"' for name in archive_schema(stream).names)
        epoch = "NULL" if entry.start is not None else literal_sql(entry.epoch)
        self._con.execute(f"INSERT INTO {GONE} SELECT {columns}, {epoch} AS {EPOCH} FROM hits")
        return self._rewritten(entry, rows)

    def _mine(self, entry: ArchiveFile) -> str:
        """Which of what is asked the file may hold."""
        if entry.start is None:
            return f'"partition" = {entry.partition} AND {EPOCH} = {literal_sql(entry.epoch)}'
        return f'"partition" = {entry.partition} AND "offset" >= {entry.start} AND "offset" < {entry.upto}'

    def _rewritten(self, entry: ArchiveFile, rows: Any) -> ArchiveFile:
        path = self._folder / f"corrected-{self._stream.name}-{self._written}.parquet"
        self._written += 1
        copy_without(self._stream, entry.file.checked(self._store.data.fetch), rows, path)
        reach("correct.archive")
        return replace(entry, file=self._store.stored(path, entry.file.rows - len(rows)))
