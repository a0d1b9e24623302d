"""A series: the states of one key at one interval, by start, in order. It grows at its end most of the time."""

from bisect import bisect_left, insort

from views.merge import Merge, State


class Series:
    """Start -> state. Not thread safe."""

    __slots__ = ("starts", "states")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.states: dict[int, State] = {}

    def add(self, start: int, state: State, merge: Merge) -> None:
        """Merge `state` into the bar at `start`."""
        known = self.states.get(start)
        if known is None:
            self.states[start] = state
            if not self.starts or start > self.starts[-1]:
                self.starts.append(start)
            else:
                insort(self.starts, start)
        else:
            self.states[start] = merge(known, state)

    def between(self, low: int, high: int | None, newest_first: bool) -> list[int]:
        """The starts in [low, high)."""
        first = bisect_left(self.starts, low)
        last = len(self.starts) if high is None else bisect_left(self.starts, high)
        found = self.starts[first:last]
        if newest_first:
            found.reverse()
        return found
