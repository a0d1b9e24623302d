"""Appends records with confluent-kafka's idempotent producer.

librdkafka sends in threads of its own. What became of a record it tells while somebody asks: each `append` and each
question of an `Ack` serves those reports.
"""

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from slackwater.log.confluent_client import FORBIDDEN, ConfluentClient
from slackwater.log.errors import AppendError, AppendRefusedError, LogError, TopicMissingError
from slackwater.log.log import Headers
from slackwater.log.sizes import Sizes

FULL_S = 30.0
"""How long an append may wait for room among the records that are on their way."""

WRITING: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "batch.size": 256 * 1024,
    "queue.buffering.max.kbytes": 64 * 1024,
    "message.timeout.ms": 120_000,
}

GONE_S = 5.0
"""How long the reports of what was given up may take; what a broker was just sent, it may still have taken."""

_ENDED = frozenset({KafkaError._FATAL, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._STATE})

_MISSING = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART})


def serve(client: ConfluentClient, producer: Producer, wait_s: float) -> None:
    """Take the reports that are there, waiting for the first; a producer that has ended says so from then on."""
    try:
        producer.poll(wait_s)
    except KafkaException as error:
        client.fatal = client.fatal or error.args[0]


class ConfluentAck:
    """See `Ack`."""

    __slots__ = ("_client", "_error", "_offset", "_place", "_producer")

    def __init__(self, client: ConfluentClient, producer: Any, topic: str, partition: int, key: bytes | None) -> None:
        self._client = client
        self._producer = producer
        self._place = topic, partition, key
        self._offset: int | None = None
        self._error: LogError | None = None

    def done(self) -> bool:
        return self._known(0.0)

    def _known(self, wait_s: float) -> bool:
        """Whether it is known what became of the record, within `wait_s`."""
        if self._offset is None and self._error is None:
            serve(self._client, self._producer, wait_s)
            if self._offset is None and self._error is None and self._client.fatal is not None:
                self._error = self.error(self._client.fatal)
        return self._offset is not None or self._error is not None

    def offset(self, timeout_s: float = 30.0) -> int:
        ends_s = time.monotonic() + timeout_s
        while not self._known(max(0.0, ends_s - time.monotonic())):
            if time.monotonic() >= ends_s:
                self._client.check()
                raise self.error(f"no answer in {timeout_s:g} s")
        if self._error is not None:
            raise self._error
        assert self._offset is not None  # noqa: S101 - `done` says so
        return self._offset

    def delivered(self, error: KafkaError | None, message: Any) -> LogError | None:
        """What became of the record; the error that it is, if it is one."""
        if error is None:
            self._offset = message.offset()
        else:
            self._error = self.error(error)
        return self._error

    def error(self, cause: KafkaError | str) -> LogError:
        """What to raise if the log did not take the record."""
        topic, partition, key = self._place
        if isinstance(cause, KafkaError):
            why = self._client.fatal if self._client.fatal and cause.code() in _ENDED else cause
            if why.code() in FORBIDDEN:
                return AppendRefusedError(topic, partition, key)
            if why.code() in _MISSING:
                return TopicMissingError(topic)
            cause = f"{cause.name()} ({cause.str()})"
        return AppendError(f"The record {key!r:.120} of {topic}[{partition}] was not acknowledged: {cause}.")


class ConfluentWriter:
    """See `Writer`. After a refusal `append` says which record it was; open a new writer then."""

    def __init__(
        self, client: ConfluentClient, linger_s: float, max_record_bytes: Callable[[str], int], most_bytes: int
    ) -> None:
        self._client = client
        self._sizes = Sizes(max_record_bytes)
        self._failed: list[LogError] = []
        configs = {**WRITING, "linger.ms": linger_s * 1000, "message.max.bytes": most_bytes}
        self._producer = client.make(Producer, **configs)

    def append(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> ConfluentAck:
        serve(self._client, self._producer, 0.0)
        self._raise()
        self._sizes.check(topic, partition, key, value, headers)
        ack = ConfluentAck(self._client, self._producer, topic, partition, key)
        ends_s = time.monotonic() + FULL_S
        while True:
            try:
                self._producer.produce(
                    topic,
                    value=value,
                    key=key,
                    partition=partition,
                    headers=list(headers) or None,
                    on_delivery=lambda error, message: self._delivered(ack, error, message),
                )
            except BufferError as error:  # as many are on their way as may be
                if time.monotonic() > ends_s:
                    raise ack.error(f"no room in {FULL_S:g} s") from error
                serve(self._client, self._producer, 0.1)
                self._raise()
            except KafkaException as error:
                raise ack.error(error.args[0]) from error
            else:
                return ack

    def _delivered(self, ack: ConfluentAck, error: KafkaError | None, message: Any) -> None:
        failed = ack.delivered(error, message)
        if failed is not None:
            self._failed.append(failed)

    def _raise(self) -> None:
        if self._failed:
            raise self._failed[0]
        if self._client.fatal is not None and self._client.fatal.code() not in FORBIDDEN:
            raise AppendError(f"Kafka's producer has ended: {self._client.fatal.str()}.")

    def flush(self) -> None:
        left = self._flush(60.0)
        self._raise()
        if left:
            raise AppendError(f"{left} records were not acknowledged within 60 s.")

    def close(self) -> None:
        try:
            self.flush()
        finally:
            # What was not acknowledged must not go out later, when another writer is at work. Its reports are served
            # here, or each would hold this writer for ever.
            self._producer.purge()
            self._flush(GONE_S)

    def _flush(self, wait_s: float) -> int:
        """How many records are still on their way after `wait_s`."""
        try:
            return self._producer.flush(wait_s)
        except KafkaException as error:
            self._client.fatal = self._client.fatal or error.args[0]
            return len(self._producer)
