"""The clock of the simulation: the world turns it; a program that sleeps lets others run until its time has come."""

from tests.simulation.programs import Scheduler

NOON_US = 1_723_161_240_000_000


class SimClock:
    """Seconds since the simulation began; noon is long past the first event's time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.seconds = 0.0
        self._scheduler = scheduler

    def now_us(self) -> int:
        return NOON_US + 7_200_000_000 + round(self.seconds * 1e6)

    def elapsed_s(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        if self._scheduler.current is None:
            self.turn(seconds)  # the world itself waits for nobody
        until = self.seconds + seconds if self._scheduler.current else self.seconds
        while self.seconds < until:
            self._scheduler.pause("sleep")

    def turn(self, seconds: float) -> None:
        """Time passes."""
        self.seconds += seconds
