"""When the open cells of a view may be given again: a view of many rows must not hold up the others.

A cell that still grows is given again whenever events came. To summarise it, send it and read it costs in proportion
to its rows, and a view by size may have a row an event where bars have one a second. So a view rests after it was
summarised, in proportion to what it takes beyond the least costly view of its stream, and its cells are given when
that is over: the other views wait for it in few turns. Sealed cells wait for nothing. What a view is owed when a worker
ends, the next one makes again.
"""

from collections.abc import Mapping

from slackwater.core.clock import Clock, SystemClock
from slackwater.views.view import View

REST = 4.0
"""A view rests so many times what its states took more than those of the least costly view."""

REST_S = 0.05
"""And no longer than that."""


class Pace:
    """How long each view still rests."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._took_s: dict[str, dict[str, float]] = {}
        self._rested_s: dict[str, float] = {}

    def spent(self, spent_s: Mapping[View, float]) -> None:
        """These views were summarised, open cells among it."""
        now_s = self._clock.elapsed_s()
        for view, seconds in spent_s.items():
            self._took_s.setdefault(view.stream.name, {})[view.definition] = seconds
        for view, seconds in spent_s.items():
            more_s = seconds - min(self._took_s[view.stream.name].values())
            self._rested_s[view.definition] = now_s + min(REST * more_s, REST_S)

    def wait_s(self, definition: str) -> float:
        """How long the view of this definition rests from now on, at most 0 if it does not."""
        return self._rested_s.get(definition, 0.0) - self._clock.elapsed_s()


PACE = Pace(SystemClock())
"""One object a process, as STOP is: Beam makes the workers and the DoFn that summarises, and keeps them apart."""


def spent(spent_s: Mapping[View, float]) -> None:
    """These views were summarised by this process."""
    PACE.spent(spent_s)
