"""The retained offsets of a topic's partitions, asked with librdkafka: in its own threads, while records are read.

A question takes 4 ms, of which Python has 1; kafka-python's takes 20 (`slackwater.log.kafka_bounds`), and nothing is
read meanwhile.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # its own export

from slackwater.log.confluent_client import FORBIDDEN, ConfluentClient
from slackwater.log.errors import TopicMissingError
from slackwater.log.kafka_greeting import listens
from slackwater.log.log import Bounds

EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]

ASK_S = 10.0
"""How long a question for offsets may take."""

MISSING_S = 1.0
"""How long the question may take whether a topic is missing, while nothing else is done."""

_MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})

_Found = Mapping[TopicPartition, "Future[Any]"]


class ConfluentBounds:
    """Asks for one topic; the client is made by the first question, and stays open."""

    def __init__(self, client: ConfluentClient, topic: str) -> None:
        self.client = client
        self.topic = topic
        self._admin: AdminClient | None = None

    def ask(self, partitions: Collection[int]) -> "ConfluentAsked":
        """Ask, and do not wait."""
        if self._admin is None:
            self._admin = self.client.make(AdminClient)
        self._admin.poll(0)  # what the cluster said of this client
        return ConfluentAsked(self, partitions)

    def offsets(self, partitions: Collection[int], spec: OffsetSpec, level: IsolationLevel) -> _Found:
        """One question."""
        assert self._admin is not None  # noqa: S101 - `ask` made it
        places = {TopicPartition(self.topic, p): spec for p in partitions}
        return self._admin.list_offsets(places, isolation_level=level, request_timeout=ASK_S)

    def meaning(self, cause: KafkaError) -> Exception:
        """What it means that a question was not answered."""
        if cause.code() in _MISSING:
            return TopicMissingError(self.topic)
        if self._admin is not None:
            self._admin.poll(0)  # it may have been refused meanwhile
        self.client.check()
        listens(self.client.servers)  # a broker that is away: it says which, and why
        if cause.code() not in FORBIDDEN and cause.code() != KafkaError._TIMED_OUT and self._is_missing():
            return TopicMissingError(self.topic)
        return self.client.meaning(cause, self.topic)

    def _is_missing(self) -> bool:
        """Of a topic that is missing librdkafka may only say that its partitions have no leaders."""
        try:
            found = self._admin.list_topics(self.topic, timeout=MISSING_S) if self._admin is not None else None
        except KafkaException:
            return False
        error = found.topics[self.topic].error if found is not None else None
        return error is not None and error.code() in _MISSING

    def close(self) -> None:
        """Release."""
        self._admin = None


class ConfluentAsked:
    """See `Asked`."""

    def __init__(self, of: ConfluentBounds, partitions: Collection[int]) -> None:
        self._of = of
        self._partitions = partitions
        self._starts = of.offsets(partitions, EARLIEST, IsolationLevel.READ_UNCOMMITTED)
        self._highs = of.offsets(partitions, LATEST, IsolationLevel.READ_UNCOMMITTED)
        self._ends: _Found | None = None

    def done(self) -> bool:
        first = _done(self._starts), _done(self._highs)
        if None in first:
            return True
        return all(first) and bool(_done(self._ask_ends()))

    def bounds(self) -> dict[int, Bounds]:
        starts, highs = self._values(self._starts), self._values(self._highs)
        ends = self._values(self._ask_ends())
        return {p: Bounds(starts[p], ends[p], max(0, highs[p] - ends[p])) for p in self._partitions}

    def _ask_ends(self) -> _Found:
        """After the others were answered: what comes later is not hidden."""
        if self._ends is None:
            self._ends = self._of.offsets(self._partitions, LATEST, IsolationLevel.READ_COMMITTED)
        return self._ends

    def _values(self, found: _Found) -> dict[int, int]:
        try:
            return {at.partition: future.result().offset for at, future in found.items()}
        except KafkaException as error:
            raise self._of.meaning(error.args[0]) from error


def _done(found: _Found) -> bool | None:
    """Whether all were answered; None if one was answered with an error, and the others need not be waited for."""
    done = [future for future in found.values() if future.done()]
    return None if any(future.exception() for future in done) else len(done) == len(found)
