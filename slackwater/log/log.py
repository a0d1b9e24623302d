"""The log as one small protocol, so that a simulation runs the real code on a log of its own.

Offsets are half-open everywhere: [start, upto). Times of records are the log's own append times, in milliseconds.
Not here: Kafka (`slackwater.log.kafka_log`), the bytes' meaning (`slackwater.streams.decode`,
`slackwater.deltas.cell`).
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple, Protocol

from slackwater.log.errors import HiddenRecordsError, LogUnreachableError, PositionLostError, UnreadableError

Headers = Sequence[tuple[str, bytes]]

HIDDEN_POLLS = 10
"""Polls of a second that may find nothing but what an open transaction hides, before a range is given up."""

SILENT_POLLS = 30
"""Polls of a second in a row that may find nothing while the log answers and holds more, before another reader tries as
long. The first one's connection may be dead, which its client notices after a minute. But a batch whose length field is
damaged is one that a broker does not find: it answers each fetch with nothing, and no client has anything to tell."""


class Record(NamedTuple):
    """One record of a partition."""

    offset: int
    append_time_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Slice(NamedTuple):
    """Every record of [start, upto) of a partition; offsets without a record (control records, gaps) are covered."""

    partition: int
    start: int
    upto: int
    records: list[Record]


class Bounds(NamedTuple):
    """The retained offsets of a partition: [start, end) can be read.

    An open transaction hides what lies behind its first record, also what others append: `hidden` offsets from `end`
    on. `end` is Kafka's last stable offset, `high` its high watermark.
    """

    start: int
    end: int
    hidden: int = 0

    @property
    def high(self) -> int:
        """Where the log ends, what is hidden included."""
        return self.end + self.hidden


class Unread(NamedTuple):
    """A partition that cannot be read from `offset` on, and why: its next batch is damaged, or in a missing codec."""

    partition: int
    offset: int
    reason: str


class Ack(Protocol):
    """The promise that an append was, or was not, acknowledged."""

    def done(self) -> bool:
        """Whether `offset` returns or raises at once."""

    def offset(self, timeout_s: float = 30.0) -> int:
        """The record's offset. Raises AppendError if the log refused it or did not answer in time."""


class Writer(Protocol):
    """An idempotent producer. Order within a partition is kept."""

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Ack:
        """Append one record. `value` None is Kafka's null."""

    def flush(self) -> None:
        """Wait until everything appended so far is acknowledged. Raises AppendError."""

    def close(self) -> None:
        """Flush and release."""


class Asked(Protocol):
    """A question for the retained offsets that is on its way to the log."""

    def done(self) -> bool:
        """Whether `bounds` need not wait, as far as the client can tell."""

    def bounds(self) -> dict[int, Bounds]:
        """The offsets, as they were at some time since the question. Raises what `Reader.bounds` raises."""


class AskedAtOnce(NamedTuple):
    """The question of a reader that cannot but wait for the answer."""

    bounds: Callable[[], dict[int, Bounds]]

    def done(self) -> bool:
        """See `Asked`."""
        return True


class Reader(Protocol):
    """Reads some partitions of one topic, in order, from given positions on. Not thread safe.

    A partition whose next batch cannot be read does not stop the others: it is in `unread` until it was read, and is
    tried again by `poll` after a while.
    """

    @property
    def unread(self) -> Mapping[int, Unread]:
        """The partitions that stand before a batch that cannot be read. Grows and shrinks by `poll` and `seek`."""

    def poll(self, timeout_s: float) -> list[Slice]:
        """What is there now, a slice for each partition whose position moved; waits up to `timeout_s` for the first.

        Raises:
            PositionLostError: a position is out of the log's range; `seek` it before the next call.
        """

    def seek(self, partition: int, offset: int) -> None:
        """Go on at `offset`."""

    def bounds(self) -> dict[int, Bounds]:
        """The retained offsets now, asked of the log."""

    def ask_bounds(self) -> Asked:
        """Ask for them, and read on: what comes meanwhile need not wait."""

    def commit(self, positions: Mapping[int, int], wait: bool = False) -> None:
        """Commit group offsets, for the lag that standard tools show. Nothing is ever read from them."""

    def close(self) -> None:
        """Release."""


class Identity(NamedTuple):
    """What a topic is: the id it got when it was created, and how many partitions it has."""

    topic_id: str
    partitions: int


class TopicWatch(Protocol):
    """Looks at a topic's identity again and again, over a connection that stays open. Not thread safe."""

    def check(self) -> Identity:
        """The identity now. Raises TopicMissingError, LogUnreachableError."""

    def close(self) -> None:
        """Release."""


class Log(Protocol):
    """A cluster that holds topics."""

    def watch(self, topic: str) -> TopicWatch:
        """A watch of a topic."""

    def topic_id(self, topic: str) -> str:
        """The id that the topic got when it was created. Raises TopicMissingError."""

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """Partition -> its retained offsets, now. Raises TopicMissingError."""

    def reader(self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0) -> Reader:
        """A reader of the partitions in `starts`, from those offsets on.

        With `gather_s` the log waits up to so many seconds for more records before it gives some: fewer and larger
        polls. Without it gives the first one at once.
        """

    def writer(self, linger_s: float = 0.0) -> Writer:
        """A new idempotent producer; it holds a record back for up to `linger_s`, so that fewer requests carry them."""

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Remove the records below an offset, for good: it is the partition's first retained one afterwards.

        An offset at or below the first retained one changes nothing.

        Raises:
            TopicMissingError
            DeletionRefusedError: an offset is beyond the partition's end, or the topic allows no removal.
        """

    def partition_of(self, key: bytes, partitions: int) -> int:
        """The partition that the log's own partitioner gives `key`."""


def read_range(
    log: Log,
    topic: str,
    starts: Mapping[int, int],
    uptos: Mapping[int, int],
    unread: Callable[[Unread], None] | None = None,
) -> Generator[Slice, None, None]:
    """Every slice of [starts[p], uptos[p]), each cut at uptos[p]; returns when all are read.

    `unread` is told of a partition that cannot be read, and the others are read all the same; without it that raises.

    Raises:
        PositionLostError: the log does not hold a range.
        UnreadableError: a batch of it cannot be read, or does not come.
        HiddenRecordsError: a transaction that stays open hides some of it.
    """
    todo = {p: start for p, start in starts.items() if start < uptos[p]}
    if not todo:
        return
    reader, assigned, idle, again = log.reader(topic, todo), len(todo), 0, False
    try:
        while todo:
            idle += 1
            for found in reader.poll(1.0):
                upto = uptos[found.partition]
                if found.partition not in todo or found.start >= upto:
                    continue
                idle, again = 0, False
                records = found.records
                if found.upto > upto:
                    records = [record for record in records if record.offset < upto]
                yield Slice(found.partition, found.start, min(found.upto, upto), records)
                todo[found.partition] = found.upto
                if found.upto >= upto:
                    del todo[found.partition]
            stuck_now = [one for p, one in reader.unread.items() if p in todo]
            silent = idle > SILENT_POLLS
            if silent and again:
                stuck_now = [Unread(p, at, "the log holds more and gives none of it") for p, at in todo.items()]
            for stuck in stuck_now:
                if unread is None:
                    raise UnreadableError(topic, *stuck)
                unread(stuck)
                del todo[stuck.partition]
            if idle and todo and not _still_there(reader, topic, todo, uptos, idle > HIDDEN_POLLS):
                idle = 0
            again = again or silent
            # What goes on in partitions that are read would end each wait at once.
            if todo and (silent or (idle > 1 and assigned > len(todo))):
                reader.close()
                reader, assigned, idle = log.reader(topic, todo), len(todo), 0
    finally:
        reader.close()


def _still_there(
    reader: Reader, topic: str, todo: Mapping[int, int], uptos: Mapping[int, int], impatient: bool
) -> bool:
    """Look whether what is still to be read will come: it could be waited for in vain. Whether the log answered."""
    try:
        bounds = reader.bounds()
    except LogUnreachableError:
        return False  # it is waited for
    lost = {p: at for p, at in todo.items() if bounds[p].high < uptos[p]}
    if lost:
        raise PositionLostError(topic, lost)
    hidden = [p for p in todo if bounds[p].end < uptos[p]]
    if hidden and impatient:
        raise HiddenRecordsError(topic, hidden[0], bounds[hidden[0]].end, bounds[hidden[0]].hidden)
    return True
