"""Batch runs: mark, archive, compute, publish. After each, the Parquet equals the oracle over the log below the cut.

    log     e e M1 e e e M2 e        e: record of events   M: mark
    v1      [----)
    v2      [-------------)          archive of v2 = files of v1's manifest + files of its own run

A run that dies at any step leaves the old version served, and its orphans are never read. On the real broker, and in
memory where Kafka would refuse what has to be shown.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from kafka import KafkaProducer

from batch_layer.compute import archive_segments, run_pipeline
from batch_layer.errors import ComputeError, TailLostError
from batch_layer.run import BatchRun
from lesson.memory_log import MemoryLog
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.log.dead_letter import MAX_VALUE_BYTES
from slackwater.log.errors import TopicRecreatedError
from slackwater.log.mark import marks_at
from slackwater.store.archive_file import archive_schema
from slackwater.store.local_files import SETTLED_NS, LocalFiles
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import LostRaceError, VersionError
from slackwater.versions.manifest import Manifest
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.registry import VIEWS
from tests.beam_world import (
    T0_US,
    World,
    add_partitions,
    delete_records,
    kafka_world,
    memory_world,
    program,
    recreate_topics,
    settle,
)

NO_EVENTS = {"trades": {"events": 0, "refused": 0, "new_events": 0, "corrected": 0, "duplicates": 0}}


@pytest.fixture
def kafka(broker: str, tmp_path: Path) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home") as world:
        yield world


@pytest.fixture
def memory(tmp_path: Path) -> World:
    return memory_world(tmp_path / "home")


def letters(world: World) -> dict[str, bytes | None]:
    """Key of a dead letter -> its bytes."""
    return {(r.key or b"").decode(): r.value for _, r in world.records(world.names.dead_letters)}


def reasons(world: World) -> list[str]:
    return [dict(r.headers)["reason"].decode() for _, r in world.records(world.names.dead_letters)]


# What a run makes


@pytest.mark.broker
def test_an_empty_log_publishes_an_empty_version_and_runs_add_to_each_other(kafka: World) -> None:
    first = kafka.batch()
    assert (first.version, first.parent, first.counts) == (1, 0, NO_EVENTS)
    assert not (first.archive or first.parts or first.ids or first.instruments.get("trades"))
    assert first.cut(TRADES) == {0: 0, 1: 0}
    kafka.check(first)

    kafka.produce(60)
    second = kafka.batch()
    assert (second.version, second.parent) == (2, 1)
    assert second.count("events") == second.count("new_events") == kafka.events
    assert second.definitions == {view.name: view.definition for view in VIEWS}
    ids = [kafka.log.topic_id(t) for t in (kafka.names.topic("trades"), kafka.names.deltas("trades"))]
    assert [second.of(TRADES).topic_id, second.of(TRADES).deltas_id] == ids
    kafka.check(second)

    before = kafka.events
    kafka.produce(40)
    third = kafka.batch()
    assert third.archive[: len(second.archive)] == second.archive
    assert third.count("new_events") == kafka.events - before
    assert kafka.store.current() == third
    kafka.check(third)
    kafka.check(second)  # a version stays what it was

    for version in (first, second, third):
        marks = marks_at(kafka.log, kafka.names.topic("trades"), version.cut(TRADES))
        assert marks == dict.fromkeys(version.cut(TRADES), version.run_id)
    assert set(third.timings_ms) == {
        "check",
        "audit",
        "mark",
        "archive",
        "compute",
        "prove",
        "correct",
        "restate",
        "compact",
    }  # a manifest cannot hold how long it took to write


def test_an_archive_holds_each_event_with_its_place_and_an_instrument_its_bounds(memory: World) -> None:
    memory.produce(50)
    manifest = memory.batch()
    for entry in manifest.archive:
        table = pq.read_table(memory.home / entry.file.path)
        assert table.schema.equals(archive_schema(TRADES))
        places = list(zip(table["offset"].to_pylist(), table["index"].to_pylist(), strict=True))
        assert places == sorted(set(places))
        assert set(table["partition"].to_pylist()) == {entry.partition}
        assert entry.start is not None and entry.upto is not None
        assert entry.start <= places[0][0] and places[-1][0] < entry.upto == manifest.cut(TRADES)[entry.partition]
    times: dict[str, list[int]] = {}
    for entry in manifest.archive:
        for row in pq.read_table(memory.home / entry.file.path).to_pylist():
            times.setdefault(row["symbol"], []).append(row["time"] - row["time"] % 1_000_000)
    bounds = {i.symbol: (i.first_start, i.last_start) for i in manifest.instruments_of(TRADES)}
    assert bounds == {symbol: (min(found), max(found)) for symbol, found in times.items()}


@pytest.mark.broker
def test_refused_records_are_dead_letters_keyed_by_position_and_do_not_stop_the_run(kafka: World) -> None:
    good = [kafka.trade("A", 1_723_161_240_000_000, "1", "1", "buy") for _ in range(3)]
    values = [good[0], b"", None, b"\n".join([b"{}", good[1], b"\xff"]), b"\n".join([good[2]] * 65), good[2]]
    for value in values:
        kafka.append(1, value).offset()
    manifest = kafka.batch()
    kafka.check(manifest)
    assert manifest.counts == {"trades": {"events": 3, "refused": 5, "new_events": 3, "corrected": 0, "duplicates": 0}}
    source = f"{kafka.names.topic('trades')}@{kafka.topic_id}/1"
    expected = {f"{source}:1": b"", f"{source}:2": b"", f"{source}:3:0": b"{}", f"{source}:3:2": b"\xff"}
    assert letters(kafka) == {**expected, f"{source}:4": values[4]}
    assert sorted(reasons(kafka)) == sorted(
        ["empty-value", "empty-value", "missing-field", "not-utf8", "too-many-lines"]
    )


@pytest.mark.broker
def test_a_foreign_record_of_any_size_is_a_bounded_dead_letter_and_does_not_stop_the_run(
    broker: str, kafka: World
) -> None:
    huge = b"x" * (20 * 1024 * 1024)  # small enough for the topic once it is compressed
    foreign = KafkaProducer(bootstrap_servers=broker, compression_type="lz4", max_request_size=len(huge) + 1000)
    foreign.send(kafka.names.topic("trades"), huge, partition=1).get(timeout=30)
    foreign.close()
    kafka.produce(10, bad=False)
    manifest = kafka.batch()
    kafka.check(manifest)
    assert manifest.count("refused") == 1
    ((_, record),) = kafka.records(kafka.names.dead_letters)
    headers = {name: value.decode() for name, value in record.headers}
    assert record.value == huge[:MAX_VALUE_BYTES] and headers["stored"] == str(MAX_VALUE_BYTES)
    assert (headers["length"], headers["sha256"]) == (str(len(huge)), hashlib.sha256(huge).hexdigest())


def test_ids_that_stand_more_than_once_are_counted_by_instrument(memory: World) -> None:
    #   A: 1 2 | 2 3 | 3 3     B: 1 | 1 |         | ends a version; the second 3 of the last is in another partition
    def put(*trades: tuple[str, int], partition: int = 0) -> None:
        for symbol, trade_id in trades:
            value = memory.trade(symbol, T0_US, "1", "1", "buy")
            memory.append(partition, value.replace(b'"trade_id":%d' % memory.ids, b'"trade_id":%d' % trade_id))

    put(("A", 1), ("A", 2), ("B", 1))
    versions = [memory.batch()]
    put(("A", 2), ("A", 3), ("B", 1))
    versions.append(memory.batch())
    put(("A", 3))
    put(("A", 3), ("C", 3), partition=1)
    versions += [memory.batch(), memory.batch()]
    assert [version.count("duplicates") for version in versions] == [0, 2, 4, 4]
    assert [{d.entity[-1]: d.events for d in version.duplicates} for version in versions] == [
        {},
        {"A": 1, "B": 1},
        {"A": 3, "B": 1},
        {"A": 3, "B": 1},
    ]


def test_the_same_archive_gives_the_same_bytes(memory: World) -> None:
    memory.produce(80)
    first = memory.batch()
    again = memory.batch()  # nothing new: another version of the same events
    assert [(f.view, f.interval, f.file.sha256) for f in first.parts] == [
        (f.view, f.interval, f.file.sha256) for f in again.parts
    ]
    assert again.archive == first.archive
    assert again.count("new_events") == 0


@pytest.mark.broker
def test_partitions_that_are_added_between_two_runs_begin_at_their_first_offset(kafka: World) -> None:
    kafka.produce(30)
    first = kafka.batch()
    add_partitions(kafka, 3)
    kafka.produce(60)
    second = kafka.batch()
    assert set(first.cut(TRADES)) == {0, 1} and set(second.cut(TRADES)) == {0, 1, 2}
    assert second.of(TRADES).delta_start[2] == 0
    assert any(entry.partition == 2 and entry.start == 0 for entry in second.archive)
    kafka.check(second)  # more partitions: the hash of a key leads elsewhere from now on


# Runs that die


class DeathError(Exception):
    """The run died."""


def at_step(name: str) -> dict[str, Any]:
    def die(step: str) -> None:
        if step == name:
            raise DeathError(name)

    return {"on_step": die}


def in_file(method: str) -> Callable[[World], dict[str, Any]]:
    def die(*_: object) -> None:
        raise DeathError(method)

    return lambda world: {"store": VersionStore(world.home, type("Dying", (LocalFiles,), {method: die})())}


DEATHS: dict[str, Callable[[World], dict[str, Any]]] = {
    "before the marks": lambda _: at_step("mark"),
    "after the marks": lambda _: at_step("archive"),
    "while an archive file is made durable": in_file("sync"),
    "before a number is taken": in_file("make_folder"),
    "before it computes": lambda _: at_step("compute"),
    "before it proves": lambda _: at_step("prove"),
    "before it publishes": lambda _: at_step("publish"),
    "while it writes the manifest": in_file("create"),
    "while it moves the pointer": in_file("replace"),
}


@pytest.mark.broker
@pytest.mark.crash  # test_crash_batch.py kills the real process at each step
def test_a_run_that_dies_at_any_step_leaves_the_old_version_served_and_the_next_one_succeeds(kafka: World) -> None:
    kafka.produce(40)
    served = kafka.batch()
    for name, death in DEATHS.items():
        kafka.produce(5)
        with pytest.raises(DeathError):
            kafka.batch(**death(kafka))
        assert kafka.store.current() == served, name
    assert len(list((kafka.home / "archive").iterdir())) > 5, "the dead left archives"
    manifest = kafka.batch()
    assert manifest.parent == served.version
    assert len({entry.epoch for entry in manifest.archive}) == 2, "orphans of the dead are not read"
    kafka.check(manifest)


def test_a_pipeline_that_fails_or_writes_nothing_publishes_nothing(
    memory: World,
) -> None:
    memory.produce(20)
    served = memory.batch()
    memory.produce(20)
    with pytest.raises(ComputeError, match="without parts of bars in shard 0"):
        memory.batch(compute=lambda *_: None)

    def loses(*arguments: Any) -> None:
        run_pipeline(*arguments)
        next(arguments[2].rglob("*.parquet")).unlink()

    with pytest.raises(ComputeError, match="without writing"):
        memory.batch(compute=loses)
    assert memory.store.current() == served
    memory.check(memory.batch())


def test_a_damaged_archive_stops_who_reads_it_and_no_other_run(memory: World) -> None:
    memory.produce(20)
    served = memory.batch()
    path = memory.home / served.archive[0].file.path
    good = path.read_bytes()
    path.write_bytes(flipped(good, len(good) // 2))
    with pytest.raises(ComputeError, match="were changed"):
        memory.batch(full=True)
    assert memory.store.current() == served
    memory.produce(20)
    following = memory.batch(proof_deadline_s=0.0)
    assert following.open == (1,), "what cannot be read is not audited"
    path.write_bytes(good)
    memory.check(memory.batch())


def test_a_run_reads_no_file_again_that_was_not_written_to(memory: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        memory.produce(20)
        made = memory.batch()
    time.sleep(2 * SETTLED_NS / 1e9)  # a state is known for good a moment after the last change
    monkeypatch.setattr("batch_layer.prove_run.RETRIED", 0)  # whose own parts are read to prove it
    memory.batch()
    read: list[Path] = []
    fingerprint = LocalFiles.fingerprint
    monkeypatch.setattr(LocalFiles, "fingerprint", lambda self, path: read.append(path) or fingerprint(self, path))
    memory.batch()
    old = {memory.home / each.file.path for each in (*made.parts, *made.archive)}
    assert not old & set(read)


@pytest.mark.parametrize("kind", ["ids", "manifest", "pointer"])
def test_a_run_whose_parent_is_damaged_marks_nothing_and_publishes_nothing(memory: World, kind: str) -> None:
    memory.produce(20)
    served = memory.batch()
    path = {
        "ids": memory.home / served.ids[0].file.path,
        "manifest": memory.store.manifest_path(served.version),
        "pointer": memory.store.folder / "current",
    }[kind]
    good = path.read_bytes()
    ends = memory.log.bounds(memory.names.topic("trades"))
    for damaged in (flipped(good, 0), flipped(good, len(good) // 2), flipped(good, -1), good[:-1], b""):
        path.write_bytes(damaged)
        with pytest.raises(VersionError, match=r"damaged|not the one that was published"):
            memory.batch()
    path.unlink()
    with pytest.raises(VersionError, match=r"damaged|does not exist|is gone"):
        memory.batch()
    assert memory.log.bounds(memory.names.topic("trades")) == ends
    path.write_bytes(good)
    memory.check(memory.batch())


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@pytest.mark.broker
def test_of_two_publishers_one_loses_and_its_next_run_succeeds(kafka: World) -> None:
    kafka.produce(30)
    winners: list[Manifest] = []

    def overtake(step: str) -> None:
        if step == "publish" and not winners:
            winners.append(kafka.batch())

    with pytest.raises(LostRaceError, match="went from version 0 to"):
        kafka.batch(on_step=overtake)
    assert kafka.store.current() == winners[0]
    kafka.produce(10)
    manifest = kafka.batch()
    assert manifest.parent == winners[0].version
    kafka.check(manifest)


@pytest.mark.crash  # the same, at moments that are not chosen
@pytest.mark.broker
@pytest.mark.parametrize("moment", ["archive", "compute"])
def test_a_killed_process_leaves_the_old_version_served(kafka: World, moment: str) -> None:
    """SIGKILL when the run's archive folder, or its version's folder without a manifest, is there."""
    kafka.produce(150)
    served = kafka.batch()
    kafka.produce(150)
    for _ in range(3):  # on a busy machine the run may be over before the signal reaches it
        kill_while(kafka, moment)
        current = kafka.store.current()
        if current == served:
            break
        assert current is not None
        served = current
    else:
        pytest.fail("no run was killed in time")
    manifest = kafka.batch()
    assert manifest.parent == served.version
    assert {e.epoch for e in manifest.archive} <= {e.epoch for e in served.archive} | {manifest.run_id}
    kafka.check(manifest)


def kill_while(world: World, moment: str) -> None:
    """Run the real program and kill it at `moment`."""
    known = set((world.home / "archive").iterdir())
    folder = world.store.folder / str(max(world.store.numbers()) + 1)

    def under_way() -> bool:
        return folder.exists() if moment == "compute" else set((world.home / "archive").iterdir()) != known

    with program(world, "batch_layer") as process:
        settle(lambda: under_way() or process.poll() is not None)
        process.kill()
        process.wait()


# Refusals


@pytest.mark.broker
def test_a_topic_that_was_created_again_is_refused(kafka: World) -> None:
    kafka.produce(10)
    served = kafka.batch()
    recreate_topics(kafka)
    kafka.reopen()
    kafka.produce(40)
    with pytest.raises(TopicRecreatedError, match="was created again"):
        kafka.batch()
    assert kafka.store.current() == served


@pytest.mark.broker
def test_a_log_whose_start_moved_above_the_cut_is_refused(kafka: World) -> None:
    kafka.produce(10)
    served = kafka.batch()
    kafka.produce(40)
    delete_records(kafka, kafka.names.topic("trades"), 0, served.cut(TRADES)[0] + 1)
    with pytest.raises(
        TailLostError, match=rf"partition 0 holds \[{served.cut(TRADES)[0] + 1}, .* the cut is {served.cut(TRADES)[0]}"
    ):
        kafka.batch()
    assert kafka.store.current() == served


def lose_the_tail(log: MemoryLog, topic: str, at: int) -> None:
    log.truncate(topic, 0, at - 2)


def lose_and_refill(log: MemoryLog, topic: str, at: int) -> None:
    log.truncate(topic, 0, at - 2)
    for _ in range(9):
        log.append(topic, 0, None, b"{}")


def put_anothers_mark(log: MemoryLog, topic: str, at: int) -> None:
    log.truncate(topic, 0, at)
    log.append(topic, 0, None, b"", [("slackwater-mark", b"another run")])


def lose_the_mark_alone(log: MemoryLog, topic: str, at: int) -> None:
    log.truncate(topic, 0, at)


def lose_a_partition(log: MemoryLog, topic: str, at: int) -> None:
    del log.topics[topic][1:], at


@pytest.mark.parametrize(
    ("loss", "fact"),
    [
        (lose_the_tail, r"partition 0 holds \["),
        (lose_and_refill, "partition 0 holds no mark of its run"),
        (put_anothers_mark, "partition 0 holds no mark of its run"),
        (lose_the_mark_alone, "partition 0 holds no mark of its run"),
        (lose_a_partition, "partition 1 is gone"),
    ],
)
def test_a_log_that_lost_what_the_cut_stands_on_is_refused_before_a_mark_is_appended(
    memory: World, loss: Callable[[MemoryLog, str, int], None], fact: str
) -> None:
    memory.produce(30)
    served = memory.batch()
    assert isinstance(memory.log, MemoryLog)
    loss(memory.log, memory.names.topic("trades"), served.cut(TRADES)[0])
    ends = memory.ends
    with pytest.raises(TailLostError, match=f"not the log that version 1 was made of: {fact}"):
        memory.batch()
    assert memory.ends == ends
    assert memory.store.current() == served


def test_a_log_that_starts_above_0_begins_there_and_gaps_cost_nothing(tmp_path: Path) -> None:
    world = memory_world(tmp_path, start=5)
    world.produce(20)
    assert isinstance(world.log, MemoryLog)
    world.log.gap(world.names.topic("trades"), 0, 7)
    world.produce(20)
    manifest = world.batch()
    assert {entry.start for entry in manifest.archive} == {5}
    world.check(manifest)


def test_an_archive_is_a_segment_of_whole_files_for_each_shard(memory: World) -> None:
    for _ in range(3):
        memory.produce(30)
        memory.batch()
    manifest = memory.store.current()
    assert manifest is not None
    found = archive_segments(memory.store.data.fetch, "trades", memory.topic_id, manifest.archive)
    assert [s.slot.partition for s in found] == [0, 1]
    assert [s.slot.upto for s in found] == [manifest.cut(TRADES)[0], manifest.cut(TRADES)[1]]
    assert [len(s.paths) for s in found] == [3, 3]


def test_a_run_is_told_each_step_once_in_order(memory: World) -> None:
    steps: list[str] = []
    run = BatchRun(Context(memory.log, memory.names, memory.store, (BARS,), SystemClock()), on_step=steps.append)
    published = run.run()
    assert steps == [
        "check",
        "audit",
        "mark",
        "archive",
        "compute",
        "prove",
        "correct",
        "restate",
        "compact",
        "publish",
    ]
    assert set(run.timings_ms) == set(steps)
    assert replace(published, timings_ms={}) == replace(memory.store.manifest(1), timings_ms={})
