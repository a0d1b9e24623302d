"""`slackwater bench --before FOLDER`: the same parts by an older checkout and by this one, in turn, in one run.

Two runs on one machine an hour apart differ by more than a change does. So both take turns, the first of a round
changing, and a figure is the median of the rounds' ratios. Each checkout is measured by its own benchmark in its own
`.venv`; the settings of the environment are the same, such as SLACKWATER_ONLY_VIEWS where one has more views.
"""

import json
import re
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.house import BenchError
from ops.output import console, errors

THIS = Path(__file__).parents[1]
"""This checkout."""

HIGHER = re.compile(r"(^|_)per_s(_with_start)?$|^ratio")
"""Figures of which more is better."""

LOWER = re.compile(r"_(s|ms|mb)$|^(p50|p99|max)$")
"""Figures of which less is better."""

GROUPS = frozenset({"peak_mb", "seconds", "cpu_s"})
"""Groups of which less of each member is better. Whatever fits neither is a fact and no figure."""


def run_pairs(before: Path, parts: Sequence[str], trades: int, rounds: int, now: Path = THIS) -> dict[str, Any]:
    """Measure both, `rounds` times each.

    Returns:
        Figure -> what each round found before and now, and `speed`: the median, least and greatest ratio of a round,
        above 1 where this checkout is better.

    Raises:
        BenchError: one of the two failed, or they measure nothing in common.
    """
    sides = {"before": before, "now": now}
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sorted(sides, reverse=number % 2 == 1):
            errors.print(f"round {number + 1} of {rounds}: {side}", style="dim", markup=False)
            measured = _measured(sides[side], ["bench", *parts, "--trades", str(trades), "--json"])
            found[side].append(dict(_figures(measured)))
    names = [name for name in found["now"][0] if all(name in each for side in found.values() for each in side)]
    if not names:
        raise BenchError("The two checkouts measure nothing in common.")
    return {name: compared(name, *([each[name] for each in found[side]] for side in sides)) for name in names}


def show_pairs(found: dict[str, Any]) -> None:
    """A table for a person."""
    table = Table("figure", "before", "now", "speed of now (least to greatest)")
    for name, figure in found.items():
        before, now = statistics.median(figure["before"]), statistics.median(figure["now"])
        median, least, greatest = figure["speed"]
        table.add_row(name, f"{before:,.6g}", f"{now:,.6g}", f"{median:.3f} ({least:.3f} to {greatest:.3f})")
    console.print(table)


def program_of(checkout: Path, name: str) -> str:
    """A program of a checkout's environment. Raises BenchError."""
    found = checkout / ".venv" / "bin" / name
    if not found.is_file():
        raise BenchError(f"No {found}.", "Run `make .venv/run.stamp` in that checkout.")
    return str(found)


def _measured(checkout: Path, words: list[str]) -> Any:
    command = program_of(checkout, "slackwater")
    ended = subprocess.run([command, *words], cwd=checkout, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode != 0:
        raise BenchError(f"{command} {' '.join(words)} ended with code {ended.returncode}.", "It wrote why above.")
    return json.loads(ended.stdout.splitlines()[-1])


def _figures(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Each number that is better when it is higher or lower, by its path; of a list the median of its members."""
    if isinstance(found, dict):
        for name, inner in found.items():
            yield from _figures(inner, f"{path}.{name}".removeprefix("."))
    elif isinstance(found, list) and found and all(isinstance(each, dict) for each in found):
        members = [dict(_figures(each, path)) for each in found]
        yield from ((name, statistics.median(each[name] for each in members)) for name in members[0])
    elif isinstance(found, int | float) and found > 0 and (_higher(path) or _lower(path)):
        yield path, float(found)


def compared(name: str, before: list[float], now: list[float]) -> dict[str, Any]:
    """One figure of `run_pairs`."""
    pairs = zip(before, now, strict=True)
    ratios = [n / b if _higher(name) else b / n for b, n in pairs]
    return {"before": before, "now": now, "speed": [statistics.median(ratios), min(ratios), max(ratios)]}


def _higher(path: str) -> bool:
    return HIGHER.search(path.rpartition(".")[2]) is not None


def _lower(path: str) -> bool:
    *_, group, last = ["", *path.split(".")]
    return LOWER.search(last) is not None or group in GROUPS
