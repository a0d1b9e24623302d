"""Cases 24 to 32: corrections, imports and versions made anew, beside everything else."""

from collections.abc import Callable
from contextlib import suppress

from batch_layer.candidate import CandidateRun
from batch_layer.compaction_run import CompactionRun
from batch_layer.promote import Promotion
from slackwater.context import Context
from slackwater.corrections.selection import Selection
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import LostRaceError, RollbackError
from slackwater.versions.rollback import rollback
from slackwater.versions.writer_lock import POLL_S
from slackwater.views.bars import BARS
from tests.simulation import checks_writers, mains, writers
from tests.simulation.cases import back_to, case, grown
from tests.simulation.hands import NOON_US
from tests.simulation.light import TURNED, VIEWS, compute_with
from tests.simulation.past import identity_columns
from tests.simulation.programs import Program
from tests.simulation.stage import PATIENCE, Stage
from tests.simulation.streams import PRINTED, PRINTS, line_of


def ids(stage: Stage, symbol: str, *numbers: int) -> Selection:
    """Trades of a symbol."""
    del stage
    return Selection(ids=identity_columns(TRADES, [(("v", symbol), str(number)) for number in numbers]))


def correct(stage: Stage, symbol: str, *numbers: int) -> None:
    """Take some out; what is published is checked."""
    writers.correct(stage.world, TRADES, ids(stage, symbol, *numbers))
    stage.world.check()


def lines(symbol: str, *numbers: int) -> list[bytes]:
    """Trades."""
    return [line_of(TRADES, symbol, n, NOON_US + n * 250_000, f"{n}.25", "3", "sell") for n in numbers]


def bring(stage: Stage, *numbers: int) -> None:
    """Import trades of A."""
    writers.bring(stage.world, lines("A", *numbers))
    stage.world.check()


def offer(stage: Stage, ingest: Program) -> None:
    """The ingest takes all that it is given; no time passes."""
    for _ in range(400):
        if stage.world.taken == len(stage.world.inbox):
            return
        ingest.advance(1)
        stage.log.network()
    raise AssertionError("it does not take what it is given")


def beside(stage: Stage, ingest: Program, main: object) -> None:
    """Another program, while the ingest goes on."""
    program = stage.world.start("other", main)
    until_beside(stage, program, ingest, lambda: not program.running)
    stage.world.check()


def until_beside(stage: Stage, program: Program, ingest: Program, holds: Callable[[], bool]) -> None:
    """Both go on until it holds; time passes only where the program waits for it."""
    for _ in range(20 * PATIENCE):
        if holds():
            return
        if program.waits_in == "sleep":
            stage.world.clock.turn(POLL_S)
        for each in (program, ingest):
            each.advance(1)
            stage.log.network()
    raise AssertionError("it never comes to that")


@case(24)
def what_a_correction_names_above_the_cut_goes_when_it_is_archived() -> None:
    stage = grown(1)
    stage.trades(0, 3)
    stage.worker().step()
    stage.batch()
    correct(stage, "F0", 6, 9)
    writers.make_again(stage.world, 1)  # what was named lies behind its cut
    stage.world.check()
    stage.worker().step()
    stage.whole()
    stage.batch()
    stage.worker().step()
    stage.whole()


@case(24)
def what_names_events_that_are_held_waits() -> None:
    stage = Stage(views=(BARS, PRINTED))
    stage.trades(0, 2)
    stage.trades(0, 2, stream=PRINTS)
    stage.batch()
    stage.trades(0, 2)
    dead = stage.world.start("correction", lambda world: writers.correct(world, TRADES, ids(stage, "F0", 5)))
    stage.until("fsync the folder of corrections", dead)
    dead.kill()
    stage.log.away.take({stage.world.names.topic(TRADES): "gone"})
    stage.trades(0, 1, stream=PRINTS)
    stage.batch()
    stage.log.away.give_back()
    assert stage.batch().corrected == 1
    stage.world.check()
    stage.worker().step()
    stage.whole()


@case(24)
def what_no_version_holds_yet_is_corrected() -> None:
    stage = grown(1)
    correct(stage, "F0", 3, 6, 7)
    assert stage.world.trace.counts["corrections of what is not archived yet"] == 1
    stage.worker().step()
    stage.whole()


@case(25)
def no_rollback_brings_back_what_was_taken_out() -> None:
    stage = grown(2)
    correct(stage, "F0", 2)
    with suppress(RollbackError):
        back_to(stage, 1)
    writers.make_again(stage.world, 1)
    assert stage.world.store.current().parent == 1
    stage.world.check()
    stage.worker().step()
    stage.whole()


@case(26)
def no_rollback_loses_an_import() -> None:
    stage = grown(2)
    bring(stage, 1, 2, 3)
    with suppress(RollbackError):
        back_to(stage, 1)
    writers.make_again(stage.world, 2)
    stage.world.check()
    stage.worker().step()
    stage.whole()


@case(26)
def a_rollback_that_looked_before_an_import_came_loses() -> None:
    stage = grown(2)
    going = stage.world.start("rollback", lambda world: rollback(world.store, 1, "", "", world.clock.now_us))
    stage.until("hold versions/leases/rollback", going)
    stage.until("lock versions/lock", going)  # it has looked at both, and is about to move the pointer
    bring(stage, 1, 2, 3)
    with suppress(LostRaceError):
        stage.finish(going)
    stage.world.check()
    stage.worker().step()
    stage.whole()


@case(26)
def no_version_is_made_of_one_from_before_the_stream_of_an_import() -> None:
    stage = Stage(views=(BARS, PRINTED))
    topics = stage.world.names.topic(TRADES), stage.world.names.deltas(TRADES)
    stage.log.away.take(dict.fromkeys(topics, "gone"))
    stage.trades(0, 2, stream=PRINTS)
    assert stage.batch().streams.keys() == {"prints"}
    stage.log.away.give_back()
    stage.trades(0, 2)
    stage.batch()
    bring(stage, 1, 2)
    writers.make_again(stage.world, 1)
    stage.world.check()
    assert stage.world.trace.counts["remakes refused"] == 1


@case(27)
def what_is_not_proven_is_corrected_and_audited() -> None:
    stage = Stage()
    stage.trades(0, 5)
    assert stage.batch().proof.outcome == "unproven"
    stage.trades(0, 2)
    correct(stage, "F0", 2, 6)
    assert stage.world.store.current().corrected == 1
    for _ in range(3):  # each audits what is open
        stage.trades(0, 1)
        stage.batch()
    stage.worker().step()
    stage.trades(0, 1)
    stage.worker().step()
    assert stage.batch().proof.outcome == "equal"
    stage.worker().step()
    stage.whole()


@case(28)
def a_correction_changes_nothing_of_what_is_proven() -> None:
    stage = grown(1)
    stage.world.proof_deadline_s = 1.0
    correct(stage, "F0", 2, 6)
    stage.worker().step()
    stage.trades(0, 1)
    stage.worker().step()
    assert stage.batch().corrected == 1
    stage.worker().step()
    stage.whole()


@case(29)
def what_merges_keeps_what_was_taken_out() -> None:
    stage = grown(3)
    correct(stage, "F0", 2)
    stage.worker().step()
    assert CompactionRun(_context(stage), True, stage.world.new_run_id).run() is not None
    stage.world.check()
    stage.whole()


@case(29)
def a_merge_that_a_correction_overtook_loses() -> None:
    stage = grown(3)
    merge = CompactionRun(_context(stage), True, stage.world.new_run_id)
    going = stage.world.start("compaction", lambda _: merge.run())
    stage.until("hold versions/leases", going)
    stage.until("lock versions/lock", going)  # it is about to publish
    correct(stage, "F0", 2)
    with suppress(LostRaceError):
        stage.finish(going)
    stage.world.check()
    stage.worker().step()
    stage.whole()


@case(29)
def a_candidate_keeps_what_was_taken_out() -> None:
    stage = grown(2)
    correct(stage, "F0", 2)
    stage.world.views = (*VIEWS, TURNED)
    made = CandidateRun(_context(stage), None, compute_with(lambda _: None), stage.world.new_run_id).run()
    stage.worker().step()
    Promotion(_context(stage)).promote(made.version, "a case", "somebody", 3.0)
    stage.world.check()


@case(30)
def no_ingest_goes_on_with_identities_that_are_free() -> None:
    stage = Stage()
    stage.trades(0, 1)
    world = stage.world
    world.proof_deadline_s = 1e-6  # within a second an ingest does not look at the pointer
    ingest = world.start("ingest", mains.ingest)
    world.inbox.append(lines("A", 1, 2))
    offer(stage, ingest)
    stage.batch()
    beside(stage, ingest, lambda world: writers.correct(world, TRADES, ids(stage, "A", 1)))
    assert world.store.current().corrected == 1
    checks_writers.offer_again(world)
    offer(stage, ingest)
    checks_writers.check_ingest(world)
    stage.worker().step()
    stage.whole()


@case(31)
def an_identity_that_is_free_is_taken_again() -> None:
    stage = Stage()
    stage.trades(0, 1)
    world = stage.world
    world.inbox.append(lines("A", 1, 2))
    first = world.start("ingest", mains.ingest)
    offer(stage, first)
    first.kill()
    stage.batch()
    bring(stage, 1, 3)
    correct(stage, "A", 1, 3)
    assert world.store.current().corrected == 1
    checks_writers.offer_again(world)
    assert len(world.past.again) == 2
    offer(stage, world.start("ingest", mains.ingest))
    checks_writers.check_ingest(world)
    stage.batch()
    stage.worker().step()
    stage.whole()


@case(31)
def an_identity_that_a_version_made_anew_lets_go_is_taken_again_at_once() -> None:
    stage = Stage()
    stage.trades(0, 1)
    world = stage.world
    stage.batch()
    world.inbox.append(lines("A", 1, 2))
    first = world.start("ingest", mains.ingest)
    offer(stage, first)
    first.kill()
    stage.batch()
    correct(stage, "A", 1)
    writers.make_again(world, 1)  # the log behind its cut holds what is gone, and it will not be archived
    stage.world.check()
    checks_writers.offer_again(world)
    offer(stage, world.start("ingest", mains.ingest))
    checks_writers.check_ingest(world)
    stage.batch()
    stage.worker().step()
    stage.whole()


@case(32)
def a_correction_that_dies_while_it_is_written_down_stops_no_run() -> None:
    stage = grown(1)
    dead = stage.world.start("correction", lambda world: writers.correct(world, TRADES, ids(stage, "F0", 2)))
    stage.until("corrections/1.json", dead)
    dead.advance(1)
    assert "corrections/1.json" in dead.waits_in
    dead.kill()
    stage.batch()
    correct(stage, "F0", 3)
    assert stage.world.store.current().corrected == stage.world.store.corrections.last() == 1


@case(32)
def a_correction_that_was_written_down_is_applied_by_the_next_run() -> None:
    stage = grown(1)
    dead = stage.world.start("correction", lambda world: writers.correct(world, TRADES, ids(stage, "F0", 2)))
    stage.until("fsync the folder of corrections", dead)
    dead.kill()
    assert stage.batch().corrected == 1
    assert stage.world.files.durable(stage.world.home / "corrections/1.json"), "a power cut takes what is applied"
    stage.worker().step()
    stage.whole()


def two_ingests(stage: Stage) -> tuple[Program, Program]:
    """Two that have read the log, before an event came; then the first one takes some."""
    stage.trades(0, 1)
    first, second = (stage.world.start("ingest", mains.ingest) for _ in range(2))
    second.advance(100)
    stage.world.inbox.append(lines("A", 1, 2))
    offer(stage, first)
    return first, second


@case(33)
def two_ingests_never_have_one_venue() -> None:
    stage = Stage()
    _, second = two_ingests(stage)
    stage.world.taken = 0
    second.advance(100)
    stage.log.network()
    assert not stage.world.taken, "two took events of one venue"
    checks_writers.check_ingest(stage.world)


@case(33)
def who_takes_a_venue_over_knows_what_the_one_before_took() -> None:
    stage = Stage()
    first, second = two_ingests(stage)
    first.kill()
    stage.world.taken = 0  # all of it comes to the second one, too
    offer(stage, second)
    checks_writers.check_ingest(stage.world)
    stage.batch()
    stage.worker().step()
    stage.whole()


@case(34)
def an_import_leaves_out_what_an_ingest_took_before_its_claim() -> None:
    import_beside("sync archive/import")


@case(34)
def an_import_waits_for_what_an_ingest_has_on_its_way() -> None:
    import_beside("sync archive/import", silent=True)


@case(34)
def an_ingest_leaves_alone_what_an_import_has_claimed() -> None:
    import_beside("let go claims")


def import_beside(call: str, silent: bool = False) -> None:
    """Events come to an ingest when an import of them is about to do such a call. `silent`: for some time the log does
    not answer.
    """
    stage = Stage()
    stage.trades(0, 1)
    world = stage.world
    ingest = world.start("ingest", mains.ingest)
    offer(stage, ingest)
    stage.batch()
    importing = world.start("other", lambda world: writers.bring(world, lines("A", 1, 2, 3)))
    until_beside(stage, importing, ingest, lambda: call in importing.waits_in)
    world.inbox.append(lines("A", 2, 4))
    for _ in range(40):
        ingest.advance(1)
        if silent:
            importing.advance(1)
            world.clock.turn(POLL_S)
        else:
            stage.log.network()
    until_beside(stage, importing, ingest, lambda: not importing.running)
    stage.world.check()
    offer(stage, ingest)
    checks_writers.check_ingest(world)
    stage.batch()
    stage.worker().step()
    stage.whole()


@case(35)
def a_claim_that_ends_unseen_leaves_no_identity_twice() -> None:
    stage = Stage()
    stage.trades(0, 1)
    world = stage.world
    ingest = world.start("ingest", mains.ingest)
    offer(stage, ingest)
    stage.batch()
    beside(stage, ingest, lambda world: writers.bring(world, lines("A", 1, 2)))
    world.inbox.append(lines("A", 2, 3))  # within a second an ingest does not look at the pointer
    offer(stage, ingest)
    checks_writers.check_ingest(world)
    stage.batch()
    stage.worker().step()
    stage.whole()


def _context(stage: Stage) -> Context:
    world = stage.world
    return Context(world.log, world.names, world.store, world.views, world.clock)
