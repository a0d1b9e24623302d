"""The ledger of restatements against the slow oracle, over random logs in memory.

    log     e(10s) e(14s) e(10s) M1 e(10s) e(14s) M2       the bar [10, 11) is closed by e(14s)
    v1                    late                             10: 1 trade -> 2 trades, at the offset of the third record
    v2                              late                   10: 2 -> 3

What really runs: marks, archive, restate, publish. The views are computed by the simulation's stand-in, since 200
pipelines take minutes.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_layer.archive import Epoch
from slackwater.pipeline.segment import Segment
from slackwater.restatements.ledger import RESTATEMENT_SCHEMA
from slackwater.restatements.of_run import RestatementError
from slackwater.restatements.places import Places
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.store.instruments import Instrument, Instruments
from slackwater.streams.trades import TRADES
from slackwater.versions.epoch_ids import EpochIds
from slackwater.versions.manifest import ArchiveFile, Manifest
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS
from slackwater.views.measures import Count, Max
from slackwater.views.session import connect
from slackwater.views.view import View
from tests.beam_world import T0_US, World, memory_world
from tests.draws import events_table
from tests.naive import Event
from tests.naive_restatements import Placed, restatements
from tests.profiles import PROFILE
from tests.simulation.light import compute_with, session
from tests.simulation.light_proof import LightComparison

SIDES = View(
    name="sides",
    measures={"high": Max("price"), "trades": Count()},
    answers={"high": Column("high"), "trades": Column("trades")},
    key=("venue", "symbol", "side"),
    stream=TRADES,
)
TOPS = View(name="tops", measures={"high": Max("price")}, answers={"high": Column("high")}, stream=TRADES)
"""A late trade below the high changes nothing that it answers."""

COMPUTE = compute_with(lambda _: None)
CASES = 10 if PROFILE == "repeatable" else 400  # one takes a second
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
                *(restatements(view, self.records, [m.cut(TRADES) for m in self.versions]) for view in self.views),
                strict=True,
            )
        ]
        found = [sorted(self.rows(manifest), key=str) for manifest in self.versions]
        assert found == expected
        return sum(map(len, found))


def line(event: Event) -> bytes:
    facts = {
        "venue": event.venue,
        "symbol": event.symbol,
        "trade_id": event.sequence,
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
    monkeypatch.setattr("slackwater.views.limits.Limits.connect", lambda *_: session())
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


def interesting(story: Story, manifest: Manifest) -> list[tuple[Any, ...]]:
    """(interval, seconds since T0, cause, trades, trades before, trades after) of the rows of one version."""
    return [
        (
            row["interval"],
            (row["start"] - T0_US) // 1_000_000,
            row["cause"],
            row["trades"],
            *(row[side] and row[side]["trades"] for side in ("before", "after")),
        )
        for row in story.rows(manifest)
        if row["interval"] == "1s"
    ]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "home", 0, (BARS,), partitions=1)


def test_a_bar_is_closed_by_a_trade_two_seconds_behind_its_end_and_not_before(story: Story) -> None:
    story.trade("A", 10.5)
    story.trade("A", 12.999999)
    story.trade("A", 10.6)  # not closed yet
    story.trade("B", 30)  # another instrument closes nothing of A
    story.trade("A", 10.7)
    story.batch()
    assert story.versions[0].restated == {}
    assert not story.versions[0].restatements
    story.trade("A", 13)
    late = story.trade("A", 10.8)
    story.batch()
    assert interesting(story, story.versions[1]) == [("1s", 10, "late_trade", 1, 3, 4)]
    (row,) = (row for row in story.rows(story.versions[1]) if row["interval"] == "1s")
    assert (row["partition"], row["offset"]) == (late.partition, late.offset)
    story.check()


def test_a_record_is_applied_whole_so_nothing_in_it_is_late_by_itself(story: Story) -> None:
    story.record("A", [story.event("A", T0_US + second * 1_000_000) for second in (10, 14, 10)])
    assert story.batch().restated == {}
    story.record("A", [story.event("A", T0_US + second * 1_000_000) for second in (10, 10)])
    assert interesting(story, story.batch()) == [("1s", 10, "late_trade", 2, 2, 4)]
    story.check()


def test_a_late_trade_makes_a_bar_where_there_was_none(story: Story) -> None:
    story.trade("A", 10)
    story.trade("A", 20)
    story.trade("A", 15)
    assert interesting(story, story.batch()) == [("1s", 15, "late_trade", 1, None, 1)]
    story.check()


def test_a_change_of_the_state_that_no_answer_shows_is_no_restatement(tmp_path: Path) -> None:
    story = Story(tmp_path / "home", 0, (TOPS,), partitions=1)
    story.trade("A", 10, price=5 * 10**8)
    story.trade("A", 14)
    story.trade("A", 10, price=4 * 10**8)
    assert not [row for row in story.rows(story.batch()) if row["interval"] == "1s"]
    story.trade("A", 10, price=6 * 10**8)
    (row,) = (row for row in story.rows(story.batch()) if row["interval"] == "1s")
    assert (row["before"], row["after"]) == ({"high": "5"}, {"high": "6"})
    story.check()


def test_slices_of_any_size_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slackwater.restatements.places.SLICE_ROWS", 3)
    story = Story(tmp_path / "home", 5, (BARS,))
    for _ in range(2):
        for _ in range(30):
            story.draw()
        story.batch()
    assert story.check() > 20


@pytest.mark.parametrize("at_once", [1, 7])
def test_ranges_of_time_of_any_size_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("slackwater.restatements.places.EVENTS_AT_ONCE", at_once)
    story = Story(tmp_path / "home", 5, (BARS, SIDES))
    for _ in range(2):
        for _ in range(30):
            story.draw()
        story.batch()
    assert story.check() > 20


@pytest.mark.parametrize(("at_once", "expected"), [(1, 20), (4, 5), (100, 1)])
def test_each_range_holds_about_so_many_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, expected: int
) -> None:
    monkeypatch.setattr("slackwater.restatements.places.EVENTS_AT_ONCE", at_once)
    path = tmp_path / "events.parquet"
    pq.write_table(
        pa.table({"venue": ["v"] * 20, "symbol": ["A"] * 20, "time": [s * 1_000_000 for s in range(20)]}), path
    )
    with connect() as con:
        instrument = pa.table({"venue": ["v"], "symbol": ["A"], "first": [0], "time": [30_000_000]})
        con.register("newest", instrument)
        places = Places(con, Path, TRADES, Instruments(), (), PUBLISHED_INTERVALS)
        ranges = places.imported(f"read_parquet('{path}')")
        each = [con.execute("SELECT start FROM places ORDER BY start").fetchall() for _ in ranges]
        assert list(places.late()) == []
    assert [start for starts in each for (start,) in starts] == [s * 1_000_000 for s in range(20)]
    assert len(each) == expected


def test_only_the_instruments_that_traded_are_looked_up(story: Story) -> None:
    story.trade("A", 10)
    story.trade("B", 10)
    parent = story.batch()
    story.trade("B", 14)
    late = story.trade("B", 10)
    child = story.batch()
    known = _Counting(
        [*parent.instruments_of(TRADES), *(Instrument("v", f"S{n}", 0, T0_US, T0_US) for n in range(100))]
    )
    with connect() as con:
        epoch = [entry for entry in child.archive if entry not in parent.archive]
        places = Places(con, story.world.store.data.fetch, TRADES, known, epoch, PUBLISHED_INTERVALS)
        for _ in places.late():
            assert con.execute("SELECT symbol, first_offset FROM places").fetchall() == [("B", late.offset)]
    assert known.asked == [("v", "B")]


class _Counting(Instruments):
    """Instruments that know which were asked for; as a whole they are not given."""

    asked: list[tuple[str, str]]

    def span(self, venue: str, symbol: str) -> tuple[int, int] | None:
        self.asked = [*getattr(self, "asked", ()), (venue, symbol)]
        return super().span(venue, symbol)

    def table(self) -> pa.Table:
        raise AssertionError("every instrument was asked for")

    def __iter__(self) -> Iterator[Instrument]:
        raise AssertionError("every instrument was asked for")


def test_a_parent_whose_files_are_damaged_is_made_again_of_its_archive(story: Story) -> None:
    for second in (10, 11, 20):
        story.trade("A", second)
    first = story.batch()
    for file in first.parts_of("bars", "1s"):
        path = story.world.home / file.file.path
        path.write_bytes(path.read_bytes()[::-1])
    story.trade("A", 11)
    assert interesting(story, story.batch()) == [("1s", 11, "late_trade", 1, 1, 2)]
    story.check()


@pytest.mark.parametrize("at_once", [1, 1_000_000])
def test_imported_history_repairs_closed_bars_within_what_was_known_of_an_instrument(
    story: Story, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("slackwater.restatements.places.EVENTS_AT_ONCE", at_once)
    for second in (10, 12, 20):
        story.trade("A", second)
    story.batch()
    story.trade("A", 12)  # late, and then the import
    seconds = (5, 12, 15, 18, 30)  # before history began; late; a bar that was not there; not closed; ahead
    events = [story.event("A", T0_US + second * 1_000_000) for second in seconds]
    found = story.batch(extra=epoch_of(story, events))
    assert sorted(interesting(story, found)) == [
        ("1s", 12, "late_trade", 1, 1, 2),
        ("1s", 12, "repair", 1, 2, 3),
        ("1s", 15, "repair", 1, None, 1),
    ]
    repaired = [row for row in story.rows(found) if row["cause"] == "repair"]
    assert {(row["partition"], row["offset"]) for row in repaired} == {(None, None)}


def epoch_of(story: Story, events: Sequence[Event], name: str = "import-1", partition: int = 0) -> Epoch:
    table = events_table(events)
    with ArchiveWriter(TRADES, story.world.home / archive_path(name, TRADES, partition, 0)) as file:
        file.write(archive_table(TRADES, partition, table))
    store = story.world.store
    ids = EpochIds(TRADES, store, name)
    ids.add(table)
    entry = ArchiveFile(store.stored(file.path, file.rows), "trades", name, partition, None, None, file.low, file.high)
    return Epoch("trades", (entry,), ids.finish(), len(events), {})


def test_a_version_that_forgets_what_was_there_is_not_published(story: Story) -> None:
    for second in (10, 11, 20):
        story.trade("A", second)
    story.batch()
    story.trade("A", 11)

    def forgets(segments: Sequence[Segment], *rest: Any) -> None:
        COMPUTE([replace(segment, paths=segment.paths[1:]) for segment in segments], *rest)

    with pytest.raises(RestatementError, match="1 closed bars of bars at 1s"):
        story.world.batch(story.views, compute=forgets, full=True)
    assert story.world.store.current() == story.versions[0]
