"""The read: the rows of an answer, of both layers as one. Every answer is made by it: routes, streams, SQL, exports.

    rows = batch states at the coarsest published interval (+) chain states up to the basis' ends

    stored      [ the first N of the batch view ]           either layer gives its first (or last) N: a bar among the
    chain              [ the first N of the chains ]        first N of both has fewer than N before it in either, so
    rows        [ the first N of both, merged ]             whatever is cut off lies behind all of them

Cached answers do not come here (`serving.http.cached`). Not here: what an answer stands on (`serving.query.basis`), how
a version's files are read (`serving.store.batch`).
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Protocol

import duckdb
import pyarrow as pa

from serving.http.problems import out_of_memory, unreadable
from serving.query.basis import Basis
from serving.query.pool import Pool
from serving.store.batch import OUT_OF_MEMORY, UNREADABLE, BatchReader, Keys, Range, RowRequest
from serving.store.ends import Ends
from serving.store.fold import Key
from serving.store.row_cache import RowCache, first
from slackwater.versions.errors import DamagedFileError
from slackwater.views.interval import parse_interval
from slackwater.views.kinds import Value
from slackwater.views.levels import prefix_levels
from slackwater.views.merge import State, merger
from slackwater.views.rows import Row, table_of
from slackwater.views.view import View

TOTAL = parse_interval("total")

ROWS_PER_LOCK = 4_096
"""Rows of a chain that are read while the feed and every other answer wait, where all of them are wanted."""


class Placed(Protocol):
    """A row, or what stands for one that is not there."""

    @property
    def key(self) -> Key: ...

    @property
    def start(self) -> int: ...


class BatchRows:
    """Reads stored rows: nothing where nothing can be, cached ones at once, by DuckDB in the pool the rest."""

    def __init__(self, pool: Pool, cache: RowCache) -> None:
        self._pool = pool
        self._cache = cache

    async def read(self, batch: BatchReader, request: RowRequest) -> list[Row]:
        """The rows of `request`, of one entity. Raises ProblemError behind the deadline or when too many wait."""
        if batch.nothing(request):
            return []
        known = self._cache.get(batch, request)
        if known is not None:
            return known
        cursor = batch.cursor()
        try:
            rows = await self._pool.run(partial(self._cache.read, batch, request, cursor), cursor.interrupt)
        except (DamagedFileError, *UNREADABLE) as error:
            raise unreadable(batch.version) from error
        except OUT_OF_MEMORY as error:
            raise out_of_memory() from error
        cursor.close()  # behind a deadline it still runs, and closes when nobody holds it
        return rows


async def read(basis: Basis, keys: Keys, of: Range, batch: BatchRows) -> list[Row]:
    """The rows of a range, in order of start and key. Raises ProblemError."""
    found: list[Row] = []
    for one in keys.each():
        stored = await batch.read(basis.batch, RowRequest(basis.view, one, of)) if basis.batch is not None else []
        found += merged(basis, one, of, stored)
    return first(sorted(found, key=place_of), of) if len(keys.entities) > 1 else found


async def read_prefix(basis: Basis, keys: Keys, at: int, batch: BatchRows) -> list[Row]:
    """The states of all events before `at`, a row a key; `at` is a start of the view's base. Raises ProblemError."""
    found: list[Row] = []
    for one in keys.each():
        newest = basis.newest(one.entities[0])
        for interval, low, high in prefix_levels(basis.view, at, newest):
            found += await read(basis, one, Range(TOTAL, low, high, level=interval), batch)
    return merge_rows(basis.view, (), found)


def read_states(basis: Basis, keys: Keys, of: Range, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    """The same as a table of states, all of a range, for many rows: DuckDB merges. Blocks."""
    chain = table_of(basis.view, chain_rows(basis, keys, of))
    batch, wanted = basis.snapshot.batch, keys if basis.batch is not None else keys._replace(entities=())
    return batch.states(RowRequest(basis.view, wanted, of), chain, cursor)


def merged(basis: Basis, keys: Keys, of: Range, stored: list[Row]) -> list[Row]:
    """The rows of a range, of one entity, whose stored ones are known. Takes no time but the processor's."""
    if of.limit and len(stored) >= of.limit:  # of the chain, bars on the far side of these would be cut off
        low = max(of.low, stored[-of.limit].start) if of.newest_first else of.low
        of = of._replace(low=low, high=of.high if of.newest_first else of.interval.end(stored[of.limit - 1].start))
    chain = list(chain_rows(basis, keys, of))
    return first(merge_rows(basis.view, stored, chain), of) if chain else first(stored, of)


def chain_rows(basis: Basis, keys: Keys, of: Range) -> Iterator[Row]:
    """The chains' rows of a range up to the basis' ends, in no order; those beyond `limit` may not be whole."""
    for ends in basis.ends.values():
        for entity in keys.entities:
            for key in filter(keys.hold, ends.keys(entity)):
                low = of.low
                if of.after and (low, *key) <= of.after:
                    low = of.interval.end(low)
                yield from _rows_of_key(ends, key, of._replace(low=low))


def merge_rows(view: View, stored: Iterable[Row], chain: Iterable[Row]) -> list[Row]:
    """Both layers' rows as one, in order of start and key. Only those of `chain` may stand more than once."""
    merge = merger(view)
    found: dict[tuple[Key, int], State] = {(row.key, row.start): row.state for row in stored}
    for key, start, state in chain:
        known = found.get((key, start))
        found[key, start] = state if known is None else merge(known, state)
    return sorted((Row(key, start, state) for (key, start), state in found.items()), key=place_of)


def place_of(row: Placed) -> tuple[Value, ...]:
    """The order of rows in an answer: by start and key."""
    return (row.start, *row.key)


def _rows_of_key(ends: Ends, key: Key, of: Range) -> Iterator[Row]:
    level = of.level or of.interval
    low, most = of.low, ROWS_PER_LOCK if of.limit is None else of.limit
    while True:
        found = ends.bars(key, level, low, of.high, most, of.newest_first)
        starts = sorted(found)[:most] if of.limit is None else list(found)
        yield from (Row(key, of.interval.floor(start), found[start]) for start in starts)
        if of.limit is not None or len(starts) < most:
            return
        low = level.end(starts[-1])
