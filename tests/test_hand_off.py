"""batch (+) cells == oracle over random logs: the real tiling, worker, sink, codec, chain and merge.

One case is a random schedule of: producing records (packed, late, equal times, bad lines, empty values), gaps of
control records, marks that make versions, steps of two workers that stop anywhere, die and come back as zombies,
compaction of the delta topic, and queries of any version. After each query the merged bars equal the oracle's over the
records below the chain's end; at the end every chain reaches the log's end.

    log     e e M e . e e M e e e e     e: record of events   M: mark   .: gap
    cells   [-)[- - -)[-) [- - - -[-    cut at marks and, here, at every 4th offset
"""

import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from lesson.memory_log import MemoryLog, MemoryReader
from slackwater.deltas.cell import delta_key_of
from slackwater.deltas.chain import Chain
from slackwater.deltas.chains import read_chains
from slackwater.log.events import decode
from slackwater.log.mark import append_marks
from slackwater.log.names import TopicNames
from slackwater.pipeline.segment import States
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest, Mark, empty_manifest, first_cut
from slackwater.views.interval import NAMED_INTERVALS, Interval
from slackwater.views.merge import State
from slackwater.views.registry import VIEWS
from slackwater.views.rows import Row
from slackwater.views.session import Summariser
from speed_layer import tiling
from speed_layer.sink import PublishDeltas
from speed_layer.stream_worker import HEARTBEAT_S
from speed_layer.worker import Worker
from tests.bars_oracle import Oracle
from tests.hand import HandClock, Versions

BARS = VIEWS[0]
NAMES = TopicNames("t")
T0_US = 1_723_161_240_000_000
CASES = 1_000
BLOCKS = [pytest.param(block, marks=[pytest.mark.crash] if block > 1 else []) for block in range(10)]
"""A tenth of the cases each; two of them in every run, all in `make crash`."""

SUMMARISER = Summariser(VIEWS)


class Process:
    """A worker with its sink, as one process: it dies between any two segments."""

    def __init__(self, world: "World") -> None:
        partitions = range(len(world.log.topics[NAMES.topic("trades")]))
        self._worker = Worker(world.log, NAMES, world.store, VIEWS, list(partitions), world.clock)  # type: ignore[arg-type]
        self._sink = PublishDeltas(lambda: world.log, NAMES, VIEWS)
        self._sink.setup()

    def step(self, segments: int | None = None) -> None:
        """Up to so many segments; None for all that there are."""
        found = (segment for block in self._worker.step(0) for segment in block.segments)
        for number, segment in enumerate(found):
            if segments is not None and number >= segments:
                return  # the rest of this turn is lost with the process
            for view in VIEWS:
                self._sink.process(
                    States(view.definition, segment.slot, None, tuple(SUMMARISER.rows(view, segment.table)))
                )


class World:
    """One case."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.log = MemoryLog(now_ms=T0_US // 1000 + 10_000_000)
        self.clock = HandClock()
        self.store = Versions()
        partitions = self.random.randint(1, 3)
        self.log.create(NAMES.topic("trades"), partitions, start=self.random.choice([0, 0, 3, 5]))
        self.log.create(NAMES.deltas("trades"), partitions)
        self.topic_id = self.log.topic_id(NAMES.topic("trades"))
        bounds = self.log.bounds(NAMES.topic("trades"))
        cut = {p: b.start for p, b in bounds.items()}
        self.versions = [
            empty_manifest({"trades": first_cut(self.topic_id, self.log.topic_id(NAMES.deltas("trades")), cut)})
        ]
        self.processes = [Process(self)]
        self.ids: defaultdict[str, int] = defaultdict(int)
        self.queries = self.both = 0

    def run(self, steps: int) -> None:
        moves = [self.produce] * 6 + [self.speed] * 5 + [self.query] * 3
        moves += [self.mark, self.gap, self.garbage, self.restart, self.beat, self.compact]
        for _ in range(steps):
            self.random.choice(moves)()
        MemoryReader.limit = None
        self.processes = [Process(self)]
        self.processes[0].step()
        self.query(whole=True)

    def produce(self) -> None:
        p = self.random.randrange(len(self.log.topics[NAMES.topic("trades")]))
        symbol = f"S{p}{self.random.choice('AB')}"
        lines = [self.line(symbol) for _ in range(self.random.choice([1, 1, 1, 3, 60]))]
        self.log.append(NAMES.topic("trades"), p, f"v:{symbol}".encode(), b"\n".join(lines))

    def line(self, symbol: str) -> bytes:
        if self.random.random() < 0.05:
            return self.random.choice([b"", b"{}", b'{"venue":"v"', b"\xff"])
        r = self.random
        self.ids[symbol] += r.choice([1, 1, 2, 0])  # 0: the same id again, written past ingest
        time = T0_US + r.choice([0, 0, 1, 999_999, 1_000_000, -3_000_000, 61_000_000]) + r.randrange(4) * 1_000_000
        price, quantity = f"{r.randrange(1, 99)}.{r.randrange(100)}", r.choice(["1", "0.00000001", "12345.678"])
        side = r.choice(["buy", "sell"])
        return (
            f'{{"venue":"v","symbol":"{symbol}","trade_id":{self.ids[symbol]},"time":{time},"price":"{price}",'
            f'"quantity":"{quantity}","side":"{side}"}}'
        ).encode()

    def gap(self) -> None:
        p = self.random.randrange(len(self.log.topics[NAMES.topic("trades")]))
        self.log.gap(NAMES.topic("trades"), p, self.random.randint(1, 6))

    def garbage(self) -> None:
        p = self.random.randrange(len(self.log.topics[NAMES.topic("trades")]))
        self.log.append(NAMES.topic("trades"), p, b"k", self.random.choice([None, b"", b"\n" * 64]))

    def mark(self) -> None:
        run_id = f"run-{len(self.versions)}"
        delta_start = {p: b.end for p, b in self.log.bounds(NAMES.deltas("trades")).items()}
        cut, _ = append_marks(self.log.writer(), NAMES.topic("trades"), self.log.bounds(NAMES.topic("trades")), run_id)
        marks = tuple(Mark(p, at, run_id) for p, at in cut.items())
        manifest = replace(
            self.versions[0],
            version=len(self.versions),
            streams={"trades": replace(self.versions[0].of(TRADES), marks=marks, delta_start=delta_start)},
        )
        self.versions.append(manifest)
        self.store.manifests.insert(0, manifest)

    def speed(self) -> None:
        MemoryReader.limit = self.random.choice([None, 1, 2, 5])
        self.random.choice(self.processes).step()

    def restart(self) -> None:
        """A process dies in the middle of a turn; another begins. Sometimes the first was not dead."""
        MemoryReader.limit = None
        other = self.random.choice(self.processes)
        if self.random.random() < 0.7:
            other.step(self.random.randrange(3))
            self.processes.remove(other)
        self.processes = [*self.processes[-1:], Process(self)]

    def beat(self) -> None:
        self.clock.sleep(HEARTBEAT_S)
        self.speed()

    def compact(self) -> None:
        self.log.compact(NAMES.deltas("trades"))

    def query(self, whole: bool = False) -> None:
        MemoryReader.limit = None
        interval = self.random.choice(NAMED_INTERVALS)
        partitions = self.log.bounds(NAMES.topic("trades"))
        version = self.random.choice(self.versions)
        chains = read_chains(self.log, NAMES.deltas("trades"), VIEWS, self.topic_id, dict.fromkeys(partitions, 0))
        applied, rows, parts = {}, [], [self.batch(version), []]
        for p, at in version.cut("trades").items():
            applied[p] = chains[BARS, p].end(at)
            parts[1] += [row for cell in chains[BARS, p].walk(at) for row in cell.rows]
            if whole and self.retained(p) <= at:
                assert applied[p] == partitions[p].end, "a lasting hole"
                assert chains[BARS, p].complete(applied[p])
        rows = [*parts[0], *parts[1]]
        assert bars_of(rows, interval) == self.expected(applied, interval)
        self.queries += 1
        self.both += bool({r.key for r in parts[0]} & {r.key for r in parts[1]})

    def retained(self, partition: int) -> int:
        return min(v.cut(TRADES)[partition] for v in self.versions[1:] or self.versions)

    def batch(self, version: Manifest) -> list[Row]:
        rows: list[Row] = []
        for p, at in version.cut("trades").items():
            records = [r for o, r in self.log.topics[NAMES.topic("trades")][p].records.items() if o < at]
            rows += SUMMARISER.rows(BARS, decode(TRADES, records).table.select(TRADES.schema.names))
        return rows

    def expected(self, applied: dict[int, int], interval: Interval) -> dict[Any, Any]:
        oracle = Oracle([interval.us])
        for p, upto in applied.items():
            for offset, record in sorted(self.log.topics[NAMES.topic("trades")][p].records.items()):
                if offset < upto and not record.headers:
                    oracle.record(record.value, record.append_time_ms)
        return {
            (key, bar["start"]): {name: bar[name] for name in BARS.answers}
            for key in oracle.instruments
            for bar in oracle.bars(*key, interval.us)
        }


def bars_of(rows: list[Row], interval: Interval) -> dict[Any, Any]:
    """Finished bars of states from anywhere, merged by the floored start."""
    merge, finish = BARS.merge, BARS.finish
    bars: dict[tuple[tuple[str, ...], int], State] = {}
    for row in rows:
        at = (row.key, interval.floor(row.start))
        bars[at] = merge(bars[at], row.state) if at in bars else row.state
    return {at: finish(state) for at, state in bars.items()}


@pytest.fixture(autouse=True)
def _small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "GRID", 4)
    monkeypatch.setattr(MemoryReader, "limit", None)


@pytest.mark.parametrize("block", BLOCKS)
def test_batch_and_cells_equal_the_oracle_on_random_logs(block: int) -> None:
    queries = both = 0
    for seed in range(block * CASES // 10, (block + 1) * CASES // 10):
        world = World(seed)
        try:
            world.run(steps=30)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        queries += world.queries
        both += world.both
    assert queries >= CASES // 10 * 3
    assert both >= queries // 20, "too few queries had both a batch and a speed part"


def test_a_lost_cell_is_noticed() -> None:
    """The suite looks: with every third delta dropped, answers stop short of the log's end."""
    world = World(7)
    for _ in range(40):
        world.produce()
    world.processes[0].step()
    delta_key = delta_key_of(BARS, world.topic_id, 0)
    whole = read_chains(world.log, NAMES.deltas("trades"), VIEWS, world.topic_id, {0: 0})[BARS, 0]
    holed = Chain()
    for number, cell in enumerate(whole.walk(world.versions[0].cut("trades")[0])):
        assert cell.delta_key == delta_key
        if number % 3 != 2:
            holed.put(cell)
    start = world.versions[0].cut("trades")[0]
    last = holed.last(start)
    assert last is not None
    assert not holed.complete(last.upto)
