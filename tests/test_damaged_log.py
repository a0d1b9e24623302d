"""A batch that was damaged on the broker's disk, read with both clients: its partition waits before it, alone.

partition 0    a [b] c        a bit of b's batch is flipped while the broker is down: read to 1, and no further
partition 1    x              read to its end

The same where the length of b's batch is damaged; a broker does not find it then, and gives nothing.
"""

import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ops.broker import Broker, BrokerSettings, free_port
from slackwater.log.clients import CONFLUENT, KAFKA_PYTHON
from slackwater.log.errors import UnreadableError
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Slice, Unread, read_range
from slackwater.log.names import TopicNames
from slackwater.log.topics import create_topics

NAMES = TopicNames("damaged")
TOPIC = NAMES.topic("x")
HEADER = struct.Struct(">qi")
"""Of a batch: its first offset, and how many bytes follow (https://kafka.apache.org/documentation/#recordbatch)."""


class Damaged(NamedTuple):
    servers: str
    segment: Path
    whole: bytes


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    home = tmp_path_factory.mktemp("damaged")
    settings = BrokerSettings(home, free_port(), short_lived=True)
    with Broker(settings) as running:
        log = KafkaLog(running.bootstrap)
        create_topics(log, NAMES, ["x"], 2)
        with closing(log.writer()) as writer:
            for partition, value in ((0, b"a"), (0, b"b"), (0, b"c"), (1, b"x")):
                writer.append(TOPIC, partition, None, value).offset()  # a batch each
    segment = home / "broker" / "data" / f"{TOPIC}-0" / f"{0:020d}.log"
    whole = segment.read_bytes()
    torn = bytearray(whole)
    torn[end_of_batch(whole, 1) - 1] ^= 1
    segment.write_bytes(torn)
    with Broker(settings) as running:
        yield Damaged(running.bootstrap, segment, whole)


def end_of_batch(data: bytes, number: int) -> int:
    at = 0
    for _ in range(number + 1):
        _, size = HEADER.unpack_from(data, at)
        at += HEADER.size + size
    return at


@pytest.mark.broker
@pytest.mark.parametrize("client", [KAFKA_PYTHON, CONFLUENT])
def test_a_reader_stops_before_it_and_reads_the_others(damaged: Damaged, client: str) -> None:
    found: list[Slice] = []
    with closing(KafkaLog(damaged.servers, client=client).reader(TOPIC, {0: 0, 1: 0})) as reader:
        ends_s = time.monotonic() + 30
        while not reader.unread or sum(len(one.records) for one in found) < 2:
            found += reader.poll(0.2)
            assert time.monotonic() < ends_s, (found, reader.unread)
        (stuck,) = reader.unread.values()
        assert (stuck.partition, stuck.offset) == (0, 1) and stuck.reason
        assert reader.poll(0.5) == [], "nothing behind it"
    assert sorted((one.partition, record.value) for one in found for record in one.records) == [(0, b"a"), (1, b"x")]


@pytest.mark.broker
@pytest.mark.parametrize("client", [KAFKA_PYTHON, CONFLUENT])
def test_a_range_that_holds_it_is_an_error_that_names_the_place(damaged: Damaged, client: str) -> None:
    log = KafkaLog(damaged.servers, client=client)
    with pytest.raises(UnreadableError, match=rf"{TOPIC}\[0\] cannot be read from offset 1 on"):
        list(read_range(log, TOPIC, {0: 0}, {0: 3}))
    below = [record.value for one in read_range(log, TOPIC, {0: 0}, {0: 1}) for record in one.records]
    behind = [record.value for one in read_range(log, TOPIC, {0: 2}, {0: 3}) for record in one.records]
    assert (below, behind) == ([b"a"], [b"c"])


@pytest.mark.broker
@pytest.mark.parametrize("client", [KAFKA_PYTHON, CONFLUENT])
def test_it_is_read_when_it_is_whole_again(damaged: Damaged, client: str) -> None:
    with closing(KafkaLog(damaged.servers, client=client).reader(TOPIC, {0: 0})) as reader:
        ends_s = time.monotonic() + 60
        while not reader.unread:
            reader.poll(0.2)
            assert time.monotonic() < ends_s
        with on_disk(damaged, damaged.whole):
            found: list[bytes | None] = []
            while len(found) < 2:
                found += [record.value for one in reader.poll(0.2) for record in one.records]
                assert time.monotonic() < ends_s, reader.unread
            assert (found, dict(reader.unread)) == ([b"b", b"c"], {})


@pytest.mark.broker
@pytest.mark.parametrize("client", [KAFKA_PYTHON, CONFLUENT])
@pytest.mark.parametrize("size", [3, 64, 2**30])  # of 57 bytes; the last is beyond the segment
def test_a_batch_whose_length_is_damaged_is_not_waited_for(
    damaged: Damaged, client: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slackwater.log.log.SILENT_POLLS", 2)
    torn, told = bytearray(damaged.whole), list[Unread]()
    at = end_of_batch(damaged.whole, 0)
    HEADER.pack_into(torn, at, 1, size)
    with on_disk(damaged, torn):
        log = KafkaLog(damaged.servers, client=client)
        found = list(read_range(log, TOPIC, {0: 0, 1: 0}, {0: 3, 1: 1}, told.append))
    assert sorted((one.partition, record.value) for one in found for record in one.records) == [(0, b"a"), (1, b"x")]
    assert [(one.partition, one.offset) for one in told] == [(0, 1)] and told[0].reason


@contextmanager
def on_disk(damaged: Damaged, data: bytes | bytearray) -> Iterator[None]:
    """The segment holds other bytes inside; in place, since the broker holds the file open."""
    before = damaged.segment.read_bytes()
    with damaged.segment.open("r+b", buffering=0) as file:
        try:
            file.write(data)
            yield
        finally:
            file.seek(0)
            file.write(before)
