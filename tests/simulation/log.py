"""The log of the simulation: `lesson.memory_log`, every call a turn, with appends under way and what was lost.

An append is sent when its writer waits for it, or when the network likes; a crash loses any tail of what a writer had
under way, or lets it land later. `Book` remembers what the log held, for the oracle: a lost tail is another branch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from lesson.memory_log import MemoryLog, MemoryReader, MemoryWatch, Partition
from slackwater.log.errors import AppendError, PositionLostError
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Asked, Bounds, Headers, Record, Slice
from slackwater.log.mark import mark_of
from tests.simulation.programs import Scheduler
from tests.simulation.streams import Away

KAFKA = KafkaLog("")


class Branch:
    """What one partition held, in order; a lost tail makes a new branch. `start` is its first offset."""

    def __init__(self, start: int, records: list[Record] | None = None) -> None:
        self.start = start
        self.records: list[Record] = records or []

    def below(self, offset: int, since: int = 0) -> list[Record]:
        """Its records of [since, offset)."""
        return [record for record in self.records if since <= record.offset < offset]


class Place(NamedTuple):
    """A partition of one creation of a topic."""

    topic_id: str
    partition: int


@dataclass
class Book:
    """The branches of every partition that ever was, and the branch that each run's mark stands on.

    `cut_off`: partition -> the lowest end that a lost tail left.
    """

    now: dict[Place, Branch] = field(default_factory=dict)
    of_run: dict[tuple[str, Place], Branch] = field(default_factory=dict)
    cut_off: dict[int, int] = field(default_factory=dict)


class SimLog(MemoryLog):
    """See the module. `fails` says whether an acknowledgement gets lost, `answers_late` whether bounds come late."""

    def __init__(self, scheduler: Scheduler, random: Random, now_ms: Callable[[], int]) -> None:
        super().__init__()
        self.random = random
        self.book = Book()
        self.away = Away()
        self.writers: list[SimWriter] = []
        self.fails: Callable[[], bool] = lambda: False
        self.sizes: list[int] = [0, 1, 2, 5, 50, 50, 50, 50]
        self.answers_late = True
        self._scheduler = scheduler
        self._clock_ms = now_ms
        self._created = 0

    def pause(self, call: str) -> None:
        """One call."""
        self._scheduler.pause(call)

    def create(self, topic: str, partitions: int, start: int = 0) -> None:
        super().create(topic, partitions, start)
        self._created += 1
        self._topic_ids[topic] = f"id-{self._created}"
        for p in range(partitions):
            self.book.now[Place(self._topic_ids[topic], p)] = Branch(start)

    def _known(self, topic: str) -> list[Partition]:
        self.away.check(topic)
        return super()._known(topic)

    def topic_id(self, topic: str) -> str:
        self.pause(f"topic_id {topic}")
        return super().topic_id(topic)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        self.pause(f"bounds {topic}")
        return super().bounds(topic)

    def watch(self, topic: str) -> MemoryWatch:
        self.pause(f"watch {topic}")
        return MemoryWatch(self, topic)

    def reader(
        self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0
    ) -> "SimReader":
        self.pause(f"reader {topic}")
        self._known(topic)
        return SimReader(self, topic, starts, group)

    def writer(self, linger_s: float = 0.0) -> "SimWriter":  # type: ignore[override]
        self.pause("writer")
        program = self._scheduler.current
        writer = SimWriter(self, late=program is not None and program.kind != "ingest")
        self.writers.append(writer)
        if program is not None:
            program.on_crash.append(writer.crash)
        return writer

    def partition_of(self, key: bytes, partitions: int) -> int:
        return KAFKA.partition_of(key, partitions)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> int:
        self.now_ms = self._clock_ms()
        offset = super().append(topic, partition, key, value, headers)
        record = self.topics[topic][partition].records[offset]
        place = Place(self._topic_ids[topic], partition)
        branch = self.book.now[place]
        branch.records.append(record)
        run_id = mark_of(record)
        if run_id is not None:
            self.book.of_run[run_id, place] = branch
        self._scheduler.trace.note(f"  {topic}[{partition}]@{offset} {headers}", key or b"", value or b"")
        return offset

    def add_partition(self, topic: str) -> None:
        """One more, empty."""
        self.topics[topic].append(Partition())
        self.book.now[Place(self._topic_ids[topic], len(self.topics[topic]) - 1)] = Branch(0)

    def truncate(self, topic: str, partition: int, end: int) -> None:
        super().truncate(topic, partition, end)
        place = Place(self._topic_ids[topic], partition)
        old = self.book.now[place]
        self.book.now[place] = Branch(old.start, old.below(end))
        self.book.cut_off[partition] = min(end, self.book.cut_off.get(partition, end))

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        self.pause(f"delete {topic} {dict(offsets)}")
        super().delete_before(topic, offsets)

    def compact_below(self, topic: str, partition: int, upto: int) -> None:
        """Compact what is below `upto`, as Kafka leaves its newest segment alone."""
        part = self.topics[topic][partition]
        last = {record.key: at for at, record in part.records.items() if at < upto}
        part.records = {at: r for at, r in part.records.items() if at >= upto or last[r.key] == at}

    def deliver(self) -> None:
        """All that is under way arrives."""
        for writer in self.writers:
            writer.send(len(writer.waiting))

    def network(self) -> None:
        """Some of what is under way arrives."""
        for writer in list(self.writers):
            writer.send(self.random.randrange(len(writer.waiting) + 1))
            if writer.gone and not writer.waiting:
                self.writers.remove(writer)


class SimAck:
    """The promise of one append."""

    def __init__(self, writer: "SimWriter") -> None:
        self.at: int | None = None
        self.failed = False
        self._writer = writer

    def done(self) -> bool:
        return self.failed or self.at is not None

    def offset(self, timeout_s: float = 30.0) -> int:
        del timeout_s
        self._writer.wait_for(self)
        if self.failed or self.at is None:
            raise AppendError("The record was not acknowledged.")
        return self.at


class SimWriter:
    """An idempotent producer: in order, each record once.

    What its process left under way when it died may land `late`. Not so of ingest: nothing fences a producer that is
    gone, so ingest is exact only if its last requests reached the broker before the next ingest has read the log.
    """

    def __init__(self, log: SimLog, late: bool) -> None:
        self._late = late
        self.waiting: list[tuple[SimAck, tuple[str, int, bytes | None, bytes | None, Headers]]] = []
        self.gone = False
        self._log = log

    def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> SimAck:
        self._log.pause(f"append {topic}[{partition}]")
        ack = SimAck(self)
        self.waiting.append((ack, (topic, partition, key, value, headers)))
        return ack

    def send(self, count: int) -> None:
        """The first `count` records under way arrive."""
        for _ in range(count):
            ack, record = self.waiting.pop(0)
            if record[0] in self._log.away:  # the producer gives up
                ack.failed = True
            else:
                ack.at = self._log.append(*record)

    def wait_for(self, ack: SimAck) -> None:
        """Until it is acknowledged, or nobody knows: then it, and what came after it, arrived or did not."""
        self._log.pause("acknowledgement")
        if ack.done():
            return
        if self._log.fails():
            lands = self._log.random.randrange(len(self.waiting) + 1)
            self.send(lands)
            for lost, _ in self.waiting:
                lost.failed = True
            ack.failed = True
            self.waiting.clear()
            return
        self.send(next(n for n, (waiting, _) in enumerate(self.waiting) if waiting is ack) + 1)

    def flush(self) -> None:
        while self.waiting:
            self.waiting[0][0].offset()

    def close(self) -> None:
        self._log.pause("close writer")
        try:
            self.flush()
        finally:
            if self.waiting:  # it gives up what was not acknowledged, as the real ones do
                self.crash()
            self.gone = True

    def crash(self) -> None:
        """Its process died: some of the tail is lost, the rest lands some time."""
        del self.waiting[self._log.random.randrange(len(self.waiting) + 1) :]
        if not self._late:
            self.send(len(self.waiting))
        self.gone = True


class SimReader(MemoryReader):
    """Gives some of the partitions, and of each as much as the seed likes."""

    def __init__(self, log: SimLog, topic: str, starts: Mapping[int, int], group: str | None) -> None:
        super().__init__(log, topic, starts, group)
        self._sim = log

    def poll(self, timeout_s: float) -> list[Slice]:
        self._sim.pause(f"poll {self._topic} {self._positions}")
        self._sim.away.check(self._topic)
        parts = self._sim.topics[self._topic]
        lost = {p: at for p, at in self._positions.items() if not parts[p].start <= at <= parts[p].end}
        if lost:
            raise PositionLostError(self._topic, lost)
        random = self._sim.random
        found = []
        for p, at in self._positions.items():
            most = random.choice(self._sim.sizes)
            upto = min(parts[p].readable, at + most)
            if upto > at:
                records = parts[p].records
                found.append(Slice(p, at, upto, [records[i] for i in range(at, upto) if i in records]))
        self._positions.update({piece.partition: piece.upto for piece in found})
        return found

    def ask_bounds(self) -> Asked:
        return SimAsked(self._sim, self.bounds) if self._sim.answers_late else super().ask_bounds()

    def seek(self, partition: int, offset: int) -> None:
        self._sim.pause("seek")
        super().seek(partition, offset)

    def commit(self, positions: Mapping[int, int], wait: bool = False) -> None:
        self._sim.pause("commit")
        super().commit(positions, wait)


class SimAsked:
    """Answered after a while: at some moment between the question and the look that finds it done."""

    def __init__(self, log: SimLog, bounds: Callable[[], dict[int, Bounds]]) -> None:
        self._random = log.random
        self._ask = bounds
        self._found: dict[int, Bounds] | None = None

    def done(self) -> bool:
        if self._found is None and self._random.random() < 0.5:
            self._found = self._ask()
        return self._found is not None and self._random.random() < 0.5

    def bounds(self) -> dict[int, Bounds]:
        return self._ask() if self._found is None else self._found
