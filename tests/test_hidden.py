"""An open transaction of a foreign writer hides what lies behind its first record; everybody who is asked says so.

log     a b [t t            a reader comes to 2, the high watermark is 4
        a b [t t c          c, though good and acknowledged, is hidden with it
        a b [t t c] . d     committed: all is read; aborted: a b c d
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from batch_layer.run import BatchRun
from batch_layer.spans import await_stable
from lesson.memory_log import MemoryLog
from ops.log_check import check_log
from serving.watch.log_probe import STANDS_S
from slackwater.context import Context
from slackwater.log.errors import HiddenRecordsError
from slackwater.log.log import Bounds, Log, read_range
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest, Mark, decode_manifest, encode_manifest
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.registry import registered
from tests.beam_world import World, kafka_world, memory_world, settle, speed_running
from tests.forked import call
from tests.hand import HandClock
from tests.serving_world import NAMES as SERVED
from tests.serving_world import World as ServingWorld


@pytest.fixture
def world(broker: str, tmp_path: Path) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home") as found:
        yield found


@contextmanager
def foreign(world: World, broker: str) -> Iterator[Any]:
    """A foreign writer with a transaction of its own; aborted at the end if it is open still."""
    producer: Any = KafkaProducer(bootstrap_servers=broker, transactional_id=f"foreign-{world.names.prefix}")
    with closing(producer):
        producer.init_transactions()
        yield producer


def send(world: World, producer: Any, partition: int, count: int) -> None:
    """Begin a transaction and append trades of one instrument in it."""
    producer.begin_transaction()
    for _ in range(count):
        producer.send(world.names.topic("trades"), world.line("BTCUSDT", bad=False), partition=partition)
    producer.flush()


# -------------------------------------------------------------------------------------------------------------- the log


def test_a_range_behind_an_open_transaction_is_given_up_and_is_not_called_lost() -> None:
    log = MemoryLog()
    log.create("t", 2)
    log.open_transaction("t", 0)
    for _ in range(3):
        log.append("t", 0, None, b"x")
    with pytest.raises(HiddenRecordsError, match=r"hides 3 records of t\[0\] from offset 0 on") as caught:
        list(read_range(log, "t", {0: 0, 1: 0}, {0: 2, 1: 0}))
    assert caught.value.exit_code == 75


def test_a_range_is_given_up_also_while_the_other_partitions_go_on() -> None:
    log = MemoryLog()
    log.create("t", 2)
    log.open_transaction("t", 0)
    log.append("t", 0, None, b"x")
    log.append("t", 1, None, b"y")
    bounds = log.bounds

    def growing(topic: str) -> dict[int, Bounds]:
        log.append("t", 1, None, b"y")
        return bounds(topic)

    log.bounds = growing  # type: ignore[method-assign]
    with pytest.raises(HiddenRecordsError):
        list(read_range(log, "t", {0: 0, 1: 0}, {0: 1, 1: 1}))


# ------------------------------------------------------------------------------------------------------ the batch layer


def test_no_mark_is_made_behind_an_open_transaction_and_the_other_partitions_go_on(tmp_path: Path) -> None:
    world = memory_world(tmp_path)
    log = world.log
    assert isinstance(log, MemoryLog)
    run = BatchRun(Context(log, world.names, VersionStore(tmp_path), (BARS,), HandClock()))
    world.produce(9)
    first = run.run_if_new()
    assert isinstance(first, Manifest) and set(first.cut(TRADES)) == {0, 1}
    log.open_transaction("t.trades", 1)
    log.append("t.trades", 1, None, world.line("BTCUSDT", bad=False))
    hidden = log.bounds("t.trades")[1].high
    with pytest.raises(HiddenRecordsError, match=rf"hides 1 records of t.trades\[1\] from offset {hidden - 1} on"):
        run.run_if_new()
    for partition in (0, 1):
        log.append("t.trades", partition, None, world.line("ETHUSDT", bad=False))
    second = run.run_if_new()
    assert isinstance(second, Manifest) and second.version == 2
    assert log.bounds("t.trades")[1].high == hidden + 1, "no mark was appended there"
    assert [(mark.run_id, mark.offset) for mark in second.of(TRADES).marks if mark.partition == 1] == [
        (first.run_id, first.cut(TRADES)[1])
    ]
    assert second.of(TRADES).delta_start[1] == first.of(TRADES).delta_start[1]
    assert [(held.partition, "hides 2 records" in held.reason) for held in second.of(TRADES).held] == [(1, True)]
    assert second.cut(TRADES)[0] > first.cut(TRADES)[0]
    world.check(second)
    assert decode_manifest(encode_manifest(second)) == second
    with pytest.raises(HiddenRecordsError):  # nothing but what is hidden is new: no version of nothing
        run.run_if_new()
    log.end_transaction("t.trades", 1)
    third = run.run_if_new()
    assert isinstance(third, Manifest) and third.version == 3 and third.of(TRADES).held == ()
    world.check(third)


def test_a_partition_that_is_hidden_from_the_first_run_on_keeps_its_start(tmp_path: Path) -> None:
    world = memory_world(tmp_path)
    log = world.log
    assert isinstance(log, MemoryLog)
    world.produce(9)
    log.open_transaction("t.trades", 1)
    log.append("t.trades", 1, None, world.line("BTCUSDT", bad=False))
    run = BatchRun(Context(log, world.names, VersionStore(tmp_path), (BARS,), HandClock()))
    first = run.run()
    assert [mark for mark in first.of(TRADES).marks if mark.partition == 1] == [Mark(1, 0, None)], (
        "version 0's, without a mark"
    )
    with pytest.raises(HiddenRecordsError):
        run.run_if_new()
    log.end_transaction("t.trades", 1)
    second = run.run_if_new()
    assert isinstance(second, Manifest) and set(second.cut(TRADES)) == {0, 1}
    world.check(second)


def test_where_every_partition_is_hidden_nothing_is_marked(tmp_path: Path) -> None:
    world = memory_world(tmp_path, partitions=1)
    log = world.log
    assert isinstance(log, MemoryLog)
    log.open_transaction("t.trades", 0)
    log.append("t.trades", 0, None, world.line("BTCUSDT", bad=False))
    with pytest.raises(HiddenRecordsError):
        BatchRun(Context(log, world.names, VersionStore(tmp_path), (BARS,), HandClock())).run()
    assert log.bounds("t.trades")[0].high == 1


def test_transactions_that_end_are_waited_for_and_those_that_begin_meanwhile_are_not() -> None:
    log = MemoryLog()
    log.create("t", 1)
    log.open_transaction("t", 0)
    log.append("t", 0, None, b"x")

    class Clock(HandClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            log.end_transaction("t", 0)
            log.open_transaction("t", 0)
            log.append("t", 0, None, b"y")

    assert await_stable(log, "t", Clock(), 10.0) == ({0: Bounds(0, 2, 1)}, {})


@pytest.mark.broker
@pytest.mark.parametrize("aborted", [False, True])
def test_a_batch_run_goes_on_beside_an_open_transaction_and_behind_it_when_it_ended(
    world: World, broker: str, aborted: bool
) -> None:
    world.produce(20)
    first = world.batch()
    with foreign(world, broker) as producer:
        events = world.events
        send(world, producer, 0, 5)
        world.append(1, world.line("ETHUSDT", bad=False)).offset()
        second = world.batch(stable_wait_s=0.5)
        (held,) = second.of(TRADES).held
        assert held.partition == 0 and "hides 5 records" in held.reason
        assert second.cut(TRADES)[0] == first.cut(TRADES)[0] and second.cut(TRADES)[1] > first.cut(TRADES)[1]
        world.check(second)
        if aborted:
            producer.abort_transaction()
            world.events = events
        else:
            producer.commit_transaction()
    third = world.batch()
    assert third.of(TRADES).held == ()
    world.check(third)


@pytest.mark.broker
def test_marks_that_a_transaction_hid_meanwhile_are_not_waited_for_without_end(
    world: World, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slackwater.log.log.HIDDEN_POLLS", 1)
    world.produce(20)
    with foreign(world, broker) as producer:

        def stable(log: Log, topic: str, *_: Any) -> Any:
            bounds = log.bounds(topic)
            send(world, producer, 0, 5)  # between the look and the marks
            return bounds, {}

        monkeypatch.setattr("batch_layer.spans.await_stable", stable)
        manifest = world.batch()
        assert [(held.partition, "hides 6 records" in held.reason) for held in manifest.of(TRADES).held] == [
            (0, True)
        ]  # and a mark
        world.check(manifest)
        producer.abort_transaction()
    monkeypatch.undo()
    world.check(world.batch())


def test_what_is_hidden_waits_for_a_run(tmp_path: Path) -> None:
    world = memory_world(tmp_path)
    assert isinstance(world.log, MemoryLog)
    world.log.open_transaction("t.trades", 1)
    world.log.append("t.trades", 1, None, world.line("BTCUSDT", bad=False))
    run = BatchRun(Context(world.log, world.names, VersionStore(tmp_path), (BARS,), HandClock()))
    with pytest.raises(HiddenRecordsError):
        run.run_if_new()
    world.log.end_transaction("t.trades", 1)
    assert run.run_if_new().version == 1


@pytest.mark.broker
def test_the_program_ends_with_the_code_that_means_later(world: World, broker: str) -> None:
    world.produce(5)
    world.batch(registered())  # those of the program: other views would be a reason of their own
    with foreign(world, broker) as producer:
        send(world, producer, 0, 3)
        done = call("batch", "run", environ=world.environ())
        producer.abort_transaction()
    assert done.returncode == 75, done.stderr
    assert "An open transaction of a foreign writer hides 3 records" in done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------------ the speed layer


@pytest.mark.broker
def test_the_chain_reaches_what_can_be_read_and_then_the_end(world: World, broker: str) -> None:
    world.produce(30)
    with foreign(world, broker) as producer, speed_running(world.source(slice_s=0.3)) as restarts:
        settle(world.reached)
        before = dict(world.ends)
        send(world, producer, 0, 5)
        world.produce(40)
        settle(lambda: world.chain(world.floors())[1] == {0: before[0], 1: world.ends[1]})
        assert not restarts
        producer.commit_transaction()
        settle(lambda: not world.log.bounds(world.names.topic("trades"))[0].hidden)
        settle(world.reached)
    world.check_chain()


# ------------------------------------------------------------------------------------------------- who is asked says so


def test_the_service_counts_its_lag_to_the_high_watermark_and_says_what_hides_it(tmp_path: Path) -> None:
    world = ServingWorld(tmp_path)
    world.trade("AB")
    world.trade("ABC")
    world.emit()
    world.step()
    world.log.open_transaction(SERVED.topic("trades"), 0)
    for _ in range(3):
        world.trade("AB")
    world.step()
    assert world.get("/v1/bars?venue=x&symbol=AB").headers["Slackwater-Lag-Records"] == "3"
    assert world.get("/v1/bars?venue=x&symbol=ABC").headers["Slackwater-Lag-Records"] == "0"
    ready = world.get("/health/ready")
    assert ready.status_code == 200, "a transaction may take a moment"
    speed = ready.json()["layers"]["speed"]
    assert (speed["state"], speed["lag"]) == ("degraded", 3)
    assert speed["text"] == "Everything that can be read is applied. An open transaction hides 3 records."
    world.trade("AB")
    world.step(STANDS_S)
    ready = world.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["reasons"] == [
        f"An open transaction of a foreign writer hides 4 records of slackwater.trades[0] from offset 1 on, "
        f"for {STANDS_S:.0f} s."
    ]
    text = world.get("/metrics").text
    for name, value in (
        ("stable_offset", 1.0),
        ("high_watermark_offset", 5.0),
        ("hidden_records", 4.0),
        ("stable_age_seconds", STANDS_S),
    ):
        assert f'slackwater_log_{name}{{partition="0",stream="trades"}} {value}' in text
    assert 'slackwater_log_stable_age_seconds{partition="1",stream="trades"} 0.0' in text
    assert 'slackwater_lag_records{partition="0",stream="trades",view="bars"} 4.0' in text
    world.log.end_transaction(SERVED.topic("trades"), 0)
    world.emit()
    world.step()
    world.step()
    assert world.get("/health/ready").status_code == 200
    assert world.get("/v1/bars?venue=x&symbol=AB").headers["Slackwater-Lag-Records"] == "0"
    world.close()


def test_a_transaction_in_the_delta_topic_is_named_where_answers_stand_still(tmp_path: Path) -> None:
    world = ServingWorld(tmp_path)
    world.trade("AB")
    world.emit()
    world.step()
    world.log.open_transaction(SERVED.deltas("trades"), 0)
    world.trade("AB")
    world.emit()
    for _ in range(3):
        world.step(STANDS_S)
    assert world.get("/health/ready").json()["reasons"] == [
        "An open transaction of a foreign writer hides 1 records of slackwater.trades.deltas[0] from offset 1 on."
    ]
    world.log.end_transaction(SERVED.deltas("trades"), 0)
    world.step()
    world.step()
    assert world.get("/health/ready").status_code == 200
    world.close()


def test_a_writer_that_commits_again_and_again_is_no_reason(tmp_path: Path) -> None:
    world = ServingWorld(tmp_path)
    world.trade("AB")
    world.emit()
    world.step()
    for _ in range(4):
        world.log.open_transaction(SERVED.topic("trades"), 0)
        world.trade("AB")
        world.step(STANDS_S / 2)
        world.log.end_transaction(SERVED.topic("trades"), 0)
        world.emit()
    world.log.open_transaction(SERVED.topic("trades"), 0)
    world.trade("AB")
    world.step()
    assert world.service.probes["trades"].reasons() == []
    world.close()


def test_the_doctors_look_names_hidden_and_unreadable_partitions_and_ends_in_time() -> None:
    log, clock = MemoryLog(), HandClock()
    log.create("t", 4)
    for p in range(4):
        for _ in range(3):
            log.append("t", p, None, b"x")
    assert check_log(log, "t", {}, clock, 1.0).wrong == []
    log.open_transaction("t", 1)
    log.append("t", 1, None, b"x")
    log.damage("t", 2, 1, "damaged")
    found = check_log(log, "t", {0: 3}, clock, 1.0)
    assert found.wrong == [
        "An open transaction of a foreign writer hides 1 records of t[1] from offset 3 on.",
        "t[2] cannot be read from offset 1 on: damaged.",
    ]
    assert found.rest == 0
    assert check_log(log, "t", {}, clock, 0.0).rest == 12


@pytest.mark.broker
def test_the_doctor_tells_it(world: World, broker: str) -> None:
    import json

    def findings() -> dict[str, Any]:
        done = call("doctor", "--json", environ=world.environ())
        return {found["what"]: found for found in json.loads(done.stdout)["findings"]}

    world.produce(10)
    assert findings()["The log"]["found"] == "every partition can be read to its end"
    with foreign(world, broker) as producer:
        send(world, producer, 0, 3)
        found = findings()["The log"]
        producer.abort_transaction()
    assert found["verdict"] == "bad" and "hides 3 records" in found["found"]
