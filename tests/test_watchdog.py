"""A partition that is stuck is noticed, and a log that is slow pushes back.

position    7 7 7 7 7 ...  of 9     the reader is polled and gives nothing: it is made again where it stood
deltas      . . . . . [wait]        unacknowledged up to a bound: the sink waits, so nobody polls
"""

import functools
import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from prometheus_client import generate_latest

from lesson.memory_log import MemoryAck, MemoryLog, MemoryReader, MemoryWriter
from ops.broker import free_port
from slackwater.core.errors import SettingError
from slackwater.core.exposition import process_registry
from slackwater.core.settings import from_environ
from slackwater.log.confluent_reader import ConfluentReader
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Bounds, Headers, Reader, Slice, Unread
from slackwater.log.names import TopicNames
from slackwater.streams.event import encode_event
from slackwater.streams.trades import TRADES
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from speed_layer import sink
from speed_layer.figures import FIGURES, Figures
from speed_layer.metrics import speed_metrics
from speed_layer.watchdog import CHECK_S, Watchdog
from speed_layer.worker import Worker
from tests.beam_world import World, kafka_world, settle, speed_running
from tests.events import Event
from tests.forked import Program
from tests.hand import HandClock
from tests.speed_in_memory import Speed

NAMES = TopicNames("t")
T0 = 1_723_161_240_000_000


def line(trade_id: int) -> bytes:
    return encode_event(TRADES, Event("v", "S", trade_id, T0 + trade_id, 10**8, 10**8, "buy"))


def figure(name: str) -> int:
    return FIGURES.counts()[name]


# ------------------------------------------------------------------------------------------------------ the watchdog


def looks(dog: Watchdog, *seen: tuple[float, int, int]) -> list[bool]:
    """Whether partition 0 was late at each (time, position, end)."""
    return [dog.check({0: at}, {0: Bounds(0, end)}, now) == [0] for now, at, end in seen]


def test_lag_without_progress_is_late_after_its_time_and_then_begins_anew() -> None:
    times = [(float(now), 7, 9 + now) for now in range(8)]  # the log goes on, the position does not
    assert looks(Watchdog(3.0), *times) == [False, False, False, True, False, False, True, False]


def test_progress_or_no_lag_begins_anew() -> None:
    dog = Watchdog(3.0)
    assert not any(looks(dog, (0, 7, 9), (1, 7, 9), (2, 8, 9), (3, 8, 9), (4, 8, 9), (5, 9, 9), (6, 9, 9), (7, 9, 12)))
    assert looks(dog, (8, 9, 12), (9, 9, 12), (10, 9, 12)) == [False, False, True]


def test_time_without_looks_is_no_time_without_progress() -> None:
    dog = Watchdog(3 * CHECK_S)
    assert looks(dog, (0, 7, 9), (1000, 7, 9), (2000, 7, 9), (3000, 7, 9)) == [False, False, False, True]


def test_each_partition_has_its_own_time() -> None:
    dog = Watchdog(2.0)
    bounds = {p: Bounds(0, 9) for p in range(3)}
    for now, positions, late in (
        (0.0, {0: 1, 1: 1, 2: 9}, []),
        (1.0, {0: 1, 1: 2, 2: 9}, []),
        (2.0, {0: 1, 1: 2, 2: 9}, [0]),
        (3.0, {0: 1, 1: 2, 2: 9}, [1]),
    ):
        assert dog.check(positions, bounds, now) == late


# -------------------------------------------------------------------------------------------------------- the worker


class StuckReader(MemoryReader):
    """Gives nothing of its stuck partitions."""

    stuck: frozenset[int] = frozenset()

    def poll(self, timeout_s: float) -> list[Slice]:
        kept = {p: self._positions.pop(p) for p in self.stuck & self._positions.keys()}
        found = super().poll(timeout_s)
        self._positions.update(kept)
        return found


class StuckLog(MemoryLog):
    """The first reader gets stuck when the test says so; all that it opened are kept."""

    def __init__(self, kind: type[StuckReader] = StuckReader) -> None:
        super().__init__(T0 // 1000)
        self.create(NAMES.topic("trades"), 2)
        self.create(NAMES.deltas("trades"), 2)
        self._kind = kind
        self.readers: list[StuckReader] = []

    def reader(
        self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0
    ) -> MemoryReader:
        if topic != NAMES.topic("trades") or not gather_s:
            return super().reader(topic, starts, group, gather_s)
        self.readers.append(self._kind(self, topic, starts, group))
        return self.readers[-1]


def test_a_stuck_partition_is_reported_and_read_on_by_a_new_reader(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, clock = StuckLog(), HandClock()
    worker = Worker(log, NAMES, VersionStore(tmp_path), (BARS,), [0, 1], clock, stall_s=4.5)

    def turns(count: int) -> list[tuple[int, int, int]]:
        found = []
        for _ in range(count):
            clock.sleep(1.0)  # a heartbeat
            found += [(s.slot.partition, s.slot.start, s.slot.upto) for block in worker.step(0) for s in block.segments]
        return found

    for p in (0, 1):
        log.append(NAMES.topic("trades"), p, None, line(p))
    assert set(turns(1)) == {(0, 0, 1), (1, 0, 1)}
    log.readers[0].stuck = frozenset({1})
    for p in (0, 1):
        log.append(NAMES.topic("trades"), p, None, line(2 + p))
    before = figure("readers_rebuilt")
    with caplog.at_level(logging.ERROR):
        assert all(partition == 0 for partition, _, _ in turns(5))
        assert len(log.readers) == 1
        log.append(NAMES.topic("trades"), 0, None, line(4))  # the other partition goes on
        found = turns(3)
    assert len(log.readers) == 2 and figure("readers_rebuilt") == before + 1
    assert {(0, 0, 3), (1, 0, 2)} <= set(found)
    (said,) = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == "t.trades: no progress in partition 1 at 1 of 2: the reader is made again"
    turns(20)
    assert len(log.readers) == 2  # nothing to read is no lack of progress
    worker.close()


class ForgetfulReader(StuckReader):
    """A batch that cannot be read is met at the second poll, as Kafka's reader meets it once it is fetched."""

    polls = 0

    @property
    def unread(self) -> Mapping[int, Unread]:
        return super().unread if self.polls > 1 else {}

    def poll(self, timeout_s: float) -> list[Slice]:
        self.polls += 1
        return super().poll(timeout_s)


def test_a_reader_that_is_made_again_mends_no_partition_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, clock = StuckLog(ForgetfulReader), HandClock()
    for p in (0, 1):
        log.append(NAMES.topic("trades"), p, None, line(p))
    log.damage(NAMES.topic("trades"), 0, 0)
    shown = 'slackwater_speed_unreadable{partition="0",stream="trades"} 1.0'
    worker = Worker(log, NAMES, VersionStore(tmp_path), (BARS,), [0, 1], clock, stall_s=4.5)

    def turns(count: int) -> None:
        for _ in range(count):
            clock.sleep(1.0)
            list(worker.step(0))
            if log.readers[0].polls > 1:  # type: ignore[attr-defined]
                assert (shown in _figures_page()) is (log.topics[NAMES.topic("trades")][0].broken is not None)

    with caplog.at_level(logging.INFO):
        turns(2)
        log.readers[0].stuck = frozenset({1})
        log.append(NAMES.topic("trades"), 1, None, line(2))
        turns(10)
        assert len(log.readers) == 2
        assert len([one for one in caplog.messages if "cannot be read" in one]) == 1
        assert "t.trades[0] can be read again" not in caplog.messages
        log.damage(NAMES.topic("trades"), 0, None)
        turns(1)
    assert "t.trades[0] can be read again" in caplog.messages
    worker.close()


def _figures_page() -> str:
    registry = process_registry()
    registry.register(FIGURES)
    return generate_latest(registry).decode()


# -------------------------------------------------------------------------------------------------------- the sink


class HeldAck(MemoryAck):
    """Arrives when the log lets go of it; who waits for it before that is noticed."""

    def __init__(self, offset: int, log: "HeldLog") -> None:
        super().__init__(offset)
        self._log = log
        self._arrived = log.let_go.is_set()
        log.held += not self._arrived
        log.most_held = max(log.most_held, log.held)

    def done(self) -> bool:
        return self._arrived

    def offset(self, timeout_s: float = 30.0) -> int:
        if not self._arrived:
            self._log.waited_for.set()
            assert self._log.let_go.wait(60)
            self._arrived = True
            self._log.held -= 1
        return super().offset(timeout_s)


class HeldLog(MemoryLog):
    """A log whose acknowledgements of deltas wait for `let_go`; it counts polls, one record each."""

    def __init__(self) -> None:
        super().__init__(T0 // 1000)
        self.create(NAMES.topic("trades"), 1)
        self.create(NAMES.deltas("trades"), 1)
        self.let_go, self.waited_for = threading.Event(), threading.Event()
        self.held = self.most_held = self.polls = 0

    def reader(
        self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0
    ) -> MemoryReader:
        log = self

        class Reader(MemoryReader):
            limit = 1 if gather_s else None

            def poll(self, timeout_s: float) -> list[Slice]:
                log.polls += 1
                return super().poll(timeout_s)

        return Reader(self, topic, starts, group)

    def writer(self, linger_s: float = 0.0) -> MemoryWriter:
        log = self

        class Writer(MemoryWriter):
            def append(
                self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
            ) -> MemoryAck:
                return HeldAck(super().append(topic, partition, key, value, headers).offset(), log)

        return Writer(self)


@pytest.mark.parametrize(("name", "bound", "deltas"), [("MAX_IN_FLIGHT", 5, 6), ("MAX_IN_FLIGHT_BYTES", 1000, 8)])
def test_a_log_that_does_not_acknowledge_stops_the_reading_at_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bound: int, deltas: int
) -> None:
    monkeypatch.setattr(sink, name, bound)
    log = HeldLog()
    for i in range(300):
        log.append(NAMES.topic("trades"), 0, None, line(i))
    speed = Speed(log, NAMES, VersionStore(tmp_path), (BARS,))
    before, waits = log.polls, figure("waits")
    thread = threading.Thread(target=lambda: [speed.step() for _ in range(300)])
    thread.start()
    assert log.waited_for.wait(60)
    assert 2 < log.held <= deltas and log.polls - before == log.held  # a turn, a record, a delta
    assert figure("waits") == waits + 1
    log.let_go.set()
    thread.join(60)
    assert not thread.is_alive() and log.polls - before == 300
    assert log.most_held <= deltas
    speed.close()
    assert log.held == 0


# ---------------------------------------------------------------------------------------------------- the figures


def test_the_figures_are_counters_in_the_text_format() -> None:
    figures, registry = Figures(), process_registry()
    registry.register(figures)
    figures.count("deltas", 3)
    figures.of_partitions("position_offset", "trades", {1: 40})
    figures.of_partitions("lag_records", "trades", {1: 2})
    text = generate_latest(registry).decode()
    assert "# TYPE slackwater_speed_deltas_total counter\nslackwater_speed_deltas_total 3.0\n" in text
    assert 'slackwater_speed_position_offset{partition="1",stream="trades"} 40.0\n' in text
    assert 'slackwater_speed_lag_records{partition="1",stream="trades"} 2.0\n' in text
    with pytest.raises(KeyError):
        figures.count("nothing")


def test_the_page_is_there_only_if_a_port_is_set_and_a_taken_port_is_named() -> None:
    port = free_port()
    with speed_metrics(from_environ({})), pytest.raises(urllib.error.URLError):
        _page(port)
    settings = from_environ({"SLACKWATER_SPEED_METRICS_PORT": str(port)})
    with speed_metrics(settings):
        assert "slackwater_speed_readers_rebuilt_total" in _page(port)
        assert "process_resident_memory_bytes" in _page(port)
        taken = f"SLACKWATER_SPEED_METRICS_PORT is {port}"
        with pytest.raises(SettingError, match=taken), speed_metrics(settings):
            pass
    with pytest.raises(urllib.error.URLError):
        _page(port)


def _page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


# ------------------------------------------------------------------------------------------------- the real broker


class PausedLog(KafkaLog):
    """The real client, whose first reader of the trades is paused in partition 0: it never gives a record of it."""

    paused = 0

    def reader(self, topic: str, starts: Mapping[int, int], group: str | None = None, gather_s: float = 0.0) -> Reader:
        reader = super().reader(topic, starts, group, gather_s)
        if gather_s and not PausedLog.paused:
            PausedLog.paused += 1
            assert isinstance(reader, ConfluentReader)
            reader._consumer.pause([TopicPartition(topic, 0)])
        return reader


@pytest.fixture
def kafka(broker: str, tmp_path: Path) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home") as world:
        yield world


@pytest.mark.broker
def test_a_consumer_that_is_stuck_is_made_again_and_nothing_is_lost_or_doubled(
    kafka: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PausedLog, "paused", 0)
    kafka.produce(100)
    assert isinstance(kafka.log, KafkaLog)
    settings = kafka.source(stall_s=2.0)
    before = figure("readers_rebuilt")
    stuck: Any = functools.partial(PausedLog, kafka.log.servers)
    with speed_running(type(settings)(**{**vars(settings), "open_log": stuck})) as restarts:
        settle(kafka.reached)
        kafka.produce(50)
        settle(kafka.reached)
        assert restarts == []
    assert PausedLog.paused == 1 and figure("readers_rebuilt") == before + 1
    kafka.check_chain()


@pytest.mark.broker
def test_a_process_says_its_figures_on_its_page_and_at_its_end(kafka: World, tmp_path: Path) -> None:
    port = free_port()
    kafka.produce(30)
    environ = {**kafka.environ(), "SLACKWATER_SPEED_METRICS_PORT": str(port)}
    process = Program(("speed", "run", "--json"), environ, tmp_path / "log", tmp_path / "errors")
    try:
        settle(kafka.reached)
        assert "slackwater_speed_readers_rebuilt_total 0" in _page(port)
        said = process.stop().text
    finally:
        process.kill()
    facts = json.loads(next(said_line for said_line in said.splitlines() if said_line.startswith("{")))
    assert facts["deltas"] > 0 and (facts["readers_rebuilt"], facts["pipelines_failed"]) == (0, 0)
