"""Many seeds: what happened in all of them, which broke, and whether enough happened for that to mean anything."""

import gc
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.light import light
from tests.simulation.world import ViolationError, World

STEPS = 200

LEAST_PER_SEED = {
    "seeds settled": 0.8,
    "tails lost": 0.03,
    "topics created again": 0.03,
    "answers": 30.0,
    "answers of both layers": 12.0,
    "answers as of a version": 4.0,
    "answers as of a snapshot": 0.03,
    "answers not complete": 0.05,
    "events through ingest": 10.0,
    "versions": 1.5,
    "versions checked": 1.5,
    "versions retired": 0.1,
    "deltas removed": 0.04,
    "files removed": 1.0,
    "candidates": 0.25,
    "promotions": 0.03,
    "promotions refused": 0.25,
    "answers of the other definition": 0.25,  # a few seeds bring all of them
    "rollbacks": 0.15,
    "rollbacks refused": 1.0,
    "runs with nothing to do": 0.5,
    "proofs equal": 1.0,
    "proofs unproven": 0.5,
    "races lost": 0.5,
    "runs side by side": 2.0,
    "zombies": 2.0,
    "crashes of batch": 0.3,
    "crashes of speed": 0.5,
    "crashes of server": 0.5,
    "crashes of ingest": 0.25,
    "power cuts": 0.5,
    "answers beside a stalled stream": 0.25,  # as above: of 20 seeds two may have such a stream
    "answers of a stalled stream": 0.25,
    "versions of three streams": 0.25,
    "streams held": 0.12,
    "streams gone": 0.18,
    "streams unreachable": 0.2,
    "streams with no deltas": 0.2,
    "streams with no worker": 0.18,
    "others that went on": 0.1,
    "runs that lacked a stream": 0.12,
    "versions beside a stream that was lost": 0.02,
    "views that rested": 1.0,
    "corrections applied": 0.1,
    "corrections that another run applied": 0.04,  # its program died, lost a race or met a writer
    "corrections of what is not archived yet": 0.05,
    "identities that were free again": 0.03,
    "imports": 0.07,
    "remakes": 0.04,
    "rollbacks refused by a barrier": 0.08,
    "ingests that let go": 0.2,
    "ingests that met another writer": 0.2,
    "chunks that waited for an import": 0.02,
    "compactions": 3.0,
    "versions with merged parts": 0.05,
    "merges by themselves": 0.008,
    "gaps": 2.0,
}
"""What a seed must bring on average: a simulation in which nothing happens finds nothing. Set at about half of what
200 seeds brought when each was added."""


@dataclass
class Report:
    """The sum over seeds. `seconds` is the wall clock's."""

    seeds: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def short_of(self) -> dict[str, tuple[int, float]]:
        """Event -> (how often it happened, how often it had to)."""
        least = {event: rate * self.seeds for event, rate in LEAST_PER_SEED.items()}
        return {event: (self.counts[event], at) for event, at in least.items() if self.counts[event] < at}

    def text(self) -> str:
        """For a person."""
        rate = 60 * self.seeds / self.seconds if self.seconds else 0.0
        lines = [f"{self.seeds} seeds, {len(self.violations)} violations, {rate:.0f} seeds a minute"]
        lines += [f"  {count:>9,}  {event}" for event, count in sorted(self.counts.items(), key=lambda item: -item[1])]
        lines += [f"TOO FEW of {event}: {found}, at least {at:.0f}" for event, (found, at) in self.short_of().items()]
        return "\n".join([*lines, *self.violations])


def run_seed(seed: int, steps: int = STEPS) -> tuple[Counter[str], str]:
    """One seed: what happened, and the violation, empty if there is none."""
    with light(), World(seed) as world:
        fault = ""
        try:
            world.run(steps)
        except ViolationError as error:
            fault = str(error)
        world.trace.count("steps", world.step_number)
        return world.trace.counts, fault


def _quietly() -> None:
    logging.disable(logging.CRITICAL)  # refusals are what a simulation provokes
    gc.freeze()
    gc.set_threshold(50_000)  # a tenth less time a seed


def run_seeds(seeds: Iterable[int], steps: int = STEPS, processes: int = 1, limit: int = 10) -> Report:
    """All of them, on so many cores; ends early after `limit` violations."""
    report = Report()
    began = time.monotonic()
    tasks = [(seed, steps) for seed in seeds]
    if processes == 1:
        _take(report, (run_seed(*task) for task in tasks), limit)
    else:
        with multiprocessing.get_context("spawn").Pool(processes, _quietly) as pool:
            _take(report, pool.imap_unordered(_run_task, tasks), limit)
    report.seconds = time.monotonic() - began
    return report


def _run_task(task: tuple[int, int]) -> tuple[Counter[str], str]:
    return run_seed(*task)


def _take(report: Report, found: Iterable[tuple[Counter[str], str]], limit: int) -> None:
    for counts, fault in found:
        report.seeds += 1
        report.counts += counts
        if fault:
            report.violations.append(fault)
            if len(report.violations) >= limit:
                return
