"""Parts end to end: a run adds its own and takes its parent's over; merged, they are what a full run makes."""

import json
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from batch_layer.audit import audit_open
from batch_layer.compaction_run import CompactionRun
from batch_layer.compute import run_pipeline
from batch_layer.errors import BatchError, BatchMemoryError, CompactionError
from batch_layer.work import damaged_views
from ops.cli import main
from serving.store.batch import BatchReader
from serving.store.request import Keys, Range, RowRequest
from serving.store.row_cache import RowCache
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.store.compaction import MOST, MOST_WIDE
from slackwater.store.local_files import LocalFiles
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest
from slackwater.versions.suspects import mark_suspect, suspects
from slackwater.views.bars import BARS
from slackwater.views.interval import parse_interval
from tests.beam_world import World, memory_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which ten bars are a slice of their own."""
    monkeypatch.setattr("slackwater.store.layout.SLICE_ROWS", 10)
    monkeypatch.setattr("slackwater.store.compaction.SLICE_ROWS", 10)
    return memory_world(tmp_path / "home")


def batch(world: World, **more: Any) -> Manifest:
    return world.batch((BARS,), **more)


def compacted(world: World, every: bool = False) -> Manifest | None:
    return CompactionRun(Context(world.log, world.names, world.store, (BARS,), SystemClock()), every).run()


def layout(manifest: Manifest) -> list[tuple[str, str, int, int, int, str]]:
    return sorted((p.view, p.interval, p.shard, p.low, p.high, p.file.sha256) for p in manifest.parts)


def grown(world: World, runs: int, seed: int = 1) -> Manifest:
    random = Random(seed)
    for _ in range(runs):
        world.produce(random.choice([5, 20, 60]))
        made = batch(world)
        world.check(made)
    return made


def test_a_run_adds_its_parts_and_leaves_its_parents_alone(world: World) -> None:
    world.produce(40)
    first = batch(world)
    world.produce(40)
    second = batch(world)
    assert second.parts[: len(first.parts)] == first.parts
    assert second.own == second.parts[len(first.parts) :] != ()
    assert {part.since for part in second.own} == {2}
    assert all(part.file.path.startswith(f"states/{second.run_id}/") for part in second.own)
    assert [path.name for path in (world.store.folder / "2").iterdir()] == ["manifest.json"]
    world.check(second)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_parts_merged_are_a_full_run_byte_for_byte(world: World, seed: int) -> None:
    made = grown(world, 8, seed)
    merged = compacted(world, every=True)
    assert merged is not None
    world.check(merged)
    assert len(merged.parts) < len(made.parts)
    assert (merged.streams, merged.archive, merged.parent) == (made.streams, made.archive, made.version)
    assert (merged.proof.outcome, merged.open) == ("equal", ())
    full = batch(world, full=True)
    world.check(full)
    assert [part.made for part in full.parts] == [(full.version, full.version)] * len(full.parts)
    assert layout(full) == layout(merged)
    assert any("-" in Path(part.file.path).name for part in full.parts), "no slice was large enough"


def test_what_is_one_layout_already_is_left_alone(world: World) -> None:
    world.produce(5)
    batch(world)
    assert compacted(world, every=True) is None
    assert compacted(world) is None


def test_runs_keep_the_bound_by_themselves(world: World) -> None:
    last = grown(world, 2 * MOST)
    for interval in BARS.intervals:
        for shard in {part.shard for part in last.parts}:
            parts = [part for part in last.parts_of(BARS.name, interval.text) if part.shard == shard]
            assert all(sum(other.low <= part.low <= other.high for other in parts) <= MOST for part in parts)
    assert any(part.made[0] < part.made[1] for part in last.parts)


def test_what_nobody_can_prove_is_audited_by_the_runs_after_it(world: World) -> None:
    world.produce(40)
    first = batch(world)
    assert (first.proof.outcome, first.open) == ("unproven", ())
    world.produce(40)
    second = batch(world)
    assert second.open == (), "the parts of the first are what the archive gives"


def test_an_audit_reads_as_much_as_its_budget_and_the_rest_stays_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_layer.audit_parts.LEAST_ROWS", 0)
    world.produce(60)
    batch(world)
    world.produce(5)
    assert batch(world).open == (), "as many as the parent took in"
    assert batch(world).open == ()
    world.produce(60)
    batch(world)
    monkeypatch.setattr("batch_layer.run.audit_open", lambda *given: audit_open(*given[:4], 0))
    held = batch(world)
    assert held.open == (held.parent,)
    assert not any(part.made != (held.parent, held.parent) for part in held.parts if part.since == held.parent)


def counts_one_more(*arguments: Any) -> None:
    """Parts that are wrong at every interval alike, as a wrong merge would make them."""
    run_pipeline(*arguments)
    for path in (arguments[2] / BARS.name).rglob("0*.parquet"):
        table = pq.read_table(path)
        at = table.schema.get_field_index("trades")
        first, *rest = table["trades"].to_pylist()
        trades = pa.array([first + 1, *rest], table.schema.field(at).type)
        pq.write_table(table.set_column(at, table.schema.field(at), trades), path)


def test_a_wrong_part_with_a_right_sum_is_found_repaired_and_restated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.produce(40)
    with monkeypatch.context() as patch:
        patch.setattr(
            "batch_layer.publish.restate", lambda *_: ()
        )  # which looks at bars with late trades, and would see
        wrong = batch(world, compute=counts_one_more)
    with pytest.raises(AssertionError):
        world.check(wrong)
    with pytest.raises(BatchError, match="Parts of bars are not what the archive gives"):
        compacted(world)
    world.produce(40)
    right = batch(world)
    world.check(right)
    assert all(part.made_by(right.version) for part in right.parts)
    assert right.proof.new == ("bars",)
    (ledger,) = right.restatements
    rows = [row for row in pq.read_table(world.home / ledger.file.path).to_pylist() if row["cause"] == "audit"]
    assert right.restated["audit"] == len(rows) >= 1
    assert all(json.loads(row["before"])["trades"] == json.loads(row["after"])["trades"] + 1 for row in rows)


def test_a_merge_that_writes_something_else_is_not_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    served = grown(world, 3)
    wrong = "SELECT * REPLACE (trades + 1 AS trades) FROM "
    monkeypatch.setattr("batch_layer.compact.merge_sql", lambda view, source, _: f"{wrong} {source}")
    with pytest.raises(CompactionError, match="are not compacted"):
        compacted(world, every=True)
    assert world.store.current() == served
    monkeypatch.undo()
    world.check(batch(world))


def test_blocks_of_rows_stay_known_in_a_version_that_shares_their_parts(world: World) -> None:
    first = grown(world, 2)
    cache, before = RowCache(Inspector(world.store), 10_000_000), BatchReader(world.store.data.fetch, first)
    known = next(iter(before.instruments(BARS)))
    request = RowRequest(BARS, Keys(((known.venue, known.symbol),)), Range(parse_interval("1s"), 0, None, 3, True))
    with before.cursor() as cursor:
        rows = cache.read(before, request, cursor)
    assert cache.get(before, request) == rows != []
    again = batch(world)  # nothing new: the same parts
    assert again.parts == first.parts
    assert cache.get(BatchReader(world.store.data.fetch, again), request) == rows
    world.produce(60)
    assert cache.get(BatchReader(world.store.data.fetch, batch(world)), request) is None, "a part of it is new"


def test_the_parts_of_the_served_version_are_listed(world: World) -> None:
    grown(world, MOST_WIDE)
    command = ["--home", str(world.home), "batch", "list", "--parts"]
    told = CliRunner().invoke(main, command)
    assert told.exit_code == 0, told.output
    assert "bars" in told.output
    found = json.loads(CliRunner().invoke(main, [*command, "--json"]).output)
    assert {each["interval"] for each in found["parts"]} == {"1s", "1m", "1h"}
    assert sum(each["parts"] for each in found["parts"]) == len(world.store.manifest(found["version"]).parts)
    assert all(1 <= each["amplification"] <= MOST and each["open"] <= each["parts"] for each in found["parts"])


def flipped(path: Path) -> None:
    """A bit of a file, in silence: the time of its change goes back."""
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])


def test_a_part_that_rots_in_silence_is_made_again_once_somebody_found_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.produce(40)
    batch(world)
    world.produce(40)
    second = batch(world)
    rotten = world.home / second.parts[0].file.path
    monkeypatch.setattr("batch_layer.prove_run.RETRIED", 0)  # which would read it
    state = LocalFiles().state(rotten)
    flipped(rotten)
    real = LocalFiles.state
    monkeypatch.setattr(LocalFiles, "state", lambda self, path: state if path == rotten else real(self, path))
    trusting = Inspector(world.store)
    trusting.trust(second.parts[0].file, state._replace(settled=True))
    assert damaged_views(trusting, second) == frozenset()
    found = Inspector(world.store, partial(mark_suspect, world.store))  # as the service's scrub has it
    with pytest.raises(DamagedFileError):
        found.reread(second.parts[0].file)
    assert [*suspects(world.store)] == [second.parts[0].file.path]
    third = batch(world, inspector=trusting)
    world.check(third)
    assert all(part.made_by(third.version) for part in third.parts)
    assert (third.proof.new, suspects(world.store)) == (("bars",), {})


def test_a_merge_that_fails_is_left_out_and_the_version_stands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(world, MOST_WIDE)

    def full(*_: object, **__: object) -> None:
        raise duckdb.OutOfMemoryException("no room")

    monkeypatch.setattr("batch_layer.compact._merge", full)
    world.produce(5)
    made = batch(world)
    world.check(made)
    assert not any(part.made[0] < part.made[1] for part in made.own)
    with pytest.raises(BatchMemoryError, match="no room"):
        compacted(world, every=True)


def test_a_layout_that_is_canonical_is_not_merged_again(world: World) -> None:
    grown(world, 3)
    assert compacted(world, every=True) is not None
    numbers = world.store.numbers()
    assert compacted(world, every=True) is None
    assert world.store.numbers() == numbers, "no number is taken for nothing"
