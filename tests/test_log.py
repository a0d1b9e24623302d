"""The contract of the log: topics, bounds, appends, reads, positions over gaps and out of range, marks, commits.

    offsets    0    1    2      3    4    5      6    7
    records    a    b  commit   c    d  abort    e  commit      a reader sees a, b, e; its slices cover 0 to 8

`log` is each log there is: Kafka by each of its clients, and the one in memory. `kafka` is Kafka alone, for what
only it has: configs and sizes of topics, codecs, the log's own clock, writers that are not ours.

Not here: what the records' bytes mean (`test_decode`), starting the broker (`test_broker`), a broker that is killed
(`test_killed_broker`), a disk that is damaged (`test_damaged_log`), transactions that stay open (`test_hidden`).
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, NewTopic

from lesson.memory_log import MemoryLog, MemoryReader
from slackwater.log.clients import CONFLUENT, KAFKA_PYTHON
from slackwater.log.compression import CODECS
from slackwater.log.errors import (
    AppendError,
    DeletionRefusedError,
    PositionLostError,
    RecordTooLargeError,
    TopicMismatchError,
    TopicMissingError,
)
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Bounds, Identity, Log, Reader, Record, Slice, read_range
from slackwater.log.mark import MARK_HEADER, append_marks, mark_of, marks_at
from slackwater.log.names import TopicNames
from slackwater.log.topics import create_topics, missing_topics, wrong_configs
from slackwater.streams.registry import STREAMS

MEMORY = "memory"
CLIENTS = [pytest.param(name, marks=pytest.mark.broker) for name in (KAFKA_PYTHON, CONFLUENT)]


@pytest.fixture(params=[*CLIENTS, MEMORY])
def log(request: pytest.FixtureRequest) -> Log:
    return MemoryLog() if request.param == MEMORY else KafkaLog(request.getfixturevalue("broker"), client=request.param)


@pytest.fixture(params=CLIENTS)
def kafka(broker: str, request: pytest.FixtureRequest) -> KafkaLog:
    return KafkaLog(broker, client=request.param)


@pytest.fixture
def names() -> TopicNames:
    """Topics that no other test and no other run has."""
    return TopicNames(f"log-{uuid4().hex[:12]}")


@pytest.fixture
def trades(log: Log, names: TopicNames) -> str:
    """A new event log of three partitions."""
    create(log, names.topic("trades"), 3)
    return names.topic("trades")


def create(log: Log, topic: str, partitions: int, **configs: str) -> None:
    """A topic alone, and not the three of a stream: that takes a third of the time."""
    if isinstance(log, MemoryLog):
        log.create(topic, partitions)
        return
    assert isinstance(log, KafkaLog)
    configs = {name.replace("_", "."): value for name, value in configs.items()}
    with log.admin() as admin:
        admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1, topic_configs=configs)])
        admin.wait_for_topics([topic])


def settled(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Whether `condition` held within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(log: Log, topic: str) -> bool:
    try:
        log.topic_id(topic)
    except TopicMissingError:
        return True
    return False


def append(log: Log, topic: str, partition: int, *values: bytes | None) -> list[int]:
    with closing(log.writer()) as writer:
        return [ack.offset() for ack in [writer.append(topic, partition, None, value) for value in values]]


def polled(reader: Reader, until: Callable[[list[Slice]], bool], found: list[Slice] | None = None) -> list[Slice]:
    """Slices, put behind those of `found`, until they are enough."""
    found = [] if found is None else found
    deadline = time.monotonic() + 20
    while not until(found) and time.monotonic() < deadline:
        found += reader.poll(0.2)
    return found


def values(slices: Sequence[Slice], partition: int = 0) -> list[bytes | None]:
    return [record.value for one in slices if one.partition == partition for record in one.records]


def tile(slices: Sequence[Slice], partition: int, start: int, upto: int) -> bool:
    """Whether the slices of a partition cover [start, upto) without a gap, and hold their own records in order."""
    at = start
    for one in slices:
        if one.partition == partition:
            offsets = [record.offset for record in one.records]
            if one.start != at or one.upto <= at or offsets != sorted(set(offsets)):
                return False
            if offsets and not one.start <= offsets[0] <= offsets[-1] < one.upto:
                return False
            at = one.upto
    return at == upto


# -------------------------------------------------------------------------------------------------------------- topics


def test_topics_are_created_once_with_the_configs_of_the_contract(kafka: KafkaLog, names: TopicNames) -> None:
    of_all = [names.topic("trades"), names.deltas("trades"), names.dead_letters]
    assert missing_topics(kafka, names, STREAMS) == of_all
    assert create_topics(kafka, names, STREAMS, partitions=3) == dict.fromkeys(of_all, True)
    assert create_topics(kafka, names, STREAMS, partitions=3) == dict.fromkeys(of_all, False)
    assert missing_topics(kafka, names, STREAMS) == []
    assert [len(kafka.bounds(name)) for name in of_all] == [3, 3, 1]
    with kafka.admin() as admin:
        found = admin.describe_configs([ConfigResource("TOPIC", name) for name in of_all], config_filter="all")
    configs = {name: {key: of["value"] for key, of in found["topic"][name].items()} for name in of_all}
    for name in of_all:
        assert configs[name]["message.timestamp.type"] == "LogAppendTime"
        assert configs[name]["retention.bytes"] == "-1"
    assert [configs[name]["cleanup.policy"] for name in of_all] == ["delete", "compact,delete", "delete"]
    assert {configs[name]["retention.ms"] for name in of_all} == {"-1"}
    assert configs[names.deltas("trades")]["max.message.bytes"] == str(8 * 1024 * 1024)
    # A dead letter holds a refused record whole, with headers besides.
    assert int(configs[names.dead_letters]["max.message.bytes"]) > int(
        configs[names.topic("trades")]["max.message.bytes"]
    )


def test_records_below_an_offset_are_removed_for_good_and_nothing_else_is(log: Log, names: TopicNames) -> None:
    topic = names.deltas("trades")
    create(log, topic, 2)
    writer = log.writer()
    for n in range(10):
        writer.append(topic, 0, f"{n % 7}".encode(), b"x")
        writer.append(topic, 1, f"{n}".encode(), b"x")
    writer.close()
    log.delete_before(topic, {0: 4})
    assert log.bounds(topic) == {0: Bounds(4, 10), 1: Bounds(0, 10)}
    log.delete_before(topic, {0: 3, 1: 10})  # below the start: nothing happens
    assert log.bounds(topic) == {0: Bounds(4, 10), 1: Bounds(10, 10)}
    left = [r for s in read_range(log, topic, {0: 4}, {0: 10}) for r in s.records]
    assert [r.offset for r in left] == list(range(4, 10))
    with pytest.raises(DeletionRefusedError, match="ends below 11"):
        log.delete_before(topic, {0: 11})
    with pytest.raises(TopicMissingError):
        log.delete_before("nowhere", {0: 1})


def test_a_topic_that_is_only_compacted_refuses_removal_until_its_configs_are_set(
    kafka: KafkaLog, names: TopicNames
) -> None:
    create(kafka, names.deltas("trades"), 1, cleanup_policy="compact", retention_ms="1000000")
    writer = kafka.writer()
    writer.append(names.deltas("trades"), 0, b"k", b"x").offset()
    with pytest.raises(DeletionRefusedError, match="slackwater topics create"):
        kafka.delete_before(names.deltas("trades"), {0: 1})
    create_topics(kafka, names, STREAMS, partitions=1)
    assert settled(lambda: wrong_configs(kafka, names, STREAMS) == {})
    kafka.delete_before(names.deltas("trades"), {0: 1})
    assert kafka.bounds(names.deltas("trades")) == {0: Bounds(1, 1)}
    writer.close()


def test_existing_topics_are_left_as_they_are(kafka: KafkaLog, names: TopicNames) -> None:
    create_topics(kafka, names, STREAMS, partitions=2)
    ids = {name: kafka.topic_id(name) for name in (names.topic("trades"), names.deltas("trades"), names.dead_letters)}
    create_topics(kafka, names, STREAMS, partitions=5)
    assert {name: kafka.topic_id(name) for name in ids} == ids
    assert [len(kafka.bounds(name)) for name in ids] == [2, 2, 1]


def test_an_event_log_with_more_partitions_than_the_delta_topic_is_refused(kafka: KafkaLog, names: TopicNames) -> None:
    create_topics(kafka, names, STREAMS, partitions=1)
    with kafka.admin() as admin:
        admin.create_partitions({names.topic("trades"): 2})
    assert settled(lambda: len(kafka.bounds(names.topic("trades"))) == 2)
    with pytest.raises(TopicMismatchError, match=r"has 2 partitions and .* has 1"):
        create_topics(kafka, names, STREAMS, partitions=1)
    with kafka.admin() as admin:
        admin.create_partitions({names.deltas("trades"): 3})
    assert settled(lambda: len(kafka.bounds(names.deltas("trades"))) == 3)
    create_topics(kafka, names, STREAMS, partitions=1)


def test_a_topic_created_again_has_another_id(log: Log, names: TopicNames) -> None:
    topic, other = names.topic("trades"), names.deltas("trades")
    create(log, topic, 1)
    create(log, other, 2)
    before = log.topic_id(topic)
    assert before == log.topic_id(topic) != log.topic_id(other)
    append(log, topic, 0, b"a")
    with closing(log.watch(topic)) as watch:
        assert watch.check() == Identity(before, 1)
        if isinstance(log, KafkaLog):
            with log.admin() as admin:
                admin.delete_topics([topic])
            assert settled(lambda: gone(log, topic))
        create(log, topic, 2)
        assert settled(lambda: watch.check() == Identity(log.topic_id(topic), 2))
    assert log.topic_id(topic) != before
    assert log.bounds(topic) == {0: Bounds(0, 0), 1: Bounds(0, 0)}


def test_a_topic_that_does_not_exist_is_named(log: Log, names: TopicNames) -> None:
    asks: tuple[Callable[[str], object], ...] = (log.topic_id, log.bounds, lambda topic: marks_at(log, topic, {0: 0}))
    for ask in asks:
        with pytest.raises(TopicMissingError, match=names.topic("trades")) as caught:
            ask(names.topic("trades"))
        assert caught.value.topic == names.topic("trades")
        assert "slackwater topics create" in caught.value.hint


# ---------------------------------------------------------------------------------------------------- append and read


def test_bounds_follow_appends_and_deleted_records(log: Log, trades: str) -> None:
    assert log.bounds(trades) == {0: Bounds(0, 0), 1: Bounds(0, 0), 2: Bounds(0, 0)}
    assert append(log, trades, 1, b"a", b"b", b"c") == [0, 1, 2]
    log.delete_before(trades, {1: 2})
    assert log.bounds(trades) == {0: Bounds(0, 0), 1: Bounds(2, 3), 2: Bounds(0, 0)}
    with closing(log.reader(trades, {1: 2, 2: 0})) as reader:
        assert reader.bounds() == {1: Bounds(2, 3), 2: Bounds(0, 0)}


def test_a_record_comes_back_with_all_it_had(log: Log, trades: str) -> None:
    headers = [("trace", b"\x00\xff"), ("trace", b""), ("\u00e9", b"x")]
    given: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
        (b"venue:symbol", b"value", headers),
        (None, b"", []),
        (b"", None, []),
        (b"\xff", b"\x00" * 100_000, headers),
    ]
    with closing(log.writer()) as writer:
        acks = [writer.append(trades, 2, *one) for one in given]
        assert [ack.offset() for ack in acks] == [0, 1, 2, 3]
        assert all(ack.done() for ack in acks)
    slices = list(read_range(log, trades, {2: 0}, {2: 4}))
    assert tile(slices, 2, 0, 4)
    records = [record for one in slices for record in one.records]
    assert [(record.key, record.value, list(record.headers)) for record in records] == given
    assert [record.offset for record in records] == [0, 1, 2, 3]
    assert all(type(record.append_time_ms) is int for record in records)


def test_a_records_time_is_the_logs_own(broker: str, kafka: KafkaLog, names: TopicNames) -> None:
    topic = names.topic("trades")
    create(kafka, topic, 1, message_timestamp_type="LogAppendTime")
    with closing(KafkaProducer(bootstrap_servers=broker)) as producer:
        producer.send(topic, b"x", partition=0, timestamp_ms=1).get(timeout=30)
    (record,) = [record for one in read_range(kafka, topic, {0: 0}, {0: 1}) for record in one.records]
    assert abs(record.append_time_ms / 1000 - time.time()) < 600


def test_batches_of_every_codec_are_read(broker: str, kafka: KafkaLog, names: TopicNames) -> None:
    topic, expected = names.topic("trades"), list[bytes]()
    create(kafka, topic, 1)
    for codec in (None, *(codec.name for codec in CODECS)):
        with closing(KafkaProducer(bootstrap_servers=broker, compression_type=codec, linger_ms=200)) as producer:
            for _ in range(20):
                expected.append(b"%d %s" % (len(expected), str(codec).encode() * 9))
                producer.send(topic, expected[-1], partition=0)
    slices = list(read_range(kafka, topic, {0: 0}, {0: len(expected)}))
    assert values(slices) == expected and tile(slices, 0, 0, len(expected))


def test_a_range_over_partitions_is_read_once_and_exactly(log: Log, trades: str) -> None:
    #   partition 0   6,000 records, asked [10, 5990)      more than one poll gives
    #   partition 1     100 records, asked [0, 100)
    #   partition 2       3 records, asked [2, 2)          nothing
    counts = {0: 6_000, 1: 100, 2: 3}
    with closing(log.writer()) as writer:
        for partition, count in counts.items():
            for i in range(count):
                writer.append(trades, partition, None, b"%d:%d" % (partition, i))
        writer.flush()
    assert {p: bounds.end for p, bounds in log.bounds(trades).items()} == counts
    starts, uptos = {0: 10, 1: 0, 2: 2}, {0: 5_990, 1: 100, 2: 2}
    slices = list(read_range(log, trades, starts, uptos))
    for partition in counts:
        assert tile(slices, partition, starts[partition], uptos[partition])
        expected = [b"%d:%d" % (partition, i) for i in range(starts[partition], uptos[partition])]
        assert values(slices, partition) == expected
    assert list(read_range(log, trades, {0: 5, 1: 7}, {0: 5, 1: 3})) == []


def test_a_reader_waits_for_what_comes_and_gives_each_record_once(log: Log, trades: str) -> None:
    with closing(log.reader(trades, {0: 0, 1: 0})) as reader, closing(log.writer()) as writer:
        assert reader.poll(0.1) == []
        writer.append(trades, 1, None, b"a").offset()
        found = polled(reader, bool)
        assert [(one.partition, one.start, one.upto) for one in found] == [(1, 0, 1)]
        writer.append(trades, 1, None, b"b").offset()
        writer.append(trades, 0, None, b"c").offset()
        polled(reader, lambda slices: len(slices) == 3, found)
        assert (values(found, 0), values(found, 1)) == ([b"c"], [b"a", b"b"])
        assert tile(found, 0, 0, 1)
        assert tile(found, 1, 0, 2)
        reader.seek(1, 1)
        again = polled(reader, bool)
        assert [(one.partition, one.start, one.upto) for one in again] == [(1, 1, 2)]
        assert values(again, 1) == [b"b"]


def test_a_reader_that_gathers_gives_each_record_once(log: Log, trades: str) -> None:
    expected = [b"%d" % i for i in range(200)]
    found: list[Slice] = []
    with closing(log.reader(trades, {0: 0}, gather_s=0.005)) as reader, closing(log.writer()) as writer:
        assert reader.poll(0.1) == []
        for value in expected:
            writer.append(trades, 0, None, value).offset()
            found += reader.poll(0.0)
        polled(reader, lambda slices: tile(slices, 0, 0, 200), found)
    assert values(found) == expected and tile(found, 0, 0, 200)


def test_a_record_too_large_for_its_topic_is_refused_before_it_is_sent_and_the_writer_goes_on(
    kafka: KafkaLog, names: TopicNames
) -> None:
    create_topics(kafka, names, STREAMS, partitions=1)
    large = os.urandom(3 * 1024 * 1024)  # no codec makes it smaller
    with closing(kafka.writer()) as writer:
        with pytest.raises(
            RecordTooLargeError, match=rf"record b'k' of {names.topic('trades')}\[0\] has 3145729 bytes"
        ) as found:
            writer.append(names.topic("trades"), 0, b"k", large)
        assert (found.value.size, found.value.limit) == (
            3 * 1024 * 1024 + 1,
            kafka.max_record_bytes(names.topic("trades")),
        )
        assert not found.value.retriable and "max.message.bytes" in found.value.hint
        with pytest.raises(RecordTooLargeError, match=rf"of {names.deltas('trades')}"):
            writer.append(names.deltas("trades"), 0, b"key", bytes(9 * 1024 * 1024))
        assert writer.append(names.deltas("trades"), 0, b"key", large * 2).offset() == 0
        assert writer.append(names.topic("trades"), 0, None, b"x").offset() == 0
        largest = os.urandom(kafka.max_record_bytes(names.topic("trades")))
        assert writer.append(names.topic("trades"), 0, None, largest).offset() == 1
    assert values(list(read_range(kafka, names.deltas("trades"), {0: 0}, {0: 1}))) == [large * 2]


def test_a_record_that_the_log_refuses_all_the_same_is_named_and_a_new_writer_goes_on(
    kafka: KafkaLog, names: TopicNames
) -> None:
    create(kafka, names.topic("trades"), 1, max_message_bytes="1000")  # smaller than any topic of the contract
    why = "(MessageSizeTooLarge|MSG_SIZE_TOO_LARGE)"
    refused = rf"record b'the key' of {names.topic('trades')}\[0\] was not acknowledged: .*{why}"
    writer = kafka.writer()
    assert writer.append(names.topic("trades"), 0, None, b"x").offset() == 0
    with pytest.raises(AppendError, match=refused):
        writer.append(names.topic("trades"), 0, b"the key", os.urandom(2000)).offset()
    for ask in (lambda: writer.append(names.topic("trades"), 0, b"next", b"y"), writer.flush, writer.close):
        with pytest.raises(AppendError, match=refused):
            ask()
    with closing(kafka.writer()) as writer:
        assert writer.append(names.topic("trades"), 0, None, b"z").offset() == 1


@pytest.mark.parametrize(
    ("key", "hashed"),  # murmur2 of the Java client, from its own tests
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_goes_to_the_partition_that_every_client_gives_it(key: bytes, hashed: int) -> None:
    for partitions in (1, 2, 4, 7, 64):
        assert KafkaLog("nowhere:1").partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


# ---------------------------------------------------------------------------------------------- gaps and lost positions


class Foreign:
    """A writer that is not ours, with transactions, of partition 0."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log, self._topic = log, topic
        self._offsets: list[int] = []
        if isinstance(log, KafkaLog):
            self._producer: Any = KafkaProducer(bootstrap_servers=log.servers, transactional_id=topic)
            self._producer.init_transactions()

    def begin(self, *values: bytes) -> None:
        if isinstance(self._log, MemoryLog):
            self._log.open_transaction(self._topic, 0)
            self._offsets = [self._log.append(self._topic, 0, None, value) for value in values]
            return
        self._producer.begin_transaction()
        for value in values:
            self._producer.send(self._topic, value, partition=0)
        self._producer.flush()

    def end(self, aborted: bool) -> None:
        if isinstance(self._log, MemoryLog):
            self._log.end_transaction(self._topic, 0, self._offsets if aborted else [])
        elif aborted:
            self._producer.abort_transaction()
        else:
            self._producer.commit_transaction()

    def close(self) -> None:
        if isinstance(self._log, KafkaLog):
            self._producer.close()


@pytest.fixture
def gaps(log: Log, trades: str) -> str:
    """The log drawn at the top, in partition 0."""
    with closing(Foreign(log, trades)) as foreign:
        for batch, aborted in (([b"a", b"b"], False), ([b"c", b"d"], True), ([b"e"], False)):
            foreign.begin(*batch)
            foreign.end(aborted)
    assert settled(lambda: log.bounds(trades)[0] == Bounds(0, 8))
    return trades


@pytest.mark.parametrize("aborted", [False, True])
def test_an_open_transaction_hides_what_lies_behind_it_until_it_ends(log: Log, trades: str, aborted: bool) -> None:
    append(log, trades, 0, b"a")
    with closing(Foreign(log, trades)) as foreign, closing(log.reader(trades, {0: 0})) as reader:
        foreign.begin(b"t")
        append(log, trades, 0, b"c")  # ours, acknowledged, and hidden with it
        found = polled(reader, bool)
        assert (values(found), reader.poll(0.2)) == ([b"a"], [])
        assert reader.bounds()[0] == log.bounds(trades)[0] == Bounds(0, 1, 2)
        foreign.end(aborted)
        append(log, trades, 0, b"d")
        polled(reader, lambda slices: tile(slices, 0, 0, 5), found)
    assert values(found) == ([b"a", b"c", b"d"] if aborted else [b"a", b"t", b"c", b"d"])
    assert tile(found, 0, 0, 5) and log.bounds(trades)[0] == Bounds(0, 5)


def test_a_position_moves_over_gaps_and_its_slices_cover_them(log: Log, gaps: str) -> None:
    for start, upto, seen in (
        (0, 8, b"abe"),
        (0, 3, b"ab"),  # ends behind a control record
        (1, 2, b"b"),
        (2, 3, b""),  # one control record
        (2, 6, b""),  # control records and aborted ones
        (4, 7, b"e"),  # starts among aborted records
        (5, 8, b"e"),
        (7, 8, b""),
        (0, 5, b"ab"),  # ends among aborted records
    ):
        slices = list(read_range(log, gaps, {0: start}, {0: upto}))
        assert b"".join(value for value in values(slices) if value) == seen
        assert tile(slices, 0, start, upto), (start, upto, slices)


def test_a_position_below_the_logs_start_is_lost_until_it_is_sought_again(log: Log, trades: str) -> None:
    #   partition 0   [3, 5) is left; a reader stands at 1
    #   partition 1   [0, 2); a reader stands at 0: nothing of it may be lost meanwhile
    append(log, trades, 0, b"a", b"b", b"c", b"d", b"e")
    append(log, trades, 1, b"x", b"y")
    log.delete_before(trades, {0: 3})
    with closing(log.reader(trades, {0: 1, 1: 0})) as reader:
        found: list[Slice] = []
        for _ in range(2):
            with pytest.raises(PositionLostError, match="out of range") as caught:
                polled(reader, lambda _: False, found)
            assert caught.value.lost == {0: 1}
        reader.seek(0, 3)
        polled(reader, lambda slices: tile(slices, 0, 3, 5) and tile(slices, 1, 0, 2), found)
        assert (values(found, 0), values(found, 1)) == ([b"d", b"e"], [b"x", b"y"])
    with pytest.raises(PositionLostError) as caught:
        list(read_range(log, trades, {0: 2}, {0: 5}))
    assert caught.value.lost == {0: 2}
    assert values(list(read_range(log, trades, {0: 3}, {0: 5}))) == [b"d", b"e"]


def test_a_range_whose_tail_is_lost_while_it_is_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryReader, "limit", 2)
    log = MemoryLog()
    log.create("t", 2)
    for p, _ in itertools.product((0, 1), range(5)):
        log.append("t", p, None, b"x")
    slices = read_range(log, "t", {0: 1, 1: 0}, {0: 5, 1: 2})
    assert {(s.partition, s.start, s.upto) for s in itertools.islice(slices, 2)} == {(0, 1, 3), (1, 0, 2)}
    log.truncate("t", 0, 3)
    with pytest.raises(PositionLostError) as caught:
        list(slices)
    assert caught.value.lost == {0: 3}


def test_a_position_above_the_logs_end_is_lost_and_one_at_its_end_is_not(log: Log, trades: str) -> None:
    append(log, trades, 0, b"a")
    with closing(log.reader(trades, {0: 1})) as reader:
        assert reader.poll(0.5) == []
        append(log, trades, 0, b"b")
        assert values(polled(reader, bool)) == [b"b"]
    with closing(log.reader(trades, {0: 3})) as reader:
        with pytest.raises(PositionLostError) as caught:
            polled(reader, lambda _: False)
        assert caught.value.lost == {0: 3}


def test_records_deleted_under_a_reader_that_has_passed_them_do_not_concern_it(log: Log, trades: str) -> None:
    append(log, trades, 0, b"a", b"b")
    with closing(log.reader(trades, {0: 0})) as reader:
        assert values(polled(reader, lambda slices: tile(slices, 0, 0, 2))) == [b"a", b"b"]
        log.delete_before(trades, {0: 2})
        append(log, trades, 0, b"c")
        assert values(polled(reader, lambda slices: tile(slices, 0, 2, 3))) == [b"c"]


# --------------------------------------------------------------------------------------------------------------- marks


def test_a_mark_has_an_empty_value_and_the_header() -> None:
    def record(value: bytes | None, *headers: tuple[str, bytes]) -> Record:
        return Record(0, 0, None, value, headers)

    assert mark_of(record(b"", (MARK_HEADER, b"run-1"))) == "run-1"
    assert mark_of(record(None, ("other", b"x"), (MARK_HEADER, "l\u00e4uft".encode()))) == "l\u00e4uft"
    assert mark_of(record(b"", (MARK_HEADER, b"\xff"))) == "\ufffd"
    assert mark_of(record(b"{}", (MARK_HEADER, b"run-1"))) is None
    assert mark_of(record(b"", ("slackwater-Mark", b"run-1"))) is None
    assert mark_of(record(b"")) is None
    assert mark_of(record(None)) is None


def test_marks_are_the_cut_of_their_run(log: Log, trades: str) -> None:
    #   partition 0   a  b  M1  c  M2
    #   partition 1   M1 M2
    #   partition 2   a  M1 M2
    append(log, trades, 0, b"a", b"b")
    append(log, trades, 2, b"a")
    with closing(log.writer()) as writer:
        first, _ = append_marks(writer, trades, range(3), "run-1")
        writer.append(trades, 0, None, b"c").offset()
        second, _ = append_marks(writer, trades, range(3), "run-2")
    assert (first, second) == ({0: 2, 1: 0, 2: 1}, {0: 4, 1: 1, 2: 2})
    assert marks_at(log, trades, first) == dict.fromkeys(range(3), "run-1")
    assert marks_at(log, trades, second) == dict.fromkeys(range(3), "run-2")
    assert marks_at(log, trades, {0: 3, 1: 1, 2: 0}) == {0: None, 1: "run-2", 2: None}
    assert marks_at(log, trades, {}) == {}


def test_there_is_no_mark_where_there_is_no_record(log: Log, gaps: str) -> None:
    with closing(log.writer()) as writer:
        cut, _ = append_marks(writer, gaps, [0, 1], "run-1")
    assert cut == {0: 8, 1: 0}
    #   a control record, an aborted one, the log's end, far above it, a partition that is not there
    assert marks_at(log, gaps, {0: 2}) == marks_at(log, gaps, {0: 3}) == {0: None}
    assert marks_at(log, gaps, {0: 9, 1: 1000, 7: 0}) == {0: None, 1: None, 7: None}
    assert marks_at(log, gaps, {0: 8, 1: 1}) == {0: "run-1", 1: None}
    log.delete_before(gaps, {0: 9})
    assert marks_at(log, gaps, cut) == {0: None, 1: "run-1"}


# -------------------------------------------------------------------------------------------------------------- commits


def committed(log: Log, group: str) -> dict[tuple[str, int], int]:
    if isinstance(log, MemoryLog):
        return {(topic, p): at for (of, topic, p), at in log.committed.items() if of == group}
    assert isinstance(log, KafkaLog)
    with log.admin() as admin:
        found: dict[Any, Any] = admin.list_group_offsets([group]).get(group, {})
    return {(at.topic, at.partition): offset.offset for at, offset in found.items()}


def test_committed_offsets_are_what_standard_tools_show(log: Log, trades: str) -> None:
    group = f"group-of-{trades}"
    append(log, trades, 0, b"a", b"b", b"c")
    with closing(log.reader(trades, {0: 0, 1: 0}, group)) as reader:
        polled(reader, lambda slices: tile(slices, 0, 0, 3))

        def shows(positions: dict[int, int], offsets: dict[tuple[str, int], int]) -> bool:
            reader.commit(positions)  # again and again, as a worker does: it does not wait, so one may be lost
            reader.poll(0.05)
            return committed(log, group) == offsets

        assert settled(lambda: shows({0: 2, 1: 0, 2: -1}, {(trades, 0): 2, (trades, 1): 0}))
        assert settled(lambda: shows({0: 3}, {(trades, 0): 3, (trades, 1): 0}))
    with closing(log.reader(trades, {0: 1}, group)) as reader:  # nothing is read from them
        found = polled(reader, bool)
    assert (found[0].start, values(found)) == (1, [b"b", b"c"])


def test_a_reader_without_a_group_commits_nothing(log: Log, trades: str) -> None:
    append(log, trades, 0, b"a")
    with closing(log.reader(trades, {0: 0})) as reader:
        reader.commit({0: 1})
        assert values(polled(reader, bool)) == [b"a"]
        reader.commit({})


# ------------------------------------------------------------------------------------------------------ no broker there


# In a process of their own: a client of kafka-python that finds no broker leaves a thread and its sockets behind.
ASK_A_CLOSED_PORT = """
import json, socket, sys, threading, time
from slackwater.log.errors import LogUnreachableError
from slackwater.log.kafka_log import KafkaLog

class ImpatientLog(KafkaLog):
    def _client(self):
        return {**super()._client(), "bootstrap_timeout_ms": 500}

with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{taken.getsockname()[1]}"
log = (ImpatientLog if sys.argv[1] == "impatient" else KafkaLog)(address)
for ask in (lambda: log.topic_id("t"), lambda: log.bounds("t"), lambda: log.reader("t", {0: 0}), log.writer):
    began = time.monotonic()
    try:
        ask()
    except LogUnreachableError as error:
        seconds = time.monotonic() - began
        print(json.dumps([address in str(error), error.hint, error.retriable, seconds, threading.active_count()]))
"""


def asked(which: str) -> list[list[Any]]:
    """For topic_id, bounds, reader, writer: server named, hint, retriable, seconds, threads afterwards."""
    command = [sys.executable, "-W", "ignore", "-c", ASK_A_CLOSED_PORT, which]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_a_closed_port_is_a_log_that_cannot_be_reached() -> None:
    found = asked("impatient")
    assert len(found) == 4
    for named, hint, retriable, _, _ in found:
        assert named
        assert retriable
        assert "slackwater up" in hint


def test_a_closed_port_is_noticed_within_seconds_and_leaves_nothing_behind() -> None:
    found = asked("as it is")
    assert len(found) == 4
    for _, _, _, seconds, threads in found:
        assert seconds < 10
        assert threads == 1
