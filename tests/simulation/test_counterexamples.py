"""Every interleaving of the design's list of counterexamples, by its number, with the real code and without its rule.

A case raises where something is wrong. It must pass as the code is, and fail with the rule switched off; for rules
whose absence is not too rare, the random simulation must find it, too.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import duckdb
import pytest

from batch_layer import compact
from batch_layer.compaction_run import CompactionRun
from batch_layer.errors import LackingError, TailLostError
from batch_layer.run import BatchRun
from slackwater.context import Context
from slackwater.core.errors import SlackwaterError
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import NoSuchVersionError
from slackwater.versions.manifest import Manifest
from slackwater.versions.retention import smallest_cut
from slackwater.views.bars import BARS
from slackwater.views.measures import Sum
from slackwater.views.sql import merge_sql
from slackwater.views.view import View
from speed_layer import tiling
from tests.simulation import cases_writers, checks, mains
from tests.simulation.cases import CASES, Case, back_to, case, grown
from tests.simulation.light import TAPE, VIEWS, light
from tests.simulation.report import run_seed
from tests.simulation.stage import Stage, close_stages
from tests.simulation.streams import FILLS, PRINTED, PRINTS, TOYS
from tests.simulation.switches import SWITCHES as OTHERS
from tests.simulation.switches import Switch
from tests.simulation.switches_writers import WRITERS

SWITCHES = *OTHERS, *WRITERS


@case(1)
def a_run_that_marked_before_another_published_loses() -> None:
    stage = Stage(partitions=2)
    stage.trades(0, 2)
    slow = stage.program()
    stage.until("acknowledgement", slow)
    stage.log.deliver()  # its marks are p0@2 and p1@0
    stage.trades(0, 5)
    stage.trades(1, 2)
    stage.batch()
    stage.worker().step()
    stage.finish(slow)
    stage.whole()


@case(2)
def a_reset_makes_no_cell_of_what_was_not_read() -> None:
    stage = Stage()
    stage.batch()  # a mark at 0: the retained cut
    stage.trades(0, 2)
    stage.worker().step()
    stage.log.delete_below(stage.world.names.topic("trades"), 0, 2)
    late = stage.worker()
    stage.trades(0, 3)
    late.step()
    stage.cells_are_right()


@case(3)
def a_run_that_died_after_archiving_counts_nothing() -> None:
    stage = Stage()
    stage.trades(0, 5)
    dead = stage.program()
    stage.until("mkdir versions", dead)
    dead.kill()
    stage.trades(0, 1)
    stage.batch()
    stage.worker().step()
    stage.whole()


@case(4)
def a_tail_that_was_lost_and_refilled_is_refused() -> None:
    stage = Stage()
    stage.trades(0, 10)
    stage.worker().step()
    assert stage.batch().cut(TRADES) == {0: 10}
    stage.log.truncate(stage.world.names.topic("trades"), 0, 7)
    stage.trades(0, 9)
    server = stage.server()
    (answer, *_) = stage.right(server)
    assert answer["layer"] == "batch"
    assert not answer["complete"]
    assert "not the mark of version 1" in str(answer["refusal"])
    assert not server.readiness.check().ready
    with pytest.raises(TailLostError, match="holds no mark of its run at 10"):
        stage.batch()


@case(5)
def a_stale_open_cell_does_not_replace_a_sealed_one() -> None:
    stage = Stage()
    stage.trades(0, 1)
    stale = stage.worker()
    stale.step(hold=True)
    stage.trades(0, 2)
    dead = stage.program()
    stage.until("reader t.trades", dead)  # a mark at 3
    dead.kill()
    stage.trades(0, 1)
    under_way, stage.log.writers[:] = list(stage.log.writers), []
    fresh = stage.worker()
    fresh.step()
    stage.log.writers[:] = [*under_way, *stage.log.writers]
    stage.log.deliver()
    stage.beat(fresh)
    stage.compact()
    stage.whole()


@case(6)
def a_run_publishes_while_speed_is_down() -> None:
    stage = Stage()
    stage.trades(0, 3)
    proof = stage.batch().proof
    assert proof.outcome == "unproven"
    assert "behind" in proof.reason
    stage.worker().step()
    stage.trades(0, 1)
    assert stage.batch().version == 2


@case(7)
def a_block_without_events_does_not_break_the_chain() -> None:
    stage = Stage()
    stage.trades(0, 5, value=b"no trade")
    stage.trades(0, 2)
    stage.worker().step()
    stage.whole()


@case(8)
def a_gap_over_grid_lines_does_not_break_the_chain() -> None:
    stage = Stage()
    stage.log.gap(stage.world.names.topic("trades"), 0, 5)
    stage.trades(0, 2)
    stage.worker().step()
    stage.whole()


@case(9)
def a_view_that_is_added_is_made_from_the_cut_on() -> None:
    stage = Stage(views=(BARS,))
    stage.trades(0, 9)
    worker = stage.worker()
    worker.step()
    worker.commit()
    stage.world.views = VIEWS
    stage.worker().step()
    stage.whole()


@case(10)
def another_grid_is_another_definition() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slackwater.views.view.GRID", 4)
        four = (replace(BARS),)
        stage = Stage(views=four)
        stage.trades(0, 10)
        stage.worker().step()
        patch.setattr("slackwater.views.view.GRID", 3)
        patch.setattr(tiling, "GRID", 3)
        stage.world.views = (replace(BARS),)
        server = stage.server()
        worker = stage.worker()
        stage.trades(0, 4)
        worker.step()
        stage.check(server)
        assert server.hot.applied("bars") == {0: 14}
        stage.compact()
        assert stage.server().hot.applied("bars") == {0: 14}


@case(13)
def two_definitions_side_by_side_do_not_touch_each_other() -> None:
    one, other = replace(BARS), View("bars", {**BARS.measures, "sold": Sum("quantity")}, BARS.answers, stream=TRADES)
    stage = Stage(views=(one,))
    stage.trades(0, 6)
    stage.worker().step()
    stage.worker(views=(other,)).step()
    stage.compact()
    assert stage.server(views=(one,)).hot.applied("bars") == {0: 6}
    assert stage.server(views=(other,)).hot.applied("bars") == {0: 6}


@case(13)
def a_topic_that_was_created_again_shares_no_cell_with_the_old_one() -> None:
    stage = Stage()
    stage.trades(0, 6)
    stage.worker().step()
    stage.log.create(stage.world.names.topic("trades"), 1)
    stage.world.topic_ids["trades"] = stage.log.topic_id(stage.world.names.topic("trades"))
    stage.trades(0, 3)
    stage.worker().step()
    stage.whole()


@case(14)
def a_stale_open_cell_is_overwritten_while_the_log_is_idle() -> None:
    stage = Stage()
    stage.trades(0, 1)
    stale = stage.worker()
    stale.step(hold=True)
    under_way, stage.log.writers[:] = list(stage.log.writers), []
    stage.trades(0, 1)
    fresh = stage.worker()
    fresh.step()
    stage.log.writers[:] = [*under_way, *stage.log.writers]
    stage.log.deliver()
    stage.beat(fresh)
    stage.compact()
    stage.whole()


@case(15)
def a_worker_makes_the_open_cell_of_a_dead_one_again() -> None:
    stage = Stage()
    stage.trades(0, 1)
    stage.worker().step()
    fresh = stage.worker()
    stage.trades(0, 1)
    fresh.step()
    stage.compact()
    stage.whole()


@case(15)
def a_worker_starts_where_the_view_that_is_most_behind_ends() -> None:
    stage = Stage()
    stage.trades(0, 9)
    stage.worker(views=(BARS,)).step()
    stage.worker(views=(BARS, TAPE)).step()
    stage.whole()


@case(16)
def cells_that_land_before_the_marks_are_archived_are_read() -> None:
    stage = Stage()
    stage.trades(0, 2)
    worker = stage.worker()
    run = stage.program()
    stage.until("acknowledgement", run)
    stage.log.deliver()
    stage.trades(0, 6)
    worker.step()  # cells behind the mark land before the run goes on
    stage.finish(run)
    stage.whole()


@case(16)
def cells_of_a_partition_that_no_manifest_knows_are_read() -> None:
    stage = Stage()
    stage.trades(0, 2)
    stage.worker().step()
    stage.batch()
    stage.log.add_partition(stage.world.names.deltas("trades"))
    stage.log.add_partition(stage.world.names.topic("trades"))
    stage.trades(1, 6)
    stage.worker().step()
    stage.whole()


@case(17)
def a_log_that_starts_off_the_grid_is_covered_from_its_start() -> None:
    stage = Stage(start=3)
    stage.trades(0, 3)
    stage.worker().step()
    stage.whole()


@case(19)
def nothing_is_answered_beyond_the_log_s_end() -> None:
    stage = Stage()
    stage.trades(0, 2)
    worker = stage.worker()
    worker.step()
    assert stage.batch().cut(TRADES) == {0: 2}
    stage.trades(0, 4)
    worker.step()
    server = stage.server()
    stage.whole(server)
    stage.log.truncate(stage.world.names.topic("trades"), 0, 5)
    stage.check(server)
    stage.right(server)
    stage.trades(0, 4)
    stage.check(server)
    (answer, *_) = stage.right(server)
    assert answer["applied"] == {"0": 2}
    assert "lost its tail" in str(answer["refusal"])


@case(19)
def a_server_that_starts_after_a_tail_was_lost_answers_nothing_beyond_it() -> None:
    stage = Stage()
    stage.trades(0, 2)
    worker = stage.worker()
    worker.step()
    stage.batch()
    stage.trades(0, 4)
    worker.step()
    stage.log.truncate(stage.world.names.topic("trades"), 0, 5)
    server = stage.server()
    stage.check(server)
    (answer, *_) = stage.right(server)
    assert answer["applied"] == {"0": 2}


@case(19)
def cells_that_come_after_their_records_were_lost_and_others_took_their_place_are_not_answered() -> None:
    stage = Stage()
    stage.trades(0, 2)
    worker = stage.worker()
    worker.step()
    stage.batch()
    server = stage.server()
    stage.trades(0, 4)
    worker.step(hold=True)
    stage.check(server)
    stage.log.truncate(stage.world.names.topic("trades"), 0, 4)
    stage.check(server)
    stage.trades(0, 4)
    stage.log.deliver()
    stage.check(server)
    (answer, *_) = stage.right(server)
    assert answer["applied"] == {"0": 2}


@case(0)
def a_server_that_starts_does_not_call_less_complete() -> None:
    stage = Stage()
    stage.trades(0, 2)
    stage.batch()
    stage.trades(0, 3)
    stage.worker().step()
    stage.right(stage.server())
    late = mains.new_service(stage.world)
    late.watch.step()
    (answer, *_) = stage.right(late)
    assert answer["applied"] == answer["cut"]
    stage.check(late)
    (answer, *_) = stage.right(late)
    assert answer["complete"]


@case(0)
def a_stale_open_cell_takes_nothing_from_a_server() -> None:
    stage = Stage()
    stage.trades(0, 1)
    stale = stage.worker()
    stale.step(hold=True)
    under_way, stage.log.writers[:] = list(stage.log.writers), []
    stage.trades(0, 1)
    stage.worker().step()
    server = stage.server()
    stage.log.writers[:] = [*under_way, *stage.log.writers]
    stage.log.deliver()
    stage.check(server)
    stage.whole(server)


def published(stage: Stage, run: BatchRun | CompactionRun) -> Manifest | None:
    """What a run published, whose parts may be wrong."""
    made = run.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "check_version", lambda *_: None)
        stage.world.check()
    return made


def one_higher(view: View, *more: Any) -> str:
    return f"SELECT * REPLACE ((high + 1)::DECIMAL(18, 8) AS high) FROM ({merge_sql(view, *more)})"


@case(0)
def what_a_wrong_merge_wrote_with_a_right_checksum_is_found_and_made_again() -> None:
    stage = Stage(views=(BARS,))
    stage.world.proof_deadline_s = 0.0
    for _ in range(3):
        stage.trades(0, 3)
        stage.worker().step()
        stage.batch()
    merge = CompactionRun(Context(stage.log, stage.world.names, stage.world.store, (BARS,), stage.world.clock), True)
    merge.new_run_id = stage.world.new_run_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact, "merge_sql", one_higher)
        assert published(stage, merge) is not None
    for _ in range(4):  # a round, by four steps a run
        stage.trades(0, 1)
        stage.worker().step()
        made = published(stage, mains.new_run(stage.world))
    assert made is not None
    checks.check_version(stage.world, made)
    stage.worker().step()
    stage.whole()


@case(11)
def a_log_that_was_cut_to_what_is_needed_serves_a_rollback() -> None:
    stage = grown(2)
    starts = {p: bounds.start for p, bounds in stage.log.bounds(stage.world.names.topic("trades")).items()}
    needed = smallest_cut(stage.world.store.retained(), "trades", starts)
    stage.log.delete_before(stage.world.names.topic("trades"), needed)
    back_to(stage, 1)
    mains.new_run(stage.world).run()
    assert stage.server().readiness.check().ready


@case(12)
def a_version_whose_cells_are_being_removed_is_not_rolled_back_to() -> None:
    stage = grown(3)
    dead = stage.world.start("expiry", lambda _: stage.expire(keep=1))
    stage.until("remove versions/1/", dead)  # the deltas are gone, the files are not
    dead.kill()
    with suppress(NoSuchVersionError):
        back_to(stage, 1)
    stage.whole()


@case(12)
def what_the_oldest_kept_version_needs_stays() -> None:
    stage = grown(3)
    stage.expire(keep=2)
    back_to(stage, 2)
    stage.whole()


@case(18)
def the_files_of_a_running_run_stay() -> None:
    stage = grown(1)
    run = stage.program()
    stage.until("mkdir versions", run)  # it has archived
    stage.expire(keep=1)
    stage.finish(run)
    assert stage.world.pointed == 2
    stage.worker().step()
    stage.whole()


THREE = (BARS, *TOYS)


@case(20)
def a_run_that_marked_one_stream_and_died_leaves_nothing_behind() -> None:
    stage = Stage(views=THREE)
    stage.each(2)
    dead = stage.program()
    stage.until("acknowledgement", dead)
    stage.log.network()
    for writer in stage.log.writers:
        writer.send(min(1, len(writer.waiting)))
    assert [stage.world.ends(stream)[0] for stream in stage.world.streams] == [3, 2, 2]
    dead.kill()
    worker = stage.worker()
    worker.step()
    stage.each(3)
    stage.batch()
    worker.step()
    stage.whole()


@case(21)
def a_view_gets_no_event_of_another_stream_from_a_worker() -> None:
    stage = Stage(views=(BARS, PRINTED))
    stage.trades(0, 3)
    stage.worker().step()
    stage.cells_are_right()
    stage.whole()
    stage.trades(0, 2, stream=PRINTS)
    stage.worker().step()
    stage.whole()
    stage.cells_are_right()


@case(21)
def a_view_gets_no_event_of_another_stream_from_a_batch_run() -> None:
    stage = Stage(views=(BARS, PRINTED))
    stage.trades(0, 3)
    stage.trades(0, 2, stream=PRINTS)
    stage.batch()
    stage.worker().step()
    stage.whole()


@case(22)
def a_run_without_a_plug_in_drops_no_stream() -> None:
    stage = Stage(views=THREE)
    stage.each(3)
    stage.batch()
    stage.worker().step()
    with suppress(LackingError):
        mains.new_run(stage.world, (BARS,)).run()
    stage.expire(keep=1)
    assert stage.world.store.current().streams.keys() == {"trades", "prints", "fills"}
    stage.world.check()
    stage.each(2)
    stage.worker().step()
    stage.whole()


@case(23)
def a_topic_that_is_gone_holds_its_own_stream_alone() -> None:
    stage = Stage(views=THREE)
    stage.each(3)
    stage.batch()
    stage.each(2)
    stage.worker().step()
    lost = stage.world.names.topic(FILLS), stage.world.names.deltas(FILLS)
    stage.log.away.take(dict.fromkeys(lost, "gone"))
    made = stage.batch()
    assert made.cuts == {"trades": {0: 6}, "prints": {0: 6}, "fills": {0: 3}}
    assert [held.partition for held in made.of(FILLS).held] == [0]
    stage.worker().step()
    server = stage.server()
    stage.right(server)
    assert server.hot.applied("bars") == {0: 7} == server.hot.applied("printed")
    stage.log.away.give_back()
    assert not stage.batch().of(FILLS).held
    stage.worker().step()
    stage.whole()


@case(23)
def a_stream_whose_topic_was_never_there_stops_no_run() -> None:
    stage = Stage(views=THREE)
    stage.each(3)
    lost = stage.world.names.topic(FILLS), stage.world.names.deltas(FILLS)
    stage.log.away.take(dict.fromkeys(lost, "gone"))
    assert stage.batch().cuts == {"trades": {0: 3}, "prints": {0: 3}}
    stage.log.away.give_back()
    assert stage.batch().cuts == {"trades": {0: 4}, "prints": {0: 4}, "fills": {0: 3}}
    stage.worker().step()
    stage.whole()


@case(23)
def a_partition_that_cannot_be_read_holds_itself_alone() -> None:
    stage = Stage(partitions=2, views=THREE)
    for p in (0, 1):
        for stream in stage.world.streams:
            stage.trades(p, 3, stream=stream)
    stage.log.damage(stage.world.names.topic(FILLS), 1, 1)
    made = stage.batch()
    assert made.cuts == {"trades": {0: 3, 1: 3}, "prints": {0: 3, 1: 3}, "fills": {0: 3, 1: 0}}
    assert [held.partition for held in made.of(FILLS).held] == [1]
    stage.log.damage(stage.world.names.topic(FILLS), 1, None)
    assert stage.batch().cut(FILLS) == {0: 4, 1: 4}
    stage.worker().step()
    stage.whole()


@case(23)
def an_open_transaction_holds_its_own_partition_alone() -> None:
    stage = Stage(partitions=2, views=THREE)
    stage.each(3)
    stage.log.open_transaction(stage.world.names.topic(FILLS), 0)
    stage.trades(0, 2, stream=FILLS)
    made = stage.batch()
    assert made.cuts == {"trades": {0: 3, 1: 0}, "prints": {0: 3, 1: 0}, "fills": {0: 0, 1: 0}}
    assert [held.partition for held in made.of(FILLS).held] == [0]
    stage.log.end_transaction(stage.world.names.topic(FILLS), 0)
    stage.batch()
    stage.worker().step()
    stage.whole()


@case(23)
def a_version_from_before_a_stream_is_rolled_back_to() -> None:
    stage = Stage(views=THREE)
    stage.each(3)
    topics = stage.world.names.topic(FILLS), stage.world.names.deltas(FILLS)
    stage.log.away.take(dict.fromkeys(topics, "gone"))
    before = stage.batch()
    assert "fills" not in before.streams
    stage.log.away.give_back()
    assert stage.batch().cut(FILLS) == {0: 3}
    worker = stage.worker()  # begins while the newer version is the current one
    worker.step()
    stage.whole()
    back_to(stage, before.version)
    stage.beat(worker)
    stage.whole()


@case(23)
def a_stream_that_no_worker_reads_stops_no_answer_of_the_others() -> None:
    stage = Stage(views=THREE)
    stage.each(3)
    stage.worker(views=(BARS, PRINTED)).step()
    server = stage.server()
    about = {str(meta["stream"]): meta for meta in stage.right(server)}
    assert about["trades"]["complete"]
    assert about["trades"]["applied"] == about["prints"]["applied"] == {"0": 3}
    assert stage.batch().cuts == {"trades": {0: 3}, "prints": {0: 3}, "fills": {0: 3}}
    stage.worker().step()
    stage.whole()


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with light():
        yield
        close_stages()


def test_every_counterexample_has_a_case_and_a_switch() -> None:
    assert set(CASES) == set(range(36))
    assert cases_writers.case is case
    assert {switch.case for switch in SWITCHES} == {*CASES}


@pytest.mark.parametrize(
    "body", [pytest.param(body, id=f"{n} {body.__name__}") for n, bodies in sorted(CASES.items()) for body in bodies]
)
def test_case(body: Case) -> None:
    body()


@pytest.mark.parametrize("switch", [switch for switch in SWITCHES if switch.case or not switch.seeds], ids=str)
def test_without_its_rule_a_case_fails(switch: Switch) -> None:
    failed = 0
    for body in CASES[switch.case]:
        with switch.off():
            try:
                body()
            except (AssertionError, SlackwaterError, OSError, duckdb.Error):
                failed += 1
    assert failed, f"nothing is wrong without the rule: {switch.rule}"


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_the_text_that_a_switch_changes_stands_in_the_code(switch: Switch) -> None:
    with switch.off():
        pass


@pytest.mark.crash  # minutes: how many seeds it takes is luck
@pytest.mark.parametrize("switch", [switch for switch in SWITCHES if switch.seeds], ids=str)
def test_without_a_rule_the_random_simulation_fails(switch: Switch) -> None:
    with switch.off():
        assert any(run_seed(seed)[1] for seed in range(switch.seeds)), f"{switch.seeds} seeds do not miss the rule"
