"""What is confluent-kafka's own: a writer that is closed sends nothing more, and what a reader took is never lost.

The contract that both clients keep is in `test_log.py`.
"""

from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError

from slackwater.core.kafka_security import PLAIN_TEXT
from slackwater.log.clients import CONFLUENT
from slackwater.log.confluent_client import ConfluentClient, librdkafka
from slackwater.log.confluent_reader import ConfluentReader
from slackwater.log.confluent_writer import ConfluentWriter
from slackwater.log.errors import AccessRefusedError, AppendError, AppendRefusedError, PositionLostError
from slackwater.log.kafka_bounds import KafkaBounds
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.names import TopicNames
from slackwater.log.topics import create_topics


class Message:
    """What a poll of confluent-kafka gives."""

    def __init__(self, partition: int, offset: int, error: Any = None) -> None:
        self._of = partition, offset, error

    def partition(self) -> int:
        return self._of[0]

    def offset(self) -> int:
        return self._of[1]

    def error(self) -> Any:
        return KafkaError(self._of[2]) if self._of[2] is not None else None

    def timestamp(self) -> tuple[int, int]:
        return 2, 0

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"v%d" % self._of[1]

    def headers(self) -> None:
        return None


class Consumer:
    """Gives the lists of messages that it is made with, one a poll, and forgets each, as librdkafka does."""

    def __init__(self, *polls: list[Message]) -> None:
        self._polls = list(polls)
        self._rest: list[Message] = []

    def poll(self, _timeout_s: float) -> Message | None:
        first, *self._rest = (self._polls.pop(0) if self._polls else []) or [None]
        return first

    def consume(self, _most: int, _timeout_s: float) -> list[Message]:
        return self._rest

    def incremental_assign(self, _places: Any) -> None: ...
    def incremental_unassign(self, _places: Any) -> None: ...
    def pause(self, _places: Any) -> None: ...
    def resume(self, _places: Any) -> None: ...


def reader_of(*polls: list[Message]) -> ConfluentReader:
    client = ConfluentClient("nowhere:1", PLAIN_TEXT)
    reader = ConfluentReader(client, "t", {0: 0, 1: 0}, None, 0.0)
    vars(reader)["_consumer"] = Consumer(*polls)
    return reader


def taken(reader: ConfluentReader) -> dict[int, tuple[int, int, list[int]]]:
    return {s.partition: (s.start, s.upto, [r.offset for r in s.records]) for s in reader.poll(0.0)}


def test_what_came_with_an_error_is_given_when_the_error_is_over() -> None:
    refused = Message(0, -1001, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    reader = reader_of([Message(0, 0), refused, Message(1, 0), Message(1, 1)], [], [Message(0, 1)])
    for _ in range(2):  # librdkafka says it once, and it is not over before a record comes
        with pytest.raises(AccessRefusedError):
            reader.poll(0.0)
    assert taken(reader) == {0: (0, 2, [0, 1]), 1: (0, 2, [0, 1])}


def test_a_lost_position_is_raised_until_it_is_sought_and_an_old_one_says_nothing() -> None:
    lost = Message(0, 0, KafkaError._AUTO_OFFSET_RESET)
    reader = reader_of([lost, Message(1, 0)], [lost, Message(0, 7)])
    for _ in range(2):
        with pytest.raises(PositionLostError) as caught:
            reader.poll(0.0)
        assert caught.value.lost == {0: 0}
    reader.seek(0, 7)
    found = taken(reader)
    assert found == {0: (7, 8, [7]), 1: (0, 1, [0])}, "the second event was of the position before the seek"


@pytest.mark.parametrize("code", [KafkaError._BAD_MSG, KafkaError._NOT_IMPLEMENTED, KafkaError.INVALID_MSG])
def test_nothing_behind_a_batch_that_cannot_be_read_is_taken(code: int) -> None:
    reader = reader_of([Message(0, 0), Message(0, 1, code), Message(0, 9), Message(1, 0)])
    assert taken(reader) == {0: (0, 1, [0]), 1: (0, 1, [0])}
    assert [(stuck.partition, stuck.offset) for stuck in reader.unread.values()] == [(0, 1)]


def test_a_broker_that_is_away_is_said_once_and_not_at_each_try(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "FAIL [slackwater#consumer-%d] [thrd:b:1/bootstrap]: b:1/bootstrap: Connect to ipv4#%s failed (after %dms in x)"
    )
    for client, address, after in ((1, "10.0.0.1", 0), (1, "10.0.0.1", 3), (2, "10.0.0.1", 0), (1, "10.0.0.2", 0)):
        librdkafka.error(text, client, address, after)
    assert [line.rpartition("#")[2].split()[0] for line in caplog.messages] == ["10.0.0.1", "10.0.0.2"]
    monkeypatch.setattr("slackwater.log.confluent_client.AGAIN_S", 0.0)
    librdkafka.error(text, 1, "10.0.0.1", 0)
    assert len(caplog.messages) == 3


def test_the_reason_of_a_producer_that_ended_is_told_and_not_that_it_ended() -> None:
    client = ConfluentClient("nowhere:1", PLAIN_TEXT)
    with closing(ConfluentWriter(client, 0.0, lambda _: 1000, 1_000_000)) as writer:
        ack = writer.append("t", 0, b"k", b"v")
        client._heard(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "no", True))
        assert isinstance(ack.error(KafkaError(KafkaError._FATAL)), AppendRefusedError)
        assert not isinstance(ack.error(KafkaError(KafkaError._TIMED_OUT)), AppendRefusedError)
        writer._producer.purge()
        with pytest.raises(AppendRefusedError):
            ack.offset(5.0)
        writer._failed.clear()


@pytest.mark.broker
def test_a_writer_that_was_closed_without_an_answer_sends_nothing_later(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, log = TopicNames(f"closed-{uuid4().hex[:12]}"), KafkaLog(broker, client=CONFLUENT)
    create_topics(log, names, ["x"], 1)
    writer = log.writer(linger_s=100.0)  # what is appended waits in the producer
    ack = writer.append(names.topic("x"), 0, None, b"never")

    def late() -> None:
        raise AppendError("not acknowledged")

    monkeypatch.setattr(writer, "flush", late)
    with pytest.raises(AppendError, match="not acknowledged"):
        writer.close()
    with pytest.raises(AppendError, match="_PURGE_QUEUE"):
        ack.offset(1.0)
    with closing(log.writer()) as other:
        assert other.append(names.topic("x"), 0, None, b"first").offset() == 0


def test_bounds_are_asked_anew_after_an_error() -> None:
    made: list[Any] = []

    class Admin:
        def close(self) -> None:
            self.closed = True

    def make() -> Any:
        made.append(Admin())
        return made[-1]

    class Reach:
        def new(self) -> Any:
            return closing(Admin())

        def open(self) -> Any:
            raise AppendError("away")

    reach: Any = Reach()
    bounds = KafkaBounds(make, reach, "t")
    for count in (1, 2):
        with pytest.raises(AppendError):
            bounds.ask([0])
        assert len(made) == count and made[-1].closed
