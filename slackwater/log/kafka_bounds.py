"""The retained offsets of a topic's partitions, asked of the brokers over an admin client of their own.

A reader's connection may wait for records, and a question behind it waits as well.
"""

from collections.abc import Callable, Collection
from typing import Any

from kafka import IsolationLevel, OffsetSpec, TopicPartition
from kafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    RetriableError,
    UnknownTopicOrPartitionError,
)

from slackwater.log.errors import LogError, LogUnreachableError, TopicMissingError
from slackwater.log.kafka_reach import Reach
from slackwater.log.log import Bounds

ASK_MS = 10_000
"""How long a question for offsets may take: where a leader is gone it would go on."""


class KafkaBounds:
    """Asks for one topic; the client is made by the first question, and stays open."""

    def __init__(self, make_admin: Callable[[], Any], reach: Reach, topic: str) -> None:
        self._make_admin = make_admin
        self._reach = reach
        self._topic = topic
        self._admin: Any = None

    def ask(self, partitions: Collection[int]) -> dict[int, Bounds]:
        """Partition -> its retained offsets. Raises TopicMissingError, LogUnreachableError."""
        if self._admin is None:
            with self._reach.new():
                self._admin = self._make_admin()
        try:
            with self._reach.open():
                return bounds_of(self._admin, self._topic, partitions)
        except LogError:
            self.close()  # a client that has lost its way is made again
            raise

    def close(self) -> None:
        """Release."""
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()


def bounds_of(admin: Any, topic: str, partitions: Collection[int]) -> dict[int, Bounds]:
    """The retained offsets now. Raises TopicMissingError."""
    places = [TopicPartition(topic, p) for p in sorted(partitions)]

    def offsets(spec: OffsetSpec, level: IsolationLevel) -> dict[TopicPartition, int]:
        found = admin.list_partition_offsets(dict.fromkeys(places, spec), level, ASK_MS)
        return {at: one.offset for at, one in found.items()}

    try:
        starts = offsets(OffsetSpec.EARLIEST, IsolationLevel.READ_UNCOMMITTED)
        highs = offsets(OffsetSpec.LATEST, IsolationLevel.READ_UNCOMMITTED)  # first: what comes later is not hidden
        ends = offsets(OffsetSpec.LATEST, IsolationLevel.READ_COMMITTED)
    except UnknownTopicOrPartitionError as error:
        raise TopicMissingError(topic) from error
    except (KafkaConnectionError, KafkaTimeoutError):
        raise  # a broker that is away: `Reach` says which, and why
    except RetriableError as error:  # a leader that moves
        raise LogUnreachableError(f"the leaders of {topic}", error) from error
    return {at.partition: Bounds(starts[at], ends[at], max(0, highs[at] - ends[at])) for at in places}
