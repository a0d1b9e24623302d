"""The reader: asks for merged answers all the time and keeps them for the oracle; and looks whether answers lag.

It asks whatever the service says of its readiness, and at once where that says no: a service that starts is where
answers went back. What it can see at once it holds at once: a partition's `applied`, the version and the instruments
that were known once go back only in an answer that says so, by `complete: false` and a reason.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ops.evidence import LogEvidence
from slackwater.log.errors import LogError
from slackwater.log.log import Reader as LogReader
from slackwater.views.interval import NAMED_INTERVALS
from tests.crash.feeder import SYMBOLS, Feeder
from tests.crash.up import Up
from tests.proof_kit import bars_answer
from verify.archive import ArchivedFile
from verify.client import Answer, Client
from verify.errors import ServiceError

ASK_S = 0.1
HASTE_S = 0.005
CHECK_S = 0.5
WINDOW_US = 120_000_000


class Reader:
    """Two threads. `level` are moments (monotonic) at which answers stood where the log had ended a look before;
    `ready` are moments at which the service was ready, `log_seen` those at which the log answered. `backwards` are
    answers that went back in silence, `told` counts those that said so, by their reasons."""

    def __init__(self, up: Up, feeder: Feeder, seed: int) -> None:
        self.answers: list[Answer] = []
        self.archives: dict[int, Sequence[ArchivedFile]] = {0: ()}
        self.refused: list[str] = []
        self.backwards: list[str] = []
        self.level: list[float] = []
        self.ready: list[float] = []
        self.log_seen: list[float] = []
        self.told: Counter[str] = Counter()
        self.away = 0
        self._up = up
        self._evidence = LogEvidence(up.log, up.names, up.store)
        self._feeder = feeder
        self._random = random.Random(seed)
        self._applied: dict[int, int] = {}
        self._version = 0
        self._seen: set[str] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._ask_all, self._look_all)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait for both."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask_all(self) -> None:
        with Client(self._up.url, timeout_s=15.0) as client:
            haste = False
            while not self._stop.wait(HASTE_S if haste else ASK_S):
                haste = not self._is_ready(client)
                try:
                    self._ask(client)
                except ServiceError:
                    self.away += 1

    def _is_ready(self, client: Client) -> bool:
        try:
            client.get("/health/ready")
        except ServiceError:
            return False
        self.ready.append(time.monotonic())
        return True

    def _ask(self, client: Client) -> None:
        symbol = f"S{self._random.randrange(SYMBOLS)}"
        interval = self._random.choice(NAMED_INTERVALS)
        start = interval.floor(max(0, self._feeder.time_us - WINDOW_US))
        end = self._feeder.time_us + WINDOW_US
        query = {"venue": "soak", "symbol": symbol, "interval": interval.text, "start": start, "end": end}
        try:
            page = client.get("/v1/bars", **query, limit=10_000)
        except ServiceError as error:
            if "unknown-instrument" in str(error) and symbol in self._seen:
                self.backwards.append(f"{symbol} is unknown again")
            raise
        self._seen.add(symbol)
        about = page["meta"]
        self._hold(about)
        if about["version"] not in self.archives:  # it may be retired before its answers are compared
            self.archives[about["version"]] = self._evidence.archive(about["version"], "trades")
        if about.get("refusal"):
            self.refused.append(about["refusal"])
        for text, at in about["applied"].items():
            place = {"partition": int(text), "applied": at, "start": start, "end": end}
            self.answers.append(bars_answer(("soak", symbol), interval, page, **place))

    def _hold(self, about: dict[str, Any]) -> None:
        """What an answer stands on against all answers before it."""
        back = [
            f"partition {p}: {self._applied[int(p)]} -> {at}"
            for p, at in about["applied"].items()
            if at < self._applied.get(int(p), 0)
        ]
        if about["version"] < self._version:
            back.append(f"version {self._version} -> {about['version']}")
        if back and about["complete"]:
            self.backwards += back
        elif back:
            self.told[about["reason"].partition(" since ")[0]] += 1
        self._version = max(self._version, about["version"])
        for p, at in about["applied"].items():
            self._applied[int(p)] = max(at, self._applied.get(int(p), 0))

    def _look_all(self) -> None:
        reader: LogReader | None = None
        before: dict[int, int] | None = None
        with Client(self._up.url, timeout_s=5.0) as client:
            while not self._stop.wait(CHECK_S):
                began = time.monotonic()
                try:
                    if reader is None:
                        bounds = self._up.log.bounds(self._up.names.topic("trades"))
                        reader = self._up.log.reader(
                            self._up.names.topic("trades"), {p: b.end for p, b in bounds.items()}
                        )
                    ends = {p: bounds.end for p, bounds in reader.bounds().items()}
                    self.log_seen.append(began)
                    if before is not None and self._stands(client, before):
                        self.level.append(time.monotonic())
                    before = ends
                except LogError:
                    reader = self._closed(reader)
                except ServiceError:
                    continue
                except Exception as error:  # noqa: BLE001 - what a client raises when its broker is killed
                    self.refused.append(f"the soak's own look at the log: {error!r}")
                    reader = self._closed(reader)
        self._closed(reader)

    def _stands(self, client: Client, ends: dict[int, int]) -> bool:
        """Whether the answers of all instruments stand at `ends` or beyond."""
        for symbol in range(SYMBOLS):
            applied = client.get("/v1/bars", venue="soak", symbol=f"S{symbol}", limit=1)["meta"]["applied"]
            if any(at < ends[int(p)] for p, at in applied.items()):
                return False
        return True

    @staticmethod
    def _closed(reader: LogReader | None) -> None:
        if reader is not None:
            reader.close()
