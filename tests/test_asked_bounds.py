"""Where the log ends is asked while it is read: the answer is of some moment since the question, and nothing waits.

positions   5 ---- asked ---- 9 ---- answered: the end was 5, 7 or 9     no tail was lost
            5 ---- asked ---- 5 ---- answered: the end is 4               a tail was lost
"""

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from kafka.admin import NewTopic

from lesson.memory_log import MemoryLog, MemoryReader
from slackwater.log.clients import CONFLUENT, KAFKA_PYTHON
from slackwater.log.errors import PositionLostError, TopicMissingError
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Bounds, Log
from slackwater.log.names import TopicNames
from slackwater.pipeline.segment import Segment
from slackwater.streams.event import encode_event
from slackwater.streams.schema import GRID
from slackwater.streams.trades import TRADES
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from speed_layer.figures import FIGURES
from speed_layer.worker import Worker
from tests.events import Event
from tests.hand import HandClock

NAMES = TopicNames("t")
T0 = 1_723_161_240_000_000


@pytest.fixture(params=["memory", KAFKA_PYTHON, CONFLUENT])
def log_and_topic(request: pytest.FixtureRequest) -> tuple[Log, str]:
    topic = f"asked-{uuid4().hex[:12]}"
    if request.param == "memory":
        memory = MemoryLog()
        memory.create(topic, 2)
        return memory, topic
    kafka = KafkaLog(request.getfixturevalue("broker"), client=request.param)
    with kafka.admin() as admin:
        admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
        admin.wait_for_topics([topic])
    return kafka, topic


def append(log: Log, topic: str, *values: bytes) -> None:
    with closing(log.writer()) as writer:
        for value in values:
            writer.append(topic, 0, None, value)


def test_an_answer_is_of_a_moment_since_the_question(log_and_topic: tuple[Log, str]) -> None:
    log, topic = log_and_topic
    append(log, topic, b"1", b"2")
    with closing(log.reader(topic, {0: 0, 1: 0})) as reader:
        asked = reader.ask_bounds()
        append(log, topic, b"3")
        read, until_s = 0, time.monotonic() + 30
        while read < 3 or not asked.done():
            assert time.monotonic() < until_s
            read += sum(len(found.records) for found in reader.poll(0.1))
        assert asked.bounds() in ({0: Bounds(0, 2), 1: Bounds(0, 0)}, {0: Bounds(0, 3), 1: Bounds(0, 0)})
        assert reader.bounds() == {0: Bounds(0, 3), 1: Bounds(0, 0)}


def test_a_topic_that_is_missing_is_said(log_and_topic: tuple[Log, str]) -> None:
    log, topic = log_and_topic
    if isinstance(log, MemoryLog):
        with pytest.raises(TopicMissingError, match="nowhere"), closing(log.reader("nowhere", {0: 0})) as reader:
            reader.bounds()
        return
    with closing(log.reader(f"{topic}-nowhere", {0: 0})) as reader, pytest.raises(TopicMissingError, match="nowhere"):
        reader.bounds()


class LateAnswer:
    """An answer that the test gives."""

    def __init__(self) -> None:
        self.answer: dict[int, Bounds] | None = None

    def done(self) -> bool:
        return self.answer is not None

    def bounds(self) -> dict[int, Bounds]:
        assert self.answer is not None
        return self.answer


class LateReader(MemoryReader):
    asked: LateAnswer

    def ask_bounds(self) -> LateAnswer:
        self.asked = LateAnswer()
        return self.asked


class LateLog(MemoryLog):
    """The reader of the events answers late."""

    def __init__(self) -> None:
        super().__init__(T0 // 1000)
        self.create(NAMES.topic("trades"), 1)
        self.create(NAMES.deltas("trades"), 1)
        self.late: LateReader

    def reader(
        self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0
    ) -> MemoryReader:
        if topic != NAMES.topic("trades") or not gather_s:
            return super().reader(topic, starts, group, gather_s)
        self.late = LateReader(self, topic, starts, group)
        return self.late


class Turns:
    """A worker over a log that answers late, turned by hand."""

    def __init__(self, home: Path) -> None:
        self.log, self.clock = LateLog(), HandClock()
        self.worker = Worker(self.log, NAMES, VersionStore(home), (BARS,), None, self.clock)

    def append(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            event = Event("v", "S", number, T0 + number, 10**8, 10**8, "buy")
            self.log.append(NAMES.topic("trades"), 0, None, encode_event(TRADES, event))

    def turn(self, seconds: float = 0.0) -> list[Segment]:
        self.clock.sleep(seconds)
        return [segment for block in self.worker.step(0) for segment in block.segments]


@pytest.fixture
def turns(tmp_path: Path) -> Turns:
    return Turns(tmp_path)


@pytest.mark.parametrize("end", [5, 7, 9])
def test_an_answer_that_is_older_than_what_was_read_is_no_lost_tail(turns: Turns, end: int) -> None:
    turns.append(0, 5)
    assert [s.slot.upto for s in turns.turn(1.0)] == [5]
    turns.append(5, 4)
    assert [s.slot.upto for s in turns.turn()] == [9]
    turns.log.late.asked.answer = {0: Bounds(0, end)}
    # At the log's end the open cell is given again; where it was read beyond the answer, it was given since.
    assert [s.slot.upto for s in turns.turn()] == ([9] if end == 9 else [])
    (lag,) = [metric for metric in FIGURES.collect() if metric.name == "slackwater_speed_lag_records"]
    assert [sample.value for sample in lag.samples if sample.labels == {"stream": "trades", "partition": "0"}] == [0]


def test_a_tail_that_was_lost_before_the_question_is_noticed(turns: Turns) -> None:
    turns.append(0, 5)
    turns.turn(1.0)
    turns.append(5, 4)
    turns.turn()
    turns.log.late.asked.answer = {0: Bounds(0, 4)}
    with pytest.raises(PositionLostError, match="beyond the log's end 4"):
        turns.turn()


def test_one_question_is_under_way_at_a_time(turns: Turns) -> None:
    turns.append(0, 5)
    turns.turn(1.0)
    asked = turns.log.late.asked
    turns.turn(5.0)
    assert turns.log.late.asked is asked
    asked.answer = {0: Bounds(0, 5)}
    assert [s.slot.upto for s in turns.turn()] == [5]
    turns.turn(1.0)
    assert turns.log.late.asked is not asked


def test_where_the_log_ends_at_a_line_the_sealed_cell_is_given_again(turns: Turns) -> None:
    """Else a sink would not hear that it was not taken, until an event comes."""
    turns.append(0, GRID)
    assert [(s.slot.start, s.slot.upto, s.slot.sealed) for s in turns.turn(1.0)] == [(0, GRID, True)]
    turns.log.late.asked.answer = {0: Bounds(0, GRID)}
    (again,) = turns.turn()
    assert (again.slot.start, again.slot.upto, again.slot.sealed) == (0, GRID, True)
    assert again.table is not None and again.table.num_rows == GRID
    turns.append(GRID, 1)
    assert [(s.slot.start, s.slot.sealed) for s in turns.turn(1.0)] == [(GRID, False)]
    turns.log.late.asked.answer = {0: Bounds(0, GRID + 1)}
    assert [(s.slot.start, s.slot.sealed) for s in turns.turn()] == [(GRID, False)]
