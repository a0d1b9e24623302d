"""A log in memory with Kafka's semantics: partitions, offsets, gaps, compaction, truncation, deletion, topic ids.

A log behind `slackwater.log.log.Log` without a broker: the real cut, cell, chain and merge code runs on it, in tests,
in the simulation and in `slackwater lesson`. One thread, nothing durable, every append acknowledged at once.
"""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from slackwater.log.errors import DeletionRefusedError, PositionLostError, TopicMissingError
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Asked, AskedAtOnce, Bounds, Headers, Identity, Record, Slice, Unread

_KAFKA = KafkaLog("")
"""It reaches nothing; to make one looks for packages, which costs more than a record."""


@dataclass
class Partition:
    """Records by offset; `end` counts offsets that hold no record, too.

    `unstable` is the first offset of an open transaction, and `broken` that of a batch that cannot be read, with why.
    """

    start: int = 0
    end: int = 0
    records: dict[int, Record] = field(default_factory=dict)
    unstable: int | None = None
    broken: tuple[int, str] | None = None

    @property
    def stable(self) -> int:
        """The last stable offset: what lies below can be read."""
        return self.end if self.unstable is None else self.unstable

    @property
    def readable(self) -> int:
        """Where a reader comes to."""
        return self.stable if self.broken is None else min(self.stable, self.broken[0])


class MemoryLog:
    """Topics in memory. `now_ms` is the append time of the next record."""

    _ids = itertools.count(1)

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self.topics: dict[str, list[Partition]] = {}
        self._topic_ids: dict[str, str] = {}
        self.committed: dict[tuple[str, str, int], int] = {}

    def create(self, topic: str, partitions: int, start: int = 0) -> None:
        """Create a topic, or create it again: with a new id and nothing in it."""
        self.topics[topic] = [Partition(start, start) for _ in range(partitions)]
        self._topic_ids[topic] = f"id-{next(self._ids)}"

    def topic_id(self, topic: str) -> str:
        self._known(topic)
        return self._topic_ids[topic]

    def watch(self, topic: str) -> "MemoryWatch":
        return MemoryWatch(self, topic)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        return {p: Bounds(part.start, part.stable, part.end - part.stable) for p, part in enumerate(self._known(topic))}

    def reader(
        self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0
    ) -> "MemoryReader":
        """See `Log.reader`; nothing is ever gathered."""
        del gather_s
        self._known(topic)
        return MemoryReader(self, topic, starts, group)

    def writer(self, linger_s: float = 0.0) -> "MemoryWriter":
        """See `Log.writer`; nothing is ever held back."""
        del linger_s
        return MemoryWriter(self)

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        parts = self._known(topic)
        for partition, offset in offsets.items():
            if offset > parts[partition].end:
                raise DeletionRefusedError(f"{topic}[{partition}] ends below {offset}.")
            if offset > parts[partition].start:
                self.delete_below(topic, partition, offset)

    def partition_of(self, key: bytes, partitions: int) -> int:
        """See `Log.partition_of`: Kafka's own."""
        return _KAFKA.partition_of(key, partitions)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> int:
        """Append one record now; its offset."""
        part = self._known(topic)[partition]
        offset = part.end
        part.records[offset] = Record(offset, self.now_ms, key, value, headers)
        part.end += 1
        return offset

    def gap(self, topic: str, partition: int, offsets: int = 1) -> None:
        """Offsets that hold no record, as transactions leave them."""
        self._known(topic)[partition].end += offsets

    def open_transaction(self, topic: str, partition: int) -> None:
        """A foreign writer's transaction begins at the log's end: what is appended from now on is hidden."""
        part = self._known(topic)[partition]
        part.unstable = part.end

    def end_transaction(self, topic: str, partition: int, aborted: Collection[int] = ()) -> None:
        """It commits, or aborts its own records, those at `aborted`; its marker takes one offset."""
        part = self._known(topic)[partition]
        part.records = {at: record for at, record in part.records.items() if at not in aborted}
        part.end += 1
        part.unstable = None

    def damage(self, topic: str, partition: int, offset: int | None, reason: str = "damaged") -> None:
        """From `offset` on nothing can be read; None mends it."""
        self._known(topic)[partition].broken = None if offset is None else (offset, reason)

    def truncate(self, topic: str, partition: int, end: int) -> None:
        """Lose the tail."""
        part = self._known(topic)[partition]
        part.records = {at: record for at, record in part.records.items() if at < end}
        part.end = end
        part.unstable = None if part.unstable is None or part.unstable >= end else part.unstable

    def delete_below(self, topic: str, partition: int, start: int) -> None:
        """Kafka's DeleteRecords."""
        part = self._known(topic)[partition]
        part.records = {at: record for at, record in part.records.items() if at >= start}
        part.start = start

    def compact(self, topic: str) -> None:
        """Keep the last written value of each key."""
        for part in self._known(topic):
            last = {record.key: at for at, record in part.records.items()}
            part.records = {at: record for at, record in part.records.items() if last[record.key] == at}

    def _known(self, topic: str) -> list[Partition]:
        if topic not in self.topics:
            raise TopicMissingError(topic)
        return self.topics[topic]


class MemoryWatch:
    def __init__(self, log: MemoryLog, topic: str) -> None:
        self._log = log
        self._topic = topic

    def check(self) -> Identity:
        return Identity(self._log.topic_id(self._topic), len(self._log.bounds(self._topic)))

    def close(self) -> None:
        """Nothing is held."""


class MemoryAck:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def done(self) -> bool:
        return True

    def offset(self, timeout_s: float = 30.0) -> int:
        del timeout_s
        return self._offset


class MemoryWriter:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> MemoryAck:
        return MemoryAck(self._log.append(topic, partition, key, value, headers))

    def flush(self) -> None:
        """Everything is there."""

    def close(self) -> None:
        """Nothing is held."""


class MemoryReader:
    """`limit` is the most offsets that one poll gives of a partition; None gives all."""

    limit: int | None = None

    def __init__(self, log: MemoryLog, topic: str, starts: Mapping[int, int], group: str | None) -> None:
        self._log = log
        self._topic = topic
        self._positions = dict(starts)
        self._group = group

    @property
    def unread(self) -> Mapping[int, Unread]:
        parts = self._log.topics[self._topic]
        broken = {p: parts[p].broken for p in self._positions}
        return {p: Unread(p, *of) for p, of in broken.items() if of is not None and self._positions[p] >= of[0]}

    def poll(self, timeout_s: float) -> list[Slice]:
        del timeout_s
        found = []
        for p, at in self._positions.items():
            part = self._log._known(self._topic)[p]
            if not part.start <= at <= part.end:
                raise PositionLostError(self._topic, {p: at})
            upto = part.readable if self.limit is None else min(part.readable, at + self.limit)
            if upto > at:
                found.append(Slice(p, at, upto, [part.records[i] for i in range(at, upto) if i in part.records]))
                self._positions[p] = upto
        return found

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset

    def bounds(self) -> dict[int, Bounds]:
        return {p: bounds for p, bounds in self._log.bounds(self._topic).items() if p in self._positions}

    def ask_bounds(self) -> Asked:
        return AskedAtOnce(self.bounds)

    def commit(self, positions: Mapping[int, int], wait: bool = False) -> None:
        del wait
        if self._group is not None:
            self._log.committed |= {(self._group, self._topic, p): at for p, at in positions.items() if at >= 0}

    def close(self) -> None:
        """Nothing is held."""
