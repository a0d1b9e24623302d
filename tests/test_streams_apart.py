"""Two streams and one speed worker, on a log in memory: what befalls one changes nothing of the other.

trades   [cell)[cell)[cell)[cell)      goes on
fills    [cell) x                      gone, recreated, its tail lost, a batch that cannot be read
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from lesson.memory_log import MemoryLog
from serving.http.routes.sql import SqlMeta
from serving.options import ServingOptions
from serving.query.basis import partitions_json
from serving.service import Service
from serving.sql.tables import ReadPoint
from serving.watch.live import STUCK
from slackwater.core.errors import SettingError
from slackwater.deltas.cell import delta_key_of
from slackwater.deltas.chains import read_chains
from slackwater.log.errors import PositionLostError
from slackwater.log.names import TopicNames
from slackwater.streams.trades import TRADES
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.view import View
from speed_layer.figures import FIGURES
from speed_layer.source import of_streams
from tests.hand import HandClock
from tests.speed_in_memory import Speed

NAMES = TopicNames("t")
FILLS = replace(TRADES, name="fills")
FILLED = replace(BARS, name="filled", stream=FILLS)
VIEWS = (BARS, FILLED)
T0 = 1_700_000_000_000_000


class Pair:
    """A log of two streams, a worker of both, and what was appended to each."""

    def __init__(self, home: Path) -> None:
        self.log = MemoryLog(T0 // 1000)
        for stream in (TRADES, FILLS):
            self.log.create(NAMES.topic(stream), 2)
            self.log.create(NAMES.deltas(stream), 2)
        self.clock = HandClock()
        self.store = VersionStore(home)
        self.speed = Speed(self.log, NAMES, self.store, VIEWS, self.clock)
        self._id = 0

    def append(self, view: View, events: int = 3) -> None:
        """So many events in both partitions of a view's stream."""
        for number in range(events):
            self._id += 1
            line = (
                f'{{"venue":"x","symbol":"BTC","trade_id":{self._id},"time":{T0 - 1_000_000},"price":"5",'
                f'"quantity":"1","side":"buy"}}'
            )
            self.log.append(NAMES.topic(view.stream), number % 2, b"x:BTC", line.encode())

    def ends(self, view: View) -> dict[int, int]:
        """Where the chains of a view end, for a fresh reader of the delta topic of its stream."""
        topic_id = self.log.topic_id(NAMES.topic(view.stream))
        chains = read_chains(self.log, NAMES.deltas(view.stream), (view,), topic_id, {0: 0, 1: 0})
        return {p: chains[view, p].end(0) for p in (0, 1)}

    def log_ends(self, view: View) -> dict[int, int]:
        return {p: bounds.end for p, bounds in self.log.bounds(NAMES.topic(view.stream)).items()}

    def whole(self, view: View) -> bool:
        """Whether a view's chains reach the end of its log."""
        return self.ends(view) == self.log_ends(view)

    def step(self, seconds: float = 0.0) -> None:
        self.clock.sleep(seconds)
        self.speed.step()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    made.append(BARS)
    made.append(FILLED)
    made.step()
    assert made.whole(BARS)
    assert made.whole(FILLED)
    yield made
    made.speed.close()


def shown(name: str, **labels: str) -> float | None:
    """A gauge of the speed layer."""
    (family,) = [found for found in FIGURES.collect() if found.name == f"slackwater_speed_{name}"]
    return next((sample.value for sample in family.samples if sample.labels == labels), None)


def failed(stream: str) -> float | None:
    """The gauge that says whether a stream is left alone."""
    return shown("stream_failed", stream=stream)


def test_each_view_gets_the_events_of_its_own_stream_and_each_delta_goes_to_its_stream_s_topic(pair: Pair) -> None:
    for view, other in ((BARS, FILLED), (FILLED, BARS)):
        topic = NAMES.deltas(view.stream)
        delta_keys = {tuple(delta_key_of(view, pair.log.topic_id(NAMES.topic(view.stream)), p)) for p in (0, 1)}
        keys = {record.key for part in pair.log.topics[topic] for record in part.records.values()}
        assert len(keys) == len(delta_keys)
        assert all(view.definition.encode() in (key or b"") for key in keys)
        assert not any(other.definition.encode() in (key or b"") for key in keys)


def _recreate(log: MemoryLog) -> None:
    log.create(NAMES.topic(FILLS), 2)


def _lose_the_tail(log: MemoryLog) -> None:
    log.truncate(NAMES.topic(FILLS), 0, 1)


def _take_away(log: MemoryLog) -> None:
    del log.topics[NAMES.topic(FILLS)]


@pytest.mark.parametrize("calamity", [_recreate, _lose_the_tail, _take_away])
def test_a_calamity_of_one_stream_does_not_stop_the_other(pair: Pair, calamity: Callable[[MemoryLog], None]) -> None:
    before = [dict(part.records) for part in pair.log.topics[NAMES.deltas(FILLS)]]
    calamity(pair.log)
    for _ in range(12):
        pair.append(BARS)
        pair.step(1.0)
        assert pair.whole(BARS)
    assert failed("trades") == 0.0
    assert shown("tail_lost_offsets", stream="trades", partition="0") == 0.0
    if calamity is _recreate:  # another log, and read from its start
        assert shown("tail_lost_offsets", stream="fills", partition="0") == 0.0
    elif calamity is _take_away:
        assert failed("fills") == 1.0
        assert [part.records for part in pair.log.topics[NAMES.deltas(FILLS)]] == before
    else:
        assert shown("tail_lost_offsets", stream="fills", partition="0") == 1.0
        assert shown("tail_lost_offsets", stream="fills", partition="1") == 0.0
        for record in list(pair.log.topics[NAMES.deltas(FILLS)][0].records.values())[len(before[0]) :]:
            assert json.loads(record.value or b"")["upto"] == 1, "no cell over what is not there"


def test_a_topic_that_is_created_again_is_read_from_its_start(pair: Pair) -> None:
    _recreate(pair.log)
    pair.append(FILLED, 4)
    for _ in range(8):
        pair.step(1.0)
    assert pair.whole(FILLED)
    assert failed("fills") == 0.0


def test_a_stream_whose_topic_comes_back_is_read_again(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    topic = NAMES.topic(FILLS)
    there = pair.log.topics[topic]
    _take_away(pair.log)
    for _ in range(8):
        pair.step(1.0)
    assert failed("fills") == 1.0
    pair.log.topics[topic] = there
    pair.append(FILLED)
    with caplog.at_level(logging.INFO):
        for _ in range(40):
            pair.step(1.0)
    assert "the stream fills is read again" in caplog.text
    assert failed("fills") == 0.0
    assert pair.whole(FILLED)


def test_a_batch_that_cannot_be_read_in_one_stream_is_said_with_its_stream(pair: Pair) -> None:
    pair.log.damage(NAMES.topic(FILLS), 1, 1, "damaged")
    pair.append(FILLED)
    pair.append(BARS)
    pair.step(1.0)
    assert pair.whole(BARS)
    assert shown("unreadable", stream="fills", partition="1") == 1.0
    assert shown("unreadable", stream="trades", partition="1") == 0.0
    pair.log.damage(NAMES.topic(FILLS), 1, None)
    pair.step(1.0)
    assert pair.whole(FILLED)


def test_a_start_while_a_stream_cannot_be_read_reads_the_others(pair: Pair, tmp_path: Path) -> None:
    _take_away(pair.log)
    pair.append(BARS)
    again = Speed(pair.log, NAMES, pair.store, VIEWS, pair.clock)
    again.step()
    again.close()
    assert pair.whole(BARS)
    assert failed("fills") == 1.0


def test_with_no_stream_left_the_worker_ends(pair: Pair) -> None:
    _take_away(pair.log)
    pair.step(1.0)
    pair.log.truncate(NAMES.topic(TRADES), 0, 1)
    with pytest.raises(PositionLostError):
        pair.step(1.0)


def test_a_worker_of_some_streams_leaves_the_others_alone(pair: Pair) -> None:
    views = of_streams(VIEWS, "fills")
    assert views == (FILLED,)
    pair.append(BARS)
    pair.append(FILLED)
    before = pair.ends(BARS)
    alone = Speed(pair.log, NAMES, pair.store, views, pair.clock)
    alone.step()
    alone.close()
    assert pair.whole(FILLED)
    assert pair.ends(BARS) == before
    with pytest.raises(SettingError, match=r"--streams names orders\. There are trades, fills\."):
        of_streams(VIEWS, "orders")


# ------------------------------------------------------------------------------------------------------- the service


@pytest.fixture
def service(pair: Pair) -> Iterator[Service]:
    found = Service(pair.log, NAMES, pair.store, VIEWS, pair.clock, ServingOptions(poll_s=0.0))
    serve(pair, found)
    assert found.readiness.check() == (True, [])
    yield found
    found.stop()


def serve(pair: Pair, service: Service) -> None:
    """All threads, until nothing is new."""
    for _ in range(6):
        pair.clock.sleep(2.0)
        service.step()


@pytest.mark.parametrize("calamity", [_lose_the_tail, _take_away])
def test_an_answer_stands_on_the_stream_of_its_view_alone(
    pair: Pair, service: Service, calamity: Callable[[MemoryLog], None]
) -> None:
    calamity(pair.log)
    pair.append(BARS)
    for _ in range(2):
        pair.step(1.0)
        serve(pair, service)
    other, own = service.bases.whole("bars"), service.bases.whole("filled")
    assert (other.layer, other.incomplete_reason, other.applied) == ("merged", None, pair.log_ends(BARS))
    assert "refusal" not in other.meta()
    assert own.incomplete_reason is not None
    ready, reasons = service.readiness.check()
    assert not ready
    assert all("fills" in reason for reason in reasons), reasons


def test_a_moment_of_all_views_says_of_each_stream_where_it_stands(pair: Pair, service: Service) -> None:
    meta = ReadPoint(service.bases.every()).meta()
    assert meta["complete"]
    assert {name: own["applied"] for name, own in meta["streams"].items()} == {
        view.stream.name: partitions_json(pair.log_ends(view)) for view in VIEWS
    }
    _take_away(pair.log)
    pair.append(BARS)
    for _ in range(2):
        pair.step(1.0)
        serve(pair, service)
    meta = ReadPoint(service.bases.every()).meta()
    trades, fills = meta["streams"]["trades"], meta["streams"]["fills"]
    assert (trades["complete"], fills["complete"], meta["complete"]) == (True, False, False)
    assert trades["applied"] == partitions_json(pair.log_ends(BARS))
    assert "reason" not in trades
    assert fills["reason"]
    Draft202012Validator(SqlMeta.model_json_schema()).validate(meta)


def test_deltas_that_do_not_come_make_answers_of_no_other_stream_incomplete(pair: Pair, service: Service) -> None:
    pair.log.damage(NAMES.deltas(FILLS), 0, pair.log.bounds(NAMES.deltas(FILLS))[0].end, "damaged")
    pair.append(FILLED)
    pair.append(BARS)
    pair.step(1.0)
    serve(pair, service)
    assert service.bases.whole("bars").incomplete_reason is None
    assert service.bases.whole("filled").incomplete_reason == STUCK


def test_a_stream_that_is_swapped_leaves_the_folds_of_the_others(pair: Pair, service: Service) -> None:
    before = service.bases.whole("bars")
    _recreate(pair.log)
    serve(pair, service)
    after = service.bases.whole("bars")
    assert after.snapshot is not before.snapshot
    assert [ends.fold for ends in after.ends.values()] == [ends.fold for ends in before.ends.values()]
    assert service.bases.whole("filled").applied == {0: 0, 1: 0}
