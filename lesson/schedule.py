"""The schedule of one case: everything that happens, and when, in order; the same for every rule.

    batch run    |--------- takes 6 s ---------|               one each 40 s; a run that dies publishes nothing
                 begins: its boundary is here  publishes
    speed layer  . . . . . . x           . . . . .             a step each 0.5 s; none while it is dead
    archive      .   .   .   .   .   .   .   .   .             copies the log for the batch layer of one rule
    questions        ?       ?       ?       ?                 one each 2 s, for every bar of every instrument

None of them is punctual, as nothing on a shared machine is: a run begins up to 3 s after its time, a step up to a
third of its period. If they were, one setting of a rule could fit one schedule by luck.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from lesson.cases import Case
from lesson.stream import SECOND_US, Arrival, Stream

Kind = Literal["arrive", "step", "kill", "archive", "begin", "publish", "ask"]

ARRIVE_US = SECOND_US // 4
"""Trades reach the log in groups, four a second."""

STEP_US, ARCHIVE_US, ASK_US = SECOND_US // 2, SECOND_US, 2 * SECOND_US
RUN_EVERY_US = 40 * SECOND_US
LATE_START_US = 3 * SECOND_US
RUN_US, LONG_RUN_US = 6 * SECOND_US, 50 * SECOND_US
DEATHS = 3


class Run(NamedTuple):
    """One batch run; one that `dies` does so when it would have published."""

    begins_us: int
    publishes_us: int
    dies: bool


class Event(NamedTuple):
    """What happens at a time; `run` belongs to "begin" and "publish", `arrivals` to "arrive"."""

    at_us: int
    kind: Kind
    arrivals: tuple[Arrival, ...] = ()
    run: Run | None = None


@dataclass(frozen=True)
class Schedule:
    """Events in order of time; `down` are the spans in which the speed layer is dead."""

    case: Case
    start_us: int
    end_us: int
    events: list[Event]
    runs: list[Run]
    down: list[tuple[int, int]]


def make_schedule(stream: Stream, seed: int) -> Schedule:
    """The schedule of a stream's case."""
    random = Random(f"schedule {stream.case} {seed}")  # noqa: S311 - it has to be repeatable
    runs = _runs(stream, random)
    down = _down(stream, runs, random) if stream.case == "crashes" else []
    steps, archives, asks = (list(_ticks(stream, random, every)) for every in (STEP_US, ARCHIVE_US, ASK_US))
    events = [
        *_arrivals(stream),
        *(Event(at, "step") for at in steps if not _within(at, down)),
        *(Event(at, "kill") for at, _ in down),
        *(Event(at, "archive") for at in archives),
        *(Event(at, "ask") for at in asks),
        *(Event(run.begins_us, "begin", run=run) for run in runs),
        *(Event(run.publishes_us, "publish", run=run) for run in runs if run.publishes_us < stream.end_us),
    ]
    # A stable sort: what stands further up happens first at one time.
    return Schedule(
        stream.case, stream.start_us, stream.end_us, sorted(events, key=lambda event: event.at_us), runs, down
    )


def _arrivals(stream: Stream) -> Iterator[Event]:
    groups: dict[int, list[Arrival]] = {}
    for arrival in stream.arrivals:
        groups.setdefault(arrival.at_us // ARRIVE_US, []).append(arrival)
    for group in groups.values():
        yield Event(group[-1].at_us, "arrive", tuple(group))


def _runs(stream: Stream, random: Random) -> list[Run]:
    """One begins each RUN_EVERY_US, if the one before it has published; in the crashes, one of them dies."""
    lasts = LONG_RUN_US if stream.case == "lagging" else RUN_US
    runs: list[Run] = []
    at = stream.start_us + RUN_EVERY_US
    while at < stream.end_us:
        begins = at + random.randrange(LATE_START_US)
        runs.append(Run(begins, begins + lasts, False))
        at += -(-(lasts + LATE_START_US) // RUN_EVERY_US) * RUN_EVERY_US
    if stream.case == "crashes" and len(runs) > 2:
        dies = random.randrange(1, len(runs) - 1)
        runs[dies] = runs[dies]._replace(dies=True)
    return runs


def _down(stream: Stream, runs: list[Run], random: Random) -> list[tuple[int, int]]:
    """When the speed layer is dead: once while a batch run begins, else at any time; 4 to 10 s each."""
    spans = []
    for number in range(DEATHS):
        lasts = random.randrange(4 * SECOND_US, 10 * SECOND_US)
        if number == 0:
            at = random.choice(runs).begins_us - random.randrange(SECOND_US, lasts)
        else:
            at = random.randrange(stream.start_us, stream.end_us)
        spans.append((at, at + lasts))
    return sorted(spans)


def _ticks(stream: Stream, random: Random, every: int) -> Iterator[int]:
    for at in range(stream.start_us + every, stream.end_us, every):
        yield at + random.randrange(every // 3)


def _within(at: int, spans: list[tuple[int, int]]) -> bool:
    return any(start <= at < end for start, end in spans)
