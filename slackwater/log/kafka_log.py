"""The log on Kafka, with kafka-python. All Kafka clients of the project are made here.

The client's defaults lose data (auto commit, silent resets), so each is set by hand. A position out of range is
raised, never reset: only the caller knows what a hole means to it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    AuthorizationError,
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    OffsetOutOfRangeError,
    PolicyViolationError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)
from kafka.partitioner.default import murmur2
from kafka.protocol.consumer import IsolationLevel
from kafka.structs import OffsetAndMetadata, TopicPartition

from slackwater.core.kafka_security import PLAIN_TEXT, KafkaSecurity
from slackwater.log.compression import check_codecs
from slackwater.log.errors import (
    AccessRefusedError,
    AppendError,
    AppendRefusedError,
    DeletionRefusedError,
    LogUnreachableError,
    PositionLostError,
    RecordTooLargeError,
    TopicMissingError,
)
from slackwater.log.kafka_batches import read_batches_of
from slackwater.log.kafka_client import client_arguments
from slackwater.log.kafka_greeting import ANSWER_S, Greeting, begin_with, greet, listens
from slackwater.log.log import Bounds, Headers, Identity, Record, Slice, Unread

GATHER_BYTES = 64 * 1024
"""What a broker that gathers records does not wait any longer at."""

IDLE_S = 0.1
"""Where nothing came for so long, the first record is given at once, and a broker is asked less often: one that
gathers for 5 ms answers 200 times a second, also with nothing, which took a quarter of a core here and there."""

IDLE_WAIT_MS = 50
"""How long a broker then waits for a record. Whatever else is asked over that connection waits behind it."""

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""Largest record: `max.message.bytes` of the delta topic."""

SURE_BYTES = 64 * 1024
"""A record of this size fits into any topic; for a larger one its topic is asked first."""

OVERHEAD_BYTES = 1024
"""What the log's format adds to a record at most, headers apart."""

RETRY_MS = 10
"""Between two tries of a reader, and between a new client's first two looks at the cluster, which are no failure."""

BOUNDS_MS = 10_000
"""How long a question for offsets may take: for a topic that is gone it would go on, and others are asked behind it."""

UNREAD_S = 5.0
"""Between two tries of a batch that cannot be read: most stay so, one from a disk that was mended does not."""


class _Reach:
    """Where the cluster is and who we are there; turns what the client raises into what it means."""

    def __init__(self, servers: str, security: KafkaSecurity) -> None:
        self._servers = servers
        self._security = security

    @contextmanager
    def new(self) -> Iterator[None]:
        """A client is made inside. One that is not let in would wait 30 s and leave a thread and its sockets behind."""
        greet(self._servers, self._security)
        with self.meant():
            yield

    @contextmanager
    def open(self) -> Iterator[None]:
        """A client that is open is asked inside."""
        listens(self._servers)
        with self.meant():
            yield

    @contextmanager
    def meant(self) -> Iterator[None]:
        """What is raised inside becomes an error of ours."""
        try:
            yield
        except AuthorizationError as error:
            raise AccessRefusedError(self._servers, self._security.named, _refused(error)) from error
        except (
            KafkaConnectionError,
            KafkaTimeoutError,
            SaslAuthenticationFailedError,
            UnsupportedSaslMechanismError,
        ) as error:
            greet(self._servers, self._security)  # a client that is not let in any more may say only that time is over
            raise LogUnreachableError(self._servers, error) from error


class KafkaLog:
    """A Kafka cluster, named by its bootstrap servers. Cheap to make; connections are opened by each call.

    It may be pickled, and no secret is in that (`slackwater.core.secret`).

    Raises:
        LogUnreachableError, LogRefusedError, CredentialsError, AccessRefusedError: by every call that asks the cluster.
    """

    def __init__(self, servers: str, security: KafkaSecurity = PLAIN_TEXT) -> None:
        self.servers = servers
        self.security = security
        self._reach = _Reach(servers, security)

    def _client(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": begin_with(self.servers),
            **client_arguments(self.security),
            "client_id": "slackwater",
            # By default the wait between two tries grows to 30 s: a broker would be back long before its clients.
            "reconnect_backoff_max_ms": 1000,
        }

    def greeting(self, answer_s: float = ANSWER_S) -> Greeting:
        """What the first server shows that lets us in; its answers may take `answer_s` together."""
        return greet(self.servers, self.security, answer_s)

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """An admin client, closed at the end."""
        with self._reach.new():
            admin = KafkaAdminClient(**self._client())
            try:
                yield admin
            finally:
                admin.close()

    def topic_id(self, topic: str) -> str:
        """See `Log.topic_id`."""
        with self.admin() as admin:
            return _identity(admin, topic).topic_id

    def watch(self, topic: str) -> "KafkaWatch":
        """See `Log.watch`."""
        with self._reach.new():
            return KafkaWatch(KafkaAdminClient(**self._client()), self._reach, topic)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """See `Log.bounds`."""
        with self._reach.new():
            consumer = self._consumer(None)
            try:
                partitions = consumer.partitions_for_topic(topic)
                if not partitions:
                    self.topic_id(topic)  # says so where it is there, and we may not see it
                    raise TopicMissingError(topic)
                return _bounds(consumer, [TopicPartition(topic, p) for p in sorted(partitions)])
            finally:
                consumer.close()

    def reader(
        self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0
    ) -> "KafkaReader":
        """See `Log.reader`."""
        with self._reach.new():
            return KafkaReader(self._consumer(group), topic, starts, gather_s, self._reach)

    def writer(self, linger_s: float = 0.0) -> "KafkaWriter":
        """See `Log.writer`."""
        with self._reach.new():
            producer = KafkaProducer(
                **self._client(),
                acks="all",
                enable_idempotence=True,
                linger_ms=round(linger_s * 1000),
                batch_size=256 * 1024,  # by default a full record is a request of its own: 40 k trades/s, not 150 k
                max_request_size=MAX_REQUEST_BYTES,
                compression_type="lz4",
                max_block_ms=30_000,
            )
        return KafkaWriter(producer, self.max_record_bytes)

    def max_record_bytes(self, topic: str) -> int:
        """The largest record that a topic takes, before compression."""
        with self.admin() as admin:
            found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
            if "max.message.bytes" not in found["topic"][topic]:  # who may not see it is given nothing, and no error
                raise TopicAuthorizationFailedError(f"the configs of {topic}")
        limit = int(found["topic"][topic]["max.message.bytes"]["value"])
        return min(limit, MAX_REQUEST_BYTES) - OVERHEAD_BYTES

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        """See `Log.delete_before`: Kafka's DeleteRecords."""
        with self.admin() as admin:
            _identity(admin, topic)  # asked of the broker: for a topic that is missing, DeleteRecords waits in vain
            for partition, offset in offsets.items():
                try:
                    admin.delete_records({TopicPartition(topic, partition): offset})
                except OffsetOutOfRangeError as error:
                    raise DeletionRefusedError(f"{topic}[{partition}] ends below {offset}.") from error
                except PolicyViolationError as error:
                    raise DeletionRefusedError(
                        f"{topic!r} allows no removal: its cleanup.policy lacks `delete`.",
                        "`slackwater topics create` sets it.",
                    ) from error

    def partition_of(self, key: bytes, partitions: int) -> int:
        """See `Log.partition_of`: Kafka's murmur2, the same in every client."""
        return int((murmur2(key) & 0x7FFFFFFF) % partitions)

    def _consumer(self, group: str | None) -> Any:
        check_codecs()
        consumer = KafkaConsumer(
            **self._client(),
            retry_backoff_ms=RETRY_MS,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
            max_poll_records=5000,
            fetch_min_bytes=1,
            fetch_max_wait_ms=500,
        )
        # kafka-python does not hand its setting on to what asks for metadata: each new client would wait 100 ms
        # between its first look at the cluster and its first look at a topic, and a batch run makes ten of them.
        consumer._cluster.config["retry_backoff_ms"] = RETRY_MS
        return consumer


class KafkaWatch:
    """See `TopicWatch`. To connect costs 100 ms of Python, to ask over an open connection 2 ms."""

    def __init__(self, admin: Any, reach: _Reach, topic: str) -> None:
        self._admin = admin
        self._reach = reach
        self._topic = topic

    def check(self) -> Identity:
        """See `TopicWatch.check`."""
        with self._reach.open():
            return _identity(self._admin, self._topic)

    def close(self) -> None:
        """See `TopicWatch.close`."""
        self._admin.close()


class KafkaReader:
    """See `Reader`. A position moves over control records and gaps; the slice covers them."""

    def __init__(self, consumer: Any, topic: str, starts: Mapping[int, int], gather_s: float, reach: _Reach) -> None:
        read_batches_of(consumer, self._stopped)
        self._unread: dict[int, Unread] = {}
        self._paused_s: dict[TopicPartition, float] = {}
        self._reach = reach
        self._gather_s = gather_s
        self._found_s = time.monotonic()
        self._consumer = consumer
        self._topic = topic
        self._partitions = {TopicPartition(topic, p): start for p, start in starts.items()}
        consumer.assign(list(self._partitions))
        for partition, start in self._partitions.items():
            consumer.seek(partition, start)

    def poll(self, timeout_s: float) -> list[Slice]:
        """See `Reader.poll`."""
        self._try_again()
        try:
            with self._reach.meant():
                found = self._consumer.poll(timeout_ms=max(0, int(timeout_s * 1000)))
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            lost = error.args[0] if error.args and isinstance(error.args[0], dict) else self._partitions
            raise PositionLostError(self._topic, {tp.partition: at for tp, at in lost.items()}) from error
        if self._gather_s:
            self._gather(bool(found))
        slices = []
        for partition, start in self._partitions.items():
            upto = self._consumer.position(partition)
            if upto > start:
                records = [_record(one) for one in found.get(partition, ())]
                slices.append(Slice(partition.partition, start, upto, records))
                self._partitions[partition] = upto
                stuck = self._unread.get(partition.partition)
                if stuck is not None and stuck.offset < upto:
                    del self._unread[partition.partition]
        return slices

    @property
    def unread(self) -> Mapping[int, Unread]:
        """See `Reader.unread`."""
        return self._unread

    def _stopped(self, at: TopicPartition, offset: int, reason: str) -> None:
        """A partition stands before a batch that cannot be read: the others go on, it is tried again after a while."""
        self._unread[at.partition] = Unread(at.partition, offset, reason)
        self._paused_s[at] = time.monotonic() + UNREAD_S
        self._consumer.pause(at)

    def _try_again(self) -> None:
        now = time.monotonic()
        for at in [at for at, until_s in self._paused_s.items() if until_s <= now]:
            del self._paused_s[at]
            self._consumer.resume(at)

    def _gather(self, found: bool) -> None:
        """Let the next requests gather records while some come, and wait for the first one else."""
        now = time.monotonic()
        self._found_s = now if found else self._found_s
        if now - self._found_s < IDLE_S:
            least, wait_ms = GATHER_BYTES, max(1, round(self._gather_s * 1000))
        else:
            least, wait_ms = 1, IDLE_WAIT_MS
        # kafka-python reads both anew for each request.
        self._consumer._fetcher.config.update(fetch_min_bytes=least, fetch_max_wait_ms=wait_ms)

    def seek(self, partition: int, offset: int) -> None:
        """See `Reader.seek`."""
        at = TopicPartition(self._topic, partition)
        self._consumer.seek(at, offset)
        self._partitions[at] = offset
        self._unread.pop(partition, None)
        if self._paused_s.pop(at, None) is not None:
            self._consumer.resume(at)

    def bounds(self) -> dict[int, Bounds]:
        """See `Reader.bounds`."""
        with self._reach.open():
            return _bounds(self._consumer, list(self._partitions))

    def commit(self, positions: Mapping[int, int], wait: bool = False) -> None:
        """See `Reader.commit`; does nothing in a reader without a group."""
        if self._consumer.config["group_id"] is None:
            return
        offsets = {
            TopicPartition(self._topic, p): OffsetAndMetadata(at, "", -1) for p, at in positions.items() if at >= 0
        }
        if offsets:
            if wait:
                self._consumer.commit(offsets)
            else:
                self._consumer.commit_async(offsets)

    def close(self) -> None:
        """See `Reader.close`."""
        self._consumer.close(autocommit=False)


class KafkaAck:
    """See `Ack`."""

    def __init__(self, future: Any, topic: str, partition: int, key: bytes | None) -> None:
        self._future = future
        self._place = topic, partition, key

    def done(self) -> bool:
        """See `Ack.done`."""
        return bool(self._future.is_done)

    def offset(self, timeout_s: float = 30.0) -> int:
        """See `Ack.offset`."""
        try:
            return int(self._future.get(timeout=timeout_s).offset)
        except KafkaError as error:
            raise self.error(error) from error

    def error(self, cause: BaseException) -> AppendError:
        """What to raise if the log did not take the record."""
        topic, partition, key = self._place
        if _is_forbidden(cause):
            return AppendRefusedError(topic, partition, key)
        return AppendError(f"The record {key!r:.120} of {topic}[{partition}] was not acknowledged: {cause!r}.")


class KafkaWriter:
    """See `Writer`.

    A record that the log refuses ends the client's idempotent producer, so one that is too large is refused before it
    is asked. After any other refusal `append` says which record it was; open a new writer then.
    """

    def __init__(self, producer: Any, max_record_bytes: Callable[[str], int]) -> None:
        self._producer = producer
        self._max_record_bytes = max_record_bytes
        self._limits: dict[str, int] = {}
        self._failed: list[AppendError] = []

    def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> KafkaAck:
        """See `Writer.append`."""
        if self._failed:
            raise self._failed[0]
        size = len(key or b"") + len(value or b"") + sum(len(name) + len(held) for name, held in headers)
        if size > SURE_BYTES:
            self._check_size(topic, partition, key, size)
        try:
            future = self._producer.send(
                topic, value=value, key=key, partition=partition, headers=list(headers) or None
            )
        except UnknownTopicOrPartitionError as error:
            raise TopicMissingError(topic) from error
        except ValueError as error:  # a partition that this producer has not heard of yet
            raise AppendError(f"Partition {partition} of {topic!r} is not known: {error}.") from error
        except KafkaError as error:
            if _is_forbidden(error):
                raise AppendRefusedError(topic, partition, key) from error
            raise AppendError(f"A record for {topic!r} was not taken: {error!r}.") from error
        ack = KafkaAck(future, topic, partition, key)
        future.add_errback(lambda cause: self._failed.append(ack.error(cause)))
        return ack

    def _check_size(self, topic: str, partition: int, key: bytes | None, size: int) -> None:
        if topic not in self._limits:
            self._limits[topic] = self._max_record_bytes(topic)
        if size > self._limits[topic]:
            raise RecordTooLargeError(topic, partition, key, size, self._limits[topic])

    def flush(self) -> None:
        """See `Writer.flush`."""
        try:
            self._producer.flush(timeout=60)
        except KafkaError as error:
            raise AppendError(f"Records were not acknowledged within 60 s: {error!r}.") from error
        if self._failed:
            raise self._failed[0]

    def close(self) -> None:
        """See `Writer.close`."""
        try:
            self.flush()
        finally:
            self._producer.close(timeout=10)


def _identity(admin: Any, topic: str) -> Identity:
    for found in admin.describe_topics([topic]):
        if found["error_code"] == TopicAuthorizationFailedError.errno:
            raise TopicAuthorizationFailedError(topic)
        if found["name"] == topic and not found["error_code"]:
            return Identity(str(found["topic_id"]), len(found["partitions"]))
    raise TopicMissingError(topic)


def _is_forbidden(error: BaseException) -> bool:
    """Whether we may not append. Who may append to no topic at all gets no producer id: the client says it in words."""
    return isinstance(error, AuthorizationError) or ClusterAuthorizationFailedError.__name__ in str(error)


def _refused(error: Any) -> str:
    """What Kafka does not allow, and to what where the client says so; it may quote a whole request instead."""
    about = error.args[0] if error.args else ""
    topics = ", ".join(sorted(about)) if isinstance(about, set | frozenset) else str(about)
    return f"{error.message} {topics}" if topics and not topics.startswith("Request") else str(error.message)


def _record(found: Any) -> Record:
    if isinstance(found, Record):
        return found
    return Record(found.offset, found.timestamp, found.key, found.value, found.headers)


def _bounds(consumer: Any, partitions: list[TopicPartition]) -> dict[int, Bounds]:
    starts = consumer.beginning_offsets(partitions, BOUNDS_MS)
    highs = _high_watermarks(consumer, partitions)  # before the ends: what comes in between is not hidden
    ends = consumer.end_offsets(partitions, BOUNDS_MS)
    return {at.partition: Bounds(starts[at], ends[at], max(0, highs[at] - ends[at])) for at in partitions}


def _high_watermarks(consumer: Any, partitions: list[TopicPartition]) -> Any:
    """Where the log ends for one that reads uncommitted records, too. kafka-python asks as its consumer reads."""
    fetcher = consumer._fetcher
    committed = fetcher._isolation_level
    fetcher._isolation_level = IsolationLevel.READ_UNCOMMITTED
    try:
        return consumer.end_offsets(partitions, BOUNDS_MS)
    finally:
        fetcher._isolation_level = committed
