"""When a process that ended is started again: soon, and later and later while it keeps failing."""

STEPS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
HEALTHY_S = 10.0
"""A process that lived so long had started and worked: it is no loop of failing starts, and starts again at once."""


class Backoff:
    """Of one process. All times are seconds of one steady clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._next_s: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether the next start is set."""
        return self._next_s is not None

    def ended(self, lived_s: float, now_s: float) -> float:
        """Set the next start of a process that lived so long; how long from now."""
        self._failures = 0 if lived_s > HEALTHY_S else self._failures + 1
        wait_s = STEPS_S[min(max(self._failures, 1), len(STEPS_S)) - 1]
        self._next_s = now_s + wait_s
        return wait_s

    def due(self, now_s: float) -> bool:
        """Whether to start now; forgets the moment then."""
        if self._next_s is None or now_s < self._next_s:
            return False
        self._next_s = None
        return True
