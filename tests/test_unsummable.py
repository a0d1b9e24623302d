"""An event of which a view can make no state ends neither the pipelines of the other streams nor their batch."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batch_layer.errors import ComputeError
from batch_layer.run import BatchRun
from lesson.memory_log import MemoryLog
from slackwater.context import Context
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Identity, Integer, Sequence, Stream, Text, Time
from slackwater.versions.store import VersionStore
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.measures import Sum
from slackwater.views.view import View
from speed_layer.run import run
from speed_layer.source import SourceSettings
from speed_layer.stopping import STOP
from tests.hand import HandClock

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
BEYOND = 2**63 - 1
"""Twice this is no 64-bit integer."""
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
    yield LOG[-1]
    LOG.clear()
    STOP.clear()


def append_counts(log: MemoryLog, *amounts: int) -> None:
    start = log.topics[NAMES.topic("counts")][0].end
    for number, amount in enumerate(amounts, start):
        line = f'{{"place":"a","count_id":{number},"time":{T0},"amount":{amount}}}'
        log.append(NAMES.topic("counts"), 0, b"a", line.encode())


def append_trades(log: MemoryLog, count: int) -> None:
    start = log.topics[NAMES.topic("trades")][0].end
    for number in range(start, start + count):
        line = f'{{"venue":"v","symbol":"S","trade_id":{number},"time":{T0},"price":"1","quantity":"1","side":"buy"}}'
        log.append(NAMES.topic("trades"), 0, b"v:S", line.encode())


def test_the_stream_of_an_event_that_cannot_be_summed_is_left_out(
    log: EndingLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    append_counts(log, BEYOND)
    append_trades(log, 600)
    run(SourceSettings(open_log, NAMES, tmp_path, VIEWS))
    assert log.topics[NAMES.deltas("trades")][0].end >= log.until
    assert log.topics[NAMES.deltas("counts")][0].end == 0
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert any("The view doubled makes no states of counts, [0, 1) of partition 0" in each for each in said)


def test_the_batch_of_the_other_stream_goes_on(log: EndingLog, tmp_path: Path) -> None:
    append_counts(log, 1, 2)
    append_trades(log, 3)
    context = Context(log, NAMES, VersionStore(tmp_path), VIEWS, HandClock())
    first = BatchRun(context).run()
    append_counts(log, 3, BEYOND)
    append_trades(log, 3)
    second = BatchRun(context).run()
    assert {stream: counts["events"] for stream, counts in second.counts.items()} == {"trades": 6, "counts": 2}
    (held,) = second.of(COUNTS).held
    assert "The view doubled makes no states of counts" in held.reason
    assert replace(second.of(COUNTS), held=()) == first.of(COUNTS)
    assert second.archive_of(COUNTS) == first.archive_of(COUNTS)
    context.store.check([*second.dataset, *(entry.file for entry in second.parts)])


def test_where_no_stream_can_be_computed_nothing_is_published(log: EndingLog, tmp_path: Path) -> None:
    append_counts(log, BEYOND)
    context = Context(log, NAMES, VersionStore(tmp_path), VIEWS, HandClock())
    with pytest.raises(ComputeError, match="The view doubled makes no states of counts"):
        BatchRun(context).run()
    assert context.store.current() is None
