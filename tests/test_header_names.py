"""A foreign record whose header has a name that is not UTF-8: confluent-kafka reads it, and kafka-python cannot.

partition 0    a [x] c        kafka-python reads to 1, and says which client reads on; confluent-kafka reads all
partition 1    y              both read it
"""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from slackwater.log.clients import CONFLUENT, KAFKA_PYTHON
from slackwater.log.errors import UnreadableError
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Unread, read_range
from tests.beam_world import SYMBOLS, World, kafka_world, settle, speed_running


class Name(str):
    """A header's name that is written as the bytes of BAD."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return BAD


BAD = b"trace\xff\xfe"
SHOWN = "trace\\xff\\xfe"
NAME = Name("n" * len(BAD))


@pytest.fixture
def world(broker: str, tmp_path: Path) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home", client=CONFLUENT) as found:
        yield found


@pytest.mark.broker
def test_kafka_python_stops_before_such_a_record_alone_and_names_the_client_that_reads_it(
    broker: str, world: World
) -> None:
    topic, foreign = world.names.topic("trades"), KafkaProducer(bootstrap_servers=broker, linger_ms=200)
    with closing(foreign):  # one batch of partition 0, one of partition 1
        for partition, value, headers in ((0, b"a", []), (0, b"x", [(NAME, b"1")]), (0, b"c", []), (1, b"y", [])):
            foreign.send(topic, value, partition=partition, headers=headers)
    log = KafkaLog(broker, client=KAFKA_PYTHON)
    told: list[Unread] = []
    found = [
        (piece.partition, record.value)
        for piece in read_range(log, topic, {0: 0, 1: 0}, {0: 3, 1: 1}, told.append)
        for record in piece.records
    ]
    assert sorted(found) == [(0, b"a"), (1, b"y")]
    assert [(stuck.partition, stuck.offset) for stuck in told] == [(0, 1)]
    with pytest.raises(UnreadableError, match=rf"{topic}\[0\] cannot be read from offset 1 on: .* not UTF-8") as caught:
        list(read_range(log, topic, {0: 0}, {0: 3}))
    assert "slackwater[fast]" in caught.value.reason and "SLACKWATER_KAFKA_CLIENT" in caught.value.reason
    assert [record.value for _, record in world.records(topic)] == [b"a", b"x", b"c", b"y"]


@pytest.mark.broker
@pytest.mark.parametrize("codec", [None, "lz4"])
def test_both_layers_pass_over_such_records_and_agree_with_the_oracle(
    broker: str, codec: str | None, world: World
) -> None:
    world.produce(50)
    foreign: Any = KafkaProducer(bootstrap_servers=broker, compression_type=codec)
    topic, now_us = world.names.topic("trades"), time.time_ns() // 1000
    good = world.trade(SYMBOLS[0], now_us, "1.5", "2", "buy")
    with closing(foreign):
        sent = [
            foreign.send(topic, value, partition=p, headers=[(NAME, b"x"), ("trace", b"y")])
            for p in (0, 1)
            for value in (b"", b"{}", b"\xff", good)
        ]
        offsets = [(one.get(timeout=30).topic_partition.partition, one.get(timeout=30).offset) for one in sent]
    records = {
        (piece.partition, record.offset): record
        for piece in read_range(world.log, topic, dict.fromkeys(world.ends, 0), world.ends)
        for record in piece.records
    }
    assert all(records[place].headers[0][0] == SHOWN for place in offsets)
    world.produce(50)
    with speed_running(world.source(slice_s=0.3)):
        settle(world.reached)
        manifest = world.batch()
        world.produce(20)
        settle(world.reached)
    world.check(manifest)  # the foreign writer chose the partition
    world.check_chain()
