"""The reader: asks for merged answers all the time and keeps them for the oracle; and looks whether answers lag.

It asks only a service that says it is ready, as a load balancer would. What it can see at once it holds at once: a
partition's `applied`, and the version, never go back.
"""

import random
import threading
import time

from event_log.errors import LogError
from event_log.log import Reader as LogReader
from stack.errors import ServiceError
from stack.verify import Answer, Client
from tests.crash.feeder import SYMBOLS, Feeder
from tests.crash.up import Up
from versions.manifest import ArchiveFile
from views.interval import NAMED_INTERVALS

ASK_S = 0.1
LOOK_S = 0.5
WINDOW_US = 120_000_000


class Reader:
    """Two threads. `level` are moments (monotonic) at which answers stood where the log had ended a look before;
    `ready` are moments at which the service was ready, `log_seen` those at which the log answered."""

    def __init__(self, up: Up, feeder: Feeder, seed: int) -> None:
        self.answers: list[Answer] = []
        self.archives: dict[int, tuple[ArchiveFile, ...]] = {0: ()}
        self.refused: list[str] = []
        self.backwards: list[str] = []
        self.level: list[float] = []
        self.ready: list[float] = []
        self.log_seen: list[float] = []
        self.away = 0
        self._up = up
        self._feeder = feeder
        self._random = random.Random(seed)
        self._applied: dict[int, int] = {}
        self._version = 0
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
            while not self._stop.wait(ASK_S):
                try:
                    if client.get("/health/ready")["ready"]:
                        self.ready.append(time.monotonic())
                        self._ask(client)
                except ServiceError:
                    self.away += 1

    def _ask(self, client: Client) -> None:
        symbol = f"S{self._random.randrange(SYMBOLS)}"
        interval = self._random.choice(NAMED_INTERVALS)
        start = interval.floor(max(0, self._feeder.time_us - WINDOW_US))
        end = self._feeder.time_us + WINDOW_US
        query = {"venue": "soak", "symbol": symbol, "interval": interval.text, "start": start, "end": end}
        page = client.get("/v1/bars", **query, limit=10_000)
        about = page["answer"]
        if about["version"] not in self.archives:  # it may be retired before its answers are compared
            self.archives[about["version"]] = self._up.store.manifest(about["version"]).archive
        if about.get("refusal"):
            self.refused.append(about["refusal"])
        for text, at in about["applied"].items():
            partition = int(text)
            if at < self._applied.get(partition, 0):
                self.backwards.append(f"partition {partition}: {self._applied[partition]} -> {at}")
            self._applied[partition] = at
            self.answers.append(
                Answer("soak", symbol, interval, about["version"], partition, at, page["bars"], start, end)
            )
        if about["version"] < self._version:
            self.backwards.append(f"version {self._version} -> {about['version']}")
        self._version = about["version"]

    def _look_all(self) -> None:
        reader: LogReader | None = None
        before: dict[int, int] | None = None
        with Client(self._up.url, timeout_s=5.0) as client:
            while not self._stop.wait(LOOK_S):
                began = time.monotonic()
                try:
                    if reader is None:
                        bounds = self._up.log.bounds(self._up.names.trades)
                        reader = self._up.log.reader(self._up.names.trades, {p: b.end for p, b in bounds.items()})
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
            applied = client.get("/v1/bars", venue="soak", symbol=f"S{symbol}", limit=1)["answer"]["applied"]
            if any(at < ends[int(p)] for p, at in applied.items()):
                return False
        return True

    @staticmethod
    def _closed(reader: LogReader | None) -> None:
        if reader is not None:
            reader.close()
