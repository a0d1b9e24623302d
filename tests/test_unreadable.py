"""A partition whose next batch cannot be read waits alone: the others go on, and everybody who is asked says so.

partition 0    a b [snappy c d] e        read to 2; `unread` says 2 and why; nothing behind it is seen
partition 1    x y z                     read to its end all the same
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import UnsupportedCodecError
from kafka.record.default_records import DefaultRecordBatch
from prometheus_client import generate_latest

from batch_layer.cells import Between, Joined
from batch_layer.run import BatchRun
from lesson.memory_log import MemoryLog
from serving.watch.log_probe import STANDS_S
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.core.exposition import process_registry
from slackwater.deltas.cell import DeltaKey
from slackwater.log import kafka_reader
from slackwater.log.clients import KAFKA_PYTHON
from slackwater.log.errors import UnreadableError
from slackwater.log.kafka_reader import KafkaReader
from slackwater.log.log import Reader, Slice, Unread, read_range
from slackwater.log.names import TopicNames
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.views.bars import BARS
from slackwater.views.registry import VIEWS
from speed_layer.figures import FIGURES
from tests.beam_world import World, kafka_world, settle, speed_running
from tests.hand import HandClock
from tests.serving_world import NAMES as SERVED
from tests.serving_world import World as ServingWorld
from tests.speed_in_memory import Speed


@pytest.fixture
def world(broker: str, tmp_path: Path) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home", client=KAFKA_PYTHON) as found:  # whose codecs are packages of their own
        yield found


def foreign(world: World, broker: str, codec: str, partition: int, count: int) -> list[int]:
    """Append trades in one batch of `codec`, as a foreign writer may; their offsets."""
    producer: Any = KafkaProducer(bootstrap_servers=broker, compression_type=codec, linger_ms=200)
    with closing(producer):
        sent = [
            producer.send(world.names.topic("trades"), world.line("BTCUSDT", bad=False), partition=partition)
            for _ in range(count)
        ]
        producer.flush()
        return [one.get(timeout=30).offset for one in sent]


def taken(reader: Reader, until: Callable[[list[Slice]], bool]) -> list[Slice]:
    """Everything that is polled until `until` holds of it."""
    found: list[Slice] = []

    def polled() -> bool:
        found.extend(reader.poll(0.1))
        return until(found)

    settle(polled)
    return found


@pytest.fixture
def no_snappy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Takes the package of snappy away from readers that exist, and gives it back."""

    had = DefaultRecordBatch._assert_has_codec

    def refuse(batch: Any, codec: int) -> None:
        if codec == DefaultRecordBatch.CODEC_SNAPPY:
            raise UnsupportedCodecError("Libraries for snappy compression codec not found")
        had(batch, codec)

    def missing(gone: bool) -> None:
        monkeypatch.setattr(DefaultRecordBatch, "_assert_has_codec", refuse if gone else had)

    monkeypatch.setattr(kafka_reader, "UNREAD_S", 0.3)
    yield missing


# -------------------------------------------------------------------------------------------------------------- the log


@pytest.mark.broker
def test_a_batch_that_cannot_be_read_stops_its_partition_alone_and_is_tried_again(
    world: World, broker: str, no_snappy: Callable[[bool], None]
) -> None:
    world.append(0, b"a").offset()
    world.append(0, b"b").offset()
    foreign(world, broker, "snappy", 0, 20)
    no_snappy(True)
    with closing(world.log.reader(world.names.topic("trades"), {0: 0, 1: 0})) as reader:
        found = taken(reader, lambda _: 0 in reader.unread)
        stuck = reader.unread[0]
        assert (len(reader.unread), stuck.partition, stuck.offset) == (1, 0, 2)
        assert "snappy compression codec not found" in stuck.reason
        for value in (b"x", b"y"):  # the other partition goes on, through several tries of this one
            world.append(1, value).offset()
            found += taken(reader, bool)
        assert 0 in reader.unread
        assert sorted((s.partition, r.value) for s in found for r in s.records) == [
            (0, b"a"),
            (0, b"b"),
            (1, b"x"),
            (1, b"y"),
        ]
        no_snappy(False)
        again = taken(reader, lambda _: not reader.unread)
        assert [r.offset for s in again for r in s.records if s.partition == 0] == list(range(2, 22))


@pytest.mark.broker
def test_two_partitions_wait_each_by_itself(world: World, broker: str, no_snappy: Callable[[bool], None]) -> None:
    world.append(0, b"a").offset()
    for partition in (0, 1):
        foreign(world, broker, "snappy", partition, 3)
    no_snappy(True)
    with closing(world.log.reader(world.names.topic("trades"), {0: 0, 1: 0})) as reader:
        found = taken(reader, lambda _: len(reader.unread) == 2)
        assert {p: stuck.offset for p, stuck in reader.unread.items()} == {0: 1, 1: 0}
        no_snappy(False)
        found += taken(reader, lambda _: not reader.unread)
    assert sorted((s.partition, r.offset) for s in found for r in s.records) == [
        *((0, at) for at in range(4)),
        *((1, at) for at in range(3)),
    ]


@pytest.mark.broker
def test_it_is_not_fetched_again_and_again(
    world: World, broker: str, no_snappy: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(world, broker, "snappy", 0, 3)
    no_snappy(True)
    monkeypatch.setattr(kafka_reader, "UNREAD_S", 3600.0)
    tries: list[bool] = []
    with closing(world.log.reader(world.names.topic("trades"), {0: 0, 1: 0})) as reader:
        assert isinstance(reader, KafkaReader)
        leave_out = reader._leave_out
        monkeypatch.setattr(reader, "_leave_out", lambda: tries.append(leave_out()) or tries[-1])
        taken(reader, lambda _: 0 in reader.unread)
        for value in range(5):
            world.append(1, b"%d" % value).offset()
            taken(reader, bool)
        assert reader.poll(0.2) == [] and len(reader.unread) == 1
        assert tries == [True]
        reader.seek(0, 3)
        assert reader.unread == {}


def test_a_range_ends_in_an_error_that_says_where_or_tells_and_reads_the_others() -> None:
    log = MemoryLog()
    log.create("t", 2)
    for value in (b"a", b"b", b"c"):
        log.append("t", 0, None, value)
        log.append("t", 1, None, value)
    log.damage("t", 0, 1, "no codec")
    with pytest.raises(UnreadableError, match=r"^t\[0\] cannot be read from offset 1 on: no codec\. "):
        list(read_range(log, "t", {0: 0, 1: 0}, {0: 3, 1: 3}))
    told: list[Unread] = []
    found = list(read_range(log, "t", {0: 0, 1: 0}, {0: 3, 1: 3}, told.append))
    assert told == [Unread(0, 1, "no codec")]
    assert [(s.partition, s.start, s.upto) for s in found] == [(0, 0, 1), (1, 0, 3)]
    assert [s.upto for s in read_range(log, "t", {0: 0}, {0: 1})] == [1], "what lies below is read"


# ------------------------------------------------------------------------------------------------------ the speed layer


@pytest.mark.broker
def test_the_speed_layer_goes_on_with_the_other_partitions_and_comes_back(
    world: World, broker: str, no_snappy: Callable[[bool], None], caplog: pytest.LogCaptureFixture
) -> None:
    world.produce(20)
    no_snappy(True)
    failed = FIGURES.counts()["pipelines_failed"]
    with speed_running(world.source(slice_s=0.3)), caplog.at_level(logging.ERROR):
        settle(world.reached)
        (at, *_) = foreign(world, broker, "snappy", 0, 20)
        world.produce(60)  # behind it in partition 0, and in partition 1

        def others() -> bool:
            applied = world.chain(world.floors())[1]
            return applied == {0: at, 1: world.ends[1]}

        settle(others)
        settle(lambda: 'slackwater_speed_unreadable{partition="0",stream="trades"} 1.0' in page())
        assert FIGURES.counts()["pipelines_failed"] == failed
        no_snappy(False)
        settle(world.reached)
        settle(lambda: 'slackwater_speed_unreadable{partition="0",stream="trades"} 0.0' in page())
    world.check_chain()
    said = [r.message for r in caplog.records if "cannot be read" in r.message]
    assert len(said) == 1 and f"[0] cannot be read from offset {at} on" in said[0]


def page() -> str:
    registry = process_registry()
    registry.register(FIGURES)
    return generate_latest(registry).decode()


def test_a_delta_partition_that_cannot_be_read_does_not_keep_a_worker_from_beginning(tmp_path: Path) -> None:
    world = ServingWorld(tmp_path)
    for symbol in ("AB", "ABC"):
        for _ in range(3):
            world.trade(symbol)
    world.emit()
    world.log.damage(SERVED.deltas("trades"), 0, 0)
    speed = Speed(world.log, SERVED, world.store, world.views)
    speed.step()
    speed.close()
    deltas = world.log.topics[SERVED.deltas("trades")]
    assert [len(part.records) > 1 for part in deltas] == [True, True], "the cells are made again"
    world.close()


# ------------------------------------------------------------------------------------------------------ the batch layer


@pytest.mark.broker
def test_a_batch_run_leaves_out_a_partition_that_cannot_be_read_and_comes_back_to_it(
    world: World, broker: str, no_snappy: Callable[[bool], None]
) -> None:
    world.produce(20)
    first = world.batch()
    world.append(0, world.line("BTCUSDT", bad=False)).offset()  # before what cannot be read: taken with it, later
    (at, *_) = foreign(world, broker, "snappy", 0, 20)
    no_snappy(True)
    run = BatchRun(Context(world.log, world.names, world.store, VIEWS, SystemClock()), proof_deadline_s=30.0)
    with pytest.raises(UnreadableError, match=rf"\[0\] cannot be read from offset {at} on: .* snappy"):
        run.run_if_new()
    assert world.store.pointer().version == first.version, "nothing but what cannot be read was new"
    marked = {p: bounds.end for p, bounds in world.log.bounds(world.names.topic("trades")).items()}
    for _ in range(2):
        with pytest.raises(UnreadableError, match=rf"\[0\] cannot be read from offset {at} on"):
            run.run_if_new()
    ends = {p: bounds.end for p, bounds in world.log.bounds(world.names.topic("trades")).items()}
    assert ends == marked, "what a run before could not read is not marked for again"
    with speed_running(world.source(slice_s=0.3)):
        world.append(1, world.line("ETHUSDT", bad=False)).offset()
        second = run.run_if_new()
        assert isinstance(second, Manifest)
        assert [(held.partition, "snappy" in held.reason) for held in second.of(TRADES).held] == [(0, True)]
        assert second.cut(TRADES)[0] == first.cut(TRADES)[0] and second.cut(TRADES)[1] > first.cut(TRADES)[1]
        assert (second.proof.outcome, [span.partition for span in second.proof.spans]) == ("equal", [0, 1])
        no_snappy(False)
        third = run.run_if_new()
    assert isinstance(third, Manifest) and third.of(TRADES).held == () and third.cut(TRADES)[0] > at
    assert third.proof.outcome == "equal"
    for manifest in (second, third):
        world.check(manifest)


def test_a_proof_whose_deltas_cannot_be_read_is_not_waited_for() -> None:
    log, names = MemoryLog(), TopicNames("t")
    log.create(names.deltas("trades"), 1)
    log.append(names.deltas("trades"), 0, b"k", b"v")
    log.damage(names.deltas("trades"), 0, 0, "damaged")
    delta_keys = {DeltaKey("bars", "d", "id", 0): (BARS, Joined(0, 5))}
    between = Between(delta_keys, lambda _delta_key, _rows: None)
    between.read(log, names.deltas("trades"), {}, HandClock(), 1.0)
    assert between.bad.startswith("t.trades.deltas[0] cannot be read from offset 0 on: damaged.")


# ------------------------------------------------------------------------------------------------- who is asked says so


def test_the_service_says_which_partition_cannot_be_read_and_why(tmp_path: Path) -> None:
    world = ServingWorld(tmp_path)
    for symbol in ("AB", "ABC"):
        world.trade(symbol)
    world.emit()
    world.step()
    assert world.get("/health/ready").status_code == 200
    at = world.trade("AB")
    world.trade("ABC")
    world.log.damage(SERVED.topic("trades"), 0, at, "the codec snappy, whose package is missing")
    world.emit(upto={0: at, 1: at + 1})
    world.step()
    assert world.get("/health/ready").status_code == 200, "a moment without progress says nothing"
    for _ in range(3):
        world.step(STANDS_S)
    ready = world.get("/health/ready")
    assert ready.status_code == 503
    reason = f"slackwater.trades[0] cannot be read from offset {at} on: the codec snappy, whose package is missing."
    assert reason in ready.json()["reasons"]
    assert ready.json()["layers"]["log"]["text"] == reason
    metrics = world.get("/metrics").text
    assert 'slackwater_log_unreadable{partition="0",stream="trades"} 1.0' in metrics
    assert 'slackwater_log_unreadable{partition="1",stream="trades"} 0.0' in metrics
    world.log.damage(SERVED.topic("trades"), 0, None)
    world.emit()
    world.step()
    assert world.get("/health/ready").status_code == 200
    world.close()


def test_deltas_that_cannot_be_read_are_a_reason(tmp_path: Path) -> None:
    world = ServingWorld(tmp_path)
    world.trade("AB")
    world.emit()
    world.log.damage(SERVED.deltas("trades"), 0, 0, "damaged")
    world.step()
    world.step()
    ready = world.get("/health/ready")
    assert ready.status_code == 503
    assert "slackwater.trades.deltas[0] cannot be read from offset 0 on: damaged." in ready.json()["reasons"]
    world.close()
