"""Batch rows that are cached: by blocks of bars, so that different questions share them, and by question where bars
are few and far between. They are known by the parts that they are read from, which never change: so they never go
stale, and a new version finds those whose parts it shares. The least recently used go first.

    bars     |  block 7  |  block 8  |  block 9  |       BLOCK_BARS each, counted from the interval's origin
    want            [ ------ limit bars -- )              blocks 7 to 9, of which those not cached are read at once

Where `limit` bars are not found in so many blocks, DuckDB searches on, and the result is cached as it is. What rows
take is counted, not measured: to ask each object for its size takes longer than to read it again.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from threading import Lock
from typing import NamedTuple, TypeVar

import duckdb
from cachetools import LRUCache

from serving.store.batch import BatchReader, whole_rows, windows
from serving.store.request import Entity, Keys, Range, RowRequest
from slackwater.versions.inspector import Inspector
from slackwater.views.interval import Interval
from slackwater.views.rows import Row

BLOCK_BARS = 256
MOST_BLOCKS = 64
"""What one question may take from blocks; more is read without the cache."""

RECENT_REQUESTS = 32
"""The newest questions; they are read from a new version before it is served."""

ENTRY_BYTES = 1_000
"""What an entry of a cache takes besides what it holds: its key, and its place."""

_T = TypeVar("_T")
_start = attrgetter("start")


def row_bytes(row: Row) -> int:
    """What a row takes: itself, its key, its start, and a value for each column of its state."""
    texts = sum(24 + len(value) for value in row.state if type(value) is str)
    return 200 + 60 * len(row.key) + 36 * len(row.state) + texts


def rows_bytes(rows: Sequence[Row]) -> int:
    """What rows of one view take together."""
    return len(rows) * row_bytes(rows[0]) if rows else 0


class Block(NamedTuple):
    """All rows of an entity with BLOCK_BARS bar starts in turn."""

    definition: str
    entity: Entity
    interval: str
    number: int


def low_of(interval: Interval, number: int) -> int:
    """The first start of a block."""
    return interval.floor(interval.origin_us + number * BLOCK_BARS * interval.us)


def block_of(interval: Interval, start: int) -> int:
    """The number of the block that the bar at `start` is in: of where its last microsecond is, counted in long bars."""
    return (interval.end(start) - 1 - interval.origin_us) // (BLOCK_BARS * interval.us)


class RowCache:
    """Rows of versions, at most `most_bytes` of them in all. Thread safe. A question is for the keys of one entity."""

    def __init__(self, inspector: Inspector, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.hits = 0
        self.misses = 0
        self._inspector = inspector
        self._found: LRUCache[tuple[tuple[str, ...], object], list[Row]] = LRUCache(
            most_bytes, lambda rows: ENTRY_BYTES + rows_bytes(rows)
        )
        self._recent: LRUCache[object, tuple[int, RowRequest]] = LRUCache(RECENT_REQUESTS)
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """What the rows take, about."""
        return int(self._found.currsize)

    @property
    def rows(self) -> int:
        """How many rows are cached."""
        with self._lock:
            return sum(map(len, self._found.values()))

    def get(self, batch: BatchReader, request: RowRequest) -> list[Row] | None:
        """The rows of `request` if they are cached, without reading anything."""
        with self._lock:
            self._recent[batch.version, _key_of(request)] = batch.version, request
        for low, high, last in _spans(batch, request):
            found = [self._check(self._stamp(batch, request, block), block) for block in _blocks(request, low, high)]
            known = [rows for rows in found if rows is not None]
            if len(known) < len(found):
                break
            rows = _within(request, low, high, known)
            if last or _enough(request, rows):
                self.hits += 1
                return rows
        else:
            searched = self._check(batch.stamp(request), _key_of(request))
            if searched is not None:
                self.hits += 1
                return searched
        self.misses += 1
        return None

    def read(self, batch: BatchReader, request: RowRequest, cursor: duckdb.DuckDBPyConnection) -> list[Row]:
        """The rows of `request`, which are cached then.

        Raises:
            DamagedFileError: a file is not whole.
        """
        searched = 0
        for low, high, last in _spans(batch, request):
            rows = _within(request, low, high, self._read_blocks(batch, request, _blocks(request, low, high), cursor))
            if last or _enough(request, rows):
                return rows
            searched = high - low
        rows = whole_rows(self._inspector, batch, request, cursor, searched)
        self._put(batch.stamp(request), _key_of(request), rows)
        return rows

    def recent(self, version: int) -> list[RowRequest]:
        """The newest questions to a version."""
        with self._lock:
            return [request for of, request in self._recent.values() if of == version]

    def _read_blocks(
        self, batch: BatchReader, request: RowRequest, blocks: list[Block], cursor: duckdb.DuckDBPyConnection
    ) -> list[list[Row]]:
        stamps = {block.number: self._stamp(batch, request, block) for block in blocks}
        found = {b.number: rows for b in blocks if (rows := self._check(stamps[b.number], b)) is not None}
        missing = [block for block in blocks if block.number not in found]
        if missing:  # those between them are read once more: it is one question, mostly of neighbours
            interval = request.range.interval
            of = Range(interval, low_of(interval, missing[0].number), low_of(interval, missing[-1].number + 1))
            read: dict[int, list[Row]] = {block.number: [] for block in missing}
            whole = RowRequest(request.view, Keys(request.keys.entities), of)
            for row in whole_rows(self._inspector, batch, whole, cursor):
                number = block_of(interval, row.start)
                if number in read:
                    read[number].append(row)
            for block in missing:
                found[block.number] = read[block.number]
                self._put(stamps[block.number], block, found[block.number])
        return [found[block.number] for block in blocks]

    def _stamp(self, batch: BatchReader, request: RowRequest, block: Block) -> tuple[str, ...]:
        interval = request.range.interval
        of = Range(interval, low_of(interval, block.number), low_of(interval, block.number + 1))
        return batch.stamp(RowRequest(request.view, Keys(request.keys.entities), of))

    def _check(self, stamp: tuple[str, ...], of: object) -> list[Row] | None:
        with self._lock:
            return self._found.get((stamp, of))

    def _put(self, stamp: tuple[str, ...], of: object, rows: list[Row]) -> None:
        with self._lock:
            if ENTRY_BYTES + rows_bytes(rows) <= self.most_bytes:
                self._found[stamp, of] = rows  # nobody changes them


def _spans(batch: BatchReader, request: RowRequest) -> Iterator[tuple[int, int, bool]]:
    """Growing parts of a request that blocks can give, and whether one is all of it."""
    if request.range.level is not None:
        return
    low, high = batch.bounds(request)
    for first, behind in windows(request.range, low, high):
        if (behind - first) // request.range.interval.us > (MOST_BLOCKS - 1) * BLOCK_BARS:
            return
        yield first, behind, (first, behind) == (low, high)


def _blocks(request: RowRequest, low: int, high: int) -> list[Block]:
    """The blocks that hold the bars of [low, high)."""
    interval, (entity,) = request.range.interval, request.keys.entities
    numbers = range(block_of(interval, low), block_of(interval, interval.before(high)) + 1)
    return [Block(request.view.definition, entity, interval.text, number) for number in numbers]


def _key_of(request: RowRequest) -> object:
    """What tells a question from others, of values that hash fast."""
    of = request.range
    level = of.level and of.level.text
    return request.view.definition, request.keys, of.interval.text, level, *of[1:6]


def _enough(request: RowRequest, rows: list[Row]) -> bool:
    return request.range.limit is not None and len(rows) >= request.range.limit


def _within(request: RowRequest, low: int, high: int, blocks: list[list[Row]]) -> list[Row]:
    """Of these blocks, in order, the first (or last) `limit` rows of the request."""
    rows, of = list(chain.from_iterable(blocks)), request.range
    if rows and rows[0].start < low:
        rows = rows[bisect_left(rows, low, key=_start) :]
    if rows and rows[-1].start >= high:
        rows = rows[: bisect_left(rows, high, key=_start)]
    if request.keys.where:
        rows = [row for row in rows if request.keys.hold(row.key)]
    if of.after:
        rows = [row for row in rows if row.start > of.low or (row.start, *row.key) > of.after]
    return first(rows, of)


def first(rows: list[_T], of: Range) -> list[_T]:
    """The first `limit` of rows in order, or the last, still in order."""
    if of.limit is None:
        return rows
    return rows[-of.limit :] if of.newest_first and of.limit else rows[: of.limit]
