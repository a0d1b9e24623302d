"""One world: a log, a disk, a clock, the programs on them, and the seed that decides everything.

World(seed).run(steps)      raises Violation with the seed, the step and the last lines of what happened
"""

import tempfile
from collections import defaultdict
from pathlib import Path
from random import Random
from types import TracebackType

from lesson.memory_log import Partition
from serving.http.routes.bars import BarsRoute
from serving.service import Service
from slackwater.log.names import TopicNames
from slackwater.streams.entities import Entity, entity_key
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest, decode_manifest, empty_manifest, first_cut
from slackwater.versions.pointer import decode_pointer
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import streams_of
from slackwater.views.interval import parse_interval
from slackwater.views.view import View
from tests.bars_route import bars_route
from tests.simulation import calamity, checks, checks_writers, mains
from tests.simulation.disk import SimFiles
from tests.simulation.hands import NOON_US, SimClock
from tests.simulation.light import TURNED, VIEWS
from tests.simulation.log import Branch, SimLog
from tests.simulation.past import Past, Standing
from tests.simulation.programs import Program, Scheduler, Trace
from tests.simulation.rests import RandomPace
from tests.simulation.streams import STALLS, entity_of, line_of, views_drawn
from tests.simulation.truth import Truth
from tests.simulation.writers import KINDS, Writers

SHARED_MEMORY = Path("/dev/shm")
INGEST_SYMBOLS = ("A", "B", "C")
INTERVALS = tuple(map(parse_interval, ("1s", "1m", "5m", "1d")))
SETTLE_ROUNDS = 100
HASTY = {"batch", "expiry", "rollback", "compaction", "candidate", "promotion", *KINDS}
SHOWN_LINES = 40
BAD_LINES = (b"", b"{}", b'{"venue":"v"', b"\xff")


class ViolationError(AssertionError):
    """Something that must hold did not. The message names the seed."""


class World:
    """See the module."""

    def __init__(
        self,
        seed: int,
        views: tuple[View, ...] | None = None,
        partitions: int | None = None,
        start: int | None = None,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.trace = Trace()
        self.scheduler = Scheduler(self.trace, self.random)
        self.clock = SimClock(self.scheduler)
        self.log = SimLog(self.scheduler, self.random, lambda: self.clock.now_us() // 1000)
        self.pace = RandomPace(seed, self.trace)
        self.names = TopicNames("t")
        drawn = VIEWS[: self.random.choice([1, 2])], self.random.choice([1, 2, 2, 3]), self.random.choice([0, 0, 3, 5])
        self.views = views or views_drawn(seed, drawn[0])
        self.streams = streams_of(self.views)
        # Drawn apart, so that the moves of a seed without it stay its own.
        self.both = views is None and Random(f"definitions {seed}").choice([1, 1, 1, 2]) == 2
        if self.both:
            self.views = (*self.views, TURNED)
        count, first = partitions or drawn[1], drawn[2] if start is None else start
        self.by_ingest = frozenset(INGEST_SYMBOLS)
        self.log.create(self.names.topic("trades"), count, first)
        self.log.create(self.names.deltas("trades"), count)
        self.log.create(self.names.dead_letters, 1)
        for stream in self.streams[1:]:
            toys = count if partitions else Random(f"partitions {seed}").choice([1, 1, 2])
            self.log.create(self.names.topic(stream), toys)
            self.log.create(self.names.deltas(stream), toys)
        self.stalled = ""  # the stream that is
        self.deaf: frozenset[str] = frozenset()  # streams that no worker reads
        self.stalls: list[str] = []  # every stream that was
        folder = str(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None
        self._folder = tempfile.TemporaryDirectory(dir=folder)
        self.home = Path(self._folder.name)
        self.files = SimFiles(self.scheduler, self.home, self.random)
        self.store = VersionStore(self.home, self.files)
        self.truth = Truth()
        self.past = Past(self.store)
        self.writers = Writers(self)
        self.noon_us = NOON_US
        self.programs: list[Program] = []
        self.services: dict[Program, Service] = {}
        self.manifests: dict[int, Manifest] = {}
        self.begin_topic()
        self.pointed = 0
        self.promoted: set[int] = set()
        self.reached: dict[tuple[Service, str], tuple[str, dict[str, dict[int, int]]]] = {}
        self.told: dict[tuple[str, Branch], tuple[int, int]] = {}
        self.routes: dict[tuple[Service, str], BarsRoute] = {}
        self.floors: dict[Service, dict[tuple[str, Branch], tuple[int, int]]] = {}
        self.places: dict[str, list[tuple[int, int, str]]] = {}
        self.inbox: list[list[bytes]] = []
        self.taken = 0
        self.proof_deadline_s = 0.0
        self.always: bool | None = None  # whether runs publish even if nothing is new; None: now and then
        self.haste = 1.0
        self.step_number = 0
        self.ids: defaultdict[str, int] = defaultdict(int)
        self._runs = self._started = 0

    def __enter__(self) -> "World":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every program and remove the files."""
        for program in self.programs:
            program.kill()
        self.programs.clear()
        for service in self.services.values():
            service.stop()
        self._folder.cleanup()

    # what programs need

    def note(self, line: str) -> None:
        self.trace.note(line.replace(str(self.home), ""))

    def new_run_id(self) -> str:
        self._runs += 1
        return f"run-{self._runs}"

    def manifest_of(self, version: int) -> Manifest:
        """The manifest of a version that was published."""
        assert version in self.manifests, f"version {version} was never published"
        return self.manifests[version]

    def begin_topic(self) -> None:
        """A topic of events is new: version 0 stands on its first offsets."""
        self.topic_ids = {each.name: self.log.topic_id(self.names.topic(each)) for each in self.streams}
        cuts = {}
        for stream in self.streams:
            starts = {p: part.start for p, part in enumerate(self.parts(stream))}
            deltas_id = self.log.topic_id(self.names.deltas(stream))
            cuts[stream.name] = first_cut(self.topic_ids[stream.name], deltas_id, starts)
        self.manifests[0] = empty_manifest(cuts)

    def parts(self, stream: Stream) -> list[Partition]:
        """The partitions of a stream's log, as they are."""
        return self.log.topics[self.names.topic(stream)]

    def ends(self, stream: Stream) -> dict[int, int]:
        """Partition -> where the log of a stream ends."""
        return {p: part.end for p, part in enumerate(self.parts(stream))}

    def route(self, service: Service, view: str) -> BarsRoute:
        """The route of a view; its model takes longer to make than a question to answer."""
        if (service, view) not in self.routes:
            self.routes[service, view] = bars_route(service, view)
        return self.routes[service, view]

    def heard(self) -> tuple[View, ...]:
        """The views that a speed worker makes now."""
        return tuple(view for view in self.views if view.stream.name not in self.deaf)

    # the run

    def run(self, steps: int) -> None:
        """So many random steps with every check after each, then quiet, and everything must be whole."""
        moves = self._moves()
        fated = self.random.random() < 0.15
        mood = self.random.random()
        if mood < 0.15:
            del moves[self.run_batch]  # version 0 until all is quiet
        elif mood > 0.6:
            moves.update({self.run_batch: 30, self.expire: 12, self.roll_back: 12, self.merge_parts: 12})
            self.haste = 8.0
        if self.both:
            moves.update({self.make_candidate: 6, self.promote: 8})
        if len(self.streams) > 1:
            moves.update({self.stall_stream: 6, self.mend_stream: 6, self.run_cron: 4})
        if self.writers.on:
            moves.update(self.writers.moves())
            self.haste = 8.0
        names, weights = list(moves), [moves[move] for move in moves]
        try:
            self.start_speed()
            self.start_server()
            self.start("ingest", mains.ingest)
            for self.step_number in range(steps):
                (move,) = self.random.choices(names, weights)
                self.trace.note(f"{self.step_number} {move.__name__}")
                move()
                self.check()
            self.step_number = steps
            if fated:
                calamity.befall(self)
            else:
                self.settle()
        except Exception as error:
            lines = "\n".join(list(self.trace.last)[-SHOWN_LINES:])
            raise ViolationError(f"seed {self.seed}, step {self.step_number}: {error!r}\n{lines}\n{error}") from error

    def _moves(self) -> dict[object, int]:
        return {
            self.advance: 100,
            self.produce: 22,
            self.arrive: 10,
            self.turn_clock: 10,
            self.run_batch: 9,
            self.expire: 5,
            self.roll_back: 4,
            self.compact: 4,
            self.merge_parts: 3,
            self.gap: 4,
            self.crash: 4,
            self.stall: 4,
            self.start_speed: 3,
            self.start_server: 2,
            self.power_cut: 1,
        }

    def check(self) -> None:
        """Everything that must hold after any step."""
        self._take_versions()
        alive = [program for program in self.services if program.running]
        if alive:
            service = self.services[self.random.choice(alive)]
            view, interval = self.random.choice(self.views), self.random.choice(INTERVALS)
            layer = self.random.choice(["merged", "merged", "merged", "batch"])
            checks.check_answer(self, service, self.random.choice(self.entities(view.stream)), interval, view, layer)
            checks.check_forward(self, service, view)
            checks.check_as_of(self, service, self.random.choice(self.entities(view.stream)), interval, view)

    def _take_versions(self) -> None:
        """Check what was published since; only the pointer's version may have a child."""
        for path, data in self.files.written:
            if path.name == "manifest.json":
                manifest = decode_manifest(data, self.store.load)
                made = manifest.parent == self.pointed or manifest.run_id in self.past.remade
                assert made, f"the parent is {manifest.parent}, current was {self.pointed}"
                self.manifests[manifest.version] = manifest
                checks.check_version(self, manifest)
            elif path.name == "current":
                pointed = decode_pointer(data).version
                self.trace.count("rollbacks", pointed < self.pointed)
                if pointed not in self.manifests:  # its writer died before the sync, and it was turned to since
                    whole = (path.parent / str(pointed) / "manifest.json").read_bytes()
                    self.manifests[pointed] = decode_manifest(whole, self.store.load)
                    checks.check_version(self, self.manifests[pointed])
                to = self.manifests[pointed]
                first = to.candidate and pointed not in self.promoted
                fits = to.parent == self.pointed or to.run_id in self.past.remade
                assert not first or fits, f"candidate {pointed} took the place of {self.pointed}"
                checks_writers.check_kept(self, self.manifest_of(self.pointed), to)
                self.promoted |= {pointed} if first else set()
                self.pointed = pointed
        self.files.written.clear()

    def entities(self, stream: Stream) -> list[Entity]:
        """Every entity of a stream that may have events."""
        return [entity for _, entity in self.named_entities(stream)]

    def named_entities(self, stream: Stream) -> list[tuple[str, Entity]]:
        """The same, each with its short name."""
        past = [f"F{p}" for p in range(len(self.parts(stream)))]
        names = (*INGEST_SYMBOLS, *past) if stream == TRADES else past
        return [(name, entity_of(stream, name)) for name in names]

    def partition_of(self, stream: Stream, entity: Entity) -> int:
        """Where ingest and imports put an entity."""
        return self.log.partition_of(entity_key(entity), len(self.parts(stream)))

    def standing(self, manifest: Manifest, stream: Stream) -> Standing:
        """Which events count for a version, beside those of the log below its cut."""
        return self.past.standing(manifest, stream, self.streams)

    # moves

    def advance(self) -> None:
        """A program goes on for some calls."""
        self.programs = [program for program in self.programs if program.running]
        if self.programs:
            (program,) = self.random.choices(self.programs, [program.pace for program in self.programs])
            hasty = self.haste > 1 and program.kind in HASTY
            program.advance(self.random.choice([1, 5, 25, 60, 150, 150] if hasty else [1, 1, 2, 3, 5, 10, 25, 40]))

    def produce(self) -> None:
        """Events: for ingest, or past it by a foreign writer, who doubles ids and writes what does not decode."""
        stream = self.random.choice(self.streams) if len(self.streams) > 1 else TRADES
        if stream == TRADES and self.random.random() < 0.5:
            symbol = self.random.choice(INGEST_SYMBOLS)
            self.inbox.append([self.line(TRADES, symbol) for _ in range(self.random.choice([1, 1, 2, 5]))])
            return
        p = self.random.randrange(len(self.parts(stream)))
        symbol = f"F{p}" if stream != TRADES or self.random.random() < 0.95 else "F0"
        value: bytes | None = b"\n".join(self.line(stream, symbol) for _ in range(self.random.choice([1, 1, 3, 9])))
        if self.random.random() < 0.1:
            value = self.random.choice([None, b"", b"\n" * 64])
        if self.names.topic(stream) not in self.log.away:
            self.log.append(self.names.topic(stream), p, f"v:{symbol}".encode(), value)

    def line(self, stream: Stream, symbol: str) -> bytes:
        """One line: mostly a trade with a new id, late or not; sometimes an id again, or what is no trade."""
        r = self.random
        if r.random() < 0.04:
            return r.choice(BAD_LINES)
        ids, name = self.ids, symbol if stream == TRADES else f"{stream.name} {symbol}"
        if r.random() < 0.85:
            ids[name] += r.choice([1, 1, 1, 2])
            trade_id = ids[name]
        else:
            trade_id = r.randrange(ids[name] + 2)
        content = r if r.random() < 0.5 else Random(f"{name} {trade_id}")  # the same again, or a conflict
        time = NOON_US + content.choice([0, 1, 999_999, 1_000_000, -3_000_000, 61_000_000]) + content.randrange(3)
        price, side = f"{content.randrange(1, 99)}.{content.randrange(100)}", content.choice(["buy", "sell"])
        quantity = content.choice(["1", "0.00000001", "12345.678"])
        return line_of(stream, symbol, trade_id, time, price, quantity, side)

    def arrive(self) -> None:
        """The network delivers."""
        self.log.network()

    def turn_clock(self) -> None:
        """Time passes."""
        self.clock.turn(self.random.choice([0.01, 0.3, 0.9, 1.1, 2.0, 6.0]))

    def gap(self) -> None:
        """Offsets without records, as transactions leave them."""
        stream = self.random.choice(self.streams) if len(self.streams) > 1 else TRADES
        p = self.random.randrange(len(self.parts(stream)))
        if self.names.topic(stream) not in self.log.away:
            self.log.gap(self.names.topic(stream), p, self.random.randint(1, 6))
        self.trace.count("gaps")

    def compact(self) -> None:
        """The broker compacts the delta topics, up to somewhere."""
        for topic in map(self.names.deltas, self.streams):
            for p, part in enumerate(self.log.topics[topic]):
                self.log.compact_below(topic, p, self.random.randint(part.start, part.end))
        self.trace.count("compactions")

    def start(self, kind: str, *on_world: object, pace: float = 1.0) -> Program:
        """Start a program."""
        self._started += 1
        threads = tuple((lambda main=main: main(self)) for main in on_world)  # type: ignore[misc]
        program = Program(self.scheduler, f"{kind}-{self._started}", threads, pace)
        self.programs.append(program)
        return program

    def start_speed(self) -> None:
        """Another speed worker; the ones before it become zombies that go on now and then."""
        for program in self.programs:
            if program.kind == "speed":
                program.pace = self.random.choice([1.0, 0.2, 0.05])
                self.trace.count("zombies")
        if sum(program.kind == "speed" for program in self.programs) < 3:
            self.start("speed", mains.speed)

    def start_server(self) -> None:
        """A service, of two threads; a third one takes the place of the first."""
        running = [program for program in self.programs if program.kind == "server"]
        if len(running) > 1:
            self.end(running[0])
        service = mains.new_service(self)
        parts = (service.watch, *(live.feed for live in service.lives.values()), service.scrub)
        steps = [mains.thread(self, part.step) for part in parts]
        program = self.start("server", *((lambda _, step=step: step()) for step in steps))
        self.services[program] = service

    def run_batch(self) -> None:
        """A batch run begins; others may be under way."""
        running = sum(program.kind == "batch" for program in self.programs)
        if running < (3 if self.haste == 1 else 2):
            self.trace.count("runs side by side", running)
            self.start("batch", mains.batch, pace=self.haste * self.random.choice([0.3, 1.0, 3.0]))

    def expire(self) -> None:
        """An expiry begins, beside whatever is under way."""
        self.start("expiry", mains.expiry, pace=self.haste)

    def roll_back(self) -> None:
        """Somebody rolls back, or forward again."""
        self.start("rollback", mains.rollback, pace=self.haste)

    def merge_parts(self) -> None:
        """Somebody merges the parts of what is served."""
        self.start("compaction", mains.compaction, pace=self.haste)

    def make_candidate(self) -> None:
        """Somebody builds the other definition beside what is served."""
        self.start("candidate", mains.candidate, pace=self.haste)

    def promote(self) -> None:
        """Somebody wants to serve it."""
        self.start("promotion", mains.promotion, pace=self.haste)

    def stall_stream(self) -> None:
        """Something befalls one stream: its topics, those of its deltas, or its workers."""
        if not self.stalled:
            stream, how = self.random.choice(self.streams), self.random.choice(STALLS)
            topics = [self.names.deltas(stream)] + ([] if how == "no deltas" else [self.names.topic(stream)])
            self.note(f"  {stream.name}: {how}")
            self.trace.count(f"streams with {how}" if how.startswith("no ") else f"streams {how}")
            self.stalled = stream.name
            self.stalls.append(stream.name)
            if how == "no worker":
                self.deaf = frozenset({stream.name})
                self._speed_again()
            else:
                self.log.away.take(dict.fromkeys(topics, how))

    def mend_stream(self) -> None:
        """What befell a stream is over."""
        self.log.away.give_back()
        self.stalled = ""
        if self.deaf:
            self.deaf = frozenset()
            self._speed_again()

    def stalls_over(self) -> int:
        """How many stalls are over: what `stalled_since` takes."""
        return len(self.stalls) - bool(self.stalled)

    def stalled_since(self, number: int) -> set[str]:
        """The streams that were stalled at some time since so many stalls were over."""
        return set(self.stalls[number:])

    def _speed_again(self) -> None:
        for program in [each for each in self.programs if each.kind == "speed"]:
            self.end(program)
        self.start("speed", mains.speed)

    def run_cron(self) -> None:
        """A batch run begins that was installed without the packages of the other streams."""
        if not any(program.kind == "cron" for program in self.programs):
            self.start("cron", mains.cron, pace=self.haste)

    def stall(self) -> None:
        """A program becomes slow, or fast again."""
        if self.programs:
            self.random.choice(self.programs).pace = self.random.choice([0.02, 0.3, 1.0, 3.0])

    def crash(self) -> None:
        """A process dies where it stands; what must run is started again."""
        running = [program for program in self.programs if program.running]
        if running:
            program = self.random.choice(running)
            self.trace.count(f"crashes of {program.kind}")
            self.end(program)
            self._restart(program.kind)

    def power_cut(self) -> None:
        """Every process of this machine dies, and files lose what was not durable; the log is elsewhere."""
        kinds = [program.kind for program in self.programs if program.running]
        for program in list(self.programs):
            self.end(program)
        self._take_versions()
        self.files.power_cut()
        self.pointed = self.store.pointer().version  # it may be where it was before
        self.trace.count("power cuts")
        for kind in kinds:
            self._restart(kind)

    def end(self, program: Program) -> None:
        """It dies, and is not started again."""
        program.kill()
        self.programs.remove(program)
        service = self.services.pop(program, None)
        if service is not None:
            service.stop()

    def _restart(self, kind: str) -> None:
        if kind == "server":
            self.start_server()
        elif kind == "ingest":
            self.start("ingest", mains.ingest)
        elif kind == "speed" and not any(program.kind == "speed" for program in self.programs):
            self.start("speed", mains.speed)

    # quiet

    def settle(self) -> None:
        """No more faults and no more events: everything must become whole, and stay so."""
        for program in self.programs:
            program.pace = 1.0
        if len(self.streams) > 1 and self.random.random() < 0.6:
            self._others_go_on()
        self.mend_stream()
        rest = "the programs did not come to rest"
        self._until(lambda: self._at_rest() and self.taken == len(self.inbox), rest, self._apply_waiting)
        self._correct_all()
        self.until_whole()
        before, self.proof_deadline_s, self.always = max(self.manifests), 10.0, True  # numbers only grow
        self._until(lambda: self.pointed > before, "no new version could be published", self._keep_running)
        proof = self.manifests[self.pointed].proof
        assert proof.outcome == "equal", f"with every program running, a hand-off is not proven: {proof.reason}"
        self.until_whole()
        assert set(self.manifests[self.pointed].streams) == {each.name for each in self.streams}, "a stream is left out"
        for service in self.services.values():
            for view in self.views:
                for entity in self.entities(view.stream):
                    checks.check_answer(self, service, entity, self.random.choice(INTERVALS), view)
        checks_writers.check_ingest(self)
        self._stays_idle()
        self.trace.count("seeds settled")

    def _correct_all(self) -> None:
        """Corrections that died are applied; ids that are free are taken again."""
        last = self.store.corrections.last()
        if self.manifest_of(self.pointed).corrected < last:
            self.trace.count("corrections that waited to the end")
            self.always = True
            applied = lambda: self.manifest_of(self.pointed).corrected == last  # noqa: E731
            self._until(applied, "corrections are not applied", self._keep_running)
            self.always = None
        if last:
            checks_writers.offer_again(self)
            self._until(lambda: self.taken == len(self.inbox), "ingest does not take what it is given")

    def _others_go_on(self) -> None:
        """A stalled stream stops neither the batch nor the answers of the others."""
        self.stall_stream()
        others = [stream for stream in self.streams if stream.name != self.stalled]
        self._until(self._at_rest, "the programs did not come to rest beside a stalled stream")
        before, self.always = max(self.manifests), True
        self._until(
            lambda: self.pointed > before, "beside a stalled stream no version is published", self._keep_running
        )
        for made in [each for number, each in self.manifests.items() if number > before]:
            assert not any(made.of(stream).held for stream in others), f"held: {made.streams}"
            assert {stream.name for stream in others} <= made.streams.keys(), f"left out: {made.streams}"
        self.start_server()
        fresh = self.services[self.programs[-1]]
        self._until(lambda: self._reached(fresh, others), "beside a stalled stream the others are not answered")
        for view in self.views:
            for entity in self.entities(view.stream) if view.stream in others else ():
                found = checks.check_answer(self, fresh, entity, self.random.choice(INTERVALS), view)
                assert found is None or found["meta"]["complete"], f"beside a stalled stream: {found['meta']}"
        self.always = None
        self.trace.count("others that went on")

    def _reached(self, service: Service, streams: list[Stream]) -> bool:
        views = [view for view in self.views if view.stream in streams]
        if service.watch.snapshot is None:
            return False
        unread = any(service.completeness.unread(stream.name, self.ends(stream)) for stream in streams)
        return not unread and all(service.hot.applied(view.name) == self.ends(view.stream) for view in views)

    def _stays_idle(self) -> None:
        """Runs with nothing to do take no number, append nothing and move nothing."""
        self.always = False
        self._until(self._at_rest, "a run or an expiry did not end")
        parts = [part for stream in self.streams for part in self.parts(stream)]
        before = [part.end for part in parts], self.store.numbers(), self.pointed
        run = self.start("batch", mains.batch)
        self._until(lambda: not run.running, "a run with nothing to do did not end")
        assert ([part.end for part in parts], self.store.numbers(), self.pointed) == before, "an idle run left traces"

    def until_whole(self) -> None:
        """A server that starts now comes to give whole answers, after a compaction."""
        self.compact()
        self.start_server()
        fresh = self.services[self.programs[-1]]
        self._until(lambda: self._whole(fresh), "a fresh server's answer is not whole")

    def _until(self, holds: object, fault: str, each: object = lambda: None) -> None:
        for _ in range(SETTLE_ROUNDS):
            if holds():  # type: ignore[operator]
                return
            each()  # type: ignore[operator]
            self.writers.start_ingest(1)
            self.programs = [program for program in self.programs if program.running]
            for program in self.programs:
                program.advance(40)
                self._take_versions()  # the next program may retire and remove one already
            self.log.network()
            self.clock.turn(0.3)
            self.check()
        raise AssertionError(f"{fault}: {self._state()}")

    def _batches(self) -> list[Program]:
        return [program for program in self.programs if program.kind == "batch" and program.running]

    def _at_rest(self) -> bool:
        """Nothing that publishes or removes is under way: not even a run that does not know the other streams."""
        return all(program.kind in {"speed", "server", "ingest"} for program in self.programs if program.running)

    def _apply_waiting(self) -> None:
        """No ingest of a stream goes on while a correction of it waits."""
        manifest = self.manifests[self.pointed]
        if self.store.corrections.last() > manifest.corrected:
            self._keep_running()

    def _keep_running(self) -> None:
        if not self._batches():
            self.start("batch", mains.batch)

    def _whole(self, service: Service) -> bool:
        snapshot = service.watch.snapshot
        if snapshot is None or not service.readiness.check().ready or snapshot.version != self.pointed:
            return False
        return all(service.hot.applied(view.name) == self.ends(view.stream) for view in self.views)

    def _state(self) -> str:
        ends = {stream.name: self.ends(stream) for stream in self.streams}
        applied = [
            [service.readiness.check().reasons, {v.name: service.hot.applied(v.name) for v in self.views}]
            for service in self.services.values()
        ]
        running = [program.name for program in self.programs if program.running]
        return f"log's ends {ends}; versions {sorted(self.manifests)}; applied {applied}; running {running}"
