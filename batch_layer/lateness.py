"""Which trades of an epoch were late: they came after a trade of their instrument that had closed their bar.

The log is read in slices of bounded size, partition by partition; what one slice leaves to the next is the newest time
of each instrument. Across partitions there is no order: an instrument that moved begins in its new one with what its
parent version knew of it. What the parent knows is looked up for the instruments of the epoch alone: there may be very
many others.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slackwater.core.checked_files import open_checked
from slackwater.restatements.late import Newest, find_late
from slackwater.restatements.restate import (
    NEWEST_COLUMNS,
    PLACE_COLUMNS,
    first_places_sql,
    imported_places_sql,
    late_places_sql,
    newest_sql,
)
from slackwater.store.instruments import Instruments, Name
from slackwater.versions.manifest import ArchiveFile, Manifest
from slackwater.views.compare import count_sql
from slackwater.views.interval import PUBLISHED_INTERVALS, Interval
from slackwater.views.session import files_sql

SLICE_ROWS = 1_000_000
"""About so many trades are looked at together."""


class Lateness:
    """The late trades of one epoch. It leaves the table `places` in the session, and `newest` where it is asked for."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, home: Path, parent: Manifest, epoch: Sequence[ArchiveFile]
    ) -> None:
        self._con = con
        self._home = home
        self._parent = parent
        for interval in PUBLISHED_INTERVALS:
            con.execute(f"CREATE OR REPLACE TEMP TABLE places_{interval.text} ({PLACE_COLUMNS})")
        self._found: list[_Newest] = []
        for partition in sorted({entry.partition for entry in epoch}):
            self._found.append(_Newest(parent.instruments))
            for entry in epoch:
                if entry.partition == partition:
                    self._read(entry, self._found[-1])

    def make_newest(self) -> None:
        """Make the table `newest`, as it is at the cut, of every instrument."""
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE known ({NEWEST_COLUMNS})")
        for table in (self._parent.instruments.table(), *(found.table() for found in self._found)):
            self._con.register("given", table)
            self._con.execute("INSERT INTO known SELECT venue, symbol, first_start, last_start FROM given")
            self._con.unregister("given")
        self._make("newest", newest_sql("known"))

    def places(self, interval: Interval) -> int:
        """Put the bars of an interval that late trades changed into `places`; how many there are."""
        self._make("places", first_places_sql(f"places_{interval.text}"))
        return self._count("places")

    def imported_places(self, imported: Sequence[ArchiveFile], interval: Interval) -> int:
        """Put the closed bars that imported history lies in into `places`; how many there are. It needs `newest`."""
        files = files_sql(entry.file.checked(self._home) for entry in imported)
        self._make("places", imported_places_sql(files, "newest", interval))
        return self._count("places")

    def _read(self, entry: ArchiveFile, newest: Newest) -> None:
        for events in _slices(entry.file.checked(self._home)):
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


class _Newest(dict[Name, tuple[int, int]]):
    """What is read of a partition, on top of what its parent version knows; `slackwater.restatements.late.Newest`."""

    def __init__(self, known: Instruments) -> None:
        super().__init__()
        self._known = known

    def get(self, name: Name, default: Any = None) -> Any:
        """See dict."""
        found = super().get(name)
        return (self._known.span(*name) or default) if found is None else found

    def table(self) -> pa.Table:
        """The instruments that were read."""
        columns = [*zip(*((*name, *times) for name, times in self.items()), strict=True)] or [()] * 4
        return pa.table(
            {
                "venue": pa.array(columns[0], pa.string()),
                "symbol": pa.array(columns[1], pa.string()),
                "first_start": pa.array(columns[2], pa.int64()),
                "last_start": pa.array(columns[3], pa.int64()),
            }
        )


def _slices(name: str) -> Iterator[pa.Table]:
    """A file in the order of its offsets, in slices of whole records."""
    names = ("venue", "symbol")
    with open_checked(name) as source, pq.ParquetFile(source, read_dictionary=names) as file:
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
