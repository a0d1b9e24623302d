"""Which trades of an epoch were late: they came after a trade of their instrument that had closed their bar.

The log is read in slices of bounded size, partition by partition; what one slice leaves to the next is the newest time
of each instrument. Across partitions there is no order: an instrument that moved begins in its new one with what its
parent version knew of it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from versions.manifest import ArchiveFile, Manifest
from views.compare import count_sql
from views.interval import PUBLISHED_INTERVALS, Interval
from views.late import Newest, find_late
from views.restate import (
    NEWEST_COLUMNS,
    PLACE_COLUMNS,
    first_places_sql,
    imported_places_sql,
    late_places_sql,
)
from views.session import files_sql

SLICE_ROWS = 1_000_000
"""About so many trades are looked at together."""


class Lateness:
    """The late trades of one epoch. It leaves the tables `newest`, as it is at the cut, and `places` in the session."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, home: Path, parent: Manifest, epoch: Sequence[ArchiveFile]
    ) -> None:
        self._con = con
        self._home = home
        for interval in PUBLISHED_INTERVALS:
            con.execute(f"CREATE OR REPLACE TEMP TABLE places_{interval.text} ({PLACE_COLUMNS})")
        known = _widest([((i.venue, i.symbol), (i.first_start, i.last_start)) for i in parent.instruments])
        found = [*known.items()]
        for partition in sorted({entry.partition for entry in epoch}):
            newest = dict(known)
            for entry in epoch:
                if entry.partition == partition:
                    self._read(entry, newest)
            found += newest.items()
        con.execute(f"CREATE OR REPLACE TEMP TABLE newest ({NEWEST_COLUMNS})")
        rows = [[*instrument, *times] for instrument, times in _widest(found).items()]
        if rows:
            con.executemany("INSERT INTO newest VALUES (?, ?, ?, ?)", rows)

    def places(self, interval: Interval) -> int:
        """Put the bars of an interval that late trades changed into `places`; how many there are."""
        self._make("places", first_places_sql(f"places_{interval.text}"))
        return self._count("places")

    def imported_places(self, imported: Sequence[ArchiveFile], interval: Interval) -> int:
        """Put the closed bars that imported history lies in into `places`; how many there are."""
        files = files_sql(str(self._home / entry.file.path) for entry in imported)
        self._make("places", imported_places_sql(files, "newest", interval))
        return self._count("places")

    def _read(self, entry: ArchiveFile, newest: Newest) -> None:
        for events in _slices(self._home / entry.file.path):
            late = find_late(events, newest, PUBLISHED_INTERVALS[0])
            if late.num_rows:
                self._con.register("late", late.append_column("partition", pa.repeat(entry.partition, len(late))))
                for interval in PUBLISHED_INTERVALS:
                    self._con.execute(f"INSERT INTO places_{interval.text} {late_places_sql('late', interval)}")
                self._con.unregister("late")

    def _count(self, table: str) -> int:
        ((count,),) = self._con.execute(count_sql(table)).fetchall()
        return int(count)

    def _make(self, name: str, select: str) -> None:
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")


def _widest(found: Sequence[tuple[tuple[str, str], tuple[int, int]]]) -> Newest:
    """One entry an instrument, wherever it lived."""
    widest: Newest = {}
    for instrument, (first, newest) in found:
        low, high = widest.get(instrument, (first, newest))
        widest[instrument] = min(low, first), max(high, newest)
    return widest


def _slices(path: Path) -> Iterator[pa.Table]:
    """A file in the order of its offsets, in slices of whole records."""
    names = ("venue", "symbol")
    with pq.ParquetFile(path, read_dictionary=names) as file:
        rest = None
        for batch in file.iter_batches(SLICE_ROWS, columns=[*names, "offset", "time"]):
            events = pa.Table.from_batches([batch])
            if rest is not None:
                events = pa.concat_tables([rest, events])
            offset = events.column("offset").to_numpy()
            whole = int(np.searchsorted(offset, offset[-1]))  # the last record may go on in the next batch
            if whole:
                yield events.slice(0, whole)
            rest = events.slice(whole)
        if rest is not None and rest.num_rows:
            yield rest
