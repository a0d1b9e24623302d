"""The read: the rows of an answer, of both layers as one. Every answer is made by it: routes, streams, SQL, exports.

    rows = batch states at the coarsest published interval (+) chain states up to the basis' ends

    stored      [ the first N of the batch view ]           either layer gives its first (or last) N: a bar among the
    chain              [ the first N of the chains ]        first N of both has fewer than N before it in either, so
    rows        [ the first N of both, merged ]             whatever is cut off lies behind all of them

Filled, bars without events get what the view declares for them (`gap` in `slackwater.views.answers`). A gap is known
only between two things that are: a bar before it and an applied event behind it. So filling begins at the first bar
there ever was and ends with the last applied one.

    start        first bar                last applied bar      end
      |   nothing   |  bar  gap  bar  gap  gap  bar  |  nothing  |

Cached answers do not come here (`serving.http.reply`).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import Protocol

import duckdb
import pyarrow as pa

from serving.http.problems import out_of_memory, unreadable
from serving.query.answer import Bar, Gap
from serving.query.basis import Basis
from serving.query.pool import Pool
from serving.store.batch import OUT_OF_MEMORY, UNREADABLE, BatchReader
from serving.store.fold import Ends
from serving.store.request import Key, Keys, Range, RowRequest
from serving.store.row_cache import RowCache, first
from slackwater.http.problems import ProblemError
from slackwater.versions.errors import DamagedFileError
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.kinds import Kind, Value
from slackwater.views.levels import prefix_levels
from slackwater.views.merge import State
from slackwater.views.quantiles import QuantileRow, quantile_rows
from slackwater.views.rows import Row, table_of
from slackwater.views.view import View

TOTAL = parse_interval("total")

ROOM = 20_000
"""Rows that are read at once for quantiles."""

ROWS_PER_LOCK = 4_096
"""Rows of a chain that are read while the feed and every other answer wait, where all of them are read."""


class Placed(Protocol):
    """A row, or what stands for one that is not there."""

    @property
    def key(self) -> Key: ...

    @property
    def start(self) -> int: ...


@contextmanager
def reading(version: int) -> Iterator[None]:
    """What goes wrong while files of a version are read, as problems."""
    try:
        yield
    except (DamagedFileError, *UNREADABLE) as error:
        raise unreadable(version) from error
    except OUT_OF_MEMORY as error:
        raise out_of_memory() from error


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
        with reading(batch.version):
            rows = await self._pool.run(partial(self._cache.read, batch, request, cursor), cursor.interrupt)
        cursor.close()  # behind a deadline it still runs, and closes when nobody holds it
        return rows


async def read(basis: Basis, keys: Keys, of: Range, batch: BatchRows) -> list[Row]:
    """The rows of a range, in order of start and key. Raises ProblemError."""
    found: list[Row] = []
    several = len(keys.entities) > 1
    for one in keys.each() if several else (keys,):
        stored = await batch.read(basis.batch, RowRequest(basis.view, one, of)) if basis.batch is not None else []
        found += merged(basis, one, of, stored)
    return first(sorted(found, key=place_of), of) if several else found


async def read_prefix(basis: Basis, keys: Keys, at: int, batch: BatchRows) -> list[Row]:
    """The states of all events before `at`, a row a key; `at` is a start of the view's base. Raises ProblemError."""
    found: list[Row] = []
    for one in keys.each():
        newest = basis.newest(one.entities[0])
        for interval, low, high in prefix_levels(basis.view, at, newest):
            found += await read(basis, one, Range(TOTAL, low, high, level=interval), batch)
    return merge_rows(basis.view, [], found)


async def read_quantiles(basis: Basis, keys: Keys, of: Range, batch: BatchRows) -> list[QuantileRow]:
    """The first (or last) quantiles of a range with a limit, in order. Raises ProblemError.

    read ROOM rows -> the last start may be cut: leave it for the next read -> quantiles -> until there are `limit`
    """
    found: list[QuantileRow] = []
    for one in keys.each():
        found += await _of_entity(basis, one, of._replace(after=()), batch)
    behind = [each for each in found if not of.after or place_of(each) > of.after]
    return first(sorted(behind, key=place_of), of)


async def _of_entity(basis: Basis, one: Keys, of: Range, batch: BatchRows) -> list[QuantileRow]:
    most, found = of.limit or 0, list[QuantileRow]()
    while True:
        rows = await read(basis, one, of._replace(limit=ROOM), batch)
        cut = rows[0 if of.newest_first else -1].start if len(rows) == ROOM else None
        whole = [row for row in rows if row.start != cut]
        if rows and not whole:
            raise ProblemError(422, "too-many-rows", f"A start has more than {ROOM} rows. Ask for fewer keys.")
        made = quantile_rows(basis.view, whole)
        found = [*made, *found] if of.newest_first else [*found, *made]
        if cut is None or len(found) > most:
            return found
        of = of._replace(high=of.interval.end(cut)) if of.newest_first else of._replace(low=cut)


def read_states(basis: Basis, keys: Keys, of: Range, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    """The same as a table of states, all of a range, for many rows: DuckDB merges. Blocks."""
    chain = table_of(basis.view, chain_rows(basis, keys, of))
    batch, stored = basis.snapshot.batch, keys if basis.batch is not None else keys._replace(entities=())
    return batch.states(RowRequest(basis.view, stored, of), chain, cursor)


def merged(basis: Basis, keys: Keys, of: Range, stored: list[Row]) -> list[Row]:
    """The rows of a range, of one entity, whose stored ones are known. Takes no time but the processor's."""
    if of.limit and len(stored) >= of.limit:  # of the chain, bars on the far side of these would be cut off
        low = max(of.low, stored[-of.limit].start) if of.newest_first else of.low
        of = of._replace(low=low, high=of.high if of.newest_first else of.interval.end(stored[of.limit - 1].start))
    chain = list(chain_rows(basis, keys, of))
    return first(merge_rows(basis.view, stored, chain), of) if chain else first(stored, of)


def chain_rows(basis: Basis, keys: Keys, of: Range) -> Iterator[Row]:
    """The chains' rows of a range up to the basis' ends, in no order; those after `limit` may be partial."""
    for ends in basis.ends.values():
        for entity in keys.entities:
            for key in ends.keys(entity):
                if keys.where and not keys.hold(key):
                    continue
                low = of.low
                if of.after and (low, *key) <= of.after:
                    low = of.interval.end(low)
                yield from _rows_of_key(ends, key, low, of)


def merge_rows(view: View, stored: list[Row], chain: Iterable[Row]) -> list[Row]:
    """Both layers' rows as one, in order of start and key, as `stored` are. Rows of one place are merged."""
    merge = view.merge
    found: dict[tuple[int, Key], State] = {}
    for key, start, state in chain:
        known = found.get((start, key))
        found[start, key] = state if known is None else merge(known, state)
    # What lies before all rows of the chain, mostly nearly everything, stays as it is.
    at = bisect_left(stored, min(found)[0], key=_start) if found and stored else len(stored)
    for key, start, state in stored[at:]:
        known = found.get((start, key))
        found[start, key] = state if known is None else merge(state, known)
    return [*stored[:at], *(Row(key, start, found[start, key]) for start, key in sorted(found))]


def place_of(row: Placed) -> tuple[Value, ...]:
    """The order of rows in an answer: by start and key."""
    return (row.start, *row.key)


def _rows_of_key(ends: Ends, key: Key, low: int, of: Range) -> Iterator[Row]:
    level = of.level or of.interval
    most = ROWS_PER_LOCK if of.limit is None else of.limit
    while True:
        found = ends.bars(key, level, low, of.high, most, of.newest_first)
        starts = sorted(found)[:most] if of.limit is None else list(found)
        for start in starts:
            yield Row(key, start if of.level is None else of.interval.floor(start), found[start])
        if of.limit is not None or len(starts) < most:
            return
        low = level.end(starts[-1])


_start = attrgetter("start")


def fills(view: View) -> bool:
    """Whether bars of this view can be filled: it declares gaps, and an entity has one series."""
    return not view.rest and any(answer.gap is not None for answer in view.answers.values())


async def filled(basis: Basis, keys: Keys, of: Range, batch: BatchRows) -> list[Bar]:
    """The first (or last) bars and gaps of a range with a limit, in order."""
    found: list[Bar] = []
    for one in keys.each():
        found += await _filled(basis, one, of, batch)
    return sorted(found, key=place_of) if len(keys.entities) > 1 else found


async def _filled(basis: Basis, one: Keys, of: Range, batch: BatchRows) -> list[Bar]:
    interval, low, limit, (entity,) = of.interval, of.low, of.limit or 0, one.entities
    if of.after:
        low = interval.floor(int(of.after[0]))
        low = max(of.low, interval.end(low) if (low, *entity) <= of.after else low)
    newest = basis.newest(entity)
    if newest is None:
        return []
    behind = interval.end(interval.floor(newest))
    high = behind if of.high is None else min(of.high, behind)
    if of.newest_first:
        low = max(low, interval.floor(high - limit * interval.us))
    before = await read(basis, one, Range(interval, 0, low, 1, newest_first=True), batch)
    if not before:
        earliest = await read(basis, one, Range(interval, low, high, 1), batch)
        if not earliest:
            return []
        low = earliest[0].start
    high = min(high, interval.floor(low + limit * interval.us))
    rows = await read(basis, one, Range(interval, low, high, limit), batch)
    return _with_gaps(basis.view, interval, low, high, before, rows)


def _with_gaps(view: View, interval: Interval, low: int, high: int, before: list[Row], rows: list[Row]) -> list[Bar]:
    finish, kinds = view.finish, view.answer_kinds
    by_start = {row.start: row for row in rows}
    previous: dict[str, str | int | None] = dict(finish(before[0].state)) if before else {}
    key = (before or rows)[0].key
    found: list[Bar] = []
    for start in interval.starts(low, high):
        row = by_start.get(start)
        if row is not None:
            previous = dict(finish(row.state))
            found.append(row)
        else:
            previous = {name: _gap(answer.gap, kinds[name], previous) for name, answer in view.answers.items()}
            found.append(Gap(key, start, previous))
    return found


def _gap(gap: str | None, kind: Kind, previous: dict[str, str | int | None]) -> str | int | None:
    if gap is None:
        return None
    if gap == "0":
        return "0" if kind.scale else 0
    return previous[gap]
