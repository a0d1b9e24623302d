"""What is read once more before it is an error: a range by another reader, a batch that raised and can be read now.

reader 1    nothing, nothing, ...     its connection is dead, and nobody has noticed
reader 2    a                         the range is read; if it gives nothing, too, the range cannot be read
"""

from collections.abc import Mapping
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import CorruptRecordError

from lesson.memory_log import MemoryLog, MemoryReader
from slackwater.core.kafka_security import PLAIN_TEXT
from slackwater.log.errors import LogError, UnreadableError
from slackwater.log.kafka_reach import Reach
from slackwater.log.kafka_reader import KafkaReader
from slackwater.log.log import Slice, read_range


class SilentLog(MemoryLog):
    """The first readers give nothing, as over a connection that is dead."""

    def __init__(self, silent: int) -> None:
        super().__init__(0)
        self.create("t", 1)
        self.silent = silent

    def reader(
        self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0
    ) -> MemoryReader:
        self.silent -= 1
        found = super().reader(topic, starts, group, gather_s)
        found.limit = 0 if self.silent >= 0 else None
        return found


def test_a_range_is_read_by_another_reader_where_one_gives_nothing() -> None:
    log = SilentLog(1)
    log.append("t", 0, None, b"a")
    assert [record.value for found in read_range(log, "t", {0: 0}, {0: 1}) for record in found.records] == [b"a"]


def test_a_range_that_two_readers_do_not_give_is_unreadable() -> None:
    log = SilentLog(2)
    log.append("t", 0, None, b"a")
    with pytest.raises(UnreadableError, match="gives none of it"):
        list(read_range(log, "t", {0: 0}, {0: 1}))
    assert log.silent == 0, "no third one was tried"


class PassingConsumer:
    """A consumer of kafka-python whose polls raise some times."""

    def __init__(self, errors: int) -> None:
        self.errors = errors
        self.at = 0
        self.config = {"group_id": None}
        self.assigned = False

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned = bool(places)

    def unsubscribe(self) -> None:
        self.assigned = False

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.at = offset

    def position(self, place: TopicPartition) -> int:
        return self.at

    def end_offsets(self, places: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 1)

    def poll(self, timeout_ms: int, max_records: int | None = None) -> dict[TopicPartition, list[Any]]:
        if not self.assigned:
            return {}
        if max_records is None and self.errors:
            self.errors -= 1
            raise CorruptRecordError("a bit that flipped on its way")
        self.at = 1
        return {}


@pytest.mark.parametrize(("errors", "raises"), [(0, False), (2, False), (9, True)])
def test_a_batch_that_can_be_read_again_is_no_error(errors: int, raises: bool) -> None:
    consumer: Any = PassingConsumer(errors)
    bounds: Any = None
    reader = KafkaReader(consumer, "t", {0: 0}, 0.0, Reach("nowhere:1", PLAIN_TEXT), bounds)
    polls = [reader.poll(0) for _ in range(min(errors, 3))]
    assert not any(polls)
    if raises:
        with pytest.raises(LogError, match="'t' cannot be read now: CorruptRecordError"):
            reader.poll(0)
    else:
        assert reader.poll(0) == [Slice(0, 0, 1, [])]
    assert not reader.unread
