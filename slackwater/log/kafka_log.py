"""The log on Kafka: topics and bounds with kafka-python, records with one of two clients (`slackwater.log.clients`).

The client's defaults lose data (auto commit, silent resets), so each is set by hand.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import OffsetOutOfRangeError, PolicyViolationError, TopicAuthorizationFailedError
from kafka.partitioner import murmur2

from slackwater.core.kafka_security import PLAIN_TEXT, KafkaSecurity
from slackwater.core.settings import Settings
from slackwater.log.clients import AUTO, CONFLUENT, client_of
from slackwater.log.compression import check_codecs
from slackwater.log.errors import DeletionRefusedError, TopicMissingError
from slackwater.log.kafka_bounds import KafkaBounds, bounds_of
from slackwater.log.kafka_client import client_arguments
from slackwater.log.kafka_greeting import ANSWER_S, Greeting, begin_with, greet
from slackwater.log.kafka_reach import Reach
from slackwater.log.kafka_reader import KafkaReader
from slackwater.log.kafka_writer import KafkaWriter
from slackwater.log.log import Bounds, Identity, Reader, Writer

if TYPE_CHECKING:
    from slackwater.log.confluent_client import ConfluentClient

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""Largest record: `max.message.bytes` of the delta topic."""

OVERHEAD_BYTES = 1024
"""What the log's format adds to a record at most, headers apart."""

RETRY_MS = 10
"""Between two tries of a reader."""


class KafkaLog:
    """See `Log`: a Kafka cluster, named by its bootstrap servers. Cheap to make; connections are opened by each call.

    It may be pickled, and no secret is in that (`slackwater.core.secret`). `client` is the one in force.

    Raises:
        SettingError: the client that is named is not there; by the constructor.
        LogUnreachableError, LogRefusedError, CredentialsError, AccessRefusedError: by every call that asks the cluster.
    """

    def __init__(self, servers: str, security: KafkaSecurity = PLAIN_TEXT, client: str = AUTO) -> None:
        self.servers = servers
        self.security = security
        self.client = client_of(client, security.mechanism)
        self._reach = Reach(servers, security)

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
            admin = self._new_admin()
            try:
                yield admin
            finally:
                admin.close()

    def topic_id(self, topic: str) -> str:
        with self.admin() as admin:
            return _identity(admin, topic).topic_id

    def watch(self, topic: str) -> "KafkaWatch":
        with self._reach.new():
            return KafkaWatch(self._new_admin(), self._reach, topic)

    def _new_admin(self) -> Any:
        return KafkaAdminClient(**self._client())

    def bounds(self, topic: str) -> dict[int, Bounds]:
        with self.admin() as admin:
            return bounds_of(admin, topic, range(_identity(admin, topic).partitions))

    def reader(self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0) -> Reader:
        with self._reach.new():
            if self.client == CONFLUENT:
                from slackwater.log.confluent_reader import ConfluentReader

                return ConfluentReader(self._confluent(), topic, starts, group, gather_s)
            bounds = KafkaBounds(self._new_admin, self._reach, topic)
            return KafkaReader(self._consumer(group), topic, starts, gather_s, self._reach, bounds)

    def writer(self, linger_s: float = 0.0) -> Writer:
        with self._reach.new():
            if self.client == CONFLUENT:
                from slackwater.log.confluent_writer import ConfluentWriter

                return ConfluentWriter(self._confluent(), linger_s, self.max_record_bytes, MAX_REQUEST_BYTES)
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

    def _confluent(self) -> "ConfluentClient":
        from slackwater.log.confluent_client import ConfluentClient  # of an extra: it may not be there

        return ConfluentClient(self.servers, self.security)

    def _consumer(self, group: str | None) -> Any:
        check_codecs()
        return KafkaConsumer(
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


def log_of(settings: Settings) -> KafkaLog:
    """The cluster of these settings."""
    return KafkaLog(settings.servers, settings.kafka, settings.kafka_client)


class KafkaWatch:
    """See `TopicWatch`. To connect costs 100 ms of Python, to ask over an open connection 2 ms."""

    def __init__(self, admin: Any, reach: Reach, topic: str) -> None:
        self._admin = admin
        self._reach = reach
        self._topic = topic

    def check(self) -> Identity:
        with self._reach.open():
            return _identity(self._admin, self._topic)

    def close(self) -> None:
        self._admin.close()


def _identity(admin: Any, topic: str) -> Identity:
    for found in admin.describe_topics([topic]):
        if found["error_code"] == TopicAuthorizationFailedError.errno:
            raise TopicAuthorizationFailedError(topic)
        if found["name"] == topic and not found["error_code"]:
            return Identity(str(found["topic_id"]), len(found["partitions"]))
    raise TopicMissingError(topic)
