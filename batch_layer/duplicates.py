"""How many events of an entity are duplicates: events of the archive whose id stands there more than once.

The ingest writer lets none through; a foreign writer's are counted as they stand, and this is where they are shown.
Exact, and in proportion to what is new: an event of the run is a duplicate unless it made the number of ids grow, so
the run's events are counted, and the ids before and after it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import duckdb

from slackwater.store.files import Locate
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import is_keys
from slackwater.versions.manifest import ArchiveFile, Duplicates, StoredFile
from slackwater.views.counts import events_sql, ids_sql
from slackwater.views.limits import UNLIMITED, Limits
from slackwater.views.session import files_sql


class Known(NamedTuple):
    """What a version knows of a stream: its duplicates, and the files of its ids."""

    duplicates: Sequence[Duplicates]
    ids: Sequence[StoredFile]


NOTHING_KNOWN = Known((), ())


def find_duplicates(
    stream: Stream,
    fetch: Locate,
    parent: Known,
    new: Sequence[ArchiveFile],
    ids: Sequence[StoredFile],
    limits: Limits = UNLIMITED,
) -> tuple[Duplicates, ...]:
    """The entities with duplicates, in order, after the files `new` were added; `ids` are the id files with theirs."""
    if not new:
        return tuple(parent.duplicates)
    with limits.connect() as con:
        before, after = (_ids(con, stream, fetch, files) for files in (parent.ids, ids))
        if sum(entry.file.rows for entry in new) == sum(after.values()) - sum(before.values()):
            return tuple(parent.duplicates)
        events = _numbers(con, events_sql(stream, _relation(fetch, [entry.file for entry in new])))
    found = {each.entity: each.events for each in parent.duplicates}
    for entity, count in events.items():
        again = count - (after.get(entity, 0) - before.get(entity, 0))
        if again:
            found[entity] = found.get(entity, 0) + again
    return tuple(Duplicates(stream.name, entity, count) for entity, count in sorted(found.items()))


def _ids(
    con: duckdb.DuckDBPyConnection, stream: Stream, fetch: Locate, files: Iterable[StoredFile]
) -> dict[Entity, int]:
    runs = [file for file in files if not is_keys(file)]
    return _numbers(con, ids_sql(stream, _relation(fetch, runs))) if runs else {}


def _relation(fetch: Locate, files: Iterable[StoredFile]) -> str:
    return files_sql(file.checked(fetch) for file in files)


def _numbers(con: duckdb.DuckDBPyConnection, select: str) -> dict[Entity, int]:
    return {tuple(entity): number for *entity, number in con.execute(select).fetchall()}
