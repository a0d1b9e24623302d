"""Record batches are read as kafka-python reads them, for any keys, values and headers, and broken ones are refused."""

import random
from typing import Any

import pytest
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.structs import TopicPartition

from slackwater.log.kafka_batches import records_of
from slackwater.log.log import Record

NONE, GZIP, LZ4 = 0, 1, 3


def built(seed: int, codec: int, append_time: bool, base: int = 0) -> bytes:
    r = random.Random(seed)
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=7,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 24,
    )
    offset = 0
    for _ in range(r.randrange(1, 60)):
        headers = [
            ("n" * r.choice([0, 1, 63, 64, 200]) + "é", r.choice([None, b"", b"v" * 70]))
            for _ in range(r.choice([0, 0, 0, 1, 3]))
        ]
        builder.append(
            offset,
            1_700_000_000_000 + r.choice([0, 1, 63, 64, 2**20, -5]),
            r.choice([None, b"", b"k", b"k" * 63, b"k" * 64]),
            r.choice(
                [None, b"", b"{}", r.randbytes(63), r.randbytes(64), r.randbytes(r.choice([8_191, 8_192, 70_000]))]
            ),
            headers,
        )
        offset += r.choice([1, 1, 1, 2, 64, 200])
    data = bytearray(builder.build())
    data[0:8] = base.to_bytes(8, "big")
    if append_time:
        data[22] |= 0b1000  # the broker sets the timestamp's type
    return bytes(data)


def theirs(data: bytes) -> list[Record]:
    batch = DefaultRecordBatch(data)
    return [Record(one.offset, one.timestamp, one.key, one.value, one.headers) for one in batch]


def ours(data: bytes) -> list[Record]:
    return records_of(DefaultRecordBatch(data))


def plain(records: list[Record]) -> list[tuple[Any, ...]]:
    return [(*record[:4], list(record.headers)) for record in records]


@pytest.mark.parametrize("append_time", [True, False])
@pytest.mark.parametrize("codec", [NONE, GZIP, LZ4])
@pytest.mark.parametrize("seed", range(12))
def test_a_batch_reads_as_kafka_python_reads_it(seed: int, codec: int, append_time: bool) -> None:
    data = built(seed, codec, append_time, base=random.Random(seed).choice([0, 5, 2**40]))
    assert len(ours(data)) >= 1
    assert plain(ours(data)) == plain(theirs(data))


def test_broken_bytes_are_refused_whenever_kafka_python_refuses_them() -> None:
    r = random.Random(1)
    refused = 0
    for _ in range(1_000):
        data = bytearray(built(r.randrange(30), NONE, True))
        for _ in range(r.randrange(1, 4)):
            data[r.randrange(61, len(data))] = r.randrange(256)
        if r.random() < 0.3:
            del data[r.randrange(62, len(data)) :]
        try:
            expected = plain(theirs(bytes(data)))
        except CorruptRecordError as error:
            if "utf-8" in str(error):
                continue  # a header's name: ours goes on, see below
            refused += 1
            with pytest.raises(CorruptRecordError):
                ours(bytes(data))
        else:
            assert plain(ours(bytes(data))) == expected
    assert refused > 100


def test_the_library_still_has_the_place_that_is_filled() -> None:
    kind = Fetcher.PartitionRecords
    assert {"_unpack_records", "drain", "take"} <= set(dir(kind))
    found = kind(0, TopicPartition("t", 0), MemoryRecords(built(1, NONE, False)))
    assert [one.offset for one in found.take()] == [one.offset for one in ours(built(1, NONE, False))]
