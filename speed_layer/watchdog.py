"""Notices a partition that has lag and makes no progress while it is polled. Pure: no log, no clock.

Only time between two looks that follow each other closely counts: a worker that waits for a slow sink does not poll,
and a reader that was not asked is not stuck.
"""

from collections.abc import Mapping

from slackwater.log.log import Bounds

STALL_S = 10.0
"""How long a reader may leave records of a partition lying, by default. A poll takes milliseconds."""

CHECK_S = 2.0
"""The most that counts of the time between two looks."""


class Watchdog:
    """Looks at positions from time to time."""

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._looked_s: float | None = None
        self._stuck: dict[int, tuple[int, float]] = {}

    def check(self, positions: Mapping[int, int], bounds: Mapping[int, Bounds], now_s: float) -> list[int]:
        """The partitions that stood still for `stall_s` with records to read, after which their time begins anew."""
        passed = 0.0 if self._looked_s is None else min(now_s - self._looked_s, CHECK_S)
        self._looked_s = now_s
        stuck: dict[int, tuple[int, float]] = {}
        for p, position in positions.items():
            if p in bounds and bounds[p].end > position:
                before, waited = self._stuck.get(p, (position, -passed))
                stuck[p] = (position, waited + passed if before == position else 0.0)
        late = [p for p, (_, waited) in stuck.items() if waited >= self._stall_s]
        self._stuck = {p: (at, 0.0 if p in late else waited) for p, (at, waited) in stuck.items()}
        return late
