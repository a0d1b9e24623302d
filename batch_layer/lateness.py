"""Which trades of an epoch were late: they came after a trade of their instrument that had closed their bar.

The log is read in slices of bounded size, partition by partition; what one slice leaves to the next is the newest time
of each instrument. Across partitions there is no order: an instrument that moved begins in its new one with what its
parent version knew of it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from versions.manifest import ArchiveFile, Manifest
from views.compare import count_sql
from views.interval import PUBLISHED_INTERVALS, Interval
from views.restate import (
    NEWEST_COLUMNS,
    PLACE_COLUMNS,
    first_places_sql,
    imported_places_sql,
    late_places_sql,
    late_sql,
    newest_sql,
)
from views.session import files_sql

SLICE_ROWS = 2_000_000
"""About so many trades are looked at together."""


class Lateness:
    """The late trades of one epoch. It leaves the tables `newest`, as it is at the cut, and `places` in the session."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, home: Path, parent: Manifest, epoch: Sequence[ArchiveFile]
    ) -> None:
        self._con = con
        self._home = home
        con.execute(f"CREATE OR REPLACE TEMP TABLE known ({NEWEST_COLUMNS})")
        rows = [[i.venue, i.symbol, i.first_start, i.last_start] for i in parent.instruments]
        if rows:
            con.executemany("INSERT INTO known VALUES (?, ?, ?, ?)", rows)
        self._make("newest", newest_sql("known"))  # a row an instrument, wherever it lived
        self._make("known", "SELECT * FROM newest")
        for interval in PUBLISHED_INTERVALS:
            con.execute(f"CREATE OR REPLACE TEMP TABLE places_{interval.text} ({PLACE_COLUMNS})")
        for partition in sorted({entry.partition for entry in epoch}):
            self._read([entry for entry in epoch if entry.partition == partition])

    def places(self, interval: Interval) -> int:
        """Put the bars of an interval that late trades changed into `places`; how many there are."""
        self._make("places", first_places_sql(f"places_{interval.text}"))
        return self._count("places")

    def imported_places(self, imported: Sequence[ArchiveFile], interval: Interval) -> int:
        """Put the closed bars that imported history lies in into `places`; how many there are."""
        files = files_sql(str(self._home / entry.file.path) for entry in imported)
        self._make("places", imported_places_sql(files, "newest", interval))
        return self._count("places")

    def _read(self, entries: Sequence[ArchiveFile]) -> None:
        base = PUBLISHED_INTERVALS[0]
        self._make("newest_here", "SELECT * FROM known")
        for entry in entries:
            for low, high in self._slices(entry):
                path = files_sql([str(self._home / entry.file.path)])
                columns = 'venue, symbol, partition, "offset", time AS first, time'
                self._make("slice", f'SELECT {columns} FROM {path} WHERE "offset" >= {low} AND "offset" < {high}')
                self._make("late", late_sql("slice", "newest_here", base))
                if self._count("late"):
                    for interval in PUBLISHED_INTERVALS:
                        self._con.execute(f"INSERT INTO places_{interval.text} {late_places_sql('late', interval)}")
                self._make("newest_here", newest_sql("newest_here", "slice"))
        self._make("newest", newest_sql("newest", "newest_here"))

    def _slices(self, entry: ArchiveFile) -> Iterator[tuple[int, int]]:
        """Equal parts of a file's offsets; it is in the order of offsets, so each part reads its row groups only."""
        start, upto = entry.start or 0, entry.upto or 0
        step = max(1, (upto - start) * SLICE_ROWS // max(entry.file.rows, 1))
        for low in range(start, upto, step):
            yield low, min(low + step, upto)

    def _count(self, table: str) -> int:
        ((count,),) = self._con.execute(count_sql(table)).fetchall()
        return int(count)

    def _make(self, name: str, select: str) -> None:
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")
