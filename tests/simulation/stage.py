"""A stage for one interleaving, played by hand: the same parts as in `world.py`, and nothing at random.

stage.trades(0, 3)            three events in partition 0
worker = stage.worker()       a speed worker; worker.step() reads and sends, worker.step(hold=True) keeps the sends
stage.batch()                 a whole batch run
stage.until("append", run)    a program goes on until it is about to do such a call
stage.whole()                 a fresh server's answers are whole, and right
"""

from collections.abc import Sequence

from batch_layer.expire import expire
from serving.service import Service
from slackwater.context import Context
from slackwater.deltas.cell import Cell, decode_cell, decode_delta_key, delta_key_of
from slackwater.log.events import decode
from slackwater.pipeline.segment import States
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.views.definitions import streams_of
from slackwater.views.interval import parse_interval
from slackwater.views.view import View
from speed_layer.sink import PublishDeltas
from speed_layer.stream_worker import HEARTBEAT_S
from speed_layer.worker import Worker
from tests.simulation import checks, mains
from tests.simulation.light import VIEWS, summarise, summariser
from tests.simulation.log import Place
from tests.simulation.programs import Program
from tests.simulation.streams import line_of
from tests.simulation.world import NOON_US, World

SECOND = parse_interval("1s")
PATIENCE = 400


_OPEN: list["Stage"] = []


def close_stages() -> None:
    """Every stage that was opened."""
    while _OPEN:
        _OPEN.pop().world.close()


class StageWorker:
    """A speed worker whose sends arrive when the stage says so."""

    def __init__(self, stage: "Stage", views: tuple[View, ...]) -> None:
        world = stage.world
        self._log, self._views = world.log, views
        partitions = sorted(world.log.bounds(world.names.topic("trades")))
        self._worker = Worker(world.log, world.names, world.store, views, partitions, world.clock)
        self._sink = PublishDeltas(lambda: world.log, world.names, views, world.clock)
        self._sink.setup()

    def step(self, hold: bool = False) -> None:
        """Read what there is and send its cells; `hold`: they stay under way."""
        for block in self._worker.step(0.0):
            for states in summarise(self._views, block):
                self._send(states)
        if not hold:
            self._log.deliver()

    def commit(self) -> None:
        """Commit the group's offsets, as a second later."""
        self._sink.teardown()

    def _send(self, states: States) -> None:
        self._sink.process(states)


class Stage:
    """See the module."""

    def __init__(self, partitions: int = 1, views: tuple[View, ...] = VIEWS, start: int = 0) -> None:
        self.world = World(0, views, partitions, start)
        self.world.log.sizes = [1000]
        self.world.log.answers_late = False
        self._id = 0
        _OPEN.append(self)

    @property
    def log(self):  # type: ignore[no-untyped-def]
        return self.world.log

    def trades(self, partition: int, count: int, value: bytes | None = None, stream: Stream = TRADES) -> None:
        """Records of one event each, or of `value`."""
        for _ in range(count):
            self._id += 1
            time, price = NOON_US + self._id * 250_000, f"{self._id}.5"
            line = line_of(stream, f"F{partition}", self._id, time, price, "2", "buy")
            self.log.append(self.world.names.topic(stream), partition, b"k", line if value is None else value)

    def each(self, count: int) -> None:
        """So many records in partition 0 of every stream."""
        for stream in self.world.streams:
            self.trades(0, count, stream=stream)

    def worker(self, views: tuple[View, ...] | None = None) -> StageWorker:
        return StageWorker(self, views or self.world.views)

    def beat(self, worker: StageWorker) -> None:
        """A second of silence."""
        self.world.clock.turn(HEARTBEAT_S)
        worker.step()

    def compact(self) -> None:
        for stream in self.world.streams:
            self.log.compact(self.world.names.deltas(stream))

    def batch(self) -> Manifest:
        """A whole run; what it published is checked."""
        manifest = mains.new_run(self.world).run()
        self.world.check()
        return manifest

    def expire(self, keep: int) -> None:
        """A whole expiry."""
        expire(Context(self.log, self.world.names, self.world.store, (), self.world.clock), keep)

    def program(self) -> Program:
        """A batch run that has not begun."""
        return self.world.start("batch", mains.batch)

    def until(self, call: str, program: Program) -> None:
        """It goes on until it is about to do such a call."""
        for _ in range(PATIENCE):
            if call in program.waits_in:
                return
            assert program.running, f"it ended before {call!r}"
            program.advance(1)
        raise AssertionError(f"it never came to {call!r}")

    def finish(self, program: Program) -> None:
        """It goes on to its end."""
        for _ in range(PATIENCE):
            program.advance(1)
            self.world.clock.turn(0.1)
            if not program.running:
                self.world.check()
                return
        raise AssertionError("it did not end")

    def server(self, views: tuple[View, ...] | None = None) -> Service:
        """A service that has read everything."""
        before, self.world.views = self.world.views, views or self.world.views
        service = mains.new_service(self.world)
        self.world.views = before
        self.check(service)
        return service

    def check(self, service: Service) -> None:
        """A few seconds of a service."""
        for _ in range(8):
            self.world.clock.turn(1.1)
            service.step()

    def right(self, service: Service) -> list[dict[str, object]]:
        """Its answers equal the oracle at their own positions; what they say of themselves."""
        found = []
        entities = {
            stream: self.world.entities(stream)[-len(self.world.parts(stream)) :]
            for stream in streams_of(service.views)
        }
        for view in service.views:
            for entity in entities[view.stream]:
                for layer in ("merged", "batch"):
                    answer = checks.check_answer(self.world, service, entity, SECOND, view, layer)
                    if answer is not None and layer == "merged":
                        found.append(answer["meta"])
        return found

    def whole(self, service: Service | None = None) -> None:
        """A server's answers, a fresh one's if none is given, reach the log's end and are right."""
        service = service or self.server()
        for view in service.views:
            ends = self.world.ends(view.stream)
            assert service.hot.applied(view.name) == ends, f"{view.name} is short of the log's end {ends}"
        assert service.readiness.check().ready, service.readiness.check().reasons
        assert self.right(service)

    def cells_are_right(self) -> None:
        """Every cell in the delta topic holds the states of its own slice of the log."""
        for cell in self.cells():
            view = next(view for view in self.world.views if view.name == cell.delta_key.view)
            own = self.world.topic_ids[view.stream.name]
            assert cell.delta_key.topic_id == own, (
                f"a cell of {view.name} is of the log {cell.delta_key.topic_id}, not {own}"
            )
            branch = self.log.book.now[Place(cell.delta_key.topic_id, cell.delta_key.partition)]
            events = decode(view.stream, branch.below(cell.upto, since=cell.start)).table
            events = events.select(view.stream.schema.names)
            rows = tuple(summariser(self.world.views).rows(view, events))
            assert cell.rows == rows, f"[{cell.start}, {cell.upto}) of {cell.delta_key} holds {cell.rows}, not {rows}"

    def cells(self) -> Sequence[Cell]:
        """What the delta topic holds of the world's views."""
        return [
            decode_cell(delta_key, record.value, view)
            for part in self.log.topics[self.world.names.deltas("trades")]
            for record in part.records.values()
            for delta_key in (decode_delta_key(record.key),)
            for view in self.world.views
            if delta_key == delta_key_of(view, delta_key.topic_id, delta_key.partition)
        ]
