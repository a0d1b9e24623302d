"""A small world around the two layers: a log (Kafka or in memory), a home folder, trades of a known seed, the oracle.

    world.produce(100)      records of trades: some of several lines, some bad, some late, some of equal times
    world.batch()           one real batch run
    world.check(manifest)   its Parquet, finished, equals the oracle over the log below its cut

Not here: assertions about one layer, which stand in that layer's test modules.
"""

import functools
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from kafka.admin import NewPartitions
from kafka.structs import TopicPartition

from batch_layer.run import BatchRun
from lesson.memory_log import MemoryLog
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.deltas.chains import read_chains
from slackwater.log.clients import AUTO
from slackwater.log.events import decode
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Ack, Log, Record, read_range
from slackwater.log.mark import mark_of
from slackwater.log.names import TopicNames
from slackwater.log.topics import create_topics
from slackwater.streams.registry import STREAMS
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS, Interval
from slackwater.views.merge import State
from slackwater.views.registry import VIEWS
from slackwater.views.rows import Row, rows_of
from slackwater.views.session import Summariser
from slackwater.views.view import View
from speed_layer.run import ALL, run
from speed_layer.source import Share, SourceSettings
from speed_layer.stopping import STOP
from tests.bars_oracle import Oracle

ROOT = Path(__file__).parents[1]
T0_US = 1_723_161_240_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BNBUSDT")
BAD_LINES = (b"{}", b"", b"\xff", b'{"venue":"v"', b'{"venue":"v","symbol":"S","trade_id":1.0}')

Bars = dict[tuple[tuple[str, ...], int], dict[str, Any]]


def settle(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until `condition` holds; fail if it does not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.005)


class World:
    """See the module. `log` is real or in memory."""

    def __init__(self, log: Log, names: TopicNames, home: Path, seed: int = 1) -> None:
        self.log = log
        self.names = names
        self.home = home
        self.store = VersionStore(home)
        self.random = random.Random(seed)
        self.ids = 0
        self.refused = 0
        self.events = 0
        self._writer = log.writer()

    @property
    def topic_id(self) -> str:
        return self.log.topic_id(self.names.topic("trades"))

    @property
    def ends(self) -> dict[int, int]:
        return {p: bounds.end for p, bounds in self.log.bounds(self.names.topic("trades")).items()}

    def close(self) -> None:
        self._writer.close()

    def reopen(self) -> None:
        """Another producer."""
        self._writer.close()
        self._writer = self.log.writer()

    # the log

    def trade(self, symbol: str, time_us: int, price: str, quantity: str, side: str) -> bytes:
        self.ids += 1
        self.events += 1
        return (
            f'{{"venue":"v","symbol":"{symbol}","trade_id":{self.ids},"time":{time_us},"price":"{price}",'
            f'"quantity":"{quantity}","side":"{side}"}}'
        ).encode()

    def line(self, symbol: str, bad: bool = True) -> bytes:
        r = self.random
        if bad and r.random() < 0.02:
            self.refused += 1
            return r.choice(BAD_LINES)
        time_us = T0_US + r.choice([0, 0, 1, 999_999, -3_000_000, 61_000_000]) + r.randrange(8) * 1_000_000
        quantity = r.choice(["1", "0.00000001", "12345.678"])
        return self.trade(
            symbol, time_us, f"{r.randrange(1, 99)}.{r.randrange(100)}", quantity, r.choice(["buy", "sell"])
        )

    def produce(self, records: int, bad: bool = True) -> None:
        """Append so many records of one instrument each, in the partition of its key; acknowledged when it returns."""
        partitions = len(self.log.bounds(self.names.topic("trades")))
        for _ in range(records):
            symbol = self.random.choice(SYMBOLS)
            lines = [self.line(symbol, bad) for _ in range(self.random.choice([1, 1, 1, 2, 9]))]
            self.append(self.log.partition_of(f"v:{symbol}".encode(), partitions), b"\n".join(lines))
        self._writer.flush()

    def append(self, partition: int, value: bytes | None) -> Ack:
        """Append one record."""
        return self._writer.append(self.names.topic("trades"), partition, b"k", value)

    def records(self, topic: str, uptos: Mapping[int, int] | None = None) -> list[tuple[int, Record]]:
        """(partition, record) of a topic, below `uptos` or to its end now."""
        bounds = self.log.bounds(topic)
        uptos = uptos or {p: b.end for p, b in bounds.items()}
        found = read_range(self.log, topic, {p: bounds[p].start for p in uptos}, uptos)
        return [(piece.partition, record) for piece in found for record in piece.records]

    # the layers

    def batch(self, views: tuple[View, ...] = VIEWS, **more: Any) -> Manifest:
        store = more.pop("store", self.store)
        return BatchRun(Context(self.log, self.names, store, views, SystemClock()), **more).run()

    def source(self, views: tuple[View, ...] = VIEWS, **more: Any) -> SourceSettings:
        assert isinstance(self.log, KafkaLog)
        return SourceSettings(
            functools.partial(KafkaLog, self.log.servers, client=self.log.client), self.names, self.home, views, **more
        )

    def environ(self) -> dict[str, str]:
        assert isinstance(self.log, KafkaLog)
        return {
            "SLACKWATER_SNAPSHOT_HOURS": "0",  # what stays does not hang on the hour at which a test runs
            "SLACKWATER_SNAPSHOT_DAYS": "0",
            **os.environ,
            "SLACKWATER_HOME": str(self.home),
            "KAFKA_BOOTSTRAP_SERVERS": self.log.servers,
            "SLACKWATER_PREFIX": self.names.prefix,
        }

    # what must hold

    def oracle(self, uptos: Mapping[int, int], intervals: Sequence[Interval] = PUBLISHED_INTERVALS) -> Oracle:
        oracle = Oracle([interval.us for interval in intervals])
        for _, record in self.records(self.names.topic("trades"), uptos):
            if mark_of(record) is None:
                oracle.record(record.value, record.append_time_ms)
        return oracle

    def check(self, manifest: Manifest) -> None:
        """Every file is whole, and every published interval equals the oracle below the version's cut."""
        files = [*manifest.dataset, *(entry.file for entry in manifest.parts)]
        self.store.check(files)
        oracle = self.oracle(manifest.cut(TRADES))
        assert manifest.count("events") == oracle.events == sum(entry.file.rows for entry in manifest.archive)
        assert manifest.count("refused") == sum(oracle.refused.values())
        for interval in PUBLISHED_INTERVALS:
            rows: list[Row] = []
            for entry in manifest.parts_of(BARS.name, interval.text):
                table = pq.read_table(self.store.data.fetch(entry.file))
                assert table.num_rows == entry.file.rows
                found = rows_of(BARS, table)
                assert len(found) == len({(row.key, row.start) for row in found}), "a bar stands twice in a part"
                assert (min(table["start"].to_pylist()), max(table["start"].to_pylist())) == (entry.low, entry.high)
                rows += found
            assert bars_of(rows, interval) == oracle_bars(oracle, interval)

    def floors(self) -> dict[int, int]:
        """Where the chain begins: the smallest cut of a version, the log's start where none knows the partition."""
        versions = self.store.retained()
        return {
            p: min((m.cut(TRADES).get(p, bounds.start) for m in versions), default=bounds.start)
            for p, bounds in self.log.bounds(self.names.topic("trades")).items()
        }

    def chain(self, cut: Mapping[int, int], view: View = BARS) -> tuple[list[Row], dict[int, int], bool]:
        """The rows of the chain from `cut` on as a fresh reader finds it, its end per partition, and `complete`."""
        bounds = self.log.bounds(self.names.deltas("trades"))  # what lies below was expired
        chains = read_chains(
            self.log, self.names.deltas("trades"), (view,), self.topic_id, {p: bounds[p].start for p in cut}
        )
        rows: list[Row] = []
        applied = dict(cut)
        for p, at in cut.items():
            for cell in chains[view, p].walk(at):
                rows += cell.rows
                applied[p] = cell.upto
        return rows, applied, all(chains[view, p].complete(applied[p]) for p in cut)

    def check_chain(self) -> None:
        """The chain reaches the log's end, and with the events below its start it equals the oracle."""
        floors = self.floors()
        rows, applied, complete = self.chain(floors)
        assert applied == self.ends
        assert complete
        below = decode(TRADES, [record for _, record in self.records(self.names.topic("trades"), floors)])
        summariser = Summariser((BARS,))
        rows += summariser.rows(BARS, below.table.select(TRADES.schema.names))
        summariser.close()
        interval = PUBLISHED_INTERVALS[1]
        assert bars_of(rows, interval) == oracle_bars(self.oracle(applied), interval)

    def reached(self) -> bool:
        """Whether the chain reaches the log's end."""
        return self.chain(self.floors())[1] == self.ends


def bars_of(rows: Sequence[Row], interval: Interval) -> Bars:
    """Finished bars of states from anywhere, merged by the floored start."""
    merge, finish = BARS.merge, BARS.finish
    bars: dict[tuple[tuple[str, ...], int], State] = {}
    for row in rows:
        at = (row.key, interval.floor(row.start))
        bars[at] = merge(bars[at], row.state) if at in bars else row.state
    return {at: finish(state) for at, state in bars.items()}


def oracle_bars(oracle: Oracle, interval: Interval) -> Bars:
    """The oracle's bars in the same form."""
    return {
        (key, int(str(bar["start"]))): {name: bar[name] for name in BARS.answers}
        for key in oracle.instruments
        for bar in oracle.bars(*key, interval.us)
    }


@contextmanager
def kafka_world(servers: str, home: Path, partitions: int = 2, client: str = AUTO) -> Iterator[World]:
    """A world on a real cluster, with topics of its own."""
    log, names = KafkaLog(servers, client=client), TopicNames(f"beam-{uuid.uuid4().hex[:12]}")
    create_topics(log, names, STREAMS, partitions)
    world = World(log, names, home)
    try:
        yield world
    finally:
        world.close()


def memory_world(home: Path, partitions: int = 2, start: int = 0) -> World:
    """A world on a log in memory."""
    log, names = MemoryLog(now_ms=T0_US // 1000 + 10_000_000), TopicNames("t")
    log.create(names.topic("trades"), partitions, start)
    log.create(names.deltas("trades"), partitions)
    log.create(names.dead_letters, 1)
    return World(log, names, home)


@contextmanager
def speed_running(settings: SourceSettings, share: Share = ALL) -> Iterator[list[int]]:
    """The real speed pipeline in a thread; yields the list that each restart is added to."""
    restarts: list[int] = []
    assert not STOP.is_set()
    thread = threading.Thread(target=run, args=(settings, share, restarts.append))
    thread.start()
    try:
        yield restarts
    finally:
        STOP.set()
        thread.join(60)
        alive = thread.is_alive()
        STOP.clear()
        assert not alive, "the pipeline did not end"


@contextmanager
def program(world: World, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A real process of this project with the world's settings, `python -m <arguments>`; killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=world.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def call(*arguments: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `python -m <arguments>` to its end."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)


def delete_records(world: World, topic: str, partition: int, before: int) -> None:
    """Kafka's DeleteRecords."""
    assert isinstance(world.log, KafkaLog)
    with world.log.admin() as admin:
        admin.delete_records({TopicPartition(topic, partition): before})


def recreate_topics(world: World, partitions: int = 2) -> None:
    """Delete the event log and create it again, with a new id and nothing in it."""
    assert isinstance(world.log, KafkaLog)
    with world.log.admin() as admin:
        admin.delete_topics([world.names.topic("trades")])

    def made() -> bool:
        assert isinstance(world.log, KafkaLog)
        return create_topics(world.log, world.names, STREAMS, partitions)[world.names.topic("trades")]

    settle(made)


def add_partitions(world: World, total: int) -> None:
    """Raise the number of partitions, of the delta topic first."""
    assert isinstance(world.log, KafkaLog)
    for topic in (world.names.deltas("trades"), world.names.topic("trades")):
        with world.log.admin() as admin:
            admin.create_partitions({topic: NewPartitions(total)})
        settle(functools.partial(_has, world.log, topic, total))
    world.reopen()  # a producer looks for new partitions every five minutes only


def _has(log: Log, topic: str, partitions: int) -> bool:
    return len(log.bounds(topic)) == partitions
