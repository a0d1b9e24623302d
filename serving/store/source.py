"""What one answer is made from, held still while it is read: a snapshot, its chains' ends, and the layer asked for.

Not here: the order of an answer's bars and its pages (`serving.http.routes.bars`), and its bytes
(`serving.query.answer`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from serving.http.problems import out_of_memory, unreadable
from serving.query.pool import Pool
from serving.store.batch import OUT_OF_MEMORY, UNREADABLE, BatchReader, Want
from serving.store.ends import Ends
from serving.store.merge import first, merge_rows
from serving.store.row_cache import RowCache
from slackwater.deltas.cell import Cell
from slackwater.store.instruments import Instrument
from slackwater.versions.errors import DamagedFileError
from slackwater.views.interval import Interval
from slackwater.views.merge import State
from slackwater.views.rows import Row
from slackwater.views.view import View


class BatchRows:
    """Reads batch rows: nothing where nothing can be, kept results at once, DuckDB in the pool for the rest."""

    def __init__(self, pool: Pool, cache: RowCache) -> None:
        self._pool = pool
        self._cache = cache

    async def read(self, batch: BatchReader, want: Want) -> list[Row]:
        """The rows of `want`. Raises ProblemError behind the deadline or when too many wait."""
        if batch.nothing(want):
            return []
        known = self._cache.get(batch, want)
        if known is not None:
            return known
        cursor = batch.cursor()
        read = partial(self._cache.read, batch, want, cursor)
        try:
            rows = await self._pool.run(read, cursor.interrupt)
        except (DamagedFileError, *UNREADABLE) as error:
            raise unreadable(batch.version) from error
        except OUT_OF_MEMORY as error:
            raise out_of_memory() from error
        cursor.close()  # behind a deadline it still runs, and closes when nobody holds it
        return rows


@dataclass(frozen=True)
class Source:
    """One answer's ground. `ends` is empty where the batch view answers alone; `batch` is None for the speed layer."""

    view: View
    batch: BatchReader | None
    ends: Mapping[int, Ends]
    instruments: Mapping[tuple[str, str], tuple[Instrument, ...]]
    rows: BatchRows

    async def bars(
        self,
        instrument: tuple[str, str],
        interval: Interval,
        low: int,
        high: int | None,
        limit: int,
        newest_first: bool = False,
        after: tuple[str | int, ...] = (),
    ) -> list[Row]:
        """The first (or last) `limit` bars of [low, high), both bar starts, in order."""
        batch = await self.batch_bars(instrument, interval, low, high, limit, newest_first, after)
        if len(batch) == limit:  # of the speed layer's bars, those on the far side of these would be cut off
            if newest_first:
                low = max(low, batch[0].start)
            else:
                high = interval.end(batch[-1].start)
        speed = [
            Row(key, start, state)
            for ends in self.ends.values()
            for key in ends.keys(instrument)
            for start, state in ends.bars(
                key, interval, low if key[2:] > after or not after else interval.end(low), high, limit, newest_first
            ).items()
        ]
        if not speed:
            return batch
        return first(merge_rows(self.view, batch, speed), limit, newest_first)

    async def batch_bars(
        self,
        instrument: tuple[str, str],
        interval: Interval,
        low: int,
        high: int | None,
        limit: int,
        newest_first: bool = False,
        after: tuple[str | int, ...] = (),
    ) -> list[Row]:
        """The batch part of the same; nothing for the speed layer alone."""
        if self.batch is None:
            return []
        want = Want(self.view, *instrument, interval, low, high, limit, newest_first, after)
        return await self.rows.read(self.batch, want)

    def newest(self, instrument: tuple[str, str]) -> int | None:
        """The newest second that an applied event of the instrument lies in; the same for every layer of one answer."""
        found = [known.last_start for known in self.instruments.get(instrument, ())]
        found += [start for ends in self.ends.values() if (start := ends.newest(instrument)) is not None]
        return max(found, default=None)

    def closed_to(self, interval: Interval) -> dict[tuple[str, str], int]:
        """Per instrument the last start whose bar is closed."""
        newest = {instrument: self.newest(instrument) or 0 for instrument in self.instruments}
        return {instrument: interval.last_closed(at) for instrument, at in newest.items()}

    def span(self, instrument: tuple[str, str]) -> tuple[int, int] | None:
        """The oldest and newest base start of an instrument in the layers that answer."""
        known = self.instruments.get(instrument, ()) if self.batch is not None else ()
        spans = [(each.first_start, each.last_start) for each in known]
        spans += [span for ends in self.ends.values() if (span := ends.span(instrument)) is not None]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def parts(self, row: Row, interval: Interval) -> list[tuple[Cell, State]]:
        """What each cell gave to a bar."""
        low, high = row.start, interval.end(row.start)
        return [part for ends in self.ends.values() for part in ends.parts(row.key, low, high)]
