"""The killer: SIGKILL at random moments of a seed, to one of the processes that live; and when each came back."""

import os
import random
import signal
import time
from dataclasses import dataclass

from tests.crash.feeder import Feeder
from tests.crash.reader import Reader
from tests.crash.up import Up

WEIGHTS = {"speed": 6, "batch": 5, "serving": 4, "ingest": 4, "broker": 1}


@dataclass(frozen=True)
class Death:
    """One kill. `back_s` is how long until the process worked again, `level_s` until the answers stood at the log's
    end; None where it was killed again before, or the soak ended."""

    name: str
    at_s: float
    back_s: float | None = None
    level_s: float | None = None


def kill(up: Up, feeder: Feeder, kills: int, gap_s: float, seed: int) -> list[tuple[str, float]]:
    """Kill so many processes, `gap_s` apart in the mean; (name, moment) of each."""
    chosen = random.Random(seed)
    killed: list[tuple[str, float]] = []
    while len(killed) < kills:
        time.sleep(chosen.expovariate(1 / gap_s))  # the random moment itself
        (name,) = chosen.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if name == "ingest":
            process = feeder.process
            pid = process.pid if process is not None and process.poll() is None else None
        else:
            pid = up.pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed.append((name, time.monotonic()))
    return killed


def recoveries(killed: list[tuple[str, float]], up: Up, reader: Reader) -> list[Death]:
    """When each process worked again, from what was said and seen."""
    deaths = []
    for number, (name, at) in enumerate(killed):
        again = next((later for other, later in killed[number + 1 :] if other == name), float("inf"))
        back = _back(name, at, up, reader)
        if back is None or back > again or name == "ingest":
            deaths.append(Death(name, at))
            continue
        level = next((moment for moment in reader.level if moment > back), None)
        deaths.append(Death(name, at, back - at, None if level is None or level > again else level - at))
    return deaths


def _back(name: str, at: float, up: Up, reader: Reader) -> float | None:
    if name == "speed":
        return up.moment("speed", "begins at", at)
    if name == "batch":
        return up.run_ended(at)
    seen = reader.ready if name == "serving" else reader.log_seen
    return next((moment for moment in seen if moment > at + 0.2), None)
