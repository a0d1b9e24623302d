"""Creates the topics, sets the configs of those that exist, and refuses partitions that do not fit.

A stream's log has no retention limit (nothing below the smallest retained cut may go, and only by position), and its
times are the log's own: LogAppendTime. Its delta topic is compacted and has the same number of partitions. Its policy
is `compact,delete`: Kafka refuses DeleteRecords on a topic that is compacted only, and expiry is by position; without
a limit of time or size, `delete` removes nothing else.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kafka.admin import ConfigResource, NewTopic
from kafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from slackwater.log.errors import TopicMismatchError, TopicMissingError
from slackwater.log.kafka_log import MAX_REQUEST_BYTES, KafkaLog
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Stream

_RETAINED = {
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
}
_DEAD_LETTERS = {**_RETAINED, "max.message.bytes": str(MAX_REQUEST_BYTES + 1024 * 1024)}
_DELTAS = {
    **_RETAINED,
    "cleanup.policy": "compact,delete",
    "max.message.bytes": str(MAX_REQUEST_BYTES),
}


def create_topics(
    log: KafkaLog,
    names: TopicNames,
    streams: Iterable[Stream | str],
    partitions: int,
    replication: int = 1,
) -> dict[str, bool]:
    """Create what `streams` lack; topic -> whether it was created now.

    An existing topic keeps its records, its partitions and its id. Its configs are set where they are not those of
    this page: a limit by age would lose events.

    Raises:
        TopicMismatchError: a stream's log exists with another number of partitions than its delta topic.
    """
    streams = tuple(streams)
    made: dict[str, bool] = {}
    for name, config in _configs(names, streams).items():
        made[name] = _create(log, name, config, 1 if name == names.dead_letters else partitions, replication)
    for stream in streams:
        topic, delta_topic = names.topic(stream), names.deltas(stream)
        events, deltas = len(log.bounds(topic)), len(log.bounds(delta_topic))
        if events > deltas:
            raise TopicMismatchError(
                f"{topic!r} has {events} partitions and {delta_topic!r} has {deltas}.",
                "Add partitions to the delta topic first.",
            )
    return made


def missing_topics(log: KafkaLog, names: TopicNames, streams: Iterable[Stream | str]) -> list[str]:
    """Those of the topics of `streams` that do not exist."""
    missing = []
    for name in names.all(streams):
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
            if wrong := _wrong(admin, name, config):
                admin.alter_configs([ConfigResource("TOPIC", name, {key: config[key] for key in wrong})])
            return False
        admin.wait_for_topics([name])
    return True


def wrong_configs(log: KafkaLog, names: TopicNames, streams: Iterable[Stream | str]) -> dict[str, dict[str, str]]:
    """Topic -> its configs that are not those of this page. Raises TopicMissingError."""
    found = {}
    with log.admin() as admin:
        for name, config in _configs(names, streams).items():
            if wrong := _wrong(admin, name, config):
                found[name] = wrong
    return found


def _configs(names: TopicNames, streams: Iterable[Stream | str]) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for stream in streams:
        # The delta topic first: a partition of a stream's log always finds its partition of the delta topic.
        found |= {names.deltas(stream): _DELTAS, names.topic(stream): _RETAINED}
    return {**found, names.dead_letters: _DEAD_LETTERS}


def _wrong(admin: Any, name: str, config: Mapping[str, str]) -> dict[str, str]:
    try:
        found = admin.describe_configs([ConfigResource("TOPIC", name)], config_filter="all")["topic"][name]
    except UnknownTopicOrPartitionError as error:
        raise TopicMissingError(name) from error
    if not config.keys() <= found.keys():  # who may not see them is given none, and no error
        raise TopicAuthorizationFailedError(f"the configs of {name}")
    return {key: found[key]["value"] for key, value in config.items() if found[key]["value"] != value}
