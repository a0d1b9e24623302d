"""Which closed bars a run may have changed: those of its late trades, and those that imported history lies in.

A trade is late that came after a trade of its instrument that had closed its bar.

The log is read in slices of bounded size, partition by partition; what one slice leaves to the next is the newest time
of each instrument. Across partitions there is no order: an instrument that moved begins in its new one with what its
parent version knew of it. What the parent knows is read for the instruments of the epoch alone: there may be very
many others.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slackwater.core.checked_files import open_checked
from slackwater.restatements.late import Newest, find_late
from slackwater.restatements.sql import (
    PLACE_COLUMNS,
    by_start_sql,
    first_places_sql,
    imported_places_sql,
    late_places_sql,
    places_within_sql,
)
from slackwater.store.files import Locate
from slackwater.store.instruments import Instruments, Name
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import ArchiveFile
from slackwater.views.interval import SECOND, Interval
from slackwater.views.session import files_sql

SLICE_ROWS = 1_000_000
"""About so many events are checked together."""

EVENTS_AT_ONCE = 2_000_000
"""About so many events, each counted once an interval, are in the bars that are compared together: 1 GB of memory."""


class Places:
    """The bars in question of one epoch of a stream: `late` and `imported` put them into the table `places` of the
    session, with the number of their interval, those of one range of starts after the other; there is none where there
    are no such bars. `known` is what the parent version knows of the stream's instruments.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        fetch: Locate,
        stream: Stream,
        known: Instruments,
        epoch: Sequence[ArchiveFile],
        intervals: Sequence[Interval],
    ) -> None:
        self._con = con
        self._fetch = fetch
        self._stream = stream
        self._known = known
        self._intervals = intervals
        con.execute(f"CREATE OR REPLACE TEMP TABLE late_places ({PLACE_COLUMNS})")
        self._found: list[_Newest] = []
        for partition in sorted({entry.partition for entry in epoch}):
            self._found.append(_Newest(known))
            self._read([entry for entry in epoch if entry.partition == partition], self._found[-1])

    def newest(self) -> list[pa.Table]:
        """Every instrument as it is at the cut, for `Finder.close_bars`."""
        return [self._known.table(), *(found.table() for found in self._found)]

    def late(self) -> Iterator[None]:
        """The bars that late trades changed."""
        return self._make(first_places_sql("late_places"))

    def imported(self, events: str) -> Iterator[None]:
        """The closed bars that some events lie in, a relation. It needs `newest`."""
        return self._make(imported_places_sql(self._stream, events, "newest", self._intervals))

    def _read(self, entries: Sequence[ArchiveFile], newest: Newest) -> None:
        """Read a partition's files."""
        for events in _whole_records(self._stream, self._batches(entries)):
            late = find_late(events, newest, SECOND)
            if late.num_rows:
                self._con.register("late", late.append_column("partition", pa.repeat(entries[0].partition, len(late))))
                self._con.execute(f"INSERT INTO late_places {late_places_sql('late', self._intervals)}")
                self._con.unregister("late")

    def _batches(self, entries: Sequence[ArchiveFile]) -> Iterator[pa.Table]:
        """Files of a partition in the order of their offsets."""
        columns = [*self._stream.entity, "offset", self._stream.time]
        names = [entry.file.checked(self._fetch) for entry in entries]
        if not any(entry.late for entry in entries):
            for name in names:
                with open_checked(name) as source, pq.ParquetFile(source, read_dictionary=self._stream.entity) as file:
                    yield from (pa.Table.from_batches([b]) for b in file.iter_batches(SLICE_ROWS, columns=columns))
            return
        chosen = ", ".join(f'"{name}"' for name in columns)
        with self._con.cursor() as con:  # sorted beside the session, which is asked between two batches
            ordered = con.sql(f'SELECT {chosen} FROM {files_sql(names)} ORDER BY "offset", "index"')
            for batch in ordered.to_arrow_reader(SLICE_ROWS):
                table = pa.Table.from_batches([batch])
                texts = {name: table.column(name).dictionary_encode() for name in self._stream.entity}
                yield pa.table({name: texts.get(name, table.column(name)) for name in columns})

    def _make(self, select: str) -> Iterator[None]:
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE all_places AS {select}")
        starts, events = self._con.execute(by_start_sql("all_places")).fetchnumpy().values()
        for low, high in _ranges(starts, events):
            self._con.execute(f"CREATE OR REPLACE TEMP TABLE places AS {places_within_sql('all_places', low, high)}")
            yield


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
        """The instruments that were read, with their first and last time."""
        rows = [(*name, *times) for name, times in self.items()]
        columns = zip(*rows, strict=True) if rows else [()] * 4
        names = ("venue", "symbol", "first_start", "last_start")
        kinds = (pa.string(), pa.string(), pa.int64(), pa.int64())
        return pa.table([pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)], names)


def _ranges(starts: Any, events: Any) -> Iterator[tuple[int | None, int | None]]:
    """Ranges low <= start < high that hold all starts, each of about so many events; none where there are no starts."""
    if not len(starts):
        return
    sums = np.cumsum(events)
    after = np.unique(np.searchsorted(sums, np.arange(EVENTS_AT_ONCE, sums[-1], EVENTS_AT_ONCE))) + 1
    yield from pairwise([None, *starts[after[after < len(starts)]].tolist(), None])


def _whole_records(stream: Stream, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Events in the order of their offsets, in slices of whole records, as `find_late` takes them."""
    rest = None
    for batch in batches:
        events = _listed(stream, batch)
        if rest is not None:
            events = pa.concat_tables([rest, events])
        if not events.num_rows:
            continue
        offset = events.column("offset").to_numpy()
        whole = int(np.searchsorted(offset, offset[-1]))  # the last record may go on in the next batch
        if whole:
            yield events.slice(0, whole)
        rest = events.slice(whole)
    if rest is not None and rest.num_rows:
        yield rest


def _listed(stream: Stream, events: pa.Table) -> pa.Table:
    """Events with the two texts of their instrument, as `slackwater.views.sql.instrument_sql` names it."""
    first, *others = (events.column(name) for name in stream.entity)
    if len(others) == 1:
        second = others[0]
    elif others:
        texts = [column.cast(pa.string()) for column in others]
        second = pc.binary_join_element_wise(*texts, "\x1f").dictionary_encode()
    else:
        second = pa.chunked_array([pa.repeat("", events.num_rows).dictionary_encode()])
    columns = [first, second, events.column("offset"), events.column(stream.time)]
    return pa.table(columns, names=["venue", "symbol", "offset", "time"])
