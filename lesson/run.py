"""Plays every case under every rule. Of each other rule several settings are played; the one that is wrong least, over
all cases, is the one that is shown.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from lesson.cases import CASES, Case
from lesson.cut import Cut, quiet
from lesson.offset import KEEP, Offset
from lesson.play import Play, Rule
from lesson.schedule import Schedule, make_schedule
from lesson.score import Judge, Score
from lesson.stream import SECOND_US, make_stream
from lesson.truth import Truth
from lesson.wall_clock import MARGINS_US, WallClock
from lesson.watermark import ALLOWED_US, Watermark

SLACKWATER = "Slackwater's cut"


@dataclass(frozen=True)
class Size:
    """How much is played: `minutes` of the sample, thinned to about `trades`."""

    minutes: int = 4
    trades: int = 2000


class Setting(NamedTuple):
    """A rule with one choice of its parameter."""

    rule: str
    setting: str
    make: Callable[[Play], Rule]


def settings() -> list[Setting]:
    """Every rule with every setting that is tried."""
    return [
        *(
            Setting("wall clock", f"margin {margin / SECOND_US:+g} s", partial(WallClock, margin_us=margin))
            for margin in MARGINS_US
        ),
        *(
            Setting("watermark", f"{allowed // SECOND_US} s allowed", partial(Watermark, allowed_us=allowed))
            for allowed in ALLOWED_US
        ),
        *(
            Setting("log offset", f"straddling delta {'kept' if keep else 'left out'}", partial(Offset, keep=keep))
            for keep in KEEP
        ),
        Setting(SLACKWATER, "no parameter", Cut),
    ]


class Lesson(NamedTuple):
    """The scores of what is shown, rule by rule in the order of `settings`; and the schedule of each case."""

    seed: int
    size: Size
    scores: list[Score]
    schedules: dict[Case, Schedule]
    tried: int


def play_case(case: Case, seed: int, size: Size) -> tuple[Schedule, list[Score]]:
    """One case under every setting of every rule."""
    stream = make_stream(case, seed, size.minutes, size.trades)
    schedule, truth = make_schedule(stream, seed), Truth(stream)
    with quiet():
        return schedule, [
            Play(schedule, Judge(truth, Score(found.rule, found.setting, case)), found.make).run()
            for found in settings()
        ]


def run_lesson(seed: int, size: Size, cases: Sequence[Case] = CASES, jobs: int = 1) -> Lesson:
    """Play the cases, up to `jobs` at once, each in a process of its own if there are several."""
    found = dict(zip(cases, _played(cases, seed, size, jobs), strict=True))
    every = [score for _, scores in found.values() for score in scores]
    return Lesson(
        seed,
        size,
        [score for setting in _least_wrong(every) for score in every if (score.rule, score.setting) == setting],
        {case: schedule for case, (schedule, _) in found.items()},
        len(settings()),
    )


def _played(cases: Sequence[Case], seed: int, size: Size, jobs: int) -> Iterator[tuple[Schedule, list[Score]]]:
    one = partial(play_case, seed=seed, size=size)
    if jobs == 1:
        yield from map(one, cases)
        return
    # Spawned: a fork would copy the locks of threads that libraries have started.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(one, cases)


def _least_wrong(scores: Iterable[Score]) -> Iterator[tuple[str, str]]:
    """Of each rule the setting with the fewest wrong answers over all cases."""
    wrong: dict[str, dict[str, int]] = {}
    for score in scores:
        of = wrong.setdefault(score.rule, {})
        of[score.setting] = of.get(score.setting, 0) + score.wrong
    for rule, of in wrong.items():
        yield rule, min(of, key=lambda setting: of[setting])
