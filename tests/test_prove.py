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

from batch_layer.errors import ProofFailedError
from event_log.cell import OPEN
from event_log.log import Record
from tests.beam_world import memory_world
from tests.memory_log import MemoryLog
from tests.speed_in_memory import Speed
from versions.handoff import read_handoff
from versions.manifest import ArchiveFile, Manifest, encode_manifest
from versions.pointer import Pointer, encode_pointer
from versions.proof import Forced
from versions.store import VersionStore
from views.bars import BARS
from views.view import View


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

        return self.world.batch(self.views, on_step=on_step, **more)

    def deltas(self, partition: int) -> dict[int, Record]:
        """Offset -> the record of a sealed delta with rows."""
        records = self.log.topics[self.world.names.deltas][partition].records
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
        self.log.topics[self.world.names.deltas][partition].records[at] = records[at]._replace(value=value)

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


def forge(store: VersionStore, manifest: Manifest, entry: ArchiveFile) -> None:
    data = encode_manifest(replace(manifest, archive=(entry, *manifest.archive[1:])))
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
        p: (versions[1].cut[p], versions[2].cut[p]) for p in (0, 1)
    }
    for version in versions:
        assert sum(s.events for s in version.proof.spans) == version.counts["new_events"]
    assert sum(s.refused for v in versions for s in v.proof.spans) == versions[-1].counts["refused"]
    assert max(s.cells for s in third.spans) >= 3, "grid lines seal cells between the cuts, too"
    assert first.compared == second.compared == sum(f.file.rows for f in versions[0].views)
    assert third.compared == sum(f.file.rows for f in versions[2].views)
    assert bench.world.store.current() == versions[-1]


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
    proof = read_handoff(bench.world.store, 2)
    assert proof == caught.value.proof and proof is not None
    assert (proof.outcome, proof.differ, len(proof.first)) == ("different", 1, 1)
    difference = proof.first[0]
    assert int(difference.expected) == int(difference.found) + 1
    assert (difference.view, difference.interval, difference.partition) == ("bars", "1s", 0)
    assert [m.version for m in bench.world.store.whole()] == [1]


def test_one_corrupt_archived_row_stops_the_publication(bench: Bench) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.corrupt_archive(bench.world.store)
    served = bench.world.store.current()
    bench.world.produce(60)
    with pytest.raises(ProofFailedError, match=r"1s v:\w+ at \d+: .* expected"):
        bench.publish()
    assert bench.world.store.current() == served
    with pytest.raises(ProofFailedError):
        bench.publish()
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
    bench.world.check(published)
    bench.world.produce(20)
    following = bench.publish(forced=forced)
    assert (following.proof.outcome, following.proof.forced) == ("equal", None), "nothing had to be forced"


# Unproven


def test_without_the_speed_layer_a_version_is_published_unproven(bench: Bench) -> None:
    bench.world.produce(60)
    published = bench.publish(speed=False)
    assert published.proof.outcome == "unproven"
    assert "The speed layer is behind: its cells of bars in partition 0 reach 0" in published.proof.reason
    assert published.proof.gap == sum(published.cut.values())
    assert bench.world.store.current() == published


def test_a_hole_in_the_chain_is_unproven_with_that_reason(bench: Bench) -> None:
    bench.world.produce(700)
    records = bench.log.topics[bench.world.names.deltas][0].records

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
    assert f"No common definition: version 1 holds definition {BARS.definition} of bars" in published.proof.reason
