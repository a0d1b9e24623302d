"""The programs of the simulation: what each process's main loop does, with the real parts.

Each catches what the real loop catches, and nothing else: an error that no program of the project would survive ends
the simulation as a violation.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from batch_layer.candidate import CandidateRun
from batch_layer.errors import ExpiryError, NoCandidateError, PromotionError
from batch_layer.expire import expire
from batch_layer.look import Idle
from batch_layer.promote import Promotion
from batch_layer.run import BatchRun
from ingest.chunk import nothing, of_lines
from ingest.writer import open_ingest
from serving.options import ServingOptions
from serving.service import Service
from slackwater.context import Context
from slackwater.core.errors import SlackwaterError
from slackwater.log.errors import AppendError, LogError
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import LostRaceError, ManifestError, NoSuchVersionError, RollbackError
from slackwater.versions.rollback import rollback as go_back
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
    worker = Worker(world.log, world.names, world.store, world.views, None, world.clock)
    sink = PublishDeltas(lambda: world.log, world.names, world.views, world.clock)
    sink.setup()
    end = world.clock.elapsed_s() + PIPELINE_S
    while world.clock.elapsed_s() < end:
        for block in worker.step(0.0):
            for states in summarise(world.views, block):
                sink.process(states)
    sink.teardown()
    worker.close()


def new_run(world: "World") -> BatchRun:
    """The real run, with the compute and the names of the simulation."""
    return BatchRun(
        Context(world.log, world.names, world.store, world.views, world.clock),
        compute=compute_with(world.scheduler.pause),
        new_run_id=world.new_run_id,
        proof_deadline_s=world.proof_deadline_s or world.random.choice([0.0, 3.0, 10.0]),
    )


def batch(world: "World") -> None:
    """batch_layer: one run; whether it makes a version even if nothing is new, the seed says."""
    run = new_run(world)
    always = world.random.random() < 0.5 if world.always is None else world.always
    try:
        made = run.run() if always else run.run_if_new()
    except LostRaceError:
        world.trace.count("races lost")
    except AppendError:
        world.trace.count("runs that failed")
    except SlackwaterError as error:
        raise AssertionError(f"a batch run was refused: {error}") from error
    else:
        if isinstance(made, Idle):
            world.note(f"  {made}")
            world.trace.count("runs with nothing to do")
            return
        world.note(f"  published {made.version}")
        world.trace.count("versions")
        world.trace.count(f"proofs {made.proof.outcome}")


def candidate(world: "World") -> None:
    """batch run --candidate, and mostly batch promote at once: soon its cut is stale."""
    run = CandidateRun(Context(world.log, world.names, world.store, world.views, world.clock))
    run.compute, run.new_run_id = compute_with(world.scheduler.pause), world.new_run_id
    try:
        run.run()
    except NoCandidateError:
        world.trace.count("candidates of nothing")
    except LostRaceError:
        world.trace.count("candidates that came too late")
    else:
        world.trace.count("candidates")
        if world.random.random() < 0.7:
            promotion(world)


def promotion(world: "World") -> None:
    """batch promote: the newest candidate, or a version that is none."""
    candidates = [m.version for m in world.manifests.values() if m.candidate] or [1]
    promote = Promotion(Context(world.log, world.names, world.store, world.views, world.clock)).promote
    try:
        promote(max(candidates), "the seed says so", "sim", world.random.choice([0.0, 1.0, 3.0]))
    except (NoSuchVersionError, PromotionError, LostRaceError, ManifestError) as error:
        world.note(f"  not promoted: {error}")
        world.trace.count("promotions refused")
    else:
        world.trace.count("promotions")


def expiry(world: "World") -> None:
    """batch expire: retire, then remove."""
    try:
        done = expire(
            Context(world.log, world.names, world.store, (), world.clock), keep=world.random.choice([1, 1, 2])
        )
    except ExpiryError:
        world.trace.count("expiries that met a moving pointer")
        return
    world.trace.count("versions retired", len(done.retired))
    world.trace.count("deltas removed", len(done.deltas))
    world.trace.count("files removed", len(done.paths))


def rollback(world: "World") -> None:
    """batch rollback: to one of the newest versions, current or retired as it may be."""
    version = world.random.choice([*sorted(world.manifests)[1:][-4:], 1])
    try:
        go_back(world.store, version, "the seed says so", "sim", world.clock.now_us())
    except (NoSuchVersionError, RollbackError, ManifestError):  # one that a power cut tore was never published
        world.trace.count("rollbacks refused")


def new_service(world: "World") -> Service:
    """A service whose batch reads are made at once."""
    options = ServingOptions(poll_s=0.0)
    service = Service(world.log, world.names, world.store, world.views, world.clock, options, InlinePool())  # type: ignore[arg-type]
    world.floors[service] = dict(world.told)
    return service


def thread(world: "World", step: Callable[[], None]) -> Callable[[], None]:
    """serving.watch.thread: a step again and again, that no error of the log or of versions ends."""

    def main() -> None:
        while True:
            try:
                step()
            except SlackwaterError as error:
                world.note(f"  a step failed: {error}")
            world.scheduler.pause("next step")

    return main


def door(world: "World") -> None:
    """ingest: takes the inbox in order; after a crash or a failure the same input again."""
    while True:
        try:
            _ingest(world)
        except AppendError:
            world.trace.count("doors that failed")
            world.scheduler.pause("restart")


def _ingest(world: "World") -> None:
    with open_ingest(TRADES, world.log, world.names, world.store, world.clock) as entrance:
        at = world.taken
        while True:
            if at < len(world.inbox):
                entrance.accept(of_lines(f"chunk {at}", world.inbox[at]))
                at += 1
            else:
                entrance.accept(nothing("inbox"))
                entrance.flush()
                world.taken = at
            world.scheduler.pause("next chunk")
