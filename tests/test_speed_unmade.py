"""An event of which a view can make no state ends neither the pipelines of the other streams nor their batch."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lesson.memory_log import MemoryLog
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Identity, Integer, Sequence, Stream, Text, Time
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.measures import Sum
from slackwater.views.view import View
from speed_layer.run import run
from speed_layer.source import SourceSettings
from speed_layer.stopping import STOP

NAMES = TopicNames("t")
COUNTS = Stream(
    name="counts",
    columns=(Text("place", "[a-z]{1,8}"), Identity("count_id"), Sequence("number"), Time("time"), Integer("amount")),
    entity=("place",),
    identity="count_id",
    time="time",
    order="number",
)
DOUBLED = View(
    name="doubled", stream=COUNTS, measures={"amount": Sum("amount * 2")}, answers={"amount": Column("amount")}
)
VIEWS = (BARS, DOUBLED)
T0 = 1_700_000_000_000_000


class EndingLog(MemoryLog):
    """Ends the process when the deltas of trades hold so many records."""

    until = 2

    def append(self, topic: str, *record: object, **more: object) -> int:
        offset = super().append(topic, *record, **more)  # type: ignore[arg-type]
        if topic == NAMES.deltas("trades") and self.topics[topic][0].end >= self.until:
            STOP.set()
        return offset


LOG: list[EndingLog] = []


def open_log() -> EndingLog:
    return LOG[-1]


@pytest.fixture
def log() -> Iterator[EndingLog]:
    LOG.append(EndingLog(T0 // 1000))
    for stream in ("trades", "counts"):
        LOG[-1].create(NAMES.topic(stream), 1)
        LOG[-1].create(NAMES.deltas(stream), 1)
    count = f'{{"place":"a","count_id":1,"time":{T0},"amount":{2**63 - 1}}}'
    LOG[-1].append(NAMES.topic("counts"), 0, b"a", count.encode())
    for number in range(600):
        trade = f'{{"venue":"v","symbol":"S","trade_id":{number},"time":{T0},"price":"1","quantity":"1","side":"buy"}}'
        LOG[-1].append(NAMES.topic("trades"), 0, b"v:S", trade.encode())
    yield LOG[-1]
    LOG.clear()
    STOP.clear()


def test_the_stream_of_an_event_that_cannot_be_summed_is_left_out(
    log: EndingLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(SourceSettings(open_log, NAMES, tmp_path, VIEWS))
    assert log.topics[NAMES.deltas("trades")][0].end >= log.until
    assert log.topics[NAMES.deltas("counts")][0].end == 0
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert any("The view doubled makes no states of counts, [0, 1) of partition 0" in each for each in said)
