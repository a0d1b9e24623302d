"""The boundary is a time of the clock: batch is what was archived before it, speed what was taken up from it on.

So it is where views are expired by age, and where the archive's folders are named by the hour in which they were
written: processing time, as Kafka Streams' `WallclockTimestampExtractor` calls it, and the realtime views of Marz and
Warren, *Big Data* (2015), chapter 12.5, that are cleared as batch runs end.

Two processes read the log, each at its own pace, and each says by its own clock when it had a trade. `margin_us` moves
the speed part's boundary, for the one of the two that is always later; a backlog after a crash is not always so.
"""

from lesson.play import Play
from lesson.rival import Rival, Seen, clock_text
from lesson.stream import SECOND_US

MARGINS_US = (-SECOND_US // 2, 0, SECOND_US // 2)


class WallClock(Rival):
    """See the module."""

    def __init__(self, play: Play, margin_us: int) -> None:
        super().__init__(play)
        self._margin_us = margin_us
        self._drawn_us = self._boundary_us = 0

    def draw(self) -> None:
        """See `Rival.draw`: now."""
        self._drawn_us = self.play.now_us

    def switch(self) -> None:
        """See `Rival.switch`."""
        self._boundary_us = self._drawn_us

    def below(self, seen: Seen) -> bool:
        """See `Rival.below`."""
        return seen.archived_us is not None and seen.archived_us < self._drawn_us

    def behind(self, seen: Seen) -> bool:
        """See `Rival.behind`."""
        return not self._boundary_us or (seen.taken_us or 0) >= self._boundary_us + self._margin_us

    def reason(self, seen: Seen) -> str:
        """See `Rival.reason`."""
        archived = "not archived yet" if seen.archived_us is None else f"archived at {clock_text(seen.archived_us)}"
        side = "from it on" if self.behind(seen) else "before it"
        return (
            f"the boundary is {clock_text(self._boundary_us)} on the clock; it was {archived} and taken up by the "
            f"speed layer at {clock_text(seen.taken_us or 0)}, which counts as {side}."
        )
