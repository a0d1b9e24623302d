"""The boundary is an event time: batch is every trade that happened before it, speed every one from it on.

So do hybrid tables: Apache Pinot's time boundary is the latest time in the offline segments less one push interval, and
each half of a query is filtered by it (docs.pinot.apache.org, "Time boundary"). Here a run's boundary is its watermark:
the latest event time that every partition has reached, less `allowed_us` for trades that come late, on a whole bar. A
partition that is silent for IDLE_US does not hold it back, as Flink's `withIdleness` has it.

A trade that comes later than allowed lies before the boundary and behind the run: in neither part, until the next run
has read the log again.
"""

from lesson.play import Play
from lesson.rival import Rival, Seen, clock_text
from lesson.stream import INTERVAL, SECOND_US

ALLOWED_US = tuple(seconds * SECOND_US for seconds in (10, 20, 40, 80))
IDLE_US = 20 * SECOND_US


class Watermark(Rival):
    """See the module."""

    def __init__(self, play: Play, allowed_us: int) -> None:
        super().__init__(play)
        self._allowed_us = allowed_us
        self._drawn_us = self._boundary_us = self._read_us = self._began_us = 0

    def draw(self) -> None:
        """See `Rival.draw`; never back behind the one before it."""
        latest: dict[int, int] = {}
        heard: dict[int, int] = {}
        for seen in self.arrived():
            p = seen.trade.partition
            latest[p] = max(latest.get(p, 0), seen.trade.time_us)
            heard[p] = seen.arrival.at_us
        awake = [at for p, at in latest.items() if self.play.now_us - heard[p] < IDLE_US]
        mark = min(awake, default=0) - self._allowed_us
        self._drawn_us = max(self._drawn_us, INTERVAL.floor(mark))
        self._began_us = self.play.now_us

    def switch(self) -> None:
        """See `Rival.switch`."""
        self._boundary_us, self._read_us = self._drawn_us, self._began_us

    def below(self, seen: Seen) -> bool:
        """See `Rival.below`."""
        return seen.trade.time_us < self._drawn_us

    def behind(self, seen: Seen) -> bool:
        """See `Rival.behind`."""
        return seen.trade.time_us >= self._boundary_us

    def reason(self, seen: Seen) -> str:
        """See `Rival.reason`."""
        return (
            f"the boundary is the event time {clock_text(self._boundary_us)}; it lies before that and came at "
            f"{clock_text(seen.arrival.at_us)}, behind what the batch run read at {clock_text(self._read_us)}."
        )
