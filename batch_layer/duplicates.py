"""How many trades of an instrument are duplicates: events of the archive whose id stands there more than once.

The door lets none through; a foreign writer's are counted as they stand, and this is where they are shown. Exact and
cheap: the archive's rows are known, the id files say how many ids there are, and only if the two differ is the archive
asked which instruments it concerns.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from slackwater.store.id_runs import Instrument
from slackwater.versions.manifest import ArchiveFile, Duplicates, StoredFile
from slackwater.views.session import connect, files_sql
from slackwater.views.sql import events_sql, ids_in_runs_sql


def find_duplicates(home: Path, archive: Sequence[ArchiveFile], ids: Sequence[StoredFile]) -> tuple[Duplicates, ...]:
    """The instruments with duplicates, in order. `ids` are the id files of exactly these archive files."""
    if not archive:
        return ()
    with connect() as con:
        distinct = _numbers(con, ids_in_runs_sql(_relation(home, ids)))
        if sum(distinct.values()) == sum(entry.file.rows for entry in archive):
            return ()
        events = _numbers(con, events_sql(_relation(home, [entry.file for entry in archive])))
    return tuple(
        Duplicates(*instrument, count - distinct[instrument])
        for instrument, count in sorted(events.items())
        if count > distinct[instrument]
    )


def _relation(home: Path, files: Iterable[StoredFile]) -> str:
    return files_sql(file.checked(home) for file in files)


def _numbers(con: duckdb.DuckDBPyConnection, select: str) -> dict[Instrument, int]:
    return {(venue, symbol): number for venue, symbol, number in con.execute(select).fetchall()}
