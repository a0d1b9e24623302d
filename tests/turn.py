"""What a turn of the speed worker costs, without a broker: `python -m tests.turn [--views bars] [--profile]`.

A turn reads `--records` trades of four partitions from a log in memory, cuts them, summarises the open cells and gives
them to the sink. CPU in milliseconds a turn: reading, summary, sending. No view rests, so each turn has all of them.
"""

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from pathlib import Path

from bench.trades import Trades
from lesson.memory_log import MemoryLog
from slackwater.core.clock import SystemClock
from slackwater.log.names import TopicNames
from slackwater.pipeline.summarise import _SummariseSegment
from slackwater.streams.trades import TRADES
from slackwater.versions.store import VersionStore
from slackwater.views.errors import UnknownViewError
from slackwater.views.registry import registered
from slackwater.views.view import View
from speed_layer.sink import PublishDeltas
from speed_layer.worker import Worker

NAMES = TopicNames("turn")
PARTITIONS = 4
WARM = 60
"""Turns before: about half a cell in each partition."""


class Turns:
    """A worker, the summary and the sink over a log in memory that grows by the sample's trades."""

    def __init__(self, views: tuple[View, ...], home: Path, trades: Trades) -> None:
        self._log = MemoryLog(time.time_ns() // 1_000_000 + 60_000)
        for topic in (NAMES.topic(TRADES), NAMES.deltas(TRADES)):
            self._log.create(topic, PARTITIONS)
        clock = SystemClock()
        self._worker = Worker(self._log, NAMES, VersionStore(home), views, None, clock)
        self._summary = _SummariseSegment(views, 1)
        self._summary.setup()
        self._sink = PublishDeltas(lambda: self._log, NAMES, views, clock)
        self._sink.setup()
        self._trades = trades
        self._sent = 0
        self._ids = [0] * len(self._trades.instruments)
        self.spent_s = dict.fromkeys(("read", "summarise", "send"), 0.0)

    def turn(self, records: int) -> None:
        """Some trades come, and the worker takes them."""
        for _ in range(records):
            self._append()
        began = time.process_time()
        blocks = list(self._worker.step(0.0))
        read = time.process_time()
        made = [states for block in blocks for states in self._summary.process(block)]
        summarised = time.process_time()
        for states in made:
            self._sink.process(states)
        for name, seconds in zip(
            self.spent_s, (read - began, summarised - read, time.process_time() - summarised), strict=True
        ):
            self.spent_s[name] += seconds

    def deltas(self) -> int:
        """How many there are."""
        return sum(bounds.end for bounds in self._log.bounds(NAMES.deltas(TRADES)).values())

    def _append(self) -> None:
        of, at = self._trades, self._sent % len(self._trades.instrument_of)
        instrument = int(of.instrument_of[at])
        self._ids[instrument] += 1
        line = of.line(at, self._ids[instrument], time.time_ns() // 1000)
        self._log.append(NAMES.topic(TRADES), self._sent % PARTITIONS, of.key(instrument), line)
        self._sent += 1


def main(arguments: list[str]) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.turn", description=__doc__.splitlines()[0])
    parser.add_argument("--views", default="", help="these alone, such as bars,flow (all)")
    parser.add_argument("--records", type=int, default=6, help="trades a turn (6)")
    parser.add_argument("--turns", type=int, default=600, help="how many (600)")
    parser.add_argument("--profile", action="store_true", help="print what takes the time in Python, too")
    given = parser.parse_args(arguments)
    try:
        views = registered(only=given.views.split(",") if given.views else ())
    except UnknownViewError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as home:
        turns = Turns(views, Path(home), Trades())
        for _ in range(WARM):
            turns.turn(given.records)
        turns.spent_s = dict.fromkeys(turns.spent_s, 0.0)
        profile = cProfile.Profile() if given.profile else None
        if profile is not None:
            profile.enable()
        for _ in range(given.turns):
            turns.turn(given.records)
        if profile is not None:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    each = {name: 1e3 * seconds / given.turns for name, seconds in turns.spent_s.items()}
    words = ", ".join(f"{name} {ms:.2f}" for name, ms in each.items())
    print(f"{', '.join(view.name for view in views)}: {words}; {sum(each.values()):.2f} ms of CPU a turn", flush=True)
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    os._exit(status)  # DuckDB's binding would print a page of what its module holds
