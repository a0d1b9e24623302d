"""Which identities are free again after events were taken out: those that no other event of the archive has.

The archive is read only for entities with duplicates: in all others each identity stands once, since the index of
identities counts them exactly (`batch_layer.duplicates`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from slackwater.store.files import Locate
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import ArchiveFile, Duplicates
from slackwater.views.counts import events_sql
from slackwater.views.session import files_sql

BATCH_ROWS = 1_000_000


class Freed(NamedTuple):
    """`tables` are the entity and identity columns of what is free, each identity once; `duplicates` those left."""

    tables: Iterator[pa.Table]
    duplicates: tuple[Duplicates, ...]


def freed_by(
    con: duckdb.DuckDBPyConnection,
    stream: Stream,
    fetch: Locate,
    gone: str,
    archive: Sequence[ArchiveFile],
    duplicates: Sequence[Duplicates],
) -> Freed:
    """What the events of `gone`, a table of the session, leave free. `archive` is without them, `duplicates` counts
    those before.
    """
    columns = ", ".join(f'"{name}"' for name in (*stream.entity, stream.identity))
    entity = ", ".join(f'"{name}"' for name in stream.entity)
    con.execute(f"CREATE OR REPLACE TEMP TABLE freed AS SELECT DISTINCT {columns} FROM {gone}")
    known = [each for each in duplicates if each.stream == stream.name]
    files = [entry.file for entry in archive if entry.file.rows]
    if known and files:
        names = zip(*(each.entity for each in known), strict=True)
        doubled = {name: pa.array(values, pa.string()) for name, values in zip(stream.entity, names, strict=True)}
        con.register("doubled", pa.table(doubled))
        con.execute(f"CREATE OR REPLACE TEMP TABLE wanted AS SELECT * FROM freed SEMI JOIN doubled USING ({entity})")
        relation = files_sql(file.checked(fetch) for file in files)
        held = f"SELECT {columns} FROM {relation} SEMI JOIN wanted USING ({columns})"
        con.execute(f"CREATE OR REPLACE TEMP TABLE freed AS SELECT * FROM freed ANTI JOIN ({held}) USING ({columns})")
    events, free = (_numbers(con, events_sql(stream, table)) for table in (gone, "freed"))
    left = {each.entity: each.events - (events.get(each.entity, 0) - free.get(each.entity, 0)) for each in known}
    others = tuple(Duplicates(stream.name, name, count) for name, count in sorted(left.items()) if count)
    return Freed(_tables(con), others)


def _tables(con: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    reader = con.sql("SELECT * FROM freed ORDER BY ALL").to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _numbers(con: duckdb.DuckDBPyConnection, select: str) -> dict[Entity, int]:
    return {tuple(entity): number for *entity, number in con.execute(select).fetchall()}
