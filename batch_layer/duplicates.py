"""How many events of an entity are duplicates: events of the archive whose id stands there more than once.

The ingest writer lets none through; a foreign writer's are counted as they stand, and this is where they are shown.
Exact and cheap: the archive's rows are known, the id files say how many ids there are, and only if the two differ is
the archive asked which entities it concerns.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import is_keys
from slackwater.versions.manifest import ArchiveFile, Duplicates, StoredFile
from slackwater.views.counts import events_sql, ids_sql
from slackwater.views.session import connect, files_sql


def find_duplicates(
    stream: Stream, home: Path, archive: Sequence[ArchiveFile], ids: Sequence[StoredFile]
) -> tuple[Duplicates, ...]:
    """The entities with duplicates, in order. `ids` are the id files of exactly these archive files."""
    if not archive:
        return ()
    with connect() as con:
        distinct = _numbers(con, ids_sql(stream, _relation(home, (file for file in ids if not is_keys(file)))))
        if sum(distinct.values()) == sum(entry.file.rows for entry in archive):
            return ()
        events = _numbers(con, events_sql(stream, _relation(home, [entry.file for entry in archive])))
    return tuple(
        Duplicates(stream.name, entity, count - distinct.get(entity, 0))
        for entity, count in sorted(events.items())
        if count > distinct.get(entity, 0)
    )


def _relation(home: Path, files: Iterable[StoredFile]) -> str:
    return files_sql(file.checked(home) for file in files)


def _numbers(con: duckdb.DuckDBPyConnection, select: str) -> dict[Entity, int]:
    return {tuple(entity): number for *entity, number in con.execute(select).fetchall()}
