"""A market for the page: the real service, server, speed worker and batch run on a log in memory.

    market = Market(home); market.trade(200); market.publish()
    with PageServer(market) as server: server.url

The speed worker turns in a thread of its own and can be silenced; the server can be stopped and started again. Run as
a program it trades and publishes by itself, to look at the page: `python -m tests.page_server [port]`.
"""

import random
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from batch_layer.run import BatchRun
from lesson.memory_log import MemoryLog
from serving.http.app import create_app
from serving.options import ServingOptions
from serving.run import server_of
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.http.server import Server
from slackwater.log.names import TopicNames
from slackwater.versions.manifest import Manifest
from slackwater.versions.store import VersionStore
from slackwater.views.registry import registered
from tests.speed_in_memory import Speed

NAMES = TopicNames("page")
VENUE = "binance"
SECOND_US = 1_000_000
PRICES = {"BTCUSDT": 61_234.5, "ETHUSDT": 2_345.6, "SOLUSDT": 143.2}
TURN_S = 0.02


class Market:
    """Trades of a few instruments and what both layers make of them. `now_us` is the newest trade's time."""

    def __init__(self, home: Path, now_us: int, partitions: int = 2) -> None:
        self.now_us = now_us
        self.log = MemoryLog(time.time_ns() // 1_000_000)
        for topic, count in (
            (NAMES.topic("trades"), partitions),
            (NAMES.deltas("trades"), partitions),
            (NAMES.dead_letters, 1),
        ):
            self.log.create(topic, count)
        self.store = VersionStore(home)
        self._partitions = partitions
        self._prices = dict(PRICES)
        self._random = random.Random(7)
        self._ids = 0
        self._speed = Speed(self.log, NAMES, self.store, registered(), SystemClock())
        self._speaks, self._ends = threading.Event(), threading.Event()
        self._speaks.set()
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()

    def app(self, options: ServingOptions | None = None) -> Any:
        """A new application over this log and home."""
        options = replace(options or ServingOptions(), poll_s=0.0)  # a log in memory does not wait: the thread has to
        return create_app(self.log, NAMES, self.store, registered(), options=options)

    def trade(self, count: int, symbol: str = "BTCUSDT", step_us: int = 400_000, late_us: int = 0) -> None:
        """Append trades, each about `step_us` after the one before, or `late_us` behind the newest."""
        partition = self.log.partition_of(f"{VENUE}:{symbol}".encode(), self._partitions)
        for _ in range(count):
            if not late_us:
                self.now_us += self._random.randrange(1, 2 * step_us)
            self._prices[symbol] = self._prices.get(symbol, 61_234.5) * (1 + self._random.gauss(0, 4e-5))
            self._ids += 1
            trade = {
                "venue": VENUE,
                "symbol": symbol,
                "trade_id": self._ids,
                "time": self.now_us - late_us,
                "price": f"{self._prices[symbol]:.2f}",
                "quantity": f"{0.001 + self._random.expovariate(7):.3f}",
                "side": "buy" if self._random.random() < 0.52 else "sell",
            }
            self.log.now_ms = max(time.time_ns() // 1_000_000, self.now_us // 1000)
            self.log.append(NAMES.topic("trades"), partition, b"k", orjson.dumps(trade))

    @property
    def appended(self) -> int:
        """How many records the log holds."""
        return sum(bounds.end for bounds in self.log.bounds(NAMES.topic("trades")).values())

    def lose(self) -> None:
        """Create the topic of trades again: another id, and nothing in it."""
        self.log.create(NAMES.topic("trades"), self._partitions)

    def publish(self) -> Manifest:
        """One real batch run."""
        return BatchRun(
            Context(self.log, NAMES, self.store, registered(), SystemClock()),
            proof_deadline_s=20.0 if self.speaks else 0.0,
        ).run()

    @property
    def speaks(self) -> bool:
        """Whether the speed layer works."""
        return self._speaks.is_set()

    @speaks.setter
    def speaks(self, value: bool) -> None:
        (self._speaks.set if value else self._speaks.clear)()

    def close(self) -> None:
        """End the worker."""
        self._ends.set()
        self._thread.join()
        self._speed.close()

    def _turn(self) -> None:
        while not self._ends.wait(TURN_S):
            if self.speaks:
                self._speed.step()


class PageServer:
    """The service on 127.0.0.1, in a thread. `stop` and `start` again take the same port."""

    def __init__(self, market: Market, port: int = 0, options: ServingOptions | None = None) -> None:
        self.market = market
        self.port = port
        self._options = options
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Serve until `stop`."""
        self._server = server_of(self.market.app(self._options), host="127.0.0.1", port=self.port)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        """End every connection, and refuse new ones."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def main() -> None:
    """Trade about twelve times a second, publish every twenty seconds; a line `speed` on stdin turns that layer off."""
    now_us = time.time_ns() // 1000
    with tempfile.TemporaryDirectory() as home:
        market = Market(Path(home), now_us - 3 * 3600 * SECOND_US)
        while market.now_us < now_us - 40 * SECOND_US:
            for symbol in PRICES:
                market.trade(10, symbol)
        market.publish()
        threading.Thread(target=_toggle, args=(market,), daemon=True).start()
        with PageServer(market, int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server:
            print(server.url, flush=True)
            for tick in range(1, sys.maxsize):
                time.sleep(0.08)
                market.now_us = max(market.now_us, time.time_ns() // 1000)
                symbol = market._random.choice(list(PRICES))
                market.trade(1, symbol, 1, late_us=45 * SECOND_US if tick % 90 == 0 else 0)
                if tick % 250 == 0 and market.speaks:
                    market.publish()


def _toggle(market: Market) -> None:
    for _ in sys.stdin:
        market.speaks = not market.speaks


if __name__ == "__main__":
    main()
