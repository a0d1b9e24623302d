"""The archive below a version's cut: its trades, read by DuckDB from exactly the files that the manifest lists.

Not here: the trades from the cut on, which are still in the log (`serving.query.log_trades`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from serving.store.batch import sandbox
from slackwater.core.checked_files import OnDamage
from slackwater.streams.columns import decimal_units
from slackwater.versions.manifest import ArchiveFile, Manifest
from slackwater.views.session import files_sql

NO_PLACE = -1
"""Offset and index of imported history, which never was in the log."""


class Trade(NamedTuple):
    """One trade in the order of an answer. `line` is its index in the record, decimals are in units of 1e-8."""

    time: int
    sequence: int
    partition: int
    offset: int
    line: int
    trade_id: str
    price: int
    quantity: int
    side: str
    time_unit: str
    appended: int | None

    @property
    def place(self) -> tuple[int, int, int, int, int]:
        """What orders trades; no two share it."""
        return self[:5]


def trade(place: tuple[int, int, int, int, int], trade_id: str, price: str, quantity: str, *rest: Any) -> Trade:
    """A trade at a place, whose decimals are text."""
    return Trade(*place, trade_id, decimal_units(price) or 0, decimal_units(quantity) or 0, *rest)


class TradesWant(NamedTuple):
    """The first `limit` trades of an instrument with start <= time < end, behind the place `after`."""

    venue: str
    symbol: str
    start: int
    end: int
    limit: int
    after: tuple[int, ...]


FIRST_PLACE = (0, NO_PLACE, NO_PLACE, NO_PLACE, NO_PLACE - 1)
"""Before every trade."""

_SELECT = """
    SELECT time, sequence, partition, "offset", "index", trade_id, price::VARCHAR, quantity::VARCHAR, side,
        time_unit, appended
    FROM (SELECT * REPLACE (coalesce("offset", -1) AS "offset", coalesce("index", -1) AS "index") FROM {files})
    WHERE venue = ? AND symbol = ? AND time >= ? AND time < ?
      AND (time, sequence, partition, "offset", "index") > (?, ?, ?, ?, ?)
    ORDER BY time, sequence, partition, "offset", "index" LIMIT ?
"""


class ArchiveReader:
    """The archive of one version. Thread safe."""

    def __init__(self, home: Path, manifest: Manifest, threads: int = 1, on_damage: OnDamage | None = None) -> None:
        self._home = home
        self._files = manifest.archive
        names = (entry.file.checked(home) for entry in manifest.archive)
        self._con = sandbox(names, threads, on_damage=on_damage)

    def files(self, partitions: Iterable[int]) -> list[ArchiveFile]:
        """The files of some partitions."""
        chosen = set(partitions)
        return [entry for entry in self._files if entry.partition in chosen]

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one `trades`."""
        return self._con.cursor()

    def trades(self, files: list[ArchiveFile], want: TradesWant, cursor: duckdb.DuckDBPyConnection) -> list[Trade]:
        """The trades of `want` in these files, in order."""
        if not files:
            return []
        paths = (entry.file.checked(self._home) for entry in files)
        values = [want.venue, want.symbol, want.start, want.end, *want.after, want.limit]
        rows = cursor.execute(_SELECT.format(files=files_sql(paths)), values).fetchall()
        return [trade(row[:5], *row[5:]) for row in rows]

    def close(self) -> None:
        """Close the database."""
        self._con.close()
