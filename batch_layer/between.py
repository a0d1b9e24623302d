"""Reads the speed layer's sealed cells between two cuts from the delta topic, and waits for those to come.

It reads to where the topic ended at the start, whatever it has by then, so that a second cell over one slice is seen;
after that it goes on only while a chain is short of its cut, until the deadline.
"""

from collections.abc import Callable, Mapping

from batch_layer.joined import Joined
from slackwater.core.clock import Clock
from slackwater.deltas.cell import Cell, DeltaKey
from slackwater.deltas.reader import POLL_S, DeltaReader
from slackwater.log.errors import PositionLostError, UnreadableError
from slackwater.log.log import Log
from slackwater.views.rows import Row
from slackwater.views.view import View

Fold = Callable[[DeltaKey, list[Row]], None]


class Between:
    """The chains of some delta keys. `bad` says of the first delta that does not decode, or cannot be read, why."""

    def __init__(self, delta_keys: Mapping[DeltaKey, tuple[View, Joined]], fold: Fold) -> None:
        self.delta_keys = delta_keys
        self.bad = ""
        self._fold = fold

    @property
    def joined(self) -> bool:
        """Whether every chain reaches its cut."""
        return all(joined.reach() >= joined.upto for _, joined in self.delta_keys.values())

    def read(self, log: Log, topic: str, starts: Mapping[int, int], clock: Clock, deadline_s: float) -> None:
        """Read from `starts`, delta partition -> offset, 0 where none is named; fold the rows of cells that join."""
        wanted = {
            delta_key.partition for delta_key, (_, joined) in self.delta_keys.items() if joined.start < joined.upto
        }
        if not wanted:
            return
        deadline = clock.elapsed_s() + deadline_s
        reader = DeltaReader(log, topic, starts, self._wanted, wanted)
        try:
            for delta in reader.rest():
                self._put(delta.cell)
            while reader.positions and not self.joined and (left_s := deadline - clock.elapsed_s()) > 0:
                self._wait(reader, clock, min(POLL_S, left_s))
        except PositionLostError as error:
            self.bad = str(error)
        finally:
            stuck = next(iter(reader.unread.values()), None)
            self.bad = self.bad or (str(UnreadableError(topic, *stuck)) if stuck else reader.error)
            reader.close()

    def _wait(self, reader: DeltaReader, clock: Clock, wait_s: float) -> None:
        began, before = clock.elapsed_s(), reader.deltas
        for delta in reader.poll(wait_s):
            self._put(delta.cell)
        rest_s = wait_s - (clock.elapsed_s() - began)
        if reader.deltas == before and rest_s > 0:
            clock.sleep(rest_s)  # a log that does not block has nothing new: let the others go on

    def _wanted(self, delta_key: DeltaKey, start: int | None) -> View | None:
        if start is None or delta_key not in self.delta_keys:
            return None
        view, joined = self.delta_keys[delta_key]
        if not joined.start <= start < joined.upto:
            joined.see(start)
            return None
        return view

    def _put(self, cell: Cell) -> None:
        rows = self.delta_keys[cell.delta_key][1].put(cell)
        if rows:
            self._fold(cell.delta_key, rows)
