"""The proof at every publish, on a log in memory with the real tiling, sink, archive and pipeline.

    world.produce(...)      records
    publish(world, speed)   a batch run; the speed layer takes a turn behind its marks

Not here: the same on a real broker (`test_prove_broker`), and what readiness says (`test_serving_handoff`).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_layer.archive import Epoch
from batch_layer.compute import run_pipeline
from batch_layer.errors import ParentRefutedError, ProofFailedError
from batch_layer.prove_later import open_versions, prove_later
from batch_layer.run import BatchRun
from lesson.memory_log import MemoryLog
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.deltas.cell import OPEN
from slackwater.log.log import Record
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.streams.trades import TRADES
from slackwater.versions.handoff import handoff_path, latest_proof, read_handoff, refuted, write_handoff
from slackwater.versions.manifest import ArchiveFile, Manifest, encode_manifest
from slackwater.versions.pointer import Pointer, encode_pointer
from slackwater.versions.proof import Forced, Proof
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.limits import Limits
from slackwater.views.view import View
from tests.beam_world import memory_world
from tests.hand import HandClock
from tests.speed_in_memory import Speed


class Bench:
    """A world and its speed layer."""

    def __init__(self, home: Path, views: tuple[View, ...] = (BARS,)) -> None:
        self.world = memory_world(home)
        assert isinstance(self.world.log, MemoryLog)
        self.log: MemoryLog = self.world.log
        self.views = views
        self.speed = Speed(self.log, self.world.names, self.world.store, views)

    def restart(self) -> None:
        self.speed.close()
        self.speed = Speed(self.log, self.world.names, self.world.store, self.views)

    def publish(self, speed: bool = True, at: Mapping[str, Callable[[], None]] | None = None, **more: Any) -> Manifest:
        """A run; `at` maps a step to what happens before it."""

        def on_step(step: str) -> None:
            if step == "prove" and speed:
                self.speed.step()
            (at or {}).get(step, lambda: None)()

        world, clock = self.world, more.pop("clock", SystemClock())
        return BatchRun(Context(self.log, world.names, world.store, self.views, clock), on_step=on_step, **more).run()

    def later(self) -> dict[int, Proof]:
        """What proving again gives, of every version that is open."""
        world = self.world
        context = Context(self.log, world.names, world.store, self.views, SystemClock())
        found = prove_later(context, list(open_versions(world.store)))
        return {manifest.version: proof for manifest, proof in found}

    def deltas(self, partition: int) -> dict[int, Record]:
        """Offset -> the record of a sealed delta with rows."""
        records = self.log.topics[self.world.names.deltas("trades")][partition].records
        return {
            at: record
            for at, record in records.items()
            if json.loads(record.key or b"")[4] != OPEN and json.loads(record.value or b"")["rows"]
        }

    def corrupt_delta(self, change: Callable[[dict[str, Any]], object], partition: int = 0) -> None:
        """Rewrite the last sealed delta of a partition in place."""
        records = self.deltas(partition)
        at = max(records)
        found = json.loads(records[at].value or b"")
        change(found)
        value = json.dumps(found, separators=(",", ":")).encode()
        self.log.topics[self.world.names.deltas("trades")][partition].records[at] = records[at]._replace(value=value)

    def corrupt_archive(self, home: VersionStore) -> None:
        """Rewrite one price of the served version's archive, and manifest and pointer so that every check passes."""
        manifest = home.current()
        assert manifest is not None
        entry = manifest.archive[0]
        path = home.home / entry.file.path
        table = pq.read_table(path)
        prices = table.column("price").to_pylist()
        prices[0] += 1
        column = pa.array(prices, table.schema.field("price").type)
        pq.write_table(table.set_column(table.schema.get_field_index("price"), "price", column), path)
        forge(home, manifest, replace(entry, file=home.stored(path, entry.file.rows)))


def forge(store: VersionStore, manifest: Manifest, *entries: ArchiveFile) -> None:
    """Write a version's manifest again, with other files in place of its first."""
    data = encode_manifest(replace(manifest, archive=(*entries, *manifest.archive[1:])))
    path = store.manifest_path(manifest.version)
    path.write_bytes(data)
    pointer = Pointer(manifest.version, store.files.fingerprint(path)[1])
    (store.folder / "current").write_bytes(encode_pointer(pointer))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "home")
    yield made
    made.speed.close()


def raise_trades(cell: dict[str, Any]) -> None:
    cell["rows"][0][-1] += 1


# Equal


def test_every_version_from_the_first_on_is_proven_equal(bench: Bench) -> None:
    versions = []
    for records in (60, 0, 700):
        bench.world.produce(records)
        versions.append(bench.publish())
        bench.world.check(versions[-1])
    assert [v.proof.outcome for v in versions] == ["equal"] * 3
    first, second, third = (v.proof for v in versions)
    assert (first.reason, first.differ, first.first, first.forced) == ("", 0, (), None)
    assert [(s.gap, s.overlap) for p in (first, second, third) for s in p.spans] == [(0, 0)] * 6
    assert {s.partition: (s.start, s.upto) for s in third.spans} == {
        p: (versions[1].cut("trades")[p], versions[2].cut("trades")[p]) for p in (0, 1)
    }
    for version in versions:
        assert sum(s.events for s in version.proof.spans) == version.count("new_events")
    assert sum(s.refused for v in versions for s in v.proof.spans) == versions[-1].count("refused")
    assert max(s.cells for s in third.spans) >= 3, "grid lines seal cells between the cuts, too"
    assert first.compared == sum(part.file.rows for part in versions[0].parts)
    assert second.compared == 0, "a run is proven in what is new"
    assert third.compared == sum(part.file.rows for part in versions[2].own)
    assert versions[2].parts == versions[1].parts + versions[2].own
    assert bench.world.store.current() == versions[-1]


def test_cells_are_merged_in_between_where_they_are_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_layer.comparison.CHUNK_ROWS", 3)
    monkeypatch.setattr("batch_layer.comparison.MERGE_ROWS", 5)
    bench.world.produce(900)
    published = bench.publish()
    assert max(span.cells for span in published.proof.spans) >= 3
    assert published.proof.outcome == "equal"


class Turning(HandClock):
    """A clock whose every wait lets the speed layer take a turn; `turns` are left."""

    def __init__(self, turn: Callable[[], None]) -> None:
        super().__init__()
        self._turn = turn
        self.waits = 0

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.waits += 1
        if self.waits == 3:
            self._turn()


def test_a_proof_waits_for_the_deltas_and_no_longer(bench: Bench) -> None:
    bench.world.produce(60)
    clock = Turning(bench.speed.step)
    published = bench.publish(speed=False, clock=clock, proof_deadline_s=60.0)
    assert published.proof.outcome == "equal"
    assert clock.waits == 3
    assert clock.seconds < 2


def test_a_proof_that_waits_in_vain_ends_at_the_deadline(bench: Bench) -> None:
    bench.world.produce(60)
    clock = Turning(lambda: None)
    published = bench.publish(speed=False, clock=clock, proof_deadline_s=7.0)
    assert published.proof.outcome == "unproven"
    assert 7.0 <= clock.seconds < 7.5


def test_replayed_deltas_change_nothing_and_a_delta_topic_that_was_created_again_is_read_from_its_start(
    bench: Bench,
) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.world.produce(300)
    bench.publish(speed=False)
    bench.log.create(bench.world.names.deltas("trades"), 2)
    bench.restart()
    for _ in range(2):
        bench.speed.step()
        bench.restart()
    assert {v: p.outcome for v, p in bench.later().items()} == {2: "equal"}


def test_imported_history_is_recomputed_from_its_own_files(bench: Bench) -> None:
    bench.world.produce(30)
    first = bench.publish()
    entry = first.archive[0]
    events = pq.read_table(bench.world.home / entry.file.path).select(TRADES.schema.names)
    path = bench.world.home / archive_path("history", TRADES, entry.partition, 0)
    with ArchiveWriter(TRADES, path) as writer:  # the same events again: a sum is a sum
        writer.write(archive_table(TRADES, entry.partition, events))
    stored = bench.world.store.stored(path, events.num_rows)
    extra = Epoch(
        "trades",
        (ArchiveFile(stored, "trades", "history", entry.partition, None, None, writer.low, writer.high),),
        (),
        events.num_rows,
        {},
    )
    bench.world.produce(30)
    second = bench.publish(extra=extra, speed=False)
    assert (second.proof.outcome, second.proof.imported) == ("unproven", events.num_rows)
    bench.speed.step()
    third = bench.publish()
    assert (third.proof.outcome, third.proof.imported) == ("equal", 0)
    later = latest_proof(bench.world.store, second)
    assert (later.outcome, later.imported) == ("equal", events.num_rows)


# Different


def test_one_corrupt_delta_stops_the_publication(bench: Bench) -> None:
    bench.world.produce(60)
    served = bench.publish()
    bench.world.produce(60)

    def corrupt() -> None:
        bench.corrupt_delta(raise_trades)

    with pytest.raises(ProofFailedError, match=r"bars 1s v:\w+ at \d+: trades expected \d+, found \d+") as caught:
        bench.publish(at={"prove": corrupt})
    assert "Version 2 is not published, version 1 stays served" in str(caught.value)
    assert "--force" in caught.value.hint
    assert bench.world.store.current() == served
    proof = (read_handoff(bench.world.store, 2) or {}).get("trades")
    assert proof == caught.value.proof and proof is not None
    assert (proof.outcome, proof.differ, len(proof.first)) == ("different", 1, 1)
    difference = proof.first[0]
    assert int(difference.expected) == int(difference.found) + 1
    assert (difference.view, difference.interval, difference.partition) == ("bars", "1s", 0)
    assert [m.version for m in bench.world.store.whole()] == [1]


def test_one_corrupt_archived_row_stops_a_full_run(bench: Bench) -> None:
    """A run that takes the parent's parts over does not read what they were made of."""
    bench.world.produce(60)
    bench.publish()
    bench.corrupt_archive(bench.world.store)
    served = bench.world.store.current()
    bench.world.produce(60)
    for _ in range(2):
        with pytest.raises(ProofFailedError, match=r"1s v:\w+ at \d+: .* expected"):
            bench.publish(full=True)
        assert bench.world.store.current() == served


def test_a_version_that_differs_is_published_by_force_alone_and_the_force_is_recorded(bench: Bench) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.world.produce(60)
    forced = Forced("somebody", "the delta is wrong, the log was checked")
    published = bench.publish(at={"prove": lambda: bench.corrupt_delta(raise_trades)}, forced=forced)
    assert (published.proof.outcome, published.proof.forced) == ("different", forced)
    assert bench.world.store.current() == published == bench.world.store.manifest(2)
    assert [m.version for m in bench.world.store.whole()] == [1], "served through the pointer alone"
    # What was answered counted one trade more than the version does.
    rows = pq.read_table(bench.world.home / published.restatements[-1].file.path).to_pylist()
    repaired = [row for row in rows if row["cause"] == "repair"]
    assert {row["interval"] for row in repaired} <= {"1s", "1m", "1h"} and repaired
    assert published.restated["repair"] == len(repaired)
    for row in repaired:
        before, after = json.loads(row["before"]), json.loads(row["after"])
        assert {**before, "trades": before["trades"] - 1} == after
        assert (row["partition"], row["offset"], row["trades"]) == (None, None, None)
    bench.world.check(published)
    bench.world.produce(20)
    following = bench.publish(forced=forced)
    assert (following.proof.outcome, following.proof.forced) == ("equal", None), "nothing had to be forced"


def test_a_second_cell_over_one_slice_stops_the_publication_even_where_the_first_is_right(bench: Bench) -> None:
    bench.world.produce(60)

    def append_another() -> None:
        record = bench.deltas(0)[max(bench.deltas(0))]
        found = json.loads(record.value or b"")
        raise_trades(found)
        value = json.dumps(found, separators=(",", ":")).encode()
        bench.log.append(bench.world.names.deltas("trades"), 0, record.key, value)

    with pytest.raises(ProofFailedError, match=r"Two cells of .* differ"):
        bench.publish(at={"prove": append_another})
    assert bench.world.store.current() is None


@pytest.mark.parametrize("part", ["1m", "1h"])
def test_a_coarser_interval_that_is_not_its_finer_bars_stops_the_publication(bench: Bench, part: str) -> None:
    bench.world.produce(60)

    def wrong(segments: Any, views: Any, folder: Path, *more: Any) -> None:
        run_pipeline(segments, views, folder, *more)
        path = folder / "bars" / part / "0.parquet"
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)

    with pytest.raises(ProofFailedError, match=f"bars {part} .*: row expected one row, found 2 rows"):
        bench.publish(compute=wrong)


# Unproven


def test_without_the_speed_layer_a_version_is_published_unproven(bench: Bench) -> None:
    bench.world.produce(60)
    published = bench.publish(speed=False)
    assert published.proof.outcome == "unproven"
    assert "The speed layer is behind: its cells of bars in partition 0 reach 0" in published.proof.reason
    assert published.proof.gap == sum(published.cut(TRADES).values())
    assert bench.world.store.current() == published


def test_a_hole_in_the_chain_is_unproven_with_that_reason(bench: Bench) -> None:
    bench.world.produce(700)
    records = bench.log.topics[bench.world.names.deltas("trades")][0].records

    def lose() -> None:
        del records[min(bench.deltas(0))]

    published = bench.publish(at={"prove": lose})
    assert published.proof.outcome == "unproven"
    assert "A hole: no cell of bars in partition 0 starts at 0" in published.proof.reason


def test_another_definition_has_nothing_in_common(bench: Bench, tmp_path: Path) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.views = (replace(BARS, measures={n: m for n, m in BARS.measures.items() if n != "buy_volume"}, answers={}),)
    bench.restart()
    published = bench.publish()
    assert published.proof.outcome == "unproven"
    assert f"No common definition of bars: version 1 holds {BARS.definition}, this one " in published.proof.reason


def test_a_delta_that_cannot_be_read_is_a_hole_and_said(bench: Bench) -> None:
    bench.world.produce(60)

    def tear() -> None:
        at = max(bench.deltas(0))
        records = bench.log.topics[bench.world.names.deltas("trades")][0].records
        records[at] = records[at]._replace(value=(records[at].value or b"")[:-9])

    published = bench.publish(at={"prove": tear})
    assert published.proof.outcome == "unproven"
    assert "cannot be read" in published.proof.reason


# Proven later


def test_an_unproven_version_is_proven_by_the_next_run(bench: Bench) -> None:
    bench.world.produce(60)
    first = bench.publish()
    bench.world.produce(60)
    second = bench.publish(speed=False)
    assert latest_proof(bench.world.store, second).outcome == "unproven"
    third = bench.publish()
    proof = latest_proof(bench.world.store, second)
    assert [p.outcome for p in (first.proof, second.proof, proof, third.proof)] == [
        "equal",
        "unproven",
        "equal",
        "equal",
    ]
    assert proof.gap == 0 and proof.compared > 0
    assert list(open_versions(bench.world.store)) == []
    assert bench.world.store.manifest(2) == second, "a manifest never changes"


def test_a_version_that_waits_for_its_cells_is_not_compared_again_until_they_are_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.world.produce(60)
    second = bench.publish(speed=False)
    sessions: list[object] = []

    def counted(limits: Limits, *given: Any) -> Any:
        sessions.append(limits)
        return connect(limits, *given)

    connect = Limits.connect
    monkeypatch.setattr(Limits, "connect", counted)
    assert bench.later()[2].outcome == "unproven"
    assert not sessions, "an idle run tries that each time"
    bench.speed.step()
    proof = bench.later()[2]
    assert (proof.outcome, proof.compared) == ("equal", sum(part.file.rows for part in second.own))
    assert sessions


def test_a_version_that_is_different_later_stays_served_until_the_next_run_makes_its_views_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.world.produce(60)
    second = bench.publish(speed=False)
    bench.speed.step()
    bench.corrupt_delta(raise_trades)
    assert [p.outcome for p in bench.later().values()] == ["different"]
    assert "Alarm: version 2, published unproven, is different" in caplog.text
    assert bench.world.store.current() == second
    bench.world.produce(60)
    assert refuted(bench.world.store, second) is not None
    third = bench.publish()
    bench.world.check(third)
    assert (third.proof.outcome, third.proof.forced) == ("equal", None)
    assert third.proof.new == tuple(view.name for view in bench.views), "proven by the archive"
    assert all(part.made_by(3) for part in third.parts)
    assert refuted(bench.world.store, third) is None, "nothing of version 2 is in it"
    assert bench.publish().proof.new == ()


def test_nothing_is_published_on_what_is_refuted_while_a_run_computes(bench: Bench) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.world.produce(60)
    second = bench.publish(speed=False)
    bench.world.produce(60)

    def refute() -> None:
        write_handoff(bench.world.store, 2, second.run_id, {"trades": Proof("different", "a test")})

    with pytest.raises(ParentRefutedError, match="stand on version 2"):
        bench.publish(at={"compute": refute})
    assert bench.world.store.current() == second
    bench.world.check(bench.publish())


def test_what_cannot_be_tried_again_stays_unproven_and_says_why(bench: Bench) -> None:
    bench.world.produce(60)
    bench.publish(speed=False)
    second = bench.publish(speed=False)
    bench.speed.step()
    path = bench.world.home / second.parts[0].file.path
    path.write_bytes(path.read_bytes()[:-1])
    bench.world.store.manifest_path(1).unlink()
    (proof,) = bench.later().values()
    assert proof.outcome == "unproven"
    assert "Not tried again: There is no version 1" in proof.reason
    assert not handoff_path(bench.world.store, 2).exists()
    write_handoff(bench.world.store, 2, "another run", {"trades": proof})
    assert "not trusted" in latest_proof(bench.world.store, second).reason
