"""The boundary is an offset that the batch run looked up: batch is every record below it, speed the deltas behind it.

So does a batch query of Spark on Kafka, whose `endingOffsets` are `latest` by default, and any job that asks a consumer
for its `endOffsets` and reads up to there. It is the right kind of boundary, an exact place in the log; but the speed
layer has not cut its deltas there. The delta that lies on both sides is kept whole or left out whole:

    offsets    400 401 402 403 404 405 406 407
    deltas     [400      403) [403          407)
    boundary                       ^ 405               `keep`: 403 and 404 twice; else: 405 and 406 not at all
"""

from lesson.play import Play
from lesson.rival import Rival, Seen

KEEP = (True, False)


class Offset(Rival):
    """See the module."""

    def __init__(self, play: Play, keep: bool) -> None:
        super().__init__(play)
        self._keep = keep
        self._drawn: dict[int, int] = {}
        self._boundary: dict[int, int] = {}

    def draw(self) -> None:
        """See `Rival.draw`: the end of each partition, now."""
        self._drawn = {}
        for seen in self.arrived():
            self._drawn[seen.trade.partition] = seen.arrival.place + 1

    def switch(self) -> None:
        """See `Rival.switch`."""
        self._boundary = self._drawn

    def below(self, seen: Seen) -> bool:
        """See `Rival.below`."""
        return seen.arrival.place < self._drawn.get(seen.trade.partition, 0)

    def behind(self, seen: Seen) -> bool:
        """See `Rival.behind`."""
        start, upto = seen.delta
        boundary = self._boundary.get(seen.trade.partition, 0)
        return upto > boundary if self._keep else start >= boundary

    def reason(self, seen: Seen) -> str:
        """See `Rival.reason`."""
        (start, upto), p = seen.delta, seen.trade.partition
        side = "is kept whole" if self._keep else "is left out whole"
        return (
            f"the batch run ended at offset {self._boundary.get(p, 0)} of partition {p}; its delta [{start}, {upto}) "
            f"lies on both sides and {side}, and it has offset {seen.arrival.place}."
        )
