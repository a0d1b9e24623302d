"""What a pipeline of the speed layer tells of the log: the error itself, in one line, and whether another try may do.

tests/test_secure_broker.py has the same with a broker that asks for rights.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lesson.memory_log import MemoryAck, MemoryLog, MemoryWriter
from slackwater.log.errors import AccessRefusedError, AppendRefusedError, LogError, LogUnreachableError
from slackwater.log.log import Bounds, Headers
from slackwater.log.names import TopicNames
from slackwater.streams.event import encode_event
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS
from speed_layer.figures import FIGURES
from speed_layer.run import run
from speed_layer.source import SourceSettings
from speed_layer.stopping import STOP
from tests.events import Event

NAMES = TopicNames("t")
REFUSED = AppendRefusedError(NAMES.deltas("trades"), 0, b"k")


class FailingLog(MemoryLog):
    """Takes the first deltas, refuses or loses the next one, and then ends the process."""

    def __init__(self) -> None:
        super().__init__(1)
        self.create(NAMES.topic("trades"), 1)
        self.create(NAMES.deltas("trades"), 1)
        for n in range(600):  # two sealed cells and an open one
            event = Event("v", "S", n, 10**15 + n, 1, 1, "buy")
            self.append(NAMES.topic("trades"), 0, None, encode_event(TRADES, event))
        self.taken = 0
        self.errors: list[LogError] = []
        self.hidden: LogError | None = None

    def writer(self) -> "FailingWriter":
        return FailingWriter(self)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        if self.hidden is not None and topic == NAMES.deltas("trades"):
            raise self.hidden
        return super().bounds(topic)


class FailingWriter(MemoryWriter):
    def __init__(self, log: FailingLog) -> None:
        super().__init__(log)
        self._of = log

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Headers = ()) -> MemoryAck:
        if self._of.taken > 0:
            self._of.taken -= 1
        elif self._of.errors:
            raise self._of.errors.pop(0)
        else:
            STOP.set()
        return super().append(topic, partition, key, value, headers)


LOG: list[FailingLog] = []


def open_log() -> FailingLog:
    return LOG[-1]


@pytest.fixture
def log() -> Iterator[FailingLog]:
    LOG.append(FailingLog())
    yield LOG[-1]
    LOG.clear()
    STOP.clear()


def settings(tmp_path: Path) -> SourceSettings:
    return SourceSettings(open_log, NAMES, tmp_path, (BARS,))


def test_a_delta_that_is_refused_before_any_was_taken_ends_it(
    log: FailingLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.errors = [REFUSED]
    with pytest.raises(AppendRefusedError) as caught:
        run(settings(tmp_path))
    assert caught.value is REFUSED
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


def test_a_chain_that_may_not_be_read_ends_it(log: FailingLog, tmp_path: Path) -> None:
    log.hidden = AccessRefusedError("kafka:9092", "user 'speed'", "TOPIC_AUTHORIZATION_FAILED")
    with pytest.raises(AccessRefusedError) as caught:
        run(settings(tmp_path))
    assert caught.value is log.hidden


@pytest.mark.parametrize(
    ("taken", "error"),
    [(2, REFUSED), (0, LogUnreachableError("kafka:9092", "gone"))],
    ids=["taken before", "unreachable"],
)
def test_what_may_pass_is_tried_again_and_said_in_one_line(
    log: FailingLog, tmp_path: Path, caplog: pytest.LogCaptureFixture, taken: int, error: LogError
) -> None:
    log.taken, log.errors = taken, [error]
    failed = FIGURES.counts()["pipelines_failed"]
    run(settings(tmp_path))
    assert FIGURES.counts()["pipelines_failed"] == failed + 1
    (said,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert said.getMessage() == f"the pipeline ended: {error}; next in 0.2 s" and not said.exc_info
