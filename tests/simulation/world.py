"""One world: a log, a disk, a clock, the programs on them, and the seed that decides everything.

World(seed).run(steps)      raises Violation with the seed, the step and the last lines of what happened
"""

import tempfile
from collections import defaultdict
from pathlib import Path
from random import Random
from types import TracebackType

from serving.service import Service
from slackwater.log.names import TopicNames
from slackwater.versions.manifest import Manifest, decode_manifest
from slackwater.versions.pointer import decode_pointer
from slackwater.versions.store import VersionStore, empty_manifest, first_cut
from slackwater.views.interval import parse_interval
from slackwater.views.view import View
from tests.simulation import calamity, checks, mains
from tests.simulation.disk import SimFiles
from tests.simulation.hands import NOON_US, SimClock
from tests.simulation.light import TURNED, VIEWS
from tests.simulation.log import Branch, SimLog
from tests.simulation.programs import Program, Scheduler, Trace
from tests.simulation.truth import Truth

SHARED_MEMORY = Path("/dev/shm")
DOOR_SYMBOLS = ("A", "B", "C")
INTERVALS = tuple(map(parse_interval, ("1s", "1m", "5m", "1d")))
SETTLE_ROUNDS = 60
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
        self.names = TopicNames("t")
        drawn = VIEWS[: self.random.choice([1, 2])], self.random.choice([1, 2, 2, 3]), self.random.choice([0, 0, 3, 5])
        self.views = views or drawn[0]
        # Drawn apart, so that the moves of a seed without it stay its own.
        self.both = views is None and Random(f"definitions {seed}").choice([1, 1, 1, 2]) == 2
        if self.both:
            self.views = (*self.views, TURNED)
        count, first = partitions or drawn[1], drawn[2] if start is None else start
        self.through_the_door = frozenset(DOOR_SYMBOLS)
        self.log.create(self.names.topic("trades"), count, first)
        self.log.create(self.names.deltas("trades"), count)
        self.log.create(self.names.dead_letters, 1)
        folder = str(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None
        self._folder = tempfile.TemporaryDirectory(dir=folder)
        self.home = Path(self._folder.name)
        self.files = SimFiles(self.scheduler, self.home, self.random)
        self.store = VersionStore(self.home, self.files)
        self.truth = Truth()
        self.programs: list[Program] = []
        self.services: dict[Program, Service] = {}
        self.manifests: dict[int, Manifest] = {}
        self.begin_topic()
        self.pointed = 0
        self.promoted: set[int] = set()
        self.reached: dict[Service, tuple[str, dict[str, dict[int, int]]]] = {}
        self.told: dict[tuple[str, Branch], tuple[int, int]] = {}
        self.floors: dict[Service, dict[tuple[str, Branch], tuple[int, int]]] = {}
        self.places: dict[str, list[tuple[int, int, int]]] = {}
        self.inbox: list[list[bytes]] = []
        self.taken = 0
        self.proof_deadline_s = 0.0
        self.always: bool | None = None  # whether runs publish even if nothing is new; None: now and then
        self.haste = 1.0
        self.step_number = 0
        self._ids: defaultdict[str, int] = defaultdict(int)
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
        """The topic of events is new: version 0 stands on its first offsets."""
        self.topic_id = self.log.topic_id(self.names.topic("trades"))
        starts = {p: part.start for p, part in enumerate(self.log.topics[self.names.topic("trades")])}
        deltas_id = self.log.topic_id(self.names.deltas("trades"))
        self.manifests[0] = empty_manifest({"trades": first_cut(self.topic_id, deltas_id, starts)})

    # the run

    def run(self, steps: int) -> None:
        """So many random steps with every check after each, then quiet, and everything must be whole."""
        moves = self._moves()
        fated = self.random.random() < 0.15
        mood = self.random.random()
        if mood < 0.15:
            del moves[self.run_batch]  # version 0 until all is quiet
        elif mood > 0.6:
            moves.update({self.run_batch: 30, self.expire: 12, self.roll_back: 12})
            self.haste = 8.0
        if self.both:
            moves.update({self.make_candidate: 6, self.promote: 8})
        names, weights = list(moves), [moves[move] for move in moves]
        try:
            self.start_speed()
            self.start_server()
            self.start("door", mains.door)
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
            checks.check_answer(self, service, self.random.choice(self.symbols()), interval, view, layer)
            checks.check_forward(self, service, view)
            checks.check_as_of(self, service, self.random.choice(self.symbols()), interval, view)

    def _take_versions(self) -> None:
        """Check what was published since; only the pointer's version may have a child."""
        for path, data in self.files.written:
            if path.name == "manifest.json":
                manifest = decode_manifest(data)
                assert manifest.parent == self.pointed, f"the parent is {manifest.parent}, current was {self.pointed}"
                self.manifests[manifest.version] = manifest
                checks.check_version(self, manifest)
            elif path.name == "current":
                pointed = decode_pointer(data).version
                self.trace.count("rollbacks", pointed < self.pointed)
                if pointed not in self.manifests:  # its writer died before the sync, and it was turned to since
                    whole = (path.parent / str(pointed) / "manifest.json").read_bytes()
                    self.manifests[pointed] = decode_manifest(whole)
                    checks.check_version(self, self.manifests[pointed])
                to = self.manifests[pointed]
                first = to.candidate and pointed not in self.promoted
                assert not first or to.parent == self.pointed, f"candidate {pointed} took the place of {self.pointed}"
                self.promoted |= {pointed} if first else set()
                self.pointed = pointed
        self.files.written.clear()

    def symbols(self) -> list[str]:
        """Every instrument that may have events."""
        return [*DOOR_SYMBOLS, *(f"F{p}" for p in range(len(self.log.topics[self.names.topic("trades")])))]

    # moves

    def advance(self) -> None:
        """A program goes on for some calls."""
        self.programs = [program for program in self.programs if program.running]
        if self.programs:
            (program,) = self.random.choices(self.programs, [program.pace for program in self.programs])
            hasty = self.haste > 1 and program.kind in {"batch", "expiry", "rollback", "candidate", "promotion"}
            program.advance(self.random.choice([1, 5, 25, 60, 150, 150] if hasty else [1, 1, 2, 3, 5, 10, 25, 40]))

    def produce(self) -> None:
        """Events: for the door, or past it by a foreign writer, who doubles ids and writes what does not decode."""
        if self.random.random() < 0.5:
            symbol = self.random.choice(DOOR_SYMBOLS)
            self.inbox.append([self.line(symbol) for _ in range(self.random.choice([1, 1, 2, 5]))])
            return
        p = self.random.randrange(len(self.log.topics[self.names.topic("trades")]))
        symbol = f"F{p}" if self.random.random() < 0.95 else "F0"
        value: bytes | None = b"\n".join(self.line(symbol) for _ in range(self.random.choice([1, 1, 3, 9])))
        if self.random.random() < 0.1:
            value = self.random.choice([None, b"", b"\n" * 64])
        self.log.append(self.names.topic("trades"), p, f"v:{symbol}".encode(), value)

    def line(self, symbol: str) -> bytes:
        """One line: mostly a trade with a new id, late or not; sometimes an id again, or what is no trade."""
        r = self.random
        if r.random() < 0.04:
            return r.choice(BAD_LINES)
        if r.random() < 0.85:
            self._ids[symbol] += r.choice([1, 1, 1, 2])
            trade_id = self._ids[symbol]
        else:
            trade_id = r.randrange(self._ids[symbol] + 2)
        content = r if r.random() < 0.5 else Random(f"{symbol} {trade_id}")  # the same again, or a conflict
        time = NOON_US + content.choice([0, 1, 999_999, 1_000_000, -3_000_000, 61_000_000]) + content.randrange(3)
        price, side = f"{content.randrange(1, 99)}.{content.randrange(100)}", content.choice(["buy", "sell"])
        quantity = content.choice(["1", "0.00000001", "12345.678"])
        return (
            f'{{"venue":"v","symbol":"{symbol}","trade_id":{trade_id},"time":{time},"price":"{price}",'
            f'"quantity":"{quantity}","side":"{side}"}}'
        ).encode()

    def arrive(self) -> None:
        """The network delivers."""
        self.log.network()

    def turn_clock(self) -> None:
        """Time passes."""
        self.clock.turn(self.random.choice([0.01, 0.3, 0.9, 1.1, 2.0, 6.0]))

    def gap(self) -> None:
        """Offsets without records, as transactions leave them."""
        p = self.random.randrange(len(self.log.topics[self.names.topic("trades")]))
        self.log.gap(self.names.topic("trades"), p, self.random.randint(1, 6))
        self.trace.count("gaps")

    def compact(self) -> None:
        """The broker compacts the delta topic, up to somewhere."""
        for p, part in enumerate(self.log.topics[self.names.deltas("trades")]):
            self.log.compact_below(self.names.deltas("trades"), p, self.random.randint(part.start, part.end))
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
        parts = (service.watch, service.lives["trades"].feed, service.scrub)
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

    def make_candidate(self) -> None:
        """Somebody builds the other definition beside what is served."""
        self.start("candidate", mains.candidate, pace=self.haste)

    def promote(self) -> None:
        """Somebody wants to serve it."""
        self.start("promotion", mains.promotion, pace=self.haste)

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
        elif kind == "door":
            self.start("door", mains.door)
        elif kind == "speed" and not any(program.kind == "speed" for program in self.programs):
            self.start("speed", mains.speed)

    # quiet

    def settle(self) -> None:
        """No more faults and no more events: everything must become whole, and stay so."""
        for program in self.programs:
            program.pace = 1.0
        self._until(lambda: not self._batches() and self.taken == len(self.inbox), "the programs did not come to rest")
        self.until_whole()
        before, self.proof_deadline_s, self.always = max(self.manifests), 10.0, True  # numbers only grow
        self._until(lambda: self.pointed > before, "no new version could be published", self._keep_running)
        proof = self.manifests[self.pointed].proof
        assert proof.outcome == "equal", f"with every program running, a hand-off is not proven: {proof.reason}"
        self.until_whole()
        for service in self.services.values():
            for symbol in self.symbols():
                for view in self.views:
                    checks.check_answer(self, service, symbol, self.random.choice(INTERVALS), view)
        checks.check_door(self)
        self._stays_idle()
        self.trace.count("seeds settled")

    def _stays_idle(self) -> None:
        """Runs with nothing to do take no number, append nothing and move nothing."""
        self.always = False
        self._until(lambda: not self._batches(), "a run did not end")
        trades = self.log.topics[self.names.topic("trades")]
        before = [part.end for part in trades], self.store.numbers(), self.pointed
        run = self.start("batch", mains.batch)
        self._until(lambda: not run.running, "a run with nothing to do did not end")
        assert ([part.end for part in trades], self.store.numbers(), self.pointed) == before, "an idle run left traces"

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

    def _keep_running(self) -> None:
        if not self._batches():
            self.start("batch", mains.batch)

    def _whole(self, service: Service) -> bool:
        ends = {p: part.end for p, part in enumerate(self.log.topics[self.names.topic("trades")])}
        snapshot = service.watch.snapshot
        if snapshot is None or not service.readiness.look().ready or snapshot.version != self.pointed:
            return False
        return all(service.hot.applied(view.name) == ends for view in self.views)

    def _state(self) -> str:
        ends = {p: part.end for p, part in enumerate(self.log.topics[self.names.topic("trades")])}
        applied = [
            [service.readiness.look().reasons, {v.name: service.hot.applied(v.name) for v in self.views}]
            for service in self.services.values()
        ]
        running = [program.name for program in self.programs if program.running]
        return f"log's ends {ends}; versions {sorted(self.manifests)}; applied {applied}; running {running}"
