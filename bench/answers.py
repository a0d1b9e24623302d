"""The same trades through an older checkout and this one: every answer of bars must be equal in value.

    python -m bench.answers ../older [--trades 40000]

Each is used as its users do: `slackwater up` with a home, a broker and ports of its own; `ingest` of every other trade
of the sample, a batch run, `ingest` of the trades between, which are late, and a batch run again. The bars of every
instrument are asked for at each interval: merged before and after the last run, and of the batch layer alone. Names of
fields may differ, which is said; their order and their values may not.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.house import BenchError
from bench.pairs import THIS
from bench.trades import Trades
from ops.broker import free_port

INTERVALS = ("1s", "1m", "5m", "1h", "1d")
LIMIT = 10_000
EPOCH = "1970-01-01"
PATIENCE_S = 120.0
LOOK_S = 0.2
SHOWN = 5

Answers = dict[tuple[str, ...], list[dict[str, Any]]]
"""(when, layer, entity..., interval) -> its bars, oldest first."""


class Stack:
    """One checkout, running."""

    def __init__(self, checkout: Path, home: Path) -> None:
        self._command = str(checkout / ".venv" / "bin" / "slackwater")
        self._port, self._checkout = free_port(), checkout
        broker = free_port()
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLACKWATER_", "KAFKA_"))},
            "SLACKWATER_HOME": str(home),
            "SLACKWATER_PORT": str(self._port),
            "SLACKWATER_BROKER_PORT": str(broker),
            "SLACKWATER_BATCH_SECONDS": "86400",
        }
        self._broker = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{broker}"}  # with it `up` would start none

    @contextmanager
    def up(self) -> Iterator[None]:
        """Everything runs inside."""
        self._process = subprocess.Popen(
            [self._command, "up"], cwd=self._checkout, env=self._environ, stdout=sys.stderr
        )
        try:
            self._wait(lambda: bool(self._json("/health/ready")), "the service")
            yield
        finally:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()

    def run(self, *words: str) -> None:
        """One command."""
        environ = {**self._environ, **self._broker}
        subprocess.run([self._command, *words], cwd=self._checkout, env=environ, stdout=sys.stderr, check=True)

    def whole(self, trades: int) -> None:
        """Wait until the answers hold so many trades."""

        def counted() -> bool:
            rows = (row for _, rows in self._bars("1d", "merged") for row in rows)
            return sum(int(row["trades"]) for row in rows) == trades

        self._wait(counted, f"{trades:,} trades")

    def wait_for_version(self, version: int) -> None:
        """Wait until it is served."""
        self._wait(lambda: self._json("/health/ready")["version"] == version, f"version {version}")

    def answers(self, when: str) -> Answers:
        """All bars of now."""
        return {
            (when, layer, *entity, interval): rows
            for layer in ("merged", "batch")
            for interval in INTERVALS
            for entity, rows in self._bars(interval, layer)
        }

    def _bars(self, interval: str, layer: str) -> Iterator[tuple[tuple[str, str], list[dict[str, Any]]]]:
        for each in self._json("/v1/instruments?limit=1000")["instruments"]:
            entity = each["venue"], each["symbol"]
            asked = {
                "venue": entity[0],
                "symbol": entity[1],
                "interval": interval,
                "layer": layer,
                "limit": LIMIT,
                "start": EPOCH,
            }
            page = self._json(f"/v1/bars?{urlencode(asked)}")
            rows = page["bars"]
            while page["next"]:
                page = self._json(f"/v1/bars?{urlencode({**asked, 'cursor': page['next']})}")
                rows += page["bars"]
            yield entity, rows

    def _json(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=30) as answer:
            return json.load(answer)

    def _wait(self, holds: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if holds():
                    return
            except (urllib.error.URLError, ConnectionError):
                pass  # it is not up yet, or not ready: asked again until the deadline
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise BenchError(f"{self._checkout} does not come to {what} within {PATIENCE_S:.0f} s.")
            time.sleep(LOOK_S)


def measured(checkout: Path, folder: Path, files: tuple[Path, Path], trades: tuple[int, int]) -> Answers:
    """All answers of one checkout."""
    stack = Stack(checkout, folder / "home")
    with stack.up():
        stack.run("ingest", str(files[0]))
        stack.whole(trades[0])
        stack.run("batch", "run")
        stack.run("ingest", str(files[1]))
        stack.whole(sum(trades))
        found = stack.answers("before the run")
        stack.run("batch", "run")
        stack.whole(sum(trades))
        stack.wait_for_version(2)
        return found | stack.answers("after the run")


def compare(before: Answers, now: Answers) -> tuple[int, list[str]]:
    """How many bars there are in both, and what differs."""
    faults = [f"only one has {key}" for key in sorted(before.keys() ^ now.keys())]
    bars = 0
    for key in sorted(before.keys() & now.keys()):
        nothing: dict[str, Any] = {}
        for a, b in zip_longest(before[key], now[key], fillvalue=nothing):
            bars += 1
            if list(a.values()) != list(b.values()):
                faults.append(f"{key}: {a} before, {b} now")
    return bars, faults


def main(arguments: list[str]) -> int:
    """0 if all are equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="the older checkout, with its .venv")
    parser.add_argument("--trades", type=int, default=40_000)
    given = parser.parse_args(arguments)
    lines = [
        line for load in Trades().records(given.trades, 1, time.time_ns() // 1000) for line in load.value.splitlines()
    ]
    with tempfile.TemporaryDirectory(prefix="slackwater-answers-") as named:
        folder = Path(named)
        halves = lines[::2], lines[1::2]
        files = folder / "even.jsonl", folder / "odd.jsonl"
        for file, half in zip(files, halves, strict=True):
            file.write_bytes(b"\n".join(half) + b"\n")
        counts = len(halves[0]), len(halves[1])
        before, now = (
            measured(checkout.resolve(), folder / name, files, counts)
            for name, checkout in (("before", given.before), ("now", THIS))
        )
    bars, faults = compare(before, now)
    print(*faults[:SHOWN], sep="\n", end="\n" if faults else "")
    names = [list(next(row for rows in each.values() for row in rows)) for each in (before, now)]
    renamed = [f"{a} -> {b}" for a, b in zip(*names, strict=True) if a != b]
    print(f"{len(before)} answers, {bars:,} bars, {len(faults)} differ; renamed: {', '.join(renamed) or 'none'}")
    return 1 if faults or not bars else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
