"""The ledger of restatements against the slow oracle, over random logs in memory.

    log     e(10s) e(14s) e(10s) M1 e(10s) e(14s) M2       the bar [10, 11) is closed by e(14s)
    v1                    late                             10: 1 trade -> 2 trades, at the offset of the third record
    v2                              late                   10: 2 -> 3

What really runs: marks, archive, restate, publish. The views are computed by the simulation's stand-in, since 200
pipelines take minutes.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from tests.beam_world import T0_US, World, memory_world
from tests.naive import Event
from tests.naive_restatements import Placed, restatements
from tests.simulation.light import compute_with, session
from tests.simulation.light_proof import LightComparison
from versions.manifest import Manifest
from versions.restatement import RESTATEMENT_SCHEMA
from views.answers import Column
from views.bars import BARS
from views.measures import Count, Max
from views.view import View

SIDES = View(
    name="sides",
    measures={"high": Max("price"), "trades": Count()},
    answers={"high": Column("high"), "trades": Column("trades")},
    key=("venue", "symbol", "side"),
)
TOPS = View(name="tops", measures={"high": Max("price")}, answers={"high": Column("high")})
"""A late trade below the high changes nothing that it answers."""

COMPUTE = compute_with(lambda _: None)
CASES = 200
CHUNK = 10


class Story:
    """A world whose records are known. `cuts` are those of its versions."""

    def __init__(self, home: Path, seed: int, views: tuple[View, ...], partitions: int = 2) -> None:
        self.world: World = memory_world(home, partitions)
        self.random = random.Random(seed)
        self.views = views
        self.records: list[Placed] = []
        self.versions: list[Manifest] = []
        self._ids = 0

    def record(self, symbol: str, events: Sequence[Event]) -> Placed:
        partitions = len(self.world.ends)
        partition = self.world.log.partition_of(f"v:{symbol}".encode(), partitions)
        ack = self.world.append(partition, b"\n".join(map(line, events)))
        placed = Placed(partition, ack.offset(), events)
        self.records.append(placed)
        return placed

    def event(self, symbol: str, time_us: int, price: int = 10**8, side: str = "buy") -> Event:
        self._ids += 1
        return Event("v", symbol, self._ids, time_us, price, 10**8, side)

    def trade(self, symbol: str, second: float, price: int = 10**8) -> Placed:
        return self.record(symbol, [self.event(symbol, T0_US + round(second * 1_000_000), price)])

    def batch(self, **more: Any) -> Manifest:
        manifest = self.world.batch(self.views, compute=COMPUTE, **more)
        self.versions.append(manifest)
        return manifest

    def draw(self) -> None:
        """A record: mostly onwards in time, sometimes late by seconds, minutes or hours; some events come twice."""
        r = self.random
        symbol = r.choice(["A", "B", "C"])
        now = T0_US + len(self.records) * r.choice([300_000, 1_000_000, 90_000_000])
        late = r.choice([0, 0, 0, 1, 999_999, 2_000_000, 3_000_000, 3_000_001, 61_000_000, 4_000_000_000])
        time_us = now - late
        events = [
            self.event(symbol, time_us + r.choice([0, 0, 1_000_000, -4_000_000, 5_000_000]), r.randrange(1, 5) * 10**8)
            for _ in range(r.choice([1, 1, 1, 2, 4]))
        ]
        if r.random() < 0.1 and self.records:
            events += [e for e in r.choice(self.records).events if e.symbol == symbol]
        self.record(symbol, events)

    def rows(self, manifest: Manifest) -> list[dict[str, Any]]:
        """What the ledger says of one version, without its own numbers."""
        for ledger in manifest.restatements:
            if ledger.version == manifest.version:
                self.world.store.check([ledger.file])
                table = pq.read_table(self.world.home / ledger.file.path)
                assert table.column_names == RESTATEMENT_SCHEMA.names
                assert [f.type for f in table.schema] == [f.type for f in RESTATEMENT_SCHEMA]
                rows = table.to_pylist()
                assert [row.pop("number") for row in rows] == list(range(len(rows)))
                assert {row.pop("version") for row in rows} == {manifest.version}
                assert sum(ledger.counts.values()) == len(rows) == ledger.file.rows
                return [{**row, "before": parsed(row["before"]), "after": parsed(row["after"])} for row in rows]
        assert not manifest.restated
        return []

    def check(self) -> int:
        """Every version's part of the ledger equals the oracle's; how many rows that is."""
        expected = [
            sorted((row for rows in of_version for row in rows), key=str)
            for of_version in zip(
                *(restatements(view, self.records, [m.cut for m in self.versions]) for view in self.views), strict=True
            )
        ]
        found = [sorted(self.rows(manifest), key=str) for manifest in self.versions]
        assert found == expected
        return sum(map(len, found))


def line(event: Event) -> bytes:
    facts = {
        "venue": event.venue,
        "symbol": event.symbol,
        "trade_id": event.trade_id,
        "time": event.time,
        "price": f"{event.price // 10**8}",
        "quantity": "1",
        "side": event.side,
    }
    return orjson.dumps(facts)


def parsed(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


@pytest.fixture(autouse=True)
def one_session(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A new DuckDB database a run would cost more than the run."""
    for module in ("restate", "run", "comparison", "duplicates"):
        monkeypatch.setattr(f"batch_layer.{module}.connect", session)
    monkeypatch.setattr("batch_layer.prove.Comparison", LightComparison)  # not what is tested here
    yield


@pytest.mark.parametrize("seed", range(0, CASES, CHUNK))
def test_the_ledger_of_random_logs_is_the_oracles(tmp_path: Path, seed: int) -> None:
    total = 0
    for case in range(seed, seed + CHUNK):
        views = (BARS, SIDES, TOPS) if case % 4 == 0 else (BARS,)
        story = Story(tmp_path / str(case), case, views, partitions=1 + case % 3)
        for _ in range(story.random.choice([2, 3])):
            for _ in range(story.random.randrange(1, 25)):
                story.draw()
            story.batch()
        total += story.check()
    assert total > 10 * CHUNK, "nothing to speak of was late"
