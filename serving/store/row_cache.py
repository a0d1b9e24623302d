"""Batch rows that are kept: by blocks of bars, so that different questions share them, and by question where bars are
few and far between. A version never changes, so they never go stale; the least recently used go first.

    bars     |  block 7  |  block 8  |  block 9  |       BLOCK_BARS each, counted from the interval's origin
    want            [ ------ limit bars -- )              blocks 7 to 9, of which those not kept are read at once

Where `limit` bars are not found in so many blocks, DuckDB searches on, and the result is kept as it is.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from threading import Lock
from typing import NamedTuple

import duckdb

from serving.store.batch import BatchReader, Range, Want, whole_bars, whole_range, windows
from serving.store.weight import ENTRY_BYTES, rows_bytes
from slackwater.versions.inspector import Inspector
from slackwater.views.interval import Interval
from slackwater.views.rows import Row
from slackwater.views.view import View

BLOCK_BARS = 256
MOST_BLOCKS = 64
"""What one question may take from blocks; more is read as it is asked."""

KEPT_WANTS = 32
"""Questions asked lately; they are read from a new version before it is served."""


_start = attrgetter("start")


class Block(NamedTuple):
    """All rows of an instrument with BLOCK_BARS bar starts in turn."""

    view: View
    venue: str
    symbol: str
    interval: Interval
    number: int

    @property
    def low(self) -> int:
        """The first start."""
        return self.interval.floor(self.interval.origin_us + self.number * BLOCK_BARS * self.interval.us)


def block_of(interval: Interval, start: int) -> int:
    """The number of the block that the bar at `start` is in: of where its last microsecond is, counted in long bars."""
    return (interval.end(start) - 1 - interval.origin_us) // (BLOCK_BARS * interval.us)


class RowCache:
    """Rows of versions, at most `most_bytes` of them in all. Thread safe. `bytes` is what they take, about."""

    def __init__(self, inspector: Inspector, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._inspector = inspector
        self._rows = 0
        self.hits = 0
        self.misses = 0
        self._kept: OrderedDict[tuple[int, Block | Want], list[Row]] = OrderedDict()
        self._wants: OrderedDict[tuple[int, Want], None] = OrderedDict()
        self._lock = Lock()

    def get(self, batch: BatchReader, want: Want) -> list[Row] | None:
        """The rows of `want` if they are kept, without reading anything."""
        with self._lock:
            self._wants[batch.version, want] = None
            self._wants.move_to_end((batch.version, want))
            if len(self._wants) > KEPT_WANTS:
                self._wants.popitem(last=False)
        for low, high, last in _spans(batch, want):
            found = [self._look(batch.version, block) for block in _blocks(want, low, high)]
            known = [rows for rows in found if rows is not None]
            if len(known) < len(found):
                break
            rows = _within(want, low, high, known)
            if last or len(rows) >= want.limit:
                self.hits += 1
                return rows
        else:
            searched = self._look(batch.version, want)
            if searched is not None:
                self.hits += 1
                return searched
        self.misses += 1
        return None

    def read(self, batch: BatchReader, want: Want, cursor: duckdb.DuckDBPyConnection) -> list[Row]:
        """The rows of `want`, which are kept then.

        Raises:
            DamagedFileError: a file is not whole.
        """
        searched = 0
        for low, high, last in _spans(batch, want):
            rows = _within(want, low, high, self._read_blocks(batch, _blocks(want, low, high), cursor))
            if last or len(rows) >= want.limit:
                return rows
            searched = high - low
        rows = whole_bars(self._inspector, batch, want, cursor, searched)
        self._put(batch.version, want, rows)
        return rows

    @property
    def rows(self) -> int:
        """How many rows are kept."""
        return self._rows

    def recent(self, version: int) -> list[Want]:
        """What was asked of a version lately, newest first."""
        with self._lock:
            return [want for of, want in reversed(self._wants) if of == version]

    def _read_blocks(
        self, batch: BatchReader, blocks: list[Block], cursor: duckdb.DuckDBPyConnection
    ) -> list[list[Row]]:
        found = {block: rows for block in blocks if (rows := self._look(batch.version, block)) is not None}
        missing = [block for block in blocks if block not in found]
        if missing:  # those between them are read once more: it is one question, mostly of neighbours
            first, last = missing[0], missing[-1]
            low, high = first.low, last._replace(number=last.number + 1).low
            of = Range(first.view, first.venue, (first.symbol,), first.interval, low, high)
            read: dict[int, list[Row]] = {block.number: [] for block in missing}
            for row in whole_range(self._inspector, batch, of, cursor):
                number = block_of(first.interval, row.start)
                if number in read:
                    read[number].append(row)
            for block in missing:
                found[block] = read[block.number]
                self._put(batch.version, block, found[block])
        return [found[block] for block in blocks]

    def _look(self, version: int, of: Block | Want) -> list[Row] | None:
        with self._lock:
            found = self._kept.get((version, of))
            if found is not None:
                self._kept.move_to_end((version, of))
            return found

    def _put(self, version: int, of: Block | Want, rows: list[Row]) -> None:
        with self._lock:
            if (version, of) in self._kept:
                return
            self._kept[version, of] = rows  # nobody changes them
            self._rows += len(rows)
            self.bytes += ENTRY_BYTES + rows_bytes(rows)
            while self.bytes > self.most_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._rows -= len(dropped)
                self.bytes -= ENTRY_BYTES + rows_bytes(dropped)


def _spans(batch: BatchReader, want: Want) -> Iterator[tuple[int, int, bool]]:
    """Growing parts of what is asked that blocks can give, and whether one is all of it."""
    low, high = batch.bounds(want)
    for first, behind in windows(want, low, high):
        if (behind - first) // want.interval.us > (MOST_BLOCKS - 1) * BLOCK_BARS:
            return
        yield first, behind, (first, behind) == (low, high)


def _blocks(want: Want, low: int, high: int) -> list[Block]:
    """The blocks that hold the bars of [low, high)."""
    numbers = range(block_of(want.interval, low), block_of(want.interval, want.interval.before(high)) + 1)
    return [Block(*want[:4], number) for number in numbers]


def _within(want: Want, low: int, high: int, blocks: list[list[Row]]) -> list[Row]:
    """Of these blocks, in order, the first (or last) `limit` rows that are asked for."""
    rows = list(chain.from_iterable(blocks))
    if rows and rows[0].start < low:
        rows = rows[bisect_left(rows, low, key=_start) :]
    if rows and rows[-1].start >= high:
        rows = rows[: bisect_left(rows, high, key=_start)]
    if want.after:
        rows = [row for row in rows if row.start > want.low or row.key[2:] > want.after]
    return rows[-want.limit :] if want.newest_first else rows[: want.limit]
