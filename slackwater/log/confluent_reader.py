"""Reads partitions of a topic with confluent-kafka. A position out of range is raised, never reset.

librdkafka fetches in threads of its own, without Python; a poll takes what they have found. It tells where a
partition ends, control records and gaps included, by an event of its own: that is how a position moves over them.

    offsets     0    1    2       3
    log         a    b  commit                 found: a, b, "the end is 3"       slice [0, 3)
"""

import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from operator import methodcaller
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from slackwater.log.confluent_bounds import ConfluentAsked, ConfluentBounds
from slackwater.log.confluent_client import FORBIDDEN, ConfluentClient
from slackwater.log.errors import PositionLostError
from slackwater.log.kafka_greeting import listens
from slackwater.log.log import Bounds, Headers, Record, Slice, Unread

MOST = 5000
"""Records of one poll at most."""

GATHER_PART = 2.5
"""Records are gathered until so many times what the caller took for the last ones is over: it is busy 40 % of the time
at most, however few come at once. Where it takes long, nothing waits."""

UNREAD_S = 5.0
"""Between two tries of a batch that cannot be read: most stay so, one from a disk that was mended does not."""

NO_GROUP = "slackwater-no-group"
"""librdkafka wants a group's name of every consumer; a reader without one never joins it and never commits."""

READING: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "check.crcs": True,
    "fetch.min.bytes": 1,
    "fetch.wait.max.ms": 500,
    "max.partition.fetch.bytes": 4 * 1024 * 1024,
    "fetch.max.bytes": 16 * 1024 * 1024,  # an answer is given whole: 50 MB of many partitions take long on a slow link
    "fetch.error.backoff.ms": 10,  # half a second by default
    # What is fetched ahead, all partitions together; beyond it the fetcher looks again after the backoff (1 s).
    "queued.max.messages.kbytes": 32 * 1024,
    "queued.min.messages": 20_000,
    "fetch.queue.backoff.ms": 5,
}

_LOST = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION})

_UNREADABLE = frozenset(
    {
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
        KafkaError._NOT_IMPLEMENTED,  # a format or a codec that nobody knows; librdkafka goes on behind the batch
        KafkaError._UNDERFLOW,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.MSG_SIZE_TOO_LARGE,
    }
)


_HEADERS = methodcaller("headers")
"""A call of a method that the interpreter has specialised does not look whether an exception was left behind."""


class ConfluentReader:
    """See `Reader`."""

    def __init__(
        self,
        client: ConfluentClient,
        topic: str,
        starts: Mapping[int, int],
        group: str | None,
        gather_s: float,
    ) -> None:
        self._client = client
        self._topic = topic
        self._group = group
        self._gather_s = gather_s
        self._bounds = ConfluentBounds(client, topic)
        self._at = dict(starts)
        self._given = dict(starts)
        self._records: dict[int, list[Record]] = {}
        self._lost: set[int] = set()
        self._refused: dict[int, KafkaError] = {}
        self._unread: dict[int, Unread] = {}
        self._paused_s: dict[int, float] = {}
        self._found_s = self._gathered_s = 0.0

    @cached_property
    def _consumer(self) -> Consumer:
        """Made when it is needed: it fetches ahead from then on, and some only ask a reader for bounds."""
        consumer = self._client.make(Consumer, **READING, **{"group.id": self._group or NO_GROUP})
        consumer.assign([TopicPartition(self._topic, p, at) for p, at in self._at.items()])
        return consumer

    @property
    def unread(self) -> Mapping[int, Unread]:
        return self._unread

    def poll(self, timeout_s: float) -> list[Slice]:
        self._try_again()
        now_s = time.monotonic()
        self._gathered_s = self._found_s + min(self._gather_s, GATHER_PART * (now_s - self._found_s))
        ends_s = now_s + timeout_s
        while True:
            left_s = ends_s - time.monotonic()
            if not self._lost:
                for message in self._messages(max(0.0, left_s)):
                    self._take(message)
            self._client.check()
            for error in self._refused.values():  # librdkafka says it once, and reads again when it may
                raise self._client.meaning(error, self._topic)
            if self._lost:  # what others brought meanwhile waits for the poll after the seek
                raise PositionLostError(self._topic, {p: self._at[p] for p in sorted(self._lost)})
            slices = list(self._slices())
            if slices or left_s <= 0:
                return slices

    def _messages(self, timeout_s: float) -> list[Any]:
        """What is there, waiting for the first; where the last ones came just now, more are gathered a moment."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        # `consume` waits until it has as many, or until the time is over.
        found = [first, *self._consumer.consume(MOST - 1, max(0.0, self._gathered_s - time.monotonic()))]
        self._found_s = time.monotonic()
        return found

    def _take(self, message: Any) -> None:
        error, partition = message.error(), message.partition()
        if error is not None:
            self._take_error(error, partition, message.offset())
            return
        offset = message.offset()
        if offset < self._at.get(partition, 0) or partition in self._paused_s:
            return  # fetched before a seek, or behind a batch that cannot be read
        self._refused.pop(partition, None)
        record = Record(offset, message.timestamp()[1], message.key(), message.value(), headers_of(message))
        self._records.setdefault(partition, []).append(record)
        self._at[partition] = offset + 1

    def _take_error(self, error: KafkaError, partition: int, offset: int) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._refused.pop(partition, None)
            if partition not in self._paused_s and partition not in self._lost:
                self._at[partition] = max(self._at[partition], offset)
        elif code in _LOST:
            if offset < 0 or offset == self._at[partition]:  # else it is of a position before a seek
                self._lost.add(partition)
        elif code in _UNREADABLE:
            self._stop(partition, error.str())
        elif code in FORBIDDEN and not (code == KafkaError.GROUP_AUTHORIZATION_FAILED and self._group is None):
            self._refused[partition] = error  # raised when all that came with it is taken
        # The rest, such as a leader that moved, librdkafka tries again by itself.

    def _slices(self) -> Iterable[Slice]:
        for partition, start in self._given.items():
            upto = self._at[partition]
            if upto > start:
                yield Slice(partition, start, upto, self._records.pop(partition, []))
                self._given[partition] = upto
                stuck = self._unread.get(partition)
                if stuck is not None and stuck.offset < upto:
                    del self._unread[partition]

    def _stop(self, partition: int, reason: str) -> None:
        """A partition stands before a batch that cannot be read: the others go on, it is tried again after a while."""
        self._unread[partition] = Unread(partition, self._at[partition], reason.rstrip("."))
        self._paused_s[partition] = time.monotonic() + UNREAD_S
        self._consumer.pause([TopicPartition(self._topic, partition)])

    def _try_again(self) -> None:
        now = time.monotonic()
        for partition in [p for p, until_s in self._paused_s.items() if until_s <= now]:
            self._restart(partition, self._at[partition])

    def _restart(self, partition: int, offset: int) -> None:
        if "_consumer" not in vars(self):
            return
        # A seek does nothing in a partition that has stopped for an error.
        place = [TopicPartition(self._topic, partition)]
        self._consumer.incremental_unassign(place)
        self._consumer.incremental_assign([TopicPartition(self._topic, partition, offset)])
        if self._paused_s.pop(partition, None) is not None:
            self._consumer.resume(place)
        self._lost.discard(partition)
        self._refused.pop(partition, None)

    def seek(self, partition: int, offset: int) -> None:
        self._restart(partition, offset)
        self._records.pop(partition, None)
        self._unread.pop(partition, None)
        self._at[partition] = self._given[partition] = offset

    def bounds(self) -> dict[int, Bounds]:
        listens(self._client.servers)  # where nobody does, the question would take its whole time
        return self.ask_bounds().bounds()

    def ask_bounds(self) -> ConfluentAsked:
        return self._bounds.ask(sorted(self._given))

    def commit(self, positions: Mapping[int, int], wait: bool = False) -> None:
        """See `Reader.commit`; does nothing in a reader without a group."""
        offsets = [TopicPartition(self._topic, p, at) for p, at in positions.items() if at >= 0]
        if self._group is None or not offsets:
            return
        if not self._given and (message := self._consumer.poll(0)) is not None:
            self._take(message)  # answers of earlier ones, and what the cluster said; nothing else polls it
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            raise self._client.meaning(error.args[0]) from error

    def close(self) -> None:
        if "_consumer" in vars(self):
            self._consumer.close()
        self._bounds.close()


def headers_of(message: Any) -> Headers:
    """The headers of a record. Of one with a name that is not UTF-8 they are that name alone, shown with `\\xff`.

    The protocol says that names are UTF-8 and brokers do not check it. confluent-kafka raises what it should not, and
    keeps a list with a hole in it, which must not be touched: the second call would give it, and reading it ends the
    process.
    """
    try:
        return _HEADERS(message) or ()
    except SystemError as error:
        if not isinstance(error.__cause__, UnicodeDecodeError):
            raise
        return [(error.__cause__.object.decode("utf-8", "backslashreplace"), b"")]
