"""The feed: reads the delta topic into the hot store.

It reads every delta partition from the served version's `delta_start` on. A delta of another view, definition or
topic is passed over; bytes that are no delta are counted and logged once, and never stop it.

Not here: which cells join (`slackwater.deltas.chain`), and the thread (`serving.watch.thread`).
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from serving.store.hot import HotStore
from serving.watch.latency import Delivered, Latency
from slackwater.deltas.cell import Cell, decode_cell, decode_lane
from slackwater.deltas.errors import CodecError
from slackwater.log.errors import PositionLostError
from slackwater.log.log import Bounds, Log, Reader, Record, Unread

_LOG = logging.getLogger("slackwater.serving")

CELLS_PER_LOCK = 64
"""Cells that are put while requests wait."""


class Feed:
    """Reads deltas. `step` belongs to one thread; `restart` may be called by any. `stuck` partitions cannot be read on.

    `changed` is called after a step that read something.
    """

    def __init__(
        self, log: Log, topic: str, hot: HotStore, poll_s: float = 0.2, latency: Latency | None = None
    ) -> None:
        self.deltas = 0
        self.bad = 0
        self.error: str | None = None
        self.changed: Callable[[], None] = _nobody
        self._log = log
        self._topic = topic
        self._hot = hot
        self._poll_s = poll_s
        self._latency = latency
        self._reader: Reader | None = None
        self._positions: dict[int, int] = {}
        self._goal: dict[int, int] | None = None
        self._lacking: frozenset[int] | None = None
        self.stuck: frozenset[int] = frozenset()
        self._lock = Lock()
        self._starts: Mapping[int, int] | None = None

    @property
    def caught_up(self) -> bool:
        """Whether it has read everything that was there when it was started."""
        return self._lacking == frozenset()

    def unread(self, partitions: Iterable[int]) -> bool:
        """Whether it has not read all that was there in these partitions when it was started; for any thread."""
        lacking = self._lacking
        return lacking is None or not lacking.isdisjoint(partitions)

    @property
    def behind(self) -> int:
        """Deltas between the positions and where the topic ended at the start."""
        return sum(max(0, end - self._positions.get(p, 0)) for p, end in (self._goal or {}).items())

    def reasons(self) -> list[str]:
        """That it has not read what was there when it was started."""
        return [] if self.caught_up else [f"The delta topic is not read yet: {self.behind} deltas to go."]

    @property
    def unreadable(self) -> dict[int, Unread]:
        """The delta partitions that cannot be read on."""
        reader = self._reader
        return {} if reader is None else dict(reader.unread)

    @property
    def partitions(self) -> set[int]:
        """The delta partitions that are read, or are about to be."""
        with self._lock:
            return set(self._starts or {}) | set(self._positions)

    def restart(self, starts: Mapping[int, int]) -> None:
        """Read again from `starts`; partitions that are not named, from their first delta."""
        with self._lock:
            self._starts = dict(starts)
            self._goal = self._lacking = None  # not caught up from this moment on

    def step(self) -> None:
        """Read once and put what was read. Does nothing before the first `restart`."""
        with self._lock:
            starts, self._starts = self._starts, None
        if starts is not None:
            self._open(starts)
        if self._reader is None:
            return
        try:
            slices = self._reader.poll(self._poll_s)
        except PositionLostError as error:
            bounds = self._reader.bounds()
            for partition in error.lost:
                self._seek(partition, bounds[partition])
            self._look_what_lacks()
            return
        for found in slices:
            self._put(found.records)
            self._positions[found.partition] = found.upto
        self.stuck = frozenset(self._reader.unread)
        if self._lacking is None or self._lacking:
            self._look_what_lacks()
        if slices or starts is not None:
            self.changed()

    def close(self) -> None:
        """Release the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self.stuck = frozenset()

    def _open(self, starts: Mapping[int, int]) -> None:
        try:
            bounds = self._log.bounds(self._topic)
            self.close()
            # Where a delta_start was expired, its version is retired; what is left is read.
            at = {p: min(max(starts.get(p, 0), b.start), b.end) for p, b in bounds.items()}
            self._reader = self._log.reader(self._topic, at)
        except BaseException:
            with self._lock:
                self._starts = self._starts or starts
            raise
        if self._latency is not None:
            self._latency.forget()
        with self._lock:
            self._positions = at
            # To the high watermark: what an open transaction hides is there, and is not known.
            again = self._starts is not None  # it was restarted meanwhile, and opens once more
            self._goal, self._lacking = None if again else {p: b.high for p, b in bounds.items()}, None

    def _look_what_lacks(self) -> None:
        """Behind the cells themselves: whoever sees nothing lack sees all of them."""
        with self._lock:
            if self._goal is not None:
                self._lacking = frozenset(p for p, end in self._goal.items() if self._positions.get(p, 0) < end)

    def _seek(self, partition: int, bounds: Bounds) -> None:
        _LOG.warning("Deltas of partition %d were removed; reading from offset %d.", partition, bounds.start)
        if self._reader is not None:
            self._reader.seek(partition, bounds.start)
        self._positions[partition] = bounds.start

    def _put(self, records: list[Record]) -> None:
        for first in range(0, len(records), CELLS_PER_LOCK):
            found = ((self._cell(record), record) for record in records[first : first + CELLS_PER_LOCK])
            delivered = [Delivered(cell, record) for cell, record in found if cell is not None]
            self._hot.put([cell for cell, _ in delivered])
            self._note(delivered)

    def _note(self, delivered: list[Delivered]) -> None:
        if self._latency is None or not delivered:
            return
        views = {cell.lane.view for cell, _ in delivered}
        applied = {(view, p): end for view in views for p, end in self._hot.applied(view).items()}
        self._latency.note(delivered, applied, self.caught_up)

    def _cell(self, record: Record) -> Cell | None:
        self.deltas += 1
        try:
            lane = decode_lane(record.key)
            view = self._hot.view_of(lane)
            return None if view is None else decode_cell(lane, record.value, view)
        except CodecError as error:
            self.bad += 1
            if self.error is None:
                _LOG.error("A delta at offset %d does not decode and is passed over: %s", record.offset, error)
            self.error = str(error)
            return None


def _nobody() -> None:
    """Nobody waits for it."""
