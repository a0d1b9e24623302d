"""The speed layer: the tiling, the worker, where it begins, the sink; then the real pipeline on the real broker.

In the units the grid is 4 and a picture stands above each case:

    log     e e M e . e      e: record of one event, M: mark, .: gap, x: record that does not decode
    cells   [-)[- - -)       sealed; an open one ends with its upto and no bracket: [- - >
"""

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lesson.memory_log import MemoryAck, MemoryLog, MemoryReader, MemoryWriter
from slackwater.deltas.cell import Cell, delta_key_of, encode_key, encode_value
from slackwater.log.errors import AppendError, PositionLostError, TopicMismatchError, TopicRecreatedError
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Headers, Record, Slice
from slackwater.log.mark import MARK_HEADER
from slackwater.log.names import SPEED_GROUP, TopicNames
from slackwater.pipeline.segment import Block, Slot, States
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest, Mark, StreamCut, empty_manifest
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.measures import Count
from slackwater.views.view import View
from speed_layer import sink as sink_module
from speed_layer import tiling
from speed_layer.beginning import beginnings, retained
from speed_layer.run import run
from speed_layer.sink import PublishDeltas
from speed_layer.source import Share
from speed_layer.stopping import STOP
from speed_layer.stream_worker import HEARTBEAT_S, IDENTITY_S
from speed_layer.tiling import Piece, Tiler
from speed_layer.worker import Worker
from tests.beam_world import World, kafka_world, settle, speed_running
from tests.forked import Program
from tests.hand import HandClock

NAMES = TopicNames("t")
COUNTS = View("counts", {"trades": Count()}, {"trades": Column("trades")}, stream=TRADES)
T0_US = 1_723_161_240_000_000
BEAT_S = HEARTBEAT_S + 0.01  # sums of floats fall short


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    monkeypatch.setattr(tiling, "GRID", 4)
    monkeypatch.setattr(MemoryReader, "limit", None)
    log = MemoryLog(now_ms=T0_US // 1000 + 10_000_000)
    log.create(NAMES.topic("trades"), 1)
    log.create(NAMES.deltas("trades"), 1)
    return log


def line(trade_id: int) -> bytes:
    return (
        f'{{"venue":"v","symbol":"S","trade_id":{trade_id},"time":{T0_US},"price":"1","quantity":"1","side":"buy"}}'
    ).encode()


def write(log: MemoryLog, picture: str, partition: int = 0) -> None:
    """Append what a picture shows; an event's trade id is its offset."""
    for sign in picture.replace(" ", ""):
        at = log.topics[NAMES.topic("trades")][partition].end
        if sign == ".":
            log.gap(NAMES.topic("trades"), partition)
        elif sign == "M":
            log.append(NAMES.topic("trades"), partition, None, b"", [(MARK_HEADER, b"run")])
        else:
            log.append(NAMES.topic("trades"), partition, b"k", line(at) if sign == "e" else b"")


def slices(log: MemoryLog, *edges: int) -> list[Slice]:
    """The log cut at `edges`."""
    part = log.topics[NAMES.topic("trades")][0]
    return [
        Slice(0, a, b, [part.records[i] for i in range(a, b) if i in part.records])
        for a, b in itertools.pairwise(edges)
    ]


def shown(pieces: Sequence[Piece]) -> list[tuple[int, int, list[int]]]:
    """(start, upto, trade ids) of cells."""
    return [(piece.start, piece.upto, piece.table["sequence"].to_pylist()) for piece in pieces]


# Tiling


def test_cells_end_at_grid_lines_and_marks_and_cover_gaps_and_what_does_not_decode(log: MemoryLog) -> None:
    # offsets  0 1 2 3 4 5 6 7 8 9 10
    # log      e e M e . x e . e e
    # cells    [- -)[- -)[- - - -)[- - >
    write(log, "ee Me .xe. ee")
    tiler = Tiler(TRADES, 0)
    (whole,) = slices(log, 0, 10)
    assert shown(list(tiler.add(whole))) == [(0, 2, [0, 1]), (2, 4, [3]), (4, 8, [6])]
    last = tiler.open()
    assert last is not None and not last.sealed
    assert shown([last]) == [(8, 10, [8, 9])]


def test_cells_without_rows_exist(log: MemoryLog) -> None:
    # log      M . . x . . . . M
    # cells    [- - - -)[- - - -)[- >
    write(log, "M..x ....M")
    tiler = Tiler(TRADES, 0)
    assert shown(list(tiler.add(slices(log, 0, 9)[0]))) == [(0, 4, []), (4, 8, [])]
    assert shown([piece for piece in [tiler.open()] if piece]) == [(8, 9, [])]


@pytest.mark.usefixtures("log")
def test_a_cell_says_when_the_log_took_its_last_record_and_0_where_it_has_none() -> None:
    # offsets  0 1 2 3 4     8
    # log      e e . . .     .
    # cells    [- - - -)[- >  [- >
    records = [Record(at, ms, b"k", line(at), ()) for at, ms in ((0, 10), (1, 20))]
    tiler, said = Tiler(TRADES, 0), []
    for found in (Slice(0, 0, 2, records), Slice(0, 2, 4, []), Slice(0, 4, 5, [])):
        said += [(piece.start, piece.upto, piece.appended_ms) for piece in tiler.add(found)]
        said += [(piece.start, piece.upto, piece.appended_ms) for piece in [tiler.open()] if piece]
    assert said == [(0, 2, 20), (0, 4, 20), (4, 5, 0)]
    tiler.reset(8)
    assert list(tiler.add(Slice(0, 8, 9, []))) == []
    piece = tiler.open()
    assert piece is not None and piece.appended_ms == 0


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7])
def test_the_sealed_cells_are_the_same_however_the_log_arrives(log: MemoryLog, step: int) -> None:
    write(log, "eMMe .xee M..e eeee e")
    end = log.topics[NAMES.topic("trades")][0].end
    whole, parts = Tiler(TRADES, 0), Tiler(TRADES, 0)
    edges = [*range(0, end, step), end]
    in_parts = [piece for found in slices(log, *edges) for piece in parts.add(found)]
    assert shown(in_parts) == shown(list(whole.add(slices(log, 0, end)[0])))
    assert shown([p for p in [parts.open()] if p]) == shown([p for p in [whole.open()] if p])


def test_an_open_cell_grows_and_is_given_whole_each_time(log: MemoryLog) -> None:
    # log      e | e | e | e
    # cells    [- >
    #          [- - >
    #          [- - - >
    #          [- - - -)
    write(log, "eeee")
    tiler = Tiler(TRADES, 0)
    seen = []
    for found in slices(log, 0, 1, 2, 3, 4):
        seen += [(piece.upto, piece.sealed) for piece in tiler.add(found)]
        seen += [(piece.upto, piece.sealed) for piece in [tiler.open()] if piece]
    assert seen == [(1, False), (2, False), (3, False), (4, True)]


def test_a_cell_may_begin_off_the_grid_and_a_reset_begins_at_the_next_line_or_mark(log: MemoryLog) -> None:
    # offsets  0 1 2 3 4 5 6 7 8
    # log      e e e e e e M e e
    # Tiler(TRADES, 1)   [- - -)[- -)[-)[- >
    # reset(5)             . [-)[- >        [5,6) is of a cell whose start was not read
    # reset(4)         [- -)[-)[- >         4 is a line
    write(log, "eeee eeMe e")
    tiler = Tiler(TRADES, 1)
    assert [(p.start, p.upto) for p in tiler.add(slices(log, 1, 9)[0])] == [(1, 4), (4, 6), (6, 8)]
    tiler.reset(5)
    assert tiler.open() is None
    assert shown(list(tiler.add(slices(log, 5, 9)[0]))) == [(6, 8, [7])]
    tiler.reset(4)
    assert shown(list(tiler.add(slices(log, 4, 9)[0]))) == [(4, 6, [4, 5]), (6, 8, [7])]
    tiler.reset(8)
    assert list(tiler.add(slices(log, 8, 9)[0])) == []
    piece = tiler.open()
    assert piece is not None and shown([piece]) == [(8, 9, [8])], "another line"
    assert Tiler(TRADES, 3).open() is None


# The worker


class Versions:
    """What a worker asks of a store."""

    def __init__(self) -> None:
        self.manifests: list[Manifest] = []

    def retained(self) -> list[Manifest]:
        return self.manifests

    def add(self, log: MemoryLog, cut: dict[int, int], delta_start: dict[int, int] | None = None) -> None:
        marks = tuple(Mark(p, at, "run") for p, at in cut.items())
        ids = [log.topic_id(topic) for topic in (NAMES.topic("trades"), NAMES.deltas("trades"))]
        found = empty_manifest({"trades": StreamCut(*ids, marks, delta_start or {})})
        self.manifests.append(replace(found, version=len(self.manifests) + 1))


def new_worker(
    log: MemoryLog, clock: HandClock | None = None, store: Versions | None = None, views: tuple[View, ...] = (BARS,)
) -> Worker:
    partitions = range(len(log.topics[NAMES.topic("trades")]))
    return Worker(log, NAMES, store or Versions(), views, list(partitions), clock or HandClock())  # type: ignore[arg-type]


def cells(blocks: Iterator[Block]) -> list[tuple[int, int, bool]]:
    return [(s.slot.start, s.slot.upto, s.slot.sealed) for block in blocks for s in block.segments]


def test_a_turn_gives_sealed_segments_then_the_open_one_of_what_moved(log: MemoryLog) -> None:
    write(log, "eeee ee")
    found = new_worker(log)
    assert cells(found.step(0)) == [(0, 4, True), (4, 6, False)]
    assert cells(found.step(0)) == []
    write(log, "e")
    assert cells(found.step(0)) == [(4, 7, False)]


def test_an_open_segment_is_given_again_each_heartbeat_only_at_the_logs_end(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log, "eeee ee")
    clock = HandClock()
    found = new_worker(log, clock)
    list(found.step(0))
    clock.sleep(BEAT_S / 2)
    assert cells(found.step(0)) == []
    clock.sleep(BEAT_S / 2)
    assert cells(found.step(0)) == [(4, 6, False)]
    assert cells(found.step(0)) == []
    # Behind the log's end the open cell is about to grow: it is given when it does, not by the clock.
    monkeypatch.setattr(MemoryReader, "limit", 1)
    write(log, "eee")
    clock.sleep(BEAT_S)
    assert cells(found.step(0)) == [(4, 7, False)]
    clock.sleep(BEAT_S)
    assert cells(found.step(0)) == [(4, 8, True)]  # [8,9) was not read yet
    clock.sleep(BEAT_S)
    assert cells(found.step(0)) == [(8, 9, False), (8, 9, False)]


def test_where_no_cell_is_open_the_sealed_one_is_given_again_each_heartbeat(log: MemoryLog) -> None:
    write(log, "eeee")
    clock = HandClock()
    found = new_worker(log, clock)
    assert cells(found.step(0)) == [(0, 4, True)]
    clock.sleep(BEAT_S)
    assert cells(found.step(0)) == [(0, 4, True)]


def test_a_heartbeat_and_an_identity_check_are_within_their_promises() -> None:
    assert HEARTBEAT_S < 1.0
    assert IDENTITY_S < 60.0


def test_a_position_below_the_logs_start_is_a_reset_and_no_cell_begins_below_it(
    log: MemoryLog, caplog: pytest.LogCaptureFixture
) -> None:
    # log      . . . . . e e e e e        the first five are deleted while the worker stands at 2
    # cells                    [- - >     [5,8) belongs to a cell whose start is gone
    write(log, "ee")
    found = new_worker(log)
    assert cells(found.step(0)) == [(0, 2, False)]
    write(log, "eeee eeee")
    log.delete_below(NAMES.topic("trades"), 0, 5)
    assert cells(found.step(0)) == []
    assert "the log starts at 5, above 2: a hole" in caplog.text
    assert cells(found.step(0)) == [(8, 10, False)]
    late = new_worker(log, store=_standing_at(log, 2))  # one that begins there does the same
    assert cells(late.step(0)) == [(8, 10, False)]


def _standing_at(log: MemoryLog, cut: int) -> Versions:
    store = Versions()
    store.add(log, {0: cut})
    return store


def test_a_tail_that_was_lost_is_refused_wherever_it_is_noticed(log: MemoryLog) -> None:
    write(log, "eeee ee")
    clock = HandClock()
    found = new_worker(log, clock)
    list(found.step(0))
    log.truncate(NAMES.topic("trades"), 0, 3)
    with pytest.raises(PositionLostError, match="beyond the log's end 3"):
        list(found.step(0))
    with pytest.raises(PositionLostError, match="beyond the log's end 3: its tail was lost"):
        new_worker(log, store=_standing_at(log, 5))


def test_a_tail_that_was_lost_while_nothing_is_polled_is_noticed_at_the_heartbeat(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log, "eee")
    clock = HandClock()
    found = new_worker(log, clock)
    list(found.step(0))
    monkeypatch.setattr(MemoryReader, "poll", lambda *_: [])
    log.truncate(NAMES.topic("trades"), 0, 1)
    clock.sleep(HEARTBEAT_S)
    with pytest.raises(PositionLostError, match="beyond the log's end 1"):
        list(found.step(0))


def test_a_turn_that_was_left_halfway_is_known(log: MemoryLog) -> None:
    write(log, "eeee eeee ee")
    found = new_worker(log)
    turn = found.step(0)
    next(turn)
    assert found.half_done
    del turn
    assert found.half_done
    whole = new_worker(log)
    list(whole.step(0))
    assert not whole.half_done


def test_a_topic_that_is_another_one_or_has_more_partitions_ends_the_worker(log: MemoryLog) -> None:
    clock = HandClock()
    found = new_worker(log, clock)
    log.create(NAMES.topic("trades"), 1)
    list(found.step(0))
    clock.sleep(IDENTITY_S)
    with pytest.raises(TopicRecreatedError):
        list(found.step(0))
    found = new_worker(log, clock)
    log.topics[NAMES.topic("trades")].append(type(log.topics[NAMES.topic("trades")][0])())
    clock.sleep(IDENTITY_S)
    with pytest.raises(TopicMismatchError, match="has 2 partitions now, it had 1"):
        list(found.step(0))


# Where it begins


def put(log: MemoryLog, view: View, start: int, upto: int, partition: int = 0, sealed: bool = True) -> None:
    cell = Cell(delta_key_of(view, log.topic_id(NAMES.topic("trades")), partition), start, upto, ())
    log.append(NAMES.deltas("trades"), partition, encode_key(cell, sealed), encode_value(cell))


def begins(log: MemoryLog, store: Versions, *views: View) -> dict[int, int]:
    partitions = range(len(log.topics[NAMES.topic("trades")]))
    return beginnings(log, NAMES, store, BARS.stream, views, partitions)  # type: ignore[arg-type]


def test_it_begins_at_the_chains_last_cell_the_smallest_over_views_else_at_the_cut(log: MemoryLog) -> None:
    # log      e e e e e e e e e e
    # bars     [- - - -)[- - >            begins at 4: the open cell of a dead worker is made again, whole
    # counts   [- - - -)     [- >         its last cell that joins is [0,4)
    write(log, "eeee eeee ee")
    store = Versions()
    assert begins(log, store, BARS) == {0: 0}
    put(log, BARS, 0, 4)
    put(log, BARS, 4, 6, sealed=False)
    assert begins(log, store, BARS) == {0: 4}
    put(log, COUNTS, 8, 9)
    assert begins(log, store, BARS, COUNTS) == {0: 0}
    put(log, COUNTS, 0, 4)
    assert begins(log, store, BARS, COUNTS) == {0: 0}
    put(log, COUNTS, 4, 8)
    assert begins(log, store, BARS, COUNTS) == {0: 4}
    assert begins(log, store, COUNTS) == {0: 8}


def test_the_chain_is_followed_from_the_smallest_cut_that_a_version_stands_on(log: MemoryLog) -> None:
    # log      e e e e e M e e M e     v1's cut is 5, v2's is 8
    # chain              [-)[- -)[->
    write(log, "eeee eMee Me")
    store = Versions()
    store.add(log, {0: 8})
    assert begins(log, store, BARS) == {0: 8}
    store.add(log, {0: 5})
    assert begins(log, store, BARS) == {0: 5}
    put(log, BARS, 8, 9)
    assert begins(log, store, BARS) == {0: 5}
    put(log, BARS, 5, 8)
    assert begins(log, store, BARS) == {0: 8}


def test_only_versions_of_this_very_topic_count_and_unknown_partitions_begin_at_the_first_offset(
    log: MemoryLog,
) -> None:
    log.create(NAMES.topic("trades"), 2, start=3)
    log.create(NAMES.deltas("trades"), 2)
    store = Versions()
    store.add(log, {0: 7}, {0: 2})
    topic_id = log.topic_id(NAMES.topic("trades"))
    assert retained(log, NAMES, store, TRADES, topic_id) == ({0: 7, 1: 3}, {0: 2, 1: 0})  # type: ignore[arg-type]
    assert retained(log, NAMES, store, TRADES, "another") == ({0: 3, 1: 3}, {0: 0, 1: 0})  # type: ignore[arg-type]


def test_deltas_that_are_garbage_or_contradict_are_reported_and_do_not_stop_it(
    log: MemoryLog, caplog: pytest.LogCaptureFixture
) -> None:
    write(log, "eeee ee")
    put(log, BARS, 0, 4)
    log.append(NAMES.deltas("trades"), 0, b"garbage", b"{}")
    log.append(NAMES.deltas("trades"), 0, log.topics[NAMES.deltas("trades")][0].records[0].key, b"no cell")
    assert begins(log, Versions(), BARS) == {0: 0}
    assert "t.trades.deltas[0]@1 cannot be read: " in caplog.text
    assert "t.trades.deltas: 2 deltas cannot be read, and are passed over" in caplog.text


def test_cells_beyond_the_logs_end_are_told_and_the_last_one_is_made_again(
    log: MemoryLog, caplog: pytest.LogCaptureFixture
) -> None:
    write(log, "eeee eeee ee")
    put(log, BARS, 0, 4)
    put(log, BARS, 4, 10, sealed=False)
    assert begins(log, Versions(), BARS) == {0: 4}
    assert not caplog.text
    log.truncate(NAMES.topic("trades"), 0, 7)
    assert begins(log, Versions(), BARS) == {0: 4}
    assert "the log ends at 7, cells reach 10: its tail was lost" in caplog.text


def test_group_offsets_are_never_read(log: MemoryLog) -> None:
    write(log, "eeee ee")
    log.committed[SPEED_GROUP, NAMES.topic("trades"), 0] = 6
    assert cells(new_worker(log).step(0)) == [(0, 4, True), (4, 6, False)]


# The sink


class SlowAck(MemoryAck):
    """An acknowledgement that has not arrived yet, or that tells of a failure."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.arrived = False
        self.error: Exception | None = None
        self.asked = False

    def done(self) -> bool:
        return self.arrived

    def offset(self, timeout_s: float = 30.0) -> int:
        self.asked = True
        if self.error:
            raise self.error
        return super().offset(timeout_s)


class SlowLog(MemoryLog):
    """A log whose acknowledgements a test gives by hand."""

    acks: list[SlowAck]

    def writer(self) -> MemoryWriter:
        acks = self.acks = []

        class Writer(MemoryWriter):
            def append(
                self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
            ) -> MemoryAck:
                acks.append(SlowAck(super().append(topic, partition, key, value, headers).offset()))
                return acks[-1]

        return Writer(self)


@pytest.fixture
def slow() -> SlowLog:
    log = SlowLog()
    log.create(NAMES.topic("trades"), 1)
    log.create(NAMES.deltas("trades"), 1)
    return log


@pytest.fixture
def publisher(slow: SlowLog, monkeypatch: pytest.MonkeyPatch) -> PublishDeltas:
    monkeypatch.setattr(sink_module, "COMMIT_S", 0.0)
    found = PublishDeltas(lambda: slow, NAMES, (BARS,))
    found.setup()
    return found


def states(start: int, upto: int) -> States:
    return States(
        BARS.definition, Slot("trades", "id", 0, start, upto, sealed=True, shard=0), BARS.state_schema.empty_table()
    )


def test_an_offset_is_committed_after_its_acknowledgement_and_in_order(slow: SlowLog, publisher: PublishDeltas) -> None:
    at = (SPEED_GROUP, NAMES.topic("trades"), 0)
    for start in (0, 4, 8):
        publisher.process(states(start, start + 4))
    assert at not in slow.committed
    slow.acks[1].arrived = True  # the first is still under way
    publisher.process(states(12, 16))
    assert at not in slow.committed
    slow.acks[0].arrived = True
    publisher.process(states(16, 20))
    assert slow.committed[at] == 8
    publisher.teardown()
    assert slow.committed[at] == 20


def test_a_delta_that_is_not_acknowledged_ends_the_pipeline_and_nothing_behind_it_is_committed(
    slow: SlowLog, publisher: PublishDeltas
) -> None:
    publisher.process(states(0, 4))
    slow.acks[0].error = AppendError("lost")
    slow.acks[0].arrived = True
    with pytest.raises(AppendError, match="lost"):
        publisher.process(states(4, 8))
    assert slow.committed == {}


def test_it_waits_for_the_oldest_when_too_many_are_under_way(
    slow: SlowLog, publisher: PublishDeltas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "MAX_IN_FLIGHT", 2)
    for start in (0, 4, 8):
        publisher.process(states(start, start + 4))
    assert [ack.asked for ack in slow.acks] == [True, False, False]
    assert slow.committed[SPEED_GROUP, NAMES.topic("trades"), 0] == 4


# The real pipeline on the real broker


@pytest.fixture
def kafka(broker: str, tmp_path: Path) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home") as world:
        yield world


@pytest.mark.broker
def test_over_checkpoints_batch_marks_and_restarts_the_chain_equals_the_oracle(kafka: World) -> None:
    kafka.produce(300)
    with speed_running(kafka.source(slice_s=0.3, pipeline_s=1.5)) as restarts:
        settle(kafka.reached)
        kafka.check(kafka.batch())
        kafka.produce(200)
        settle(lambda: len(restarts) >= 2)
        kafka.produce(200)
        settle(kafka.reached)
    kafka.produce(100)
    kafka.append(0, b"").offset()
    with speed_running(kafka.source(slice_s=0.3)):  # another process would do the same
        settle(kafka.reached)
    kafka.check_chain()
    committed = _committed(kafka)
    assert committed == kafka.ends


def _committed(world: World) -> dict[int, int]:
    assert isinstance(world.log, KafkaLog)
    with world.log.admin() as admin:
        found = admin.list_group_offsets(SPEED_GROUP)
    offsets = found.get(SPEED_GROUP, found)
    return {tp.partition: at.offset for tp, at in offsets.items() if tp.topic == world.names.topic("trades")}


@pytest.mark.broker
def test_two_workers_at_once_and_shares_of_partitions_do_no_harm(kafka: World) -> None:
    kafka.produce(100)
    settings = kafka.source(slice_s=0.3)
    one = threading.Thread(target=run, args=(settings, Share((0,))))
    with speed_running(settings):
        one.start()
        kafka.produce(150)
        settle(kafka.reached)
        kafka.produce(50)
        settle(kafka.reached)
    STOP.set()
    one.join(60)
    STOP.clear()
    assert not one.is_alive()
    kafka.check_chain()


@pytest.mark.broker
def test_a_killed_process_loses_and_doubles_nothing(kafka: World, tmp_path: Path) -> None:
    for turn in range(2):
        process = Program(("speed", "run"), kafka.environ(), tmp_path / f"{turn}.log")
        try:
            before = kafka.log.bounds(kafka.names.deltas("trades"))
            kafka.produce(400)
            settle(lambda before=before: kafka.log.bounds(kafka.names.deltas("trades")) != before)  # type: ignore[misc]
            if turn == 0:
                process.kill()  # somewhere in the stream
            else:
                settle(kafka.reached)
                ended = process.stop()
                assert ended.code == 0
                last = ended.text.splitlines()[-1]
                assert last.startswith("ended: 1 pipelines"), "its last word, without what libraries have to say"
        finally:
            process.kill()
    kafka.check_chain()
