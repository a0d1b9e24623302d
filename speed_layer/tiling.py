"""Tiling: one partition's log cut into cells at grid lines and at marks, without gaps. Pure.

    offsets   0         256   300        512
    log       |..........|.....M..........|....
    cells     [0,256)    [256,300) [300,512)  [512,...   the last one open: it still grows

A cell's start is a grid line, a mark, or where reading began (a cell of the chain, or version 0's cut). After a reset
to a later position nothing is known of the cell that the position lies in, so none is made before the next line or
mark. A cell covers every offset: events, marks, refused records, gaps.
"""

from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from slackwater.log.events import decode
from slackwater.log.log import Slice
from slackwater.log.mark import mark_of
from slackwater.streams.schema import GRID
from slackwater.streams.stream import Stream

_offset = attrgetter("offset")


class Piece(NamedTuple):
    """A cell before it is summarised: the events of [start, upto), of the stream's schema.

    `appended_ms` is when the log took the last record of the cell, 0 if it has none.
    """

    start: int
    upto: int
    table: pa.Table
    sealed: bool
    appended_ms: int


class Tiler:
    """Cuts one partition of a stream. `start` is the first cell's start."""

    def __init__(self, stream: Stream, start: int) -> None:
        self._stream = stream
        self._start: int | None = start
        self._upto = start
        self._table = self._stream.schema.empty_table()
        self._appended_ms = 0
        self._sealed: Piece | None = None

    def reset(self, position: int) -> None:
        """Go on at `position`, from which on the log is known; the next cell starts at a line or mark from there on."""
        self._start = position if position % GRID == 0 else None
        self._upto = position
        self._table = self._stream.schema.empty_table()
        self._appended_ms = 0
        self._sealed = None

    def add(self, found: Slice, decoded: pa.Table | None = None) -> Iterator[Piece]:
        """Take the next slice of the partition; yields every cell that it seals, in order.

        `decoded` are its events, of `positioned(stream)`; decoded here if nobody has.
        """
        if decoded is None:
            decoded = decode(self._stream, found.records).table
        offsets, events = decoded.column("offset").to_numpy(), decoded.select(self._stream.schema.names)
        taken = 0
        for line in _lines(found):
            upto = int(np.searchsorted(offsets, line))
            self._extend(events.slice(taken, upto - taken))
            taken = upto
            if self._start is not None and line > self._start:
                self._sealed = Piece(self._start, line, self._table, True, self._appended(found, line))
                yield self._sealed
            self._start, self._table, self._appended_ms = line, self._stream.schema.empty_table(), 0
        self._extend(events.slice(taken))
        self._upto = found.upto
        self._appended_ms = self._appended(found, found.upto)

    def open(self) -> Piece | None:
        """The cell that still grows; None while it covers no offset."""
        if self._start is None or self._upto == self._start:
            return None
        return Piece(self._start, self._upto, self._table, False, self._appended_ms)

    def newest(self) -> Piece | None:
        """The cell that ends where reading is: the open one, or the sealed one if reading is at its end."""
        open_piece, sealed = self.open(), self._sealed
        return sealed if open_piece is None and sealed is not None and sealed.upto == self._upto else open_piece

    def _appended(self, found: Slice, upto: int) -> int:
        """When the log took the last record of the cell below `upto`; it may have come with an earlier slice."""
        below = bisect_left(found.records, upto, key=_offset)
        last = found.records[below - 1] if below else None
        if last is None or self._start is None or last.offset < self._start:
            return self._appended_ms
        return last.append_time_ms

    def _extend(self, events: pa.Table) -> None:
        if self._start is not None and events.num_rows:
            # One chunk: a group-by over many small chunks takes ten times as long.
            self._table = pa.concat_tables([self._table, events]).combine_chunks()


def _lines(found: Slice) -> list[int]:
    """Where cells end in a slice: grid lines in (start, upto] and marks in [start, upto)."""
    first = found.start // GRID + 1
    grid = range(first * GRID, found.upto + 1, GRID)
    marks = [record.offset for record in found.records if not record.value and mark_of(record) is not None]
    return sorted({*grid, *marks})
