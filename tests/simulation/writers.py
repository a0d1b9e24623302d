"""The programs that change which identities are known, beside ingest: corrections, imports, versions made anew.

Ingest lets go of its lock for them, mostly; sometimes it was ended, or is so slow that they wait in vain. A second
ingest waits for the first one's venues. A correction that died in between is applied by whichever run comes next.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from batch_layer.archive import Epoch
from batch_layer.correction_run import CorrectionRun
from batch_layer.errors import BatchError
from batch_layer.remake import Remake
from ingest.archive_import import import_history, new_epoch
from ingest.chunk import Chunk, Source, of_lines
from slackwater.context import Context
from slackwater.corrections.selection import Selection, SelectionError
from slackwater.log.errors import AppendError, LogError
from slackwater.store.files import holding
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import (
    CorrectionWaitsError,
    LostRaceError,
    ManifestError,
    NoSuchVersionError,
    RollbackError,
    WriterRunningError,
)
from slackwater.versions.manifest import Manifest
from slackwater.versions.writer_lock import hold_import
from tests.simulation import checks_writers, mains
from tests.simulation.light import compute_with
from tests.simulation.past import identity_columns

if TYPE_CHECKING:
    from tests.simulation.world import World

KINDS = {"correction", "importing", "remake"}


class Writers:
    """The moves of a world that has such programs; one of them at a time."""

    def __init__(self, world: "World") -> None:
        self._world = world
        # Drawn apart, so that the moves of a seed without them stay its own.
        self.on = Random(f"writers {world.seed}").random() < 0.35

    def moves(self) -> dict[object, int]:
        """Each with its weight; batch runs and rollbacks are many in such a world, or nothing could be corrected."""
        own = {self.correct: 9, self.bring: 8, self.make_again: 7, self.start_ingest: 9}
        world = self._world
        return {**own, world.run_batch: 26, world.roll_back: 8, world.expire: 3}

    def correct(self) -> None:
        """Somebody takes events out."""
        self._start("correction", correction)

    def bring(self) -> None:
        """Somebody imports history."""
        self._start("importing", importing)

    def make_again(self) -> None:
        """Somebody rolls back by a version that is made for it."""
        self._start("remake", remake)

    def start_ingest(self, most: int = 2) -> None:
        """One more ingest, which takes over when the one before ends."""
        world = self._world
        if sum(program.running and program.kind == "ingest" for program in world.programs) < most:
            world.start("ingest", mains.ingest)

    def end_ingest(self) -> None:
        """It ends: what it took is in the log, or the same input comes again."""
        for program in [each for each in self._world.programs if each.kind == "ingest"]:
            self._world.end(program)

    def _start(self, kind: str, main: object) -> None:
        world = self._world
        if any(program.running and program.kind in KINDS for program in world.programs):
            return
        if not world.pointed and world.random.random() < 0.9:
            return
        if world.random.random() < 0.25:
            self.end_ingest()
        world.start(kind, main, pace=4.0 * world.haste)


@contextmanager
def _refusable(world: "World", kind: str) -> Iterator[None]:
    """What may come of such a program beside others, each counted. All else ends the simulation."""
    stalls = world.stalls_over()
    try:
        yield
    except WriterRunningError:
        world.trace.count("refused for a writer")
    except CorrectionWaitsError:
        world.trace.count("refused for a correction that waits")
    except LostRaceError:
        world.trace.count(f"{kind}s that came too late")
    except AppendError:
        world.trace.count(f"{kind}s that failed")
    except LogError:
        if not world.stalled_since(stalls):
            raise
        world.trace.count("refused while a stream was stalled")


def correction(world: "World") -> None:
    """correct remove, correct duplicates."""
    stream = world.random.choice([TRADES, *world.streams])
    correct(world, stream, _selected(world, stream))


def correct(world: "World", stream: Stream, selection: Selection | None) -> None:
    """Take out what is selected, None: duplicates. What is written down is checked before it is applied."""
    corrections = CorrectionRun(_context(world), stream)
    run, seen = mains.new_run(world), checks_writers.seen(world, stream)

    def publish() -> Manifest:
        number = world.store.corrections.last()
        run_id = world.new_run_id()
        ids = chain([run_id], iter(world.new_run_id, None))  # it is made again where a writer does not let go
        run.new_run_id = lambda: next(ids)
        world.past.own[number] = run_id
        checks_writers.check_recorded(world, stream, selection, seen)
        return run.run()

    with _refusable(world, "correction"):
        try:
            done = corrections.remove(selection, "sim", "the seed says so", publish)
        except SelectionError as error:
            world.note(f"  not corrected: {error}")
            world.trace.count("corrections of nothing")
        except CorrectionWaitsError as error:
            if error.__cause__ is not None:  # why its run ended
                raise error.__cause__ from None
            world.trace.count("corrections behind others that wait")
        except BatchError as error:
            if "Nothing is published, so" not in str(error):
                raise AssertionError(f"a correction was refused: {error}") from error
            world.trace.count("corrections of nothing")
        else:
            assert done.version.corrected >= done.correction.number, "it was published without its correction"
            world.trace.count("corrections that published")


def _selected(world: "World", stream: Stream) -> Selection | None:
    random = world.random
    kind = random.choice(["entity", "entity", "ids", "ids", "ids", "epoch", "duplicates"])
    if kind == "duplicates":
        return None
    if kind == "epoch" and world.past.imported:
        return Selection(epoch=random.choice(sorted(world.past.imported)))
    events = checks_writers.seen(world, stream)
    if stream == TRADES and random.random() < 0.6:
        events = [event for event in events if event.id[0][1] in world.by_ingest] or events
    newest = events[-10:] if random.random() < 0.3 else events
    some = random.sample(newest, min(len(newest), random.choice([1, 1, 3, 9])))
    if not some or kind == "ids":
        none = world.entities(stream)[0], "0"
        return Selection(ids=identity_columns(stream, sorted({event.id for event in some} | {none})))
    start = some[0].time - random.choice([0, 1_000_000])
    return Selection(entity=some[0].id[0], start=start, end=start + random.choice([1, 1_000_001, 4_000_000]))


class _Lines(Source):
    """Some lines, at once."""

    name = "history"

    def __init__(self, lines: list[bytes], on_read: Callable[[], None]) -> None:
        self._on_read = on_read
        self._chunks = [of_lines(self.name, lines)]
        self.total = len(lines)

    def read(self, timeout_s: float) -> Chunk | None:
        del timeout_s
        self.done = self.total or 0
        self._on_read()
        return self._chunks.pop() if self._chunks else None


def importing(world: "World") -> None:
    """archive import, of a few lines."""
    symbols = [name for name, _ in world.named_entities(TRADES) if name in world.by_ingest]
    count = world.random.choice([1, 4, 12])
    lines = [world.line(TRADES, world.random.choice(symbols)) for _ in range(count)]
    some = world.random.sample(lines, world.random.randint(1, count)) if world.random.random() < 0.5 else []
    bring(world, lines, some)


def bring(world: "World", lines: list[bytes], live: Sequence[bytes] = ()) -> None:
    """Import some lines, and publish them. `live` come to the ingest when the import reads its file."""
    store, log = world.store, world.log
    waiting = [list(live)] if live else []

    def offered() -> None:
        while waiting:
            world.inbox.append(waiting.pop())

    with _refusable(world, "import"):
        topic_id, epoch = log.topic_id(world.names.topic(TRADES)), new_epoch()
        with hold_import(store.home, topic_id) as lock, holding(store.lease(epoch, epochs=[epoch])):
            of = TRADES, _Lines(lines, offered), store, log, world.names, world.clock, lock
            done = import_history(*of, epoch=epoch)
            summary = done.summary
            world.past.imported[epoch] = checks_writers.taken(world, lines, done)
            if not done.archive:
                world.trace.count("imports of nothing new")
                return
            run = mains.new_run(world)
            run.extra = Epoch(TRADES.name, done.archive, done.ids, summary.accepted, summary.refused)
            run.run()
            world.trace.count("imports")


def remake(world: "World") -> None:
    """batch rollback --make: to one of the newest versions."""
    kept = [n for n in sorted(world.manifests)[1:][-6:] if n != world.pointed and not world.store.retirement(n)]
    at = world.manifest_of(world.pointed).corrected
    across = [n for n in kept if world.manifest_of(n).corrected < at]
    chance = world.random.random()
    among = across if across and chance < 0.7 else kept if kept and chance < 0.9 else [*sorted(world.manifests), 1]
    make_again(world, world.random.choice(among))


def make_again(world: "World", version: int) -> None:
    """Make a version of an older one and turn to it."""
    run_id = world.new_run_id()
    world.past.remade.add(run_id)
    run = Remake(_context(world), None, compute_with(world.scheduler.pause), lambda: run_id)
    with _refusable(world, "remake"):
        try:
            run.rollback(version, "the seed says so", "sim")
        except (NoSuchVersionError, RollbackError, ManifestError) as error:
            world.note(f"  not made: {error}")
            world.trace.count("remakes refused")
        except BatchError as error:
            if "Nothing is published, so" not in str(error):
                raise AssertionError(f"no version was made of {version}: {error}") from error
            world.trace.count("remakes refused")
        else:
            world.trace.count("remakes")


def _context(world: "World") -> Context:
    return Context(world.log, world.names, world.store, world.views, world.clock)
