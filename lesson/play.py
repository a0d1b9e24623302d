"""Plays a schedule under one rule, and judges what it answers. The clock moves when the play does, and never by itself.

A rule may let time pass within a call (a batch run that computes, a proof that waits): `until` plays on from there, so
that everything else goes on meanwhile.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from lesson.schedule import Run, Schedule
from lesson.score import Answer, Example, Judge, Score
from lesson.stream import SECOND_US, Arrival, Instrument


class Rule(Protocol):
    """A boundary between batch and speed, and the layers on both of its sides. Times are the clock's microseconds."""

    def arrive(self, arrivals: Sequence[Arrival]) -> None:
        """Trades reach the log."""

    def step(self) -> None:
        """The speed layer takes up what the log has."""

    def kill(self) -> None:
        """The speed layer dies; the next step is that of a new one."""

    def archive(self) -> None:
        """What copies the log for the batch layer takes up what the log has."""

    def begin(self, run: Run) -> None:
        """A batch run begins."""

    def publish(self, run: Run) -> None:
        """It ends, and publishes unless it dies."""

    def answers(self) -> Iterable[tuple[Instrument, Answer]]:
        """What is answered now, for every instrument that is known."""

    def story(self, example: Example) -> str:
        """Which trade made a bar wrong that was just answered, and how; one sentence."""

    def notes(self) -> dict[str, int]:
        """What else there is to say at the end: names and counts."""

    def close(self) -> None:
        """Release."""


class Play:
    """One schedule under one rule. `make` is given the play, for its clock."""

    def __init__(self, schedule: Schedule, judge: Judge, make: Callable[["Play"], Rule]) -> None:
        self.now_us = schedule.start_us
        self._end_us = schedule.end_us
        self._events = schedule.events
        self._at = 0
        self._judge = judge
        self._rule = make(self)

    def run(self) -> Score:
        """To the end of the schedule."""
        try:
            self.until(self._end_us)
            self._judge.score.notes.update(self._rule.notes())
        finally:
            self._rule.close()
        return self._judge.end(self.now_us)

    def until(self, at_us: int) -> None:
        """Let everything happen up to a time, but not beyond the schedule's end."""
        at_us = min(at_us, self._end_us)
        while self._at < len(self._events) and self._events[self._at].at_us <= at_us:
            event = self._events[self._at]
            self._at += 1
            self.now_us = max(self.now_us, event.at_us)
            if event.kind == "arrive":
                self._rule.arrive(event.arrivals)
            elif event.kind == "step":
                self._rule.step()
            elif event.kind == "kill":
                self._rule.kill()
            elif event.kind == "archive":
                self._rule.archive()
            elif event.kind == "ask":
                self._ask()
            elif event.run is not None:
                (self._rule.begin if event.kind == "begin" else self._rule.publish)(event.run)
        self.now_us = max(self.now_us, at_us)

    def _ask(self) -> None:
        for example in self._judge.question(self.now_us, self._rule.answers()):
            described = example._replace(story=self._rule.story(example))
            self._judge.score.examples[example.fault] = described


class PlayClock:
    """The clock of a play: see `slackwater.core.clock.Clock`. Who sleeps lets the others go on."""

    def __init__(self, play: Play) -> None:
        self._play = play

    def now_us(self) -> int:
        """See `Clock.now_us`."""
        return self._play.now_us

    def elapsed_s(self) -> float:
        """See `Clock.elapsed_s`."""
        return self._play.now_us / SECOND_US

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        self._play.until(self._play.now_us + int(seconds * SECOND_US))
