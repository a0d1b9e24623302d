"""Reads the speed layer's sealed cells between two cuts from the delta topic, and waits for those to come.

It reads to where the topic ended at the start, whatever it has by then, so that a second cell over one slice is seen;
after that it goes on only while a chain is short of its cut, until the deadline.
"""

from collections.abc import Callable, Mapping

from batch_layer.joined import Joined
from slackwater.core.clock import Clock
from slackwater.deltas.cell import Lane, decode_cell, decode_key
from slackwater.deltas.errors import CodecError
from slackwater.log.errors import PositionLostError, UnreadableError
from slackwater.log.log import Log, Reader, Record
from slackwater.views.rows import Row
from slackwater.views.view import View

POLL_S = 0.25

Fold = Callable[[Lane, list[Row]], None]


class Between:
    """The chains of some lanes. `bad` says of the first delta that does not decode, or cannot be read, why."""

    def __init__(self, lanes: Mapping[Lane, tuple[View, Joined]], fold: Fold) -> None:
        self.lanes = lanes
        self.bad = ""
        self._fold = fold
        self._positions: dict[int, int] = {}

    @property
    def joined(self) -> bool:
        """Whether every chain reaches its cut."""
        return all(joined.reach() >= joined.upto for _, joined in self.lanes.values())

    def read(self, log: Log, topic: str, starts: Mapping[int, int], clock: Clock, deadline_s: float) -> None:
        """Read from `starts`, delta partition -> offset, 0 where none is named; fold the rows of cells that join."""
        bounds = log.bounds(topic)
        wanted = {lane.partition for lane in self.lanes} & bounds.keys()
        if not wanted:
            return
        # Where a start was expired, what is left is read; the chain says whether it is enough.
        self._positions = {p: min(max(starts.get(p, 0), bounds[p].start), bounds[p].end) for p in wanted}
        deadline = clock.elapsed_s() + deadline_s
        reader = log.reader(topic, self._positions)
        try:
            while True:
                whole = all(at >= bounds[p].end or p in reader.unread for p, at in self._positions.items())
                left_s = deadline - clock.elapsed_s()
                if whole and (left_s <= 0 or self.joined):
                    return
                self._poll(reader, topic, clock, min(POLL_S, left_s) if whole else POLL_S)
        finally:
            reader.close()

    def _poll(self, reader: Reader, topic: str, clock: Clock, wait_s: float) -> None:
        began = clock.elapsed_s()
        try:
            slices = reader.poll(wait_s)
        except PositionLostError as error:  # expired while this reads
            bounds = reader.bounds()
            for p in error.lost:
                self._positions[p] = bounds[p].start
                reader.seek(p, bounds[p].start)
            return
        for stuck in reader.unread.values():
            self.bad = self.bad or str(UnreadableError(topic, *stuck))
        for found in slices:
            self._put(found.records)
            self._positions[found.partition] = found.upto
        rest_s = wait_s - (clock.elapsed_s() - began)
        if not slices and rest_s > 0:
            clock.sleep(rest_s)  # a log that does not block has nothing new: let the others go on

    def _put(self, records: list[Record]) -> None:
        for record in records:
            try:
                lane, start = decode_key(record.key)
                if start is None or lane not in self.lanes:
                    continue
                view, joined = self.lanes[lane]
                if not joined.start <= start < joined.upto:
                    joined.see(start)
                    continue
                cell = decode_cell(lane, record.value, view)
                if cell.start != start:
                    raise CodecError(f"A delta of {lane} has the key of {start} and the cell of {cell.start}.")
            except CodecError as error:
                self.bad = self.bad or f"The delta at offset {record.offset} cannot be read: {error}"
                continue
            rows = joined.put(cell)
            if rows:
                self._fold(lane, rows)
