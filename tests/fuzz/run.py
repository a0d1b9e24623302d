"""Runs Schemathesis, as its own program, against a world that has something to answer on every route."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from slackwater.keys.keys import KeyStore
from tests.fuzz.hooks import SYMBOL, VENUE
from tests.live_service import LiveService
from tests.serving_world import NOON, World

HERE = Path(__file__).parent
TIMEOUT_S = 1800


class Found(NamedTuple):
    """What a run found: the program's exit code and words, and its requests by operation and status."""

    code: int
    text: str
    counts: Counter[str]

    @property
    def statuses(self) -> Counter[int]:
        """Requests by status."""
        found: Counter[int] = Counter()
        for name, count in self.counts.items():
            found[int(name.rpartition(" ")[2])] += count
        return found


def fill(world: World) -> None:
    """Two instruments, two versions, late trades behind both."""
    for at_s in (1, 61, 70, 241, 62):
        world.trade(SYMBOL, at_s, f"{100 + at_s}.5", venue=VENUE)
    first = world.mark("run-1")
    world.trade("ETHUSDT", 30, venue=VENUE)
    world.trade(SYMBOL, 75, "7", venue=VENUE)
    world.emit()
    world.publish(first, "run-1")
    second = world.mark("run-2")
    world.trade(SYMBOL, 540, venue=VENUE)
    world.emit()
    world.publish(second, "run-2")
    world.step()


class Target:
    """The service under test, with a key of the scope admin: without one a rollback would be 401 and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        fill(self.world)
        self.key = KeyStore(folder).create("fuzz", "admin", NOON)[1]
        self.live = LiveService(self.world)

    def __enter__(self) -> "Target":
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()
        self.world.close()

    def fuzz(self, seed: int, examples: int, phases: str = "examples,coverage,fuzzing,stateful") -> Found:
        """One run: at most so many generated requests an operation, besides those of other phases."""
        with tempfile.TemporaryDirectory() as folder:
            counts = Path(folder) / "counts.json"
            command = [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
                *("run", f"{self.live.url}/openapi.json", "--checks", "all", "--phases", phases),
                *("--seed", str(seed), "-n", str(examples), "--continue-on-failure"),
                *("-H", f"Authorization: Bearer {self.key}"),
            ]
            environ = {**os.environ, "NO_COLOR": "1", "FUZZ_COUNTS": str(counts), "PYTHONPATH": str(HERE.parent.parent)}
            done = subprocess.run(
                command,
                env=environ,
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
            )
            found = Counter(json.loads(counts.read_text(encoding="utf-8"))) if counts.is_file() else Counter[str]()
        return Found(done.returncode, done.stdout + done.stderr, found)
