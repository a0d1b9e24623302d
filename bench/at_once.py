"""`slackwater bench --before FOLDER --at-once`: the services of two checkouts stand side by side and are asked in turn.

    before    [service] <-- 4 s of load      4 s      ...        each has its own broker, home and versions
    now       [service]      4 s of load --> ...

Rounds that are minutes apart say nothing of some percent on a machine that is shared. Here the two loads of a pair are
seconds apart, so each pair gives a ratio. The older checkout must have this module, too.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from bench.house import BenchError, House
from bench.load import Target, run_load
from bench.pairs import THIS, compared, program_of
from bench.serving import SERVING_SPANS, prepare
from bench.trades import Trades
from ops.output import errors

WARM_S, SPAN_S = 1.0, 4.0


class Held(NamedTuple):
    """A service that stands: where, the id of its process, what is asked of it by name, and the headers of each."""

    host: str
    port: int
    pid: int
    paths: dict[str, str]
    headers: list[tuple[str, str]]


def hold(trades: int) -> None:
    """Start a service over so many trades, print where it is, and keep it until standard input ends."""
    with House(lambda text: errors.print(text, style="dim", markup=False)) as house:
        made = prepare(house, Trades(), trades, SERVING_SPANS)
        settings = made.room.context.settings
        print(json.dumps(Held(settings.host, settings.port, made.pid, made.hot, made.headers)), flush=True)
        sys.stdin.read()
        made.room.stop()


def run_at_once(before: Path, trades: int, pairs: int, now: Path = THIS) -> dict[str, Any]:
    """Answers a second, p99 and the service's CPU for an answer, in `pairs` of loads; in the form of `run_pairs`.

    Raises:
        BenchError: one of the two does not stand, or does not answer.
    """
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as exits:
        sides = {side: exits.enter_context(_held(at, trades)) for side, at in (("before", before), ("now", now))}
        for name in sides["now"].paths:
            for number in range(pairs):
                for side in sorted(sides, reverse=number % 2 == 1):
                    errors.print(f"{name}, pair {number + 1} of {pairs}: {side}", style="dim", markup=False)
                    for figure, value in _asked(sides[side], name).items():
                        found.setdefault(f"{name}.{figure}", {"before": [], "now": []})[side].append(value)
    return {name: compared(name, of["before"], of["now"]) for name, of in found.items()}


@contextmanager
def _held(checkout: Path, trades: int) -> Iterator[Held]:
    command = [program_of(checkout, "python"), "-c", f"from bench.at_once import hold; hold({int(trades)})"]
    process = subprocess.Popen(command, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        line = process.stdout.readline()
        if not line:
            raise BenchError(f"No service stands in {checkout}.", "It wrote why above.")
        host, port, pid, paths, headers = json.loads(line)
        yield Held(host, port, pid, paths, [(name, value) for name, value in headers])
    finally:
        process.communicate()  # it ends when its standard input does


def _asked(held: Held, name: str) -> dict[str, float]:
    service = psutil.Process(held.pid).cpu_times()
    target = Target(held.host, held.port, [held.paths[name]], held.headers)
    found = run_load(target, SERVING_SPANS.hot_connections, WARM_S, SPAN_S)
    used = psutil.Process(held.pid).cpu_times()
    if set(found.statuses) != {"200"}:
        raise BenchError(f"Not every answer to {name} is one: {found.statuses}.")
    cpu_s = (used.user + used.system - service.user - service.system) * SPAN_S / (WARM_S + SPAN_S)
    return {
        "per_s": len(found.answers_ms) / found.seconds,
        "p99": float(np.percentile(found.answers_ms, 99)),
        "cpu_ms": 1e3 * cpu_s / len(found.answers_ms),
    }
