"""Random schedules of all that changes a version: runs, late trades, imports, corrections, merges, rollbacks, faults.

    produce  run  import  correct  replace  duplicates  compact  rollback [--make]  expire, and a disk that fails
       `- after each: every merged answer, prefix and event is the oracle's; so is an older version; so is a diff -'
    at the end: all parts merged == a full run, byte for byte

The log is in memory; tiling, cells, DuckDB, Parquet, the proof, the service and its routes are real, and so is the
pipeline's step, without a runner. The oracle is that of `slackwater verify`; what must be there is kept here.

    python -m tests.schedules --seeds 200        on all cores
"""

import argparse
import asyncio
import logging
import multiprocessing
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pyarrow.parquet as pq

from batch_layer.compaction_run import CompactionRun
from batch_layer.diff import diff_versions
from batch_layer.expire import expire
from batch_layer.remake import Remake
from batch_layer.sink import MakeParts
from ops.evidence import LogEvidence, claims
from serving.http.app import create_app
from serving.options import ServingOptions
from slackwater.core.clock import SystemClock
from slackwater.core.errors import SlackwaterError
from slackwater.core.faults import POINTS, VARIABLE, arm
from slackwater.corrections.selection import Selection, SelectionError
from slackwater.log.mark import mark_of
from slackwater.pipeline.segment import Segment
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import CorrectionWaitsError, RollbackError
from slackwater.versions.manifest import Manifest
from slackwater.versions.rollback import rollback
from slackwater.versions.snapshots import Schedule as Snapshots
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS, parse_interval
from slackwater.views.limits import Limits
from slackwater.views.view import View
from tests.beam_world import SYMBOLS, T0_US, oracle_bars
from tests.serving_world import FakeClock
from tests.test_corrections import VIEWS, House, layout, replaced
from verify.client import Client
from verify.run import verify

INTERVALS = [parse_interval(text) for text in ("1s", "1m", "2h", "1d")]
STEPS = {"audit", "mark", "archive", "compute", "prove", "correct", "restate", "compact", "publish", "move", "expire"}
FAULTS = [point for point in POINTS if point.partition(".")[0] in STEPS]


def direct(segments: Sequence[Segment], views: tuple[View, ...], folder: Path, _: Any, limits: Limits) -> None:
    """A `Compute`: the real step and its real files, without a runner."""
    step = MakeParts(views, folder, limits)
    step.setup()
    try:
        for segment in segments:
            for _path in step.process(segment):
                pass
    finally:
        step.teardown()


class Asked:
    """The service as `verify.client.Client` asks it."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                return await client.get(path, params=dict(params or {}))

        return asyncio.run(ask())


STEPS_OF_A_SEED = 16


class Schedule:
    """One seed. `counts` says what happened."""

    def __init__(self, home: Path, seed: int) -> None:
        self.random = Random(seed)
        self.house = House(home)
        self.house.compute = direct
        self.counts: Counter[str] = Counter()
        self._folder = home.parent
        self._files = 0
        self._ids = 10**6
        self._clock = FakeClock()
        world = self.house.world
        options = ServingOptions(poll_s=0.0)
        self.app = create_app(world.log, world.names, world.store, VIEWS, self._clock, options)
        self._asked = Asked(self.app)
        self.moves: dict[Callable[[], None], float] = {
            self.produce: 4.0,
            self.run: 4.0,
            self.take: 1.0,
            self.correct: 1.5,
            self.replace: 1.0,
            self.duplicates: 0.7,
            self.compact: 1.0,
            self.go_back: 1.5,
            self.expire: 0.5,
            self.sleepy: 0.4,
        }

    def close(self) -> None:
        """End the service and the speed layer."""
        arm({})
        self.app.state.service.stop()
        self.house.speed.close()
        self.house.world.close()

    # the moves

    def play(self, steps: int) -> None:
        """So many moves, each followed by a look; then the end."""
        self.house.world.produce(40)
        self.house.batch()
        for _ in range(steps):
            (move,) = self.random.choices([*self.moves], weights=[*self.moves.values()])
            failing = self.random.random() < 0.5
            if failing:
                point, times = self.random.choice(FAULTS), self.random.choice([0, 0, 1, 3])
                arm({VARIABLE: f"{point}:{self.random.choice(['eio', 'enospc'])}:after={times}"})
            try:
                move()
                self.counts[move.__name__] += 1
            except CorrectionWaitsError as error:
                if error.__cause__ is not None and "fault point" not in str(error):
                    raise
                self.counts["corrections that waited"] += 1
            except (OSError, SlackwaterError) as error:
                if not failing or "fault point" not in str(error):
                    raise
                self.counts["died"] += 1
            finally:
                arm({})
            self.look()
        self.end()

    def produce(self) -> None:
        """Trades, some of them late, some refused."""
        self.house.world.produce(self.random.choice([3, 10, 40]))

    def run(self) -> None:
        """A batch run, now and then of everything."""
        self.house.batch(full=self.random.random() < 0.1)

    def sleepy(self) -> None:
        """The speed layer stands still, or goes on: what is published meanwhile is not proven."""
        self.house.proven = not self.house.proven

    def take(self) -> None:
        """An import of history."""
        count = self.random.choice([5, 40])
        first, self._ids = self._ids, self._ids + count
        self.house.take(first, count, self._path())

    def correct(self) -> None:
        """A correction of an entity and a time, some of it above the cut."""
        second = self.random.randrange(-2, 8)
        entity = ("v", self.random.choice(SYMBOLS))
        asked = Selection(
            epoch="",
            entity=entity,
            start=T0_US + second * 1_000_000 if self.random.random() < 0.8 else None,
            end=T0_US + (second + self.random.choice([1, 2])) * 1_000_000,
        )
        try:
            self.house.corrections.remove(asked, "ann", "seed", self.house.batch)
        except SelectionError:
            self.counts["corrections of nothing"] += 1

    def replace(self) -> None:
        """New events in the place of some of the archive."""
        known = [row for row in self._archived() if row["symbol"] == "BTCUSDT"]
        some = {int(row["trade_id"]): row["time"] for row in self.random.sample(known, min(len(known), 4))}
        form = b'{"venue":"v","symbol":"BTCUSDT","trade_id":%d,"time":%d,"price":"%d","quantity":"3","side":"sell"}'
        lines = [form % (i, time, self.random.randrange(1, 99)) for i, time in some.items()]
        if lines:
            replaced(self.house, lines, self._path())

    def duplicates(self) -> None:
        """A foreign writer appends what is there; later it is taken out."""
        world = self.house.world
        records = [(p, r) for p, r in world.records(world.names.topic("trades")) if mark_of(r) is None and r.value]
        for p, record in self.random.sample(records, min(len(records), 3)):
            world.append(p, record.value).offset()
        self.house.batch()
        try:
            self.house.corrections.remove(None, "ann", "twice", self.house.batch)
        except SelectionError:
            self.counts["corrections of nothing"] += 1

    def compact(self) -> None:
        """Merges by themselves."""
        CompactionRun(self.house.context, self.random.random() < 0.4).run()

    def go_back(self) -> None:
        """A rollback, made across what stands between where it is refused."""
        store = self.house.world.store
        version = self.random.choice([m.version for m in store.retained()])
        try:
            rollback(store, version, "seed", "ann", SystemClock().now_us)
        except RollbackError as error:
            self.counts["rollbacks refused"] += 1
            if "--make" in str(error):
                self._make_again(version)

    def _make_again(self, version: int) -> None:
        try:
            Remake(self.house.context, compute=direct).rollback(version, "seed", "ann")
        except RollbackError as error:  # a run that died as it published left it: nothing served was without that
            assert "later corrections took out" in str(error), error
        else:
            self.counts["rollbacks that made a version"] += 1

    def expire(self) -> None:
        """Few versions stay."""
        expire(self.house.context, self.random.choice([2, 3, 6]), schedule=Snapshots(hours=1))

    # the looks

    def look(self, entities: Sequence[str] = ()) -> None:
        """What is answered is the oracle's: for two instruments, or for those that are named."""
        some = entities or self.random.sample(SYMBOLS, 2)
        current = self.house.world.store.current()
        assert current is not None
        self.stands(current)
        self.answers(some)
        manifests = self.house.world.store.retained()
        self.as_of(self.random.choice(manifests))
        if entities or self.random.random() < 0.5:
            self.differs(current, self.random.choice(manifests))

    def stands(self, manifest: Manifest) -> None:
        """The archive of a version is the log below its cut and the imports, without what its ledger names."""
        found = Counter(self._place(row) for row in self._archived(manifest))
        assert found == Counter(self.expected(manifest)), f"version {manifest.version} holds other events"
        assert manifest.count("events") == sum(found.values())

    def answers(self, symbols: Sequence[str]) -> None:
        """Every row of every view, every prefix and every event of some instruments."""
        world = self.house.world
        self.house.speed.step()
        self._clock.sleep(1.1)
        for _ in range(3):
            self.app.state.service.step()
        client = Client("http://t", http=self._asked)  # type: ignore[arg-type]
        wanted = claims(VIEWS, INTERVALS, lambda entity: entity[1] in symbols)
        proof = verify(client, LogEvidence(world.log, world.names, world.store), wanted, 0.0)
        assert proof.holds, proof
        self.counts["rows compared"] += sum(part.rows for part in proof.parts.values())

    def as_of(self, manifest: Manifest) -> None:
        """A version that is named answers with its own bars."""
        interval, symbol = self.random.choice(PUBLISHED_INTERVALS), self.random.choice(SYMBOLS)
        query = {"venue": "v", "symbol": symbol, "interval": interval.text, "start": "1970-01-01", "limit": 10_000}
        found = self._asked.get("/v1/bars", {**query, "as_of": manifest.version})
        bars = oracle_bars(self.oracle(manifest), interval)
        expected = {start: bar for (key, start), bar in bars.items() if key == ("v", symbol)}
        if found.status_code == httpx.codes.NOT_FOUND and not expected:
            return
        assert found.status_code == httpx.codes.OK, found.text
        given = {bar["start"]: {name: bar[name] for name in BARS.answers} for bar in found.json()["bars"]}
        assert given == {start: {name: bar[name] for name in BARS.answers} for start, bar in expected.items()}
        self.counts["answers of older versions"] += 1

    def differs(self, a: Manifest, b: Manifest) -> None:
        """A diff says how many bars differ, and how many one of both has alone."""
        diffs = diff_versions(self.house.world.store, VIEWS, a.version, b.version, 0)
        for diff in (diff for diff in diffs if diff.view == BARS.name):
            interval = parse_interval(diff.interval)
            ours, theirs = (oracle_bars(self.oracle(manifest), interval) for manifest in (a, b))
            both = ours.keys() & theirs.keys()
            expected = len(both), len(ours) - len(both), len(theirs) - len(both)
            assert (diff.both, diff.only_a, diff.only_b) == expected, diff
            assert diff.differ == sum(ours[place] != theirs[place] for place in both), diff
        self.counts["diffs"] += 1

    def end(self) -> None:
        """All parts merged are what a full run makes."""
        self.house.proven = True
        self.house.batch()
        CompactionRun(self.house.context, True).run()
        merged = self.house.world.store.current()
        assert merged is not None
        self.look(SYMBOLS)
        assert layout(merged) == layout(self.house.batch(full=True)), "all parts merged are not a full run"
        self.look(SYMBOLS)

    # what must be there

    def expected(self, manifest: Manifest) -> list[Any]:
        """The places of the events that a version's archive holds."""
        world, gone = self.house.world, self.gone(manifest)
        found: list[Any] = []
        for p, record in world.records(world.names.topic("trades"), manifest.cut(TRADES)):
            if mark_of(record) is None:
                found += [(p, record.offset, i) for i in self.house.events_in(record)]
        for epoch, ids in self.house.epochs.items():
            if epoch in {entry.epoch for entry in manifest.archive}:
                found += [(epoch, i) for i in ids]
        return [place for place in found if place not in gone]

    def gone(self, manifest: Manifest) -> set[Any]:
        """The places that the ledger names, up to where the version applies it."""
        found = set()
        for each in self.house.world.store.corrections.all():
            if each.number <= manifest.corrected:
                table = pq.read_table(self.house.world.home / each.file.path)
                found |= {self._place(row) for row in table.to_pylist()}
        return found

    def oracle(self, manifest: Manifest) -> Any:
        """The oracle over what a version's archive must hold."""
        house, gone = self.house, self.gone(manifest)
        house.gone = {place for place in gone if len(place) == 3}
        held = {entry.epoch for entry in manifest.archive}
        lines = {
            (epoch, i): line
            for epoch, of in house.epochs.items()
            if epoch in held
            for i, line in of.items()
            if (epoch, i) not in gone
        }
        house.imported = dict(enumerate(lines.values()))
        return house.oracle(manifest)

    def _archived(self, manifest: Manifest | None = None) -> list[dict[str, Any]]:
        manifest = manifest or self.house.world.store.current()
        rows = []
        for entry in manifest.archive if manifest is not None else ():
            table = pq.read_table(self.house.world.home / entry.file.path)
            rows += [{**row, "epoch": entry.epoch} for row in table.to_pylist()]
        return rows

    @staticmethod
    def _place(row: Mapping[str, Any]) -> Any:
        if row["offset"] is None:
            return row["epoch"], int(row["trade_id"])
        return row["partition"], row["offset"], row["index"]

    def _path(self) -> Path:
        self._files += 1
        return self._folder / f"{self._files}.jsonl"


def play(home: Path, seed: int) -> Counter[str]:
    """One schedule to its end; what happened. Raises AssertionError where something is wrong."""
    schedule = Schedule(home, seed)
    try:
        schedule.play(STEPS_OF_A_SEED)
    finally:
        schedule.close()
    return schedule.counts


def _play(seed: int) -> tuple[int, Counter[str], str]:
    logging.disable(logging.CRITICAL)  # what fails on purpose is told there
    with tempfile.TemporaryDirectory() as folder:
        try:
            return seed, play(Path(folder) / "home", seed), ""
        except Exception:  # noqa: BLE001 -- whatever it is, it is told
            return seed, Counter(), traceback.format_exc(limit=-6)


def main() -> int:
    """Play many; 1 if one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    counts, wrong = Counter[str](), 0
    with multiprocessing.get_context("spawn").Pool() as pool:
        for seed, found, fault in pool.imap_unordered(_play, range(asked.first, asked.first + asked.seeds)):
            counts += found
            if fault:
                wrong += 1
                print(f"seed {seed}:\n{fault}", flush=True)
    print(f"{asked.seeds} schedules, {wrong} wrong: {dict(counts.most_common())}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
