"""Creates the topics, and refuses those that exist with another shape.

The event log has no retention limit (nothing below the smallest retained cut may go, and only by position), and its
times are the log's own: LogAppendTime. The delta topic is compacted and has the same number of partitions.
"""

from collections.abc import Mapping
from typing import Any

from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

from event_log.errors import TopicMismatchError, TopicMissingError
from event_log.kafka_log import MAX_REQUEST_BYTES, KafkaLog
from event_log.names import TopicNames

_KEPT = {
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
}
_TRADES = _KEPT
_DEAD_LETTERS = {**_KEPT, "max.message.bytes": str(MAX_REQUEST_BYTES + 1024 * 1024)}
_DELTAS = {
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "compact",
    "max.message.bytes": str(MAX_REQUEST_BYTES),
}


def create_topics(log: KafkaLog, names: TopicNames, partitions: int, replication: int = 1) -> dict[str, bool]:
    """Create what is missing; topic -> whether it was created now. Existing topics are left as they are.

    Raises:
        TopicMismatchError: the event log exists with another number of partitions than the delta topic.
    """
    made: dict[str, bool] = {}
    # The delta topic first: a partition of the event log always finds its partition of the delta topic.
    for name, config, count in (
        (names.deltas, _DELTAS, partitions),
        (names.dead_letters, _DEAD_LETTERS, 1),
        (names.trades, _TRADES, partitions),
    ):
        made[name] = _create(log, name, config, count, replication)
    trades, deltas = len(log.bounds(names.trades)), len(log.bounds(names.deltas))
    if trades > deltas:
        raise TopicMismatchError(
            f"{names.trades!r} has {trades} partitions and {names.deltas!r} has {deltas}.",
            "Add partitions to the delta topic first.",
        )
    return made


def missing_topics(log: KafkaLog, names: TopicNames) -> list[str]:
    """Those of the three topics that do not exist."""
    missing = []
    for name in (names.trades, names.deltas, names.dead_letters):
        try:
            log.topic_id(name)
        except TopicMissingError:
            missing.append(name)
    return missing


def _create(log: KafkaLog, name: str, config: Mapping[str, str], partitions: int, replication: int) -> bool:
    topic: Any = NewTopic(
        name=name, num_partitions=partitions, replication_factor=replication, topic_configs=dict(config)
    )
    with log.admin() as admin:
        try:
            admin.create_topics([topic])
        except TopicAlreadyExistsError:
            return False
        admin.wait_for_topics([name])
    return True
