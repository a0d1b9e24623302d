"""A view of many rows rests after it was summarised, and the others go on."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from lesson.memory_log import MemoryLog, MemoryReader
from slackwater.log.log import Headers, Slice
from slackwater.log.names import TopicNames
from slackwater.log.stages import SENT_HEADER
from slackwater.pipeline.coders import BlockCoder
from slackwater.pipeline.segment import Block
from slackwater.pipeline.summarise import _SummariseSegment
from slackwater.streams.trades import TRADES
from slackwater.versions.store import VersionStore
from slackwater.views.registry import VIEWS
from speed_layer.pace import REST, REST_S, Pace
from speed_layer.worker import Worker
from tests.hand import HandClock

NAMES = TopicNames("t")
BARS, FLOW, SIZES = VIEWS
GRID = 256


class Turns:
    """A worker over one partition; `step` says which views get which segments."""

    def __init__(self, home: Path) -> None:
        self.log, self.clock = MemoryLog(), HandClock()
        for topic in (NAMES.topic(TRADES), NAMES.deltas(TRADES)):
            self.log.create(topic, 1)
        self.pace = Pace(self.clock)
        self._worker = Worker(self.log, NAMES, VersionStore(home), VIEWS, None, self.clock, pace=self.pace)
        self.blocks: list[Block] = []

    def sizes_took(self, more_s: float) -> None:
        """Its states took so much longer than those of bars."""
        self.pace.spent({BARS: 0.001, SIZES: 0.001 + more_s})

    def events(self, count: int, headers: Headers = ()) -> None:
        for _ in range(count):
            at = self.log.bounds(NAMES.topic(TRADES))[0].end
            trade = {"venue": "v", "symbol": "S", "trade_id": at, "time": 1_700_000_000_000_000 + at, "side": "buy"}
            line = json.dumps({**trade, "price": f"{10 + at}", "quantity": f"{1 + at}"}).encode()
            self.log.append(NAMES.topic(TRADES), 0, b"k", line, headers)

    def step(self, timeout_s: float = 0.0) -> list[tuple[int, int, set[str]]]:
        self.blocks = list(self._worker.step(timeout_s))
        segments = [segment for block in self.blocks for segment in block.segments]
        return [
            (segment.slot.start, segment.slot.upto, {view.name for view in VIEWS if segment.is_for(view)})
            for segment in segments
        ]


@pytest.fixture
def turns(tmp_path: Path) -> Turns:
    return Turns(tmp_path)


ALL = {"bars", "flow", "sizes"}


def test_a_view_that_rests_gets_the_open_cell_when_it_has_rested(turns: Turns) -> None:
    turns.events(2)
    assert turns.step() == [(0, 2, ALL)]
    turns.sizes_took(0.004)
    turns.events(1)
    assert turns.step() == [(0, 3, {"bars", "flow"})]
    assert turns.step() == []
    turns.clock.sleep(REST * 0.004)
    assert turns.step() == [(0, 3, {"sizes"})]  # though nothing came
    assert turns.step() == []


def test_what_came_while_it_rested_is_given_once(turns: Turns) -> None:
    turns.events(1)
    turns.step()
    turns.sizes_took(0.004)
    for upto in (2, 3):
        turns.events(1)
        assert turns.step() == [(0, upto, {"bars", "flow"})]
    turns.clock.sleep(REST * 0.004)
    turns.events(1)
    assert turns.step() == [(0, 4, ALL)]


def test_sealed_cells_wait_for_no_view(turns: Turns) -> None:
    turns.sizes_took(1.0)
    turns.events(GRID + 1)
    assert turns.step() == [(0, GRID, ALL), (GRID, GRID + 1, {"bars", "flow"})]


def test_no_view_rests_longer_than_that(turns: Turns) -> None:
    turns.sizes_took(60.0)
    assert turns.pace.wait_s(SIZES.definition) == pytest.approx(REST_S)


def test_the_least_costly_view_of_a_stream_never_rests(turns: Turns) -> None:
    turns.pace.spent({BARS: 0.001, FLOW: 0.001})
    turns.pace.spent({BARS: 0.005, FLOW: 0.006})  # a larger block: what the smaller one took is no measure of it
    assert turns.pace.wait_s(BARS.definition) <= 0 < turns.pace.wait_s(FLOW.definition)
    turns.pace.spent({FLOW: 0.004})
    assert turns.pace.wait_s(FLOW.definition) <= 0


def test_the_log_is_waited_for_no_longer_than_a_view_rests_that_is_owed_a_cell(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def poll(self: MemoryReader, timeout_s: float) -> list[Slice]:
        asked.append(timeout_s)
        return real(self, 0.0)

    real = MemoryReader.poll
    monkeypatch.setattr(MemoryReader, "poll", poll)
    turns.events(1)
    turns.sizes_took(0.004)
    turns.step(0.25)  # nothing is owed yet
    turns.step(0.25)
    assert asked == [0.25, pytest.approx(REST * 0.004)]


def test_the_summary_says_what_each_view_took_and_makes_only_what_is_wanted(turns: Turns) -> None:
    spent: list[list[str]] = []
    summarise = _SummariseSegment(VIEWS, 1, spent=lambda spent_s: spent.append([view.name for view in spent_s]))
    summarise.setup()

    def made(blocks: Iterable[Block]) -> list[str]:
        coded = [BlockCoder().decode(BlockCoder().encode(block)) for block in blocks]
        return [states.definition for block in coded for states in summarise.process(block)]

    turns.events(2)
    turns.sizes_took(0.004)
    turns.step()
    assert made(turns.blocks) == [BARS.definition, FLOW.definition]
    assert spent == [["bars", "flow"]]
    turns.clock.sleep(REST_S)
    turns.step()
    assert made(turns.blocks) == [SIZES.definition]
    assert spent == [["bars", "flow"], ["sizes"]]
    turns.events(GRID - 2)
    turns.step()
    assert made(turns.blocks) == [view.definition for view in VIEWS]
    assert len(spent) == 2  # sealed cells alone make no view rest
    summarise.teardown()


def test_a_sampled_event_is_told_of_every_view_however_long_it_rests(turns: Turns) -> None:
    turns.sizes_took(0.004)
    turns.events(1, [(SENT_HEADER, b"7")])
    turns.step()
    sampled = [segment.slot.stages for block in turns.blocks for segment in block.segments]
    turns.events(1)
    turns.step()
    turns.clock.sleep(REST_S)
    turns.step()
    assert [segment.slot.stages for block in turns.blocks for segment in block.segments] == sampled != [()]
