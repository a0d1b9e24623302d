"""A foreign record whose header has a name that is not UTF-8: it is read, covered, and judged by its value.

The first test pins what the client does with it; when that changes, the promise in `slackwater.log.kafka_batches` may
go.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from slackwater.log.clients import CONFLUENT, KAFKA_PYTHON
from slackwater.log.kafka_batches import records_of
from slackwater.log.log import read_range
from tests.beam_world import SYMBOLS, World, kafka_world, settle, speed_running


class Name(str):
    """A header's name that is written as the bytes of BAD."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return BAD


BAD = b"trace\xff\xfe"
SHOWN = "trace\\xff\\xfe"
NAME = Name("n" * len(BAD))


def batch(codec: int, *headers: list[tuple[str, bytes | None]]) -> bytes:
    """The bytes of one batch, a record for each list of headers."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for at, some in enumerate(headers):
        builder.append(at, 1_000, b"k%d" % at, b"v%d" % at, some)
    return bytes(builder.build())


def test_the_client_alone_raises_for_a_name_that_is_not_utf8() -> None:
    with pytest.raises(CorruptRecordError):
        list(DefaultRecordBatch(batch(0, [("fine", b"1")], [(NAME, b"2")])))


@pytest.mark.parametrize("codec", [0, DefaultRecordBatch.CODEC_LZ4])
def test_every_record_of_the_batch_is_read_and_such_a_name_is_shown(codec: int) -> None:
    headers: list[list[tuple[str, bytes | None]]] = [
        [("é", b"1")],
        [(NAME, b"2"), ("fine", None), (NAME, b"")],
        [],
        [(NAME, b"3")],
        [("last", b"4")],
    ]
    found = records_of(DefaultRecordBatch(batch(codec, *headers)))
    assert [(one.offset, one.key, one.value) for one in found] == [(i, b"k%d" % i, b"v%d" % i) for i in range(5)]
    shown = [[(SHOWN if name is NAME else name, value) for name, value in some] for some in headers]
    assert [list(one.headers) for one in found] == shown
    assert {type(part) for one in found for part in (one.key, one.value)} == {bytes}


def test_a_batch_that_is_corrupt_otherwise_still_raises() -> None:
    torn = bytearray(batch(0, [("a", b"1")]))
    torn[-2] = 60  # the header's value is longer than the batch
    with pytest.raises(CorruptRecordError):
        records_of(DefaultRecordBatch(torn))


@pytest.fixture(params=[KAFKA_PYTHON, CONFLUENT])
def world(broker: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home", client=request.param) as found:
        yield found


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
    world.check(manifest, moved=True)  # the foreign writer chose the partition
    world.check_chain()
