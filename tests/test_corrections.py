"""Corrections end to end: what is taken out is in no view, no archive and no index of ids; all else is as it was."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import batch_layer.spans as spans_module
from batch_layer.archive import Epoch
from batch_layer.compaction_run import CompactionRun
from batch_layer.compute import run_pipeline
from batch_layer.correction_run import CorrectionRun, Done
from batch_layer.errors import BatchError
from batch_layer.expire import expire
from batch_layer.remake import Remake
from batch_layer.run import BatchRun
from ingest.archive_import import import_history, new_epoch
from ingest.duplicates import DuplicateFilter
from ingest.errors import UnknownIdsError
from ingest.files.sources import open_source
from ops.cli import main
from ops.time_option import Time
from serving.http.app import create_app
from serving.options import ServingOptions
from serving.status.metrics import served
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.corrections.selection import Selection, SelectionError, parse_entity, read_ids
from slackwater.log.errors import HiddenRecordsError
from slackwater.log.log import Record
from slackwater.log.mark import mark_of
from slackwater.streams.trades import TRADES
from slackwater.versions.corrections import Added
from slackwater.versions.errors import CorrectionWaitsError, RollbackError, WriterRunningError
from slackwater.versions.manifest import Manifest
from slackwater.versions.rollback import rollback
from slackwater.versions.writer_lock import hold, hold_import
from slackwater.views.bars import BARS
from slackwater.views.flow import FLOW
from slackwater.views.interval import PUBLISHED_INTERVALS
from slackwater.views.rows import rows_of
from slackwater.views.view import View
from tests.bars_oracle import Oracle
from tests.beam_world import SYMBOLS, T0_US, bars_of, oracle_bars, settle
from tests.simulation.light import compute_with
from tests.test_prove import Bench

LIGHT = compute_with(lambda _: None)
VIEWS: tuple[View, ...] = (BARS, FLOW)
BTC = ("v", "BTCUSDT")

Places = set[tuple[Any, ...]]


class House(Bench):
    """A world whose corrections are known: `gone` are the places of what was taken out, `imported` the history that
    was imported and is there.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home, VIEWS)
        self.gone: Places = set()
        self.imported: dict[int, bytes] = {}
        self.proven = True
        self.batch_dies = False
        self.compute: Any = LIGHT
        self.epochs: dict[str, dict[int, bytes]] = {}  # every import, whether it was published or not

    @property
    def context(self) -> Context:
        return Context(self.log, self.world.names, self.world.store, VIEWS, SystemClock())

    @property
    def corrections(self) -> CorrectionRun:
        return CorrectionRun(self.context, TRADES)

    def batch(self, records: int = 0, **more: Any) -> Manifest:
        if self.batch_dies:
            raise BatchError("the machine went away")
        self.world.produce(records)
        return self.publish(speed=self.proven, **{"compute": self.compute, **more})

    def remove(self, selection: Selection | None, **more: Any) -> Done:
        done = self.corrections.remove(selection, "ann", "bad tick", lambda: self.batch(**more))
        self.note(done)
        return done

    def note(self, done: Done) -> None:
        table = pq.read_table(self.world.store.data.fetch(done.correction.file))
        self.gone |= {
            (row["partition"], row["offset"], row["index"]) if row["offset"] is not None else int(row["trade_id"])
            for row in table.to_pylist()
        }

    def compact(self) -> Manifest | None:
        return CompactionRun(self.context, True).run()

    def take(self, first: int, count: int, path: Path) -> Manifest:
        """Import history, one trade of BTCUSDT a second."""
        lines = {
            i: b'{"venue":"v","symbol":"BTCUSDT","trade_id":%d,"time":%d,"price":"%d","quantity":"1","side":"buy"}'
            % (i, T0_US + i % 60 * 1_000_000, i % 97 + 1)
            for i in range(first, first + count)
        }
        path.write_bytes(b"\n".join(lines.values()))
        world = self.world
        with hold_import(world.home, world.topic_id) as lock:
            of = TRADES, open_source(TRADES, str(path)), world.store, world.log, world.names, SystemClock(), lock
            done = import_history(*of, epoch=new_epoch())
            self.epochs[done.epoch] = lines
            extra = Epoch("trades", done.archive, done.ids, done.summary.accepted, done.summary.refused)
            made = self.batch(extra=extra)
        self.imported |= lines
        return made

    def oracle(self, manifest: Manifest) -> Oracle:
        """Over the log below a version's cut and what was imported, without what is gone."""
        oracle = Oracle([interval.us for interval in PUBLISHED_INTERVALS])
        for p, record in self.world.records(self.world.names.topic("trades"), manifest.cut(TRADES)):
            if mark_of(record) is None:
                lines = (record.value or b"").split(b"\n")
                left = [line for i, line in enumerate(lines) if (p, record.offset, i) not in self.gone]
                if left:
                    oracle.record(b"\n".join(left), record.append_time_ms)
        for trade_id, line in self.imported.items():
            if trade_id not in self.gone:
                oracle.record(line, T0_US // 1000 + 10**9)
        return oracle

    def events_in(self, record: Record) -> list[int]:
        """The indexes of the events in a record."""
        return [index for index, _ in Oracle([]).record(record.value, record.append_time_ms)]

    def check(self, manifest: Manifest | None) -> None:
        """Archive, ids and every published bar are the oracle's."""
        assert manifest is not None
        world = self.world
        world.store.check([*manifest.dataset, *(part.file for part in manifest.parts)])
        oracle = self.oracle(manifest)
        assert manifest.count("events") == oracle.events == sum(entry.file.rows for entry in manifest.archive)
        for interval in PUBLISHED_INTERVALS:
            rows = [
                row
                for part in manifest.parts_of(BARS.name, interval.text)
                for row in rows_of(BARS, pq.read_table(world.store.data.fetch(part.file)))
            ]
            assert bars_of(rows, interval) == oracle_bars(oracle, interval)
        known = {(i.venue, i.symbol): (i.first_start, i.last_start) for i in manifest.instruments_of(TRADES)}
        assert known.keys() == set(oracle.instruments)

    def knows(self) -> Any:
        """What an ingest that begins now says of events: 0 new, 1 duplicate, 2 conflict."""
        world = self.world
        return DuplicateFilter(TRADES, world.log, world.names, world.store, SystemClock())

    def restated(self, manifest: Manifest, cause: str) -> list[dict[str, Any]]:
        ledgers = [ledger for ledger in manifest.restatements if ledger.version == manifest.version]
        rows = [row for led in ledgers for row in pq.read_table(self.world.store.data.fetch(led.file)).to_pylist()]
        return [row for row in rows if row["cause"] == cause]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "home")
    yield house
    house.speed.close()
    house.world.close()


def layout(manifest: Manifest) -> list[tuple[Any, ...]]:
    return sorted((p.view, p.interval, p.shard, p.low, p.high, p.file.sha256) for p in manifest.parts)


@pytest.mark.parametrize(
    ("full", "proven", "slices"), [(False, True, 10), (False, False, 50_000), (True, True, 50_000)]
)
def test_the_events_of_an_entity_and_a_time_go(
    house: House, monkeypatch: pytest.MonkeyPatch, full: bool, proven: bool, slices: int
) -> None:
    monkeypatch.setattr("slackwater.store.layout.SLICE_ROWS", slices)
    monkeypatch.setattr("slackwater.store.compaction.SLICE_ROWS", slices)
    house.proven = proven
    house.batch(200)
    before = house.batch(60)
    house.world.produce(60)  # above the cut: they go, too
    asked = Selection(entity=BTC, start=T0_US, end=T0_US + 3_000_000)
    seen = house.corrections.look(asked)
    house.check(before)
    done = house.remove(asked, full=full)
    assert seen.events == done.summary.events == len(house.gone) > 5
    assert any(place[1] >= before.cut(TRADES)[place[0]] for place in house.gone)
    made = done.version
    assert (made.corrected, made.corrections, made.count("corrected")) == (1, (1,), len(house.gone))
    assert made.proof.outcome == ("equal" if proven else "unproven")
    assert all(proof.outcome == "unproven" for proof in house.later().values())
    house.check(made)
    later = house.batch(60)
    assert (later.corrected, later.corrections) == (1, ())
    house.check(later)
    merged = house.compact()
    house.check(merged)
    assert merged is not None
    again = house.batch(full=True, compute=run_pipeline)
    house.check(again)
    assert layout(merged) == layout(again)


def test_only_parts_that_hold_its_bars_are_written_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slackwater.store.layout.SLICE_ROWS", 10)
    for _ in range(4):
        before = house.batch(60)
    entity = min(SYMBOLS)
    done = house.remove(Selection(entity=("v", entity), start=T0_US + 61_000_000, end=T0_US + 62_000_000))
    shards = {place[0] for place in house.gone}
    kept = [part for part in before.parts if part in done.version.parts]
    assert {part.shard for part in before.parts if part not in kept} == shards
    assert any(part.shard in shards for part in kept)
    house.check(done.version)


def test_bars_that_change_are_restatements(house: House) -> None:
    house.batch(300)
    house.batch(1)
    done = house.remove(Selection(entity=BTC, start=T0_US, end=T0_US + 2_000_000))
    assert told(house, done) == changed(house, done)
    rows = house.restated(done.version, "correction")
    assert done.version.restated == {"correction": len(rows)}
    assert {row["symbol"] for row in rows} == {"BTCUSDT"}


def told(house: House, done: Done) -> set[int]:
    """The seconds of BTCUSDT that a version restates for a correction."""
    rows = house.restated(done.version, "correction")
    found = {row["start"] for row in rows if (row["view"], row["interval"]) == (BARS.name, "1s")}
    assert found
    return found


def changed(house: House, done: Done) -> set[int]:
    """The same by the oracle: closed bars that are others than without the correction."""
    second = PUBLISHED_INTERVALS[0]
    now = oracle_bars(house.oracle(done.version), second)
    gone, imported, house.gone, house.imported = house.gone, house.imported, set(), {}
    was = oracle_bars(house.oracle(done.version), second)
    house.gone, house.imported = gone, imported
    newest = max(start for key, start in was if key == BTC)
    starts = {start for key, start in {*was, *now} if key == BTC and start + 3_000_000 <= newest}
    return {start for start in starts if was.get((BTC, start)) != now.get((BTC, start))}


def test_ids_of_what_is_gone_are_free_again_and_no_others(house: House) -> None:
    house.batch(200)
    house.remove(Selection(entity=BTC))
    taken = pq.read_table(house.world.home / house.world.store.corrections.all()[0].file.path)
    known = house.knows()
    gone = taken.select(TRADES.schema.names).cast(TRADES.schema)
    assert set(known.judge(gone.slice(0, 50)).tolist()) == {0}
    current = house.world.store.current()
    assert current is not None
    rest = pa.concat_tables([pq.read_table(house.world.store.data.fetch(e.file)) for e in current.archive])
    assert set(house.knows().judge(rest.select(TRADES.schema.names).cast(TRADES.schema)).tolist()) == {1}
    assert house.knows().known.entities == {("v", symbol) for symbol in SYMBOLS} - {BTC}


def test_an_imported_epoch_goes_whole_and_can_come_again(house: House, tmp_path: Path) -> None:
    house.batch(100)
    first = house.take(10**6, 90, tmp_path / "a.jsonl")
    house.take(2 * 10**6, 30, tmp_path / "b.jsonl")
    epoch = next(entry.epoch for entry in first.archive if entry.start is None)
    done = house.remove(Selection(epoch=epoch))
    assert house.gone == set(range(10**6, 10**6 + 90))
    house.check(done.version)
    house.gone = set()
    again = house.take(10**6, 90, tmp_path / "a.jsonl")
    house.check(again)
    assert again.count("duplicates") == 0


def test_duplicates_go_and_the_first_stays(house: House) -> None:
    house.batch(80)
    records = house.world.records(house.world.names.topic("trades"))
    lines = [(p, record.value) for p, record in records if mark_of(record) is None][:30]
    for p, value in lines:  # a foreign writer, who knows of no index
        house.world.append(p, value)
    doubled = house.batch()
    assert doubled.count("duplicates") > 20
    done = house.remove(None)
    assert done.correction.kind == "duplicates"
    assert done.summary.events == doubled.count("duplicates") == len(house.gone)
    assert done.version.count("duplicates") == 0
    assert done.version.duplicates == ()
    house.check(done.version)
    current = pa.concat_tables([pq.read_table(house.world.store.data.fetch(e.file)) for e in done.version.archive])
    assert set(house.knows().judge(current.select(TRADES.schema.names).cast(TRADES.schema)).tolist()) == {1}


def test_duplicates_are_chosen_of_what_earlier_corrections_left(house: House) -> None:
    house.batch(80)
    p, value = next((p, r.value) for p, r in house.world.records(house.world.names.topic("trades")) if not mark_of(r))
    trade = json.loads((value or b"").split(b"\n")[0])
    house.batch_dies = True
    only = pa.table({name: [str(trade[name])] for name in ("venue", "symbol", "trade_id")})
    with pytest.raises(CorrectionWaitsError, match="went away"):
        house.remove(Selection(ids=only))
    house.batch_dies = False
    house.world.append(p, value)
    with hold(house.world.home, house.world.topic_id, SystemClock()):
        doubled = house.batch(patience_s=0.0)
    assert doubled.count("duplicates") > 0
    with pytest.raises(CorrectionWaitsError, match="corrections 1 of trades are written down"):
        house.remove(None)
    assert house.world.store.corrections.last() == 1


def test_ids_of_a_file_go(house: House, tmp_path: Path) -> None:
    manifest = house.batch(100)
    table = pa.concat_tables([pq.read_table(house.world.store.data.fetch(e.file)) for e in manifest.archive])
    some = random.Random(4).sample(range(table.num_rows), 20)
    rows = table.take(some).to_pylist()
    path = tmp_path / "ids.csv"
    lines = [f"{row['venue']},{row['symbol']},{row['trade_id']}" for row in rows]
    path.write_text("\n".join(["venue,symbol,trade_id", *lines]))
    done = house.remove(Selection(ids=read_ids(TRADES, path)))
    assert house.gone == {(row["partition"], row["offset"], row["index"]) for row in rows}
    house.check(done.version)


def test_who_dies_after_the_ledger_was_written_loses_nothing(house: House) -> None:
    house.batch(100)

    def dies() -> Manifest:
        raise BatchError("the machine went away")

    with pytest.raises(CorrectionWaitsError, match="written down and not applied yet: the machine went away"):
        house.corrections.remove(Selection(entity=BTC), "ann", "bad", dies)
    run = BatchRun(house.context, compute=LIGHT, on_step=lambda _: house.speed.step())
    made = run.run_if_new()
    assert isinstance(made, Manifest)
    (correction,) = house.world.store.corrections.all()
    assert (made.corrected, made.count("corrected")) == (1, correction.file.rows)
    assert BatchRun(house.context, compute=LIGHT).run_if_new().version == made.version


def test_a_correction_waits_for_a_writer_that_does_not_let_go(house: House) -> None:
    house.batch(100)
    with hold(house.world.home, house.world.topic_id, SystemClock()):
        with pytest.raises(
            CorrectionWaitsError, match="version 3 was published, and came no further than correction 0"
        ):
            house.remove(Selection(entity=BTC), patience_s=0.0)
        assert house.batch(10, patience_s=0.0).corrected == 0
    made = house.batch()
    (correction,) = house.world.store.corrections.all()
    assert (made.corrected, made.count("corrected")) == (1, correction.file.rows)


@pytest.mark.parametrize(
    ("asked", "fact"),
    [
        (Selection(epoch="import-no"), "no epoch 'import-no'"),
        (Selection(entity=("v", "NOPE")), "No event of trades is that: of v:NOPE"),
        (None, "No event of trades is that: duplicates"),
    ],
)
def test_what_names_nothing_is_refused(house: House, asked: Selection | None, fact: str) -> None:
    with pytest.raises(BatchError, match="Nothing is published"):
        house.remove(asked)
    house.batch(30)
    with pytest.raises(SelectionError, match=fact):
        house.remove(asked)
    assert house.world.store.corrections.all() == []


def test_an_entity_is_read(tmp_path: Path) -> None:
    assert parse_entity(TRADES, "v:A:B") == ("v", "A:B")
    with pytest.raises(SelectionError, match="'v' is no entity of trades"):
        parse_entity(TRADES, "v")
    path = tmp_path / "ids.csv"
    path.write_text("trade_id\n7\n\n")
    assert read_ids(TRADES, path, BTC).to_pylist() == [{"venue": "v", "symbol": "BTCUSDT", "trade_id": "7"}]
    with pytest.raises(SelectionError, match="cannot be read"):
        read_ids(TRADES, path)
    with pytest.raises(SelectionError, match="cannot be read"):
        read_ids(TRADES, tmp_path / "none.csv")


def test_what_cannot_be_corrected_bar_by_bar_is_made_again(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house.batch(100)
    monkeypatch.setattr("batch_layer.correct_parts.within_sql", lambda _view, states, *_: f"SELECT * FROM {states}")
    done = house.remove(Selection(entity=BTC))
    assert "made again of the whole archive: The touched bars of bars at 1m held" in caplog.text
    assert done.version.proof.outcome == "unproven"
    house.check(done.version)


def back_to(house: House, version: int, **more: Any) -> Manifest:
    """The version that is served after a rollback that makes one."""
    move = Remake(house.context, compute=LIGHT, stable_wait_s=0.0, **more).rollback(version, "wrong notional", "ann")
    current = house.world.store.current()
    assert current is not None
    assert current.version == move.target
    return current


def test_a_rollback_across_a_correction_or_an_import_is_refused(house: House, tmp_path: Path) -> None:
    first = house.batch(100)
    second = house.take(10**6, 20, tmp_path / "a.jsonl")
    house.remove(Selection(entity=BTC, end=T0_US + 1_000_000))
    with pytest.raises(RollbackError, match=r"corrections 1 took out, .*holds the imports import-"):
        rollback(house.world.store, first.version, "why", "ann", lambda: 7)
    with pytest.raises(RollbackError, match=r"corrections 1 took out, the other is not\."):
        rollback(house.world.store, second.version, "why", "ann", lambda: 7)


@pytest.mark.parametrize("proven", [True, False])
def test_a_version_is_made_of_an_older_one_with_both_applied_again(house: House, tmp_path: Path, proven: bool) -> None:
    house.proven = proven
    first = house.batch(100)
    house.take(10**6, 90, tmp_path / "a.jsonl")
    house.batch(50)
    house.remove(Selection(entity=BTC, end=T0_US + 2_000_000))
    house.batch(50)
    made = back_to(house, first.version)
    assert (made.parent, made.corrected) == (first.version, 1)
    assert all(made.cut(TRADES)[p] > at for p, at in first.cut(TRADES).items()), "what came since is archived again"
    house.check(made)
    assert made.version not in house.world.store.candidates([made])
    later = house.batch(30)
    assert later.parent == made.version
    house.check(later)
    events = pa.concat_tables([pq.read_table(house.world.store.data.fetch(e.file)) for e in later.archive])
    assert set(house.knows().judge(events.select(TRADES.schema.names).cast(TRADES.schema)).tolist()) == {1}
    assert later.count("duplicates") == 0
    merged = house.compact()
    assert merged is not None or not proven
    if merged is not None:
        house.check(merged)


def test_a_version_that_cannot_be_made_moves_nothing(house: House) -> None:
    first = house.batch(50)
    current = house.batch(50)
    with pytest.raises(RollbackError, match="is current already"):
        back_to(house, current.version)
    with hold(house.world.home, house.world.topic_id, SystemClock()), pytest.raises(WriterRunningError):
        back_to(house, first.version, patience_s=0.0)
    assert house.world.store.pointer().version == current.version


def replaced(house: House, lines: list[bytes], path: Path) -> Done:
    """Put events in the place of those with the same ids."""
    path.write_bytes(b"\n".join(lines))
    world = house.world
    with hold_import(world.home, world.topic_id) as lock:
        of = TRADES, open_source(TRADES, str(path)), world.store, world.log, world.names, SystemClock(), lock
        done = import_history(*of, epoch=new_epoch(), replacing=True)
        house.epochs[done.epoch] = {json.loads(line)["trade_id"]: line for line in lines}
        added = Added(done.epoch, done.archive, done.summary.accepted)
        return house.corrections.replace(added, path.name, "ann", "fixed", house.batch)


@pytest.mark.parametrize("proven", [True, False])
def test_events_take_the_place_of_others_in_one_version(house: House, tmp_path: Path, proven: bool) -> None:
    house.proven = proven
    house.batch(150)
    before = house.batch(1)
    house.world.produce(20)  # above the cut: one of them is replaced, too
    seen = [
        row for entry in before.archive for row in pq.read_table(house.world.store.data.fetch(entry.file)).to_pylist()
    ]
    btc = [row for row in seen if row["symbol"] == "BTCUSDT"][:12]
    above = [
        line
        for _, record in house.world.records(house.world.names.topic("trades"))
        for line in (record.value or b"").split(b"\n")
    ]
    newest = next(json.loads(line) for line in reversed(above) if b"BTCUSDT" in line)
    ids = [*(int(row["trade_id"]) for row in btc), newest["trade_id"]]
    times = [*(row["time"] for row in btc), newest["time"]]
    lines = {
        i: b'{"venue":"v","symbol":"BTCUSDT","trade_id":%d,"time":%d,"price":"77","quantity":"2","side":"sell"}'
        % (i, t)
        for i, t in zip(ids, times, strict=True)
    }
    done = replaced(house, list(lines.values()), tmp_path / "fixed.jsonl")
    house.note(done)
    house.imported = lines
    assert (done.correction.kind, done.summary.events) == ("replace", 13)
    house.check(done.version)
    assert done.version.count("duplicates") == 0
    assert told(house, done) == changed(house, done)
    house.check(house.batch(20))
    known = house.knows().judge(_events(house, done))
    assert set(known.tolist()) == {1}
    assert layout(house.batch(full=True, compute=run_pipeline)) == layout(house.batch(full=True, compute=run_pipeline))


def _events(house: House, done: Done) -> pa.Table:
    tables = [pq.read_table(house.world.store.data.fetch(e.file)) for e in done.version.archive]
    return pa.concat_tables(tables).select(TRADES.schema.names).cast(TRADES.schema)


def test_a_replacement_that_dies_comes_with_the_next_run(house: House, tmp_path: Path) -> None:
    house.batch(40)
    house.take(10**6, 5, tmp_path / "a.jsonl")
    lines = {
        i: b'{"venue":"v","symbol":"BTCUSDT","trade_id":%d,"time":%d,"price":"7","quantity":"2","side":"sell"}'
        % (i, T0_US)
        for i in range(10**6, 10**6 + 5)
    }
    house.batch_dies = True
    with pytest.raises(CorrectionWaitsError, match="went away"):
        replaced(house, list(lines.values()), tmp_path / "b.jsonl")
    house.batch_dies = False
    expire(house.context, 1)
    made = house.batch()
    assert made.corrected == 1
    (correction,) = house.world.store.corrections.all()
    house.note(Done(correction, house.corrections.look(Selection()), made))
    house.gone -= set(lines)  # their places name an epoch: these are of another
    house.imported = lines
    house.check(made)


def test_a_file_that_replaces_nothing_changes_nothing(house: House, tmp_path: Path) -> None:
    before = house.batch(40)
    line = (
        b'{"venue":"v","symbol":"BTCUSDT","trade_id":999999,"time":%d,"price":"7","quantity":"2","side":"sell"}' % T0_US
    )
    with pytest.raises(UnknownIdsError, match="neither the archive nor the log holds v:BTCUSDT:999999"):
        replaced(house, [line], tmp_path / "new.jsonl")
    current = house.world.store.current()
    assert current == before
    assert [name for name in house.world.store.files.names(house.world.home / "archive") if "import" in name] == []


def test_a_service_says_which_corrections_it_serves_and_which_wait(house: House) -> None:
    house.batch(60)
    app = create_app(house.log, house.world.names, house.world.store, VIEWS, SystemClock(), ServingOptions(poll_s=0.0))
    service = app.state.service

    def waiting() -> tuple[float, float]:
        service.step()
        found = {
            metric.name: metric for metric in served(service.watch, service.proofs, house.world.store, SystemClock())
        }
        names = ("slackwater_corrections_waiting", "slackwater_batch_corrected")
        return tuple(found[name].samples[0].value for name in names)  # type: ignore[return-value]

    try:
        assert waiting() == (0, 0)
        house.batch_dies = True
        with pytest.raises(CorrectionWaitsError):
            house.remove(Selection(entity=BTC))
        house.batch_dies = False
        assert waiting() == (1, 0)
        made = house.batch()
        settle(lambda: waiting() == (0, made.count("corrected")))
    finally:
        service.stop()


def test_nobody_judges_by_identities_that_are_about_to_be_free(house: House, tmp_path: Path) -> None:
    house.batch(60)
    house.batch_dies = True
    with pytest.raises(CorrectionWaitsError):
        house.remove(Selection(entity=BTC))
    house.batch_dies = False
    with pytest.raises(CorrectionWaitsError, match="corrections 1 of trades"):
        house.remove(Selection(entity=("v", "ETHUSDT")))
    with pytest.raises(CorrectionWaitsError):
        house.take(10**6, 3, tmp_path / "a.jsonl")
    house.batch()
    house.remove(Selection(entity=("v", "ETHUSDT")))
    house.take(10**6, 3, tmp_path / "a.jsonl")
    assert house.world.store.corrections.last() == 2


def test_a_correction_of_what_is_held_waits_until_it_is_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.batch(60)
    house.world.produce(60)
    real = spans_module.await_stable
    held = {0, 1, 2, 3}

    def hidden(log: Any, topic: str, *more: Any) -> Any:
        bounds, found = real(log, topic, *more)
        return bounds, {**found, **{p: HiddenRecordsError(topic, p, 0, 1) for p in held & bounds.keys()}}

    monkeypatch.setattr(spans_module, "await_stable", hidden)
    held = {p for p in held if p != 0}
    asked = Selection(entity=BTC)
    if house.world.log.partition_of(b"v:BTCUSDT", 2) == 0:
        held = {0}
    with pytest.raises(CorrectionWaitsError, match="came no further than correction 0"):
        house.remove(asked)
    current = house.world.store.current()
    assert current is not None
    assert current.corrected == 0
    held = set()
    made = house.batch()
    assert made.corrected == 1
    correction = house.world.store.corrections.all()[0]
    house.note(Done(correction, house.corrections.look(Selection(entity=BTC)), made))
    house.check(made)


def test_a_damaged_file_of_the_ledger_stops_no_run(house: House) -> None:
    house.batch(60)
    house.batch_dies = True
    with pytest.raises(CorrectionWaitsError):
        house.remove(Selection(entity=BTC))
    house.batch_dies = False
    (correction,) = house.world.store.corrections.all()
    path = house.world.home / correction.file.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert house.batch(10).corrected == 0
    path.write_bytes(whole)
    assert house.batch(10).corrected == 1


def test_no_server_falls_back_on_what_was_left_for_a_version_that_was_made(house: House, tmp_path: Path) -> None:
    first = house.batch(40)
    house.take(10**6, 5, tmp_path / "a.jsonl")
    left = house.batch(10)
    back_to(house, first.version)
    assert left.version in house.world.store.withdrawn()
    assert first.version not in house.world.store.withdrawn()


def test_the_time_that_a_refusal_names_is_one_that_is_taken() -> None:
    asked = ["correct", "remove", "--entity", "v:A", "--from", "2026-01-01", "--reason", "x"]
    refused = CliRunner().invoke(main, asked)
    assert "'2026-01-01' has no offset; write 2026-01-01T00:00:00Z for UTC." in refused.output
    assert Time().convert("2026-01-01T00:00:00Z", None, None) == 1_767_225_600_000_000
