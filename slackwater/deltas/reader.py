"""The reader of a delta topic: the cells of wanted keys, from given places on. Whoever reads deltas reads them here.

    delta topic   [start ............. end)[what comes later ...
    rest()        [start ............. end)                         what was there when it was opened
    poll()                                  and on, for ever

Bytes that are no delta are counted and passed over. Where deltas were removed, it goes on behind them. A partition
whose next batch cannot be read waits, and stops none of the others. Not here: which cells join
(`slackwater.deltas.chain`), and how long somebody waits for them.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from slackwater.deltas.cell import Cell, DeltaKey, decode_cell, decode_key
from slackwater.deltas.errors import CodecError
from slackwater.log.errors import PositionLostError
from slackwater.log.log import Log, Record, Unread
from slackwater.views.view import View

logger = logging.getLogger(__name__)

POLL_S = 0.25

Wanted = Callable[[DeltaKey, int | None], View | None]
"""The view of a key whose cell is wanted, by the start of a sealed one, None for the open one; None: it is not."""


class Delta(NamedTuple):
    """A cell, and the record of the delta topic that it came in."""

    cell: Cell
    record: Record


class DeltaReader:
    """Reads some partitions of one delta topic, all of them by default, from `starts` on. Not thread safe.

    Partitions that `starts` does not name are read from their first delta, as are those whose start was expired.
    `bounds` are the retained offsets at the opening; `deltas` counts records, `bad` those that are no deltas, and
    `error` says of the first of them why.
    """

    def __init__(
        self,
        log: Log,
        topic: str,
        starts: Mapping[int, int],
        wanted: Wanted,
        partitions: Collection[int] | None = None,
    ) -> None:
        self.topic = topic
        self.bounds = {p: b for p, b in log.bounds(topic).items() if partitions is None or p in partitions}
        self.positions = {p: min(max(starts.get(p, 0), b.start), b.end) for p, b in self.bounds.items()}
        self.deltas = self.bad = 0
        self.error = ""
        self._wanted = wanted
        self._reader = log.reader(topic, self.positions)

    @property
    def unread(self) -> Mapping[int, Unread]:
        """The partitions that stand before a batch that cannot be read."""
        return self._reader.unread

    def lacking(self) -> list[int]:
        """The partitions that are not read to where they ended at the opening, and can be."""
        return [p for p, b in self.bounds.items() if self.positions[p] < b.end and p not in self._reader.unread]

    def poll(self, wait_s: float) -> Iterator[Delta]:
        """What is there now, partition by partition; waits up to `wait_s` for the first.

        A position moves when all of its partition's deltas were taken.
        """
        try:
            slices = self._reader.poll(wait_s)
        except PositionLostError as error:
            self._skip(error.lost)
            return
        for found in slices:
            for record in found.records:
                delta = self._delta(found.partition, record)
                if delta is not None:
                    yield delta
            self.positions[found.partition] = found.upto

    def rest(self) -> Iterator[Delta]:
        """Everything to where the topic ended at the opening, but for what cannot be read.

        Raises:
            PositionLostError: it does not hold that any more.
        """
        while lacking := self.lacking():
            before = dict(self.positions)
            yield from self.poll(POLL_S)
            if self.positions == before:
                now = self._reader.bounds()
                lost = {p: self.positions[p] for p in lacking if now[p].high < self.bounds[p].end}
                if lost:
                    raise PositionLostError(self.topic, lost)

    def close(self) -> None:
        """Release."""
        self._reader.close()

    def _skip(self, lost: Mapping[int, int]) -> None:
        bounds = self._reader.bounds()
        for p, at in lost.items():
            start = bounds[p].start
            logger.warning("%s[%d]: deltas were removed at %d; reading from offset %d", self.topic, p, at, start)
            self._reader.seek(p, start)
            self.positions[p] = start

    def _delta(self, partition: int, record: Record) -> Delta | None:
        self.deltas += 1
        try:
            delta_key, start = decode_key(record.key)
            view = self._wanted(delta_key, start)
            if view is None:
                return None
            cell = decode_cell(delta_key, record.value, view)
            if start not in (None, cell.start):
                raise CodecError(f"A delta of {delta_key} has the key of {start} and the cell of {cell.start}.")
            return Delta(cell, record)
        except CodecError as error:
            self.bad += 1
            if not self.error:
                self.error = f"The delta {self.topic}[{partition}]@{record.offset} cannot be read: {error}"
                logger.error("%s", self.error)
            return None
