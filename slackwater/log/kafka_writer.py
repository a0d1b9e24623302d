"""Appends records with kafka-python's idempotent producer."""

from collections.abc import Callable
from typing import Any

from kafka.errors import (
    AuthorizationError,
    ClusterAuthorizationFailedError,
    KafkaError,
    UnknownTopicOrPartitionError,
)

from slackwater.log.errors import AppendError, AppendRefusedError, TopicMissingError
from slackwater.log.log import Headers
from slackwater.log.sizes import Sizes


class KafkaAck:
    """See `Ack`."""

    def __init__(self, future: Any, topic: str, partition: int, key: bytes | None) -> None:
        self._future = future
        self._place = topic, partition, key

    def done(self) -> bool:
        return bool(self._future.is_done)

    def offset(self, timeout_s: float = 30.0) -> int:
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
        self._sizes = Sizes(max_record_bytes)
        self._failed: list[AppendError] = []

    def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> KafkaAck:
        if self._failed:
            raise self._failed[0]
        self._sizes.check(topic, partition, key, value, headers)
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

    def flush(self) -> None:
        try:
            self._producer.flush(timeout=60)
        except KafkaError as error:
            raise AppendError(f"Records were not acknowledged within 60 s: {error!r}.") from error
        if self._failed:
            raise self._failed[0]

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._producer.close(timeout=10)


def _is_forbidden(error: BaseException) -> bool:
    """Whether we may not append. Who may append to no topic at all gets no producer id: the client says it in words."""
    return isinstance(error, AuthorizationError) or ClusterAuthorizationFailedError.__name__ in str(error)
