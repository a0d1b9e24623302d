"""The programs of the simulation: what each process's main loop does, with the real parts.

Each catches what the real loop catches, and nothing else: an error that no program of the project would survive ends
the simulation as a violation.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from batch_layer.candidate import CandidateRun
from batch_layer.compaction_run import CompactionRun
from batch_layer.errors import BatchError, CandidateError, CompactionError, LackingError
from batch_layer.expire import expire
from batch_layer.promote import Promotion
from batch_layer.run import BatchRun
from batch_layer.waiting import Idle
from ingest.chunk import nothing, of_lines
from ingest.errors import ClaimedError
from ingest.writer import IngestWriter, open_ingest
from serving.options import ServingOptions
from serving.service import Service
from slackwater.context import Context
from slackwater.core.errors import SlackwaterError
from slackwater.log.errors import AppendError, LogError
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import (
    LostRaceError,
    ManifestError,
    NoSuchVersionError,
    RollbackError,
    VenueTakenError,
)
from slackwater.versions.rollback import rollback as go_back
from slackwater.versions.snapshots import Schedule
from slackwater.views.view import View
from speed_layer.sink import PublishDeltas
from speed_layer.worker import Worker
from tests.simulation.light import InlinePool, compute_with, summarise

if TYPE_CHECKING:
    from tests.simulation.world import World

PIPELINE_S = 20.0


def speed(world: "World") -> None:
    """speed_layer.run: pipelines one after the other, each begun where the chain ends."""
    while True:
        try:
            _pipeline(world)
        except LogError as error:
            world.note(f"  the pipeline ended: {error}")
            world.trace.count("pipelines that failed")
            world.scheduler.pause("restart")


def _pipeline(world: "World") -> None:
    views = world.heard()
    worker = Worker(world.log, world.names, world.store, views, None, world.clock, pace=world.pace)
    sink = PublishDeltas(lambda: world.log, world.names, views, world.clock)
    sink.setup()
    end = world.clock.elapsed_s() + PIPELINE_S
    while world.clock.elapsed_s() < end:
        for block in worker.step(0.0):
            for states in summarise(views, block):
                sink.process(states)
    sink.teardown()
    worker.close()


def new_run(world: "World", views: tuple[View, ...] | None = None) -> BatchRun:
    """The real run, with the compute and the names of the simulation. `views`: it knows these alone."""
    return BatchRun(
        Context(world.log, world.names, world.store, views or world.views, world.clock),
        compute=compute_with(world.scheduler.pause),
        new_run_id=world.new_run_id,
        proof_deadline_s=world.proof_deadline_s or world.random.choice([0.0, 3.0, 10.0]),
    )


def batch(world: "World") -> None:
    """batch_layer: one run; whether it makes a version even if nothing is new, the seed says."""
    run = new_run(world)
    always = world.random.random() < 0.5 if world.always is None else world.always
    run.full = always and world.random.random() < 0.2
    stalls = world.stalls_over()
    try:
        made = run.run() if always else run.run_if_new()
    except LostRaceError:
        world.trace.count("races lost")
    except AppendError:
        world.trace.count("runs that failed")
    except SlackwaterError as error:
        stalled = world.stalled_since(stalls)
        every = len(stalled) == len(world.streams)
        if not isinstance(error, LogError) or not stalled or (always and not every):
            raise AssertionError(f"a batch run was refused: {error}") from error
        world.trace.count("runs with nothing new but a stalled stream")
    else:
        if isinstance(made, Idle):
            world.note(f"  {made}")
            world.trace.count("runs with nothing to do")
            return
        world.note(f"  published {made.version}")
        world.trace.count("versions")
        world.trace.count(f"proofs {made.proof.outcome}")


def cron(world: "World") -> None:
    """batch run, where the packages of the other streams are not installed, and batch expire."""
    views = tuple(view for view in world.views if view.stream == TRADES)
    run, stalls = new_run(world, views), world.stalls_over()
    try:
        run.run()
        expiry(world)
    except LackingError:
        world.trace.count("runs that lacked a stream")
    except (LostRaceError, AppendError):
        world.trace.count("runs that lacked a stream and failed")
    except LogError:
        if not world.stalled_since(stalls):
            raise
    else:
        world.trace.count("runs before there was another stream")


def candidate(world: "World") -> None:
    """batch run --candidate, and mostly batch promote at once: soon its cut is stale."""
    run = CandidateRun(Context(world.log, world.names, world.store, world.views, world.clock))
    run.compute, run.new_run_id = compute_with(world.scheduler.pause), world.new_run_id
    stalls = world.stalls_over()
    try:
        run.run()
    except CandidateError:
        world.trace.count("candidates of nothing")
    except LostRaceError:
        world.trace.count("candidates that came too late")
    except LogError:
        _beside_a_stall(world, stalls)
    else:
        world.trace.count("candidates")
        if world.random.random() < 0.7:
            promotion(world)


def compaction(world: "World") -> None:
    """batch compact, mostly of what is due; only an audit of what is not proven asks the log."""
    run = CompactionRun(Context(world.log, world.names, world.store, world.views, world.clock))
    run.every, run.new_run_id = world.random.random() < 0.3, world.new_run_id
    stalls = world.stalls_over()
    try:
        made = run.run()
    except LostRaceError:
        world.trace.count("merges that came too late")
    except LogError:
        _beside_a_stall(world, stalls)
    except BatchError as error:
        if isinstance(error, CompactionError) or "Nothing is published" not in str(error):
            raise AssertionError(f"nothing was compacted: {error}") from error
    else:
        world.trace.count("merges by themselves", made is not None)


def promotion(world: "World") -> None:
    """batch promote: the newest candidate, or a version that is none."""
    candidates = [m.version for m in world.manifests.values() if m.candidate] or [1]
    promote = Promotion(Context(world.log, world.names, world.store, world.views, world.clock)).promote
    stalls = world.stalls_over()
    try:
        promote(max(candidates), "the seed says so", "sim", world.random.choice([0.0, 1.0, 3.0]))
    except (NoSuchVersionError, CandidateError, LostRaceError, ManifestError) as error:
        world.note(f"  not promoted: {error}")
        world.trace.count("promotions refused")
    except LogError:
        _beside_a_stall(world, stalls)
    else:
        world.trace.count("promotions")


def expiry(world: "World") -> None:
    """batch expire: retire, then remove."""
    stalls = world.stalls_over()
    try:
        done = expire(
            Context(world.log, world.names, world.store, (), world.clock),
            keep=world.random.choice([1, 1, 2]),
            schedule=Schedule(hours=200),
        )
    except BatchError:
        world.trace.count("expiries that met a moving pointer")
        return
    except LogError:
        _beside_a_stall(world, stalls)
        return
    world.trace.count("versions retired", len(done.retired))
    world.trace.count("snapshots kept", len(done.snapshots))
    world.trace.count("deltas removed", len(done.deltas))
    world.trace.count("files removed", len(done.names))


def _beside_a_stall(world: "World", stalls: int) -> None:
    """What needs every log is refused while one is away, and at no other time. Called while its error is handled."""
    if not world.stalled_since(stalls):
        raise  # noqa: PLE0704
    world.trace.count("refused while a stream was stalled")


def rollback(world: "World") -> None:
    """batch rollback: to one of the newest versions, current or retired as it may be."""
    version = world.random.choice([*sorted(world.manifests)[1:][-4:], 1])
    try:
        go_back(world.store, version, "the seed says so", "sim", world.clock.now_us)
    except (NoSuchVersionError, RollbackError, ManifestError) as error:  # one that a power cut tore never was
        world.trace.count("rollbacks refused")
        world.trace.count("rollbacks refused by a barrier", "cannot take the place of" in str(error))
    except LostRaceError:
        world.trace.count("rollbacks that came too late")


def new_service(world: "World") -> Service:
    """A service whose batch reads are made at once."""
    options = ServingOptions(poll_s=0.0)
    service = Service(world.log, world.names, world.store, world.views, world.clock, options, InlinePool())  # type: ignore[arg-type]
    world.floors[service] = dict(world.told)
    return service


def thread(world: "World", step: Callable[[], None]) -> Callable[[], None]:
    """serving.service: a step again and again, that no error of the log or of versions ends."""

    def main() -> None:
        while True:
            try:
                step()
            except SlackwaterError as error:
                world.note(f"  a step failed: {error}")
            world.scheduler.pause("next step")

    return main


def ingest(world: "World") -> None:
    """ingest: takes the inbox in order; after a crash or a failure the same input again."""
    while True:
        try:
            _ingest(world)
        except LogError as error:
            assert isinstance(error, AppendError) or world.stalls, f"ingest ended: {error}"
            world.trace.count("ingests that failed")
            world.scheduler.pause("restart")
        except VenueTakenError:
            world.trace.count("ingests that met another writer")
            world.scheduler.pause("restart")


def stands(world: "World", entrance: IngestWriter) -> bool:
    """Whether a chunk may be given."""
    found = entrance.stand()
    world.trace.count("ingests that let go", not found)
    return found


def _ingest(world: "World") -> None:
    with open_ingest(TRADES, world.log, world.names, world.store, world.clock) as entrance:
        at = world.taken
        while True:
            if at < len(world.inbox):
                try:
                    if stands(world, entrance):
                        entrance.accept(of_lines(f"chunk {at}", world.inbox[at]))
                        at += 1
                except ClaimedError:
                    world.trace.count("chunks that waited for an import")
            elif stands(world, entrance):
                entrance.accept(nothing("inbox"))
                entrance.flush()
                world.taken = max(world.taken, at)
            world.scheduler.pause("next chunk")
