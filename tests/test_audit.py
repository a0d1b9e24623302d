"""The audit of what is proven: parts against the archive, step by step, so that a wrong one is found within a round."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from batch_layer.audit_parts import IDLE_US, audit_parts, audit_waiting, budget_of
from batch_layer.audit_plan import FIRST_US, LAST_US, Block, next_step, reach, rows_in
from batch_layer.audit_run import AuditRun
from batch_layer.compaction_run import CompactionRun
from batch_layer.errors import BatchError
from batch_layer.run import BatchRun
from batch_layer.waiting import Idle
from ops.cli import main
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.store.compaction import MOST_WIDE
from slackwater.versions.audited import AuditState, Place, change_audit, places_of, read_audit
from slackwater.versions.manifest import Manifest
from slackwater.versions.suspects import suspects
from slackwater.views.bars import BARS
from slackwater.views.sql import merge_sql
from tests.beam_world import World, memory_world
from tests.test_parts import layout


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which ten bars are a slice of their own."""
    monkeypatch.setattr("slackwater.store.layout.SLICE_ROWS", 10)
    monkeypatch.setattr("slackwater.store.compaction.SLICE_ROWS", 10)
    return memory_world(tmp_path / "home")


def context_of(world: World) -> Context:
    return Context(world.log, world.names, world.store, (BARS,), SystemClock())


def batch(world: World, **more: Any) -> Manifest:
    return BatchRun(context_of(world), **more).run()


def grown(world: World, runs: int, records: int = 30) -> Manifest:
    for _ in range(runs):
        world.produce(records)
        made = batch(world)
    return made


def compacted(world: World) -> Manifest:
    made = CompactionRun(context_of(world), every=True).run()
    assert made is not None
    return made


def one_higher(view: Any, source: str, *more: Any) -> str:
    """A merge that is wrong in a way which nothing about it shows: as many bars, as many events."""
    return f"SELECT * REPLACE ((high + 1)::DECIMAL(18, 8) AS high) FROM ({merge_sql(view, source, *more)})"


def merged_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """A version in which a merge wrote wrong values at every interval; the merge found what it wrote to be right."""
    grown(world, 4)
    with monkeypatch.context() as patch:
        patch.setattr("batch_layer.compact.merge_sql", one_higher)
        wrong = compacted(world)
    world.store.check(part.file for part in wrong.parts)
    with pytest.raises(AssertionError):
        world.check(wrong)
    assert wrong.proof.outcome == "equal"
    return wrong


def rows_of_cause(world: World, made: Manifest) -> list[dict[str, Any]]:
    ledger = made.restatements[-1]
    return [row for row in pq.read_table(world.home / ledger.file.path).to_pylist() if row["cause"] == "audit"]


def test_what_a_wrong_merge_wrote_is_found_repaired_and_restated_within_a_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged_wrong(world, monkeypatch)
    runs = 0
    while not (made := grown(world, 1)).restated.get("audit"):
        runs += 1
        assert runs <= len(places_of(made)), "a round of a step a run is over"
    world.check(made)
    assert all(part.made_by(made.version) for part in made.parts)
    rows = rows_of_cause(world, made)
    assert made.restated["audit"] == len(rows) >= 1
    for row in rows:
        before, after = (json.loads(row[side])["high"] for side in ("before", "after"))
        assert float(before) > float(after)
    assert read_audit(world.store).wrong_views(made) == {}
    last = grown(world, 3)
    merged = compacted(world)
    full = batch(world, full=True)
    assert layout(full) == layout(merged)
    assert last.restated.get("audit") is None


@pytest.mark.parametrize(("interval", "differ"), [("1m", {"1m", "1h"}), ("1h", {"1h"})])
def test_a_coarser_part_that_is_not_its_finer_bars_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch, interval: str, differ: set[str]
) -> None:
    grown(world, 4)

    def wrong(view: Any, source: str, at: Any) -> str:
        return one_higher(view, source, at) if at.text == interval else merge_sql(view, source, at)

    with monkeypatch.context() as patch:
        patch.setattr("batch_layer.compact.merge_sql", wrong)
        compacted(world)
    found = list[Any]()
    AuditRun(context_of(world), every=True, tell=found.append).run()
    assert {each.step.place.interval for each in found if each.differ} == differ


def test_a_round_comes_to_every_part_by_steps_of_its_budget(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_layer.audit_parts.LEAST_ROWS", 40)
    last = grown(world, 6, records=40)
    context, places = context_of(world), places_of(last)
    change_audit(world.store, AuditState.__init__)
    sizes, rounds = list[int](), 0
    while (state := read_audit(world.store)).never(last.parts):
        found = audit_parts(context, replace(last, counts={}), (BARS,), 40, 1)[1]
        sizes += [each.step.rows for each in found]
        rounds += 1
        assert rounds < 1_000
        assert not any(each.differ or each.failed for each in found)
    assert rounds > len(places), "no place took several steps"
    assert all(state.place(place).ended_us for place in places)
    assert state.longest_us(last) > 0
    assert sum(sizes) == state.rows


def test_a_step_that_takes_more_than_a_run_may_read_waits_for_the_credit_of_several(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = grown(world, 2)
    change_audit(world.store, AuditState.__init__)
    monkeypatch.setattr("batch_layer.audit_plan.SKIMMED", 1)
    place, state, context = Place("bars", "1s", 0), AuditState(), context_of(world)
    need = next_step(last, BARS, min(places_of(last)), places_of(last), None, 1).rows
    assert need > 2, place
    took = 0
    while not state.rows:
        state, found = audit_parts(context, last, (BARS,), 1)
        took += 1
        assert state.rows or not found
        assert state.rows or state.credit == took
    assert took == need
    assert state.credit == 0


def test_bars_that_no_part_holds_are_missed(world: World) -> None:
    last = grown(world, 1)
    shards = sorted({part.shard for part in last.parts})
    last = replace(last, parts=[part for part in last.parts if part.interval != "1s" or part.shard != shards[0]])
    _, found = audit_parts(context_of(world), last, (BARS,), 10**9, 100)
    assert {(each.step.place.interval, each.step.place.shard) for each in found if each.differ} == {
        (interval, shards[0]) for interval in ("1s", "1m")
    }


def run_cli(world: World, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(world.home), "batch", *arguments])


def test_the_command_finds_what_is_wrong_and_the_next_run_repairs_it_though_nothing_is_new(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = merged_wrong(world, monkeypatch)
    assert json.loads(run_cli(world, "list", "--json").stdout)["audit"]["wrong"] == {}
    told = run_cli(world, "audit", "--all")
    assert told.exit_code == 1, told.output
    assert "bars 1s" in told.output
    assert "high" in told.output
    found = json.loads(run_cli(world, "audit", "--all", "--json").stdout)
    assert found["version"] == wrong.version
    assert found["wrong"].keys() == {"bars"}
    assert found["differ"] >= 1
    assert [each["differ"] for each in found["steps"]].count(0) < len(found["steps"])
    assert json.loads(run_cli(world, "list", "--json").stdout)["audit"]["wrong"].keys() == {"bars"}
    right = BatchRun(context_of(world)).run_if_new()
    assert isinstance(right, Manifest), right
    world.check(right)
    assert right.restated["audit"] >= 1
    told = run_cli(world, "audit", "--all")
    assert told.exit_code == 0, told.output
    assert "0 of" in told.output
    assert BatchRun(context_of(world)).run_if_new() == Idle(right.version)
    assert run_cli(world, "audit").exit_code == 0


def test_nothing_is_audited_where_nothing_is_published(world: World) -> None:
    with pytest.raises(BatchError, match="Nothing is published"):
        AuditRun(context_of(world)).run()


def test_a_whole_view_that_nobody_could_prove_is_proven_by_an_audit_of_all_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(world, 2)
    monkeypatch.setattr("batch_layer.audit_parts.LEAST_ROWS", 0)
    world.produce(1)
    made = batch(world, full=True)
    assert made.proof.outcome == "unproven"
    monkeypatch.setattr("batch_layer.run.audit_parts", lambda *_: (read_audit(world.store), []))
    world.produce(1)
    assert batch(world).open == (made.version,), "all of history is more than a run may read"
    AuditRun(context_of(world), every=True).run()
    world.produce(1)
    assert made.version not in batch(world).open


def test_an_archive_file_that_cannot_be_read_is_marked_and_does_not_hold_up_the_others(world: World) -> None:
    last = grown(world, 1)
    entry = min(last.archive, key=lambda entry: entry.partition)
    path = world.home / entry.file.path
    path.write_bytes(path.read_bytes()[:-20] + b"x" * 20)
    state, found = audit_parts(context_of(world), last, (BARS,), 10**9, 100)
    failed = {each.step.place for each in found if each.failed}
    assert failed == {Place("bars", "1s", entry.partition)}
    assert [*suspects(world.store)] == [entry.file.path]
    assert state.wrong == {}
    assert {place for place in places_of(last) if state.place(place).ended_us} == set(places_of(last))
    assert {p.shard for p in last.parts if p.interval == "1s" and not state.is_right(p)} == {entry.partition}


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{}")])
def test_a_record_that_is_gone_or_torn_costs_another_round(world: World, damage: Callable[[Path], None]) -> None:
    last = grown(world, 2)
    assert read_audit(world.store).rows > 0
    damage(world.store.folder / "audited.json")
    assert read_audit(world.store) == AuditState()
    audit_parts(context_of(world), last, (BARS,), budget_of(last), 100)
    assert read_audit(world.store).never(last.parts) == 0


def test_an_idle_system_audits_what_has_waited_for_an_hour(world: World) -> None:
    last = grown(world, 1)
    context = context_of(world)
    audit_waiting(context, last, (BARS,))
    assert read_audit(world.store).rows == 0

    def an_hour_ago(state: AuditState) -> None:
        state.see(last, SystemClock().now_us() - IDLE_US)

    change_audit(world.store, an_hour_ago)
    assert isinstance(BatchRun(context).run_if_new(), Idle)
    assert read_audit(world.store).rows > 0


def test_what_is_known_of_parts_is_listed(world: World) -> None:
    last = grown(world, MOST_WIDE)
    audit = json.loads(run_cli(world, "list", "--json").stdout)["audit"]
    assert 0 < audit["never"] <= len(last.parts) == audit["parts"]
    AuditRun(context_of(world), every=True).run()
    audit = json.loads(run_cli(world, "list", "--json").stdout)["audit"]
    assert (audit["never"], audit["wrong"]) == (0, {})
    assert "audit" in run_cli(world, "list").output
    parts = json.loads(run_cli(world, "list", "--parts", "--json").stdout)["parts"]
    assert all(each["never_audited"] == 0 and each["audited_us"] >= last.created_us for each in parts)
    assert "audited" in run_cli(world, "list", "--parts").output


def test_blocks_of_rows_say_where_so_many_rows_lie() -> None:
    # rows     10..20: 100      20..40: 100 + 50
    blocks = [Block(10, 20, 100), Block(20, 40, 100), Block(20, 40, 50)]
    assert rows_in(blocks, 0, 100) == 250
    assert rows_in(blocks, 15, 30) == 50 + 75
    assert reach(blocks, 0, 50) == 15
    assert reach(blocks, 15, 125) == 30
    assert reach(blocks, 0, 250) == 40
    assert reach(blocks, 0, 251) is None
    assert reach([], 0, 1) is None


def test_the_steps_of_a_sweep_have_no_gap_and_end_with_the_time(world: World) -> None:
    last = grown(world, 3)
    places = places_of(last)
    for place in places:
        at, steps = None, 0
        while at != LAST_US:
            step = next_step(last, BARS, place, places, at, 5)
            assert step.low == (FIRST_US if at is None else at)
            assert step.high > step.low
            at, steps = step.high, steps + 1
        assert steps < 200


def test_a_part_is_right_once_a_sweep_passed_from_its_first_bar_to_its_last(world: World) -> None:
    last = grown(world, 1)
    part = max(last.parts, key=lambda part: part.high - part.low)
    place, middle = Place(part.view, part.interval, part.shard), (part.low + part.high) // 2
    state = AuditState()
    state.see(replace(last, parts=[part]), 1)
    state.pass_over(place, [part], middle, LAST_US, 2)  # it came when the sweep was past its first bar
    assert not state.is_right(part)
    state.pass_over(place, [part], FIRST_US, middle, 3)
    assert not state.is_right(part)
    state.pass_over(place, [part], middle, LAST_US, 4)
    assert state.is_right(part)
    assert state.longest_us(replace(last, parts=[part])) == 4
    state.see(replace(last, parts=[]), 5)
    assert state.longest_us(replace(last, parts=[part])) == last.created_us
