"""Reads record batches for kafka-python's consumer: the same records, at a third of the cost.

kafka-python makes a record by some thirty Python calls, 8 microseconds, which was a third of what the speed layer did
with a trade. Here one loop reads a batch of the format that brokers have sent since Kafka 0.11
(https://kafka.apache.org/documentation/#record). Everything else stays with kafka-python: the connection, the fetch,
checksums, decompression, transactions, positions, and batches of older formats.

Two things differ on purpose. A batch that cannot be read (a damaged one, or one in a codec whose package is missing)
ends its partition there, and the caller is told: kafka-python raises out of the poll of all partitions, for good. And a
header's name that is not UTF-8 is shown with `\\xff` for the bytes that do not decode. The protocol says that names are
UTF-8 and brokers do not check it; kafka-python raises at every poll, so one record of a foreign writer would stop every
reader of its partition for good.
"""

from collections.abc import Callable, Iterator
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError
from kafka.structs import TopicPartition

from slackwater.log.compression import CODECS
from slackwater.log.log import Record

Stopped = Callable[[TopicPartition, int, str], None]

_CURRENT = 2
_LOG_APPEND_TIME = 1


def read_batches_of(consumer: Any, stopped: Stopped) -> None:
    """Let `consumer` give `Record`; of batches of an older format it gives kafka-python's own records.

    `stopped` is called in a poll, with a partition, the offset from which on it cannot be read, and why. The position
    stays there; whoever is told pauses the partition, or it is fetched again at once.
    """

    def make(*arguments: Any, **more: Any) -> _PartitionRecords:
        return _PartitionRecords(stopped, *arguments, **more)

    consumer._fetcher.PartitionRecords = make


class _PartitionRecords(Fetcher.PartitionRecords):
    def __init__(self, stopped: Stopped, *arguments: Any, **more: Any) -> None:
        self._stopped = stopped
        super().__init__(*arguments, **more)

    def _unpack_records(self, tp: Any, records: Any, *deserializers: Any) -> Iterator[Any]:
        try:
            yield from self._unpack(tp, records, *deserializers)
        except Exception as error:  # noqa: BLE001 - whatever a codec raises of bytes that are not its own
            text = error.args[0] if isinstance(error, KafkaError) and error.args else repr(error)
            self._stopped(tp, self.next_fetch_offset, str(text).rstrip("."))
            self.drain()

    def _unpack(self, tp: Any, records: Any, *deserializers: Any) -> Iterator[Any]:
        batch = records.next_batch()
        while batch is not None:
            if batch.magic != _CURRENT:
                yield from super()._unpack_records(tp, _Rest(batch, records), *deserializers)
                return
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"the batch at offset {batch.base_offset} fails its checksum")
            self.leader_epoch = batch.leader_epoch
            if self._holds_records(batch):
                for record in records_of(batch):
                    self.next_fetch_offset = record.offset + 1
                    yield record
            self.next_fetch_offset = batch.next_offset  # its last records may have been compacted away
            batch = records.next_batch()
        self.drain()

    def _holds_records(self, batch: Any) -> bool:
        """Whether it is neither a control batch nor of a transaction that was aborted."""
        if batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return False
        return not batch.is_control_batch


class _Rest:
    """A batch that was taken already, and those behind it."""

    def __init__(self, batch: Any, records: Any) -> None:
        self._batch = batch
        self._records = records

    def next_batch(self) -> Any:
        """The next one, None after the last."""
        batch, self._batch = self._batch, None
        return batch or self._records.next_batch()


def records_of(batch: Any) -> list[Record]:
    """The records of a batch of the current format.

    Raises:
        CorruptRecordError: its bytes are no records.
    """
    _decompress(batch)
    data, at = bytes(batch._buffer), batch._pos
    base, first_ms, count = batch.base_offset, batch.first_timestamp, batch.records_count
    append_ms = batch.max_timestamp if batch.timestamp_type == _LOG_APPEND_TIME else None
    found = []
    try:
        for _ in range(count):
            length, at = _varint(data, at)
            end = at + length
            # Attributes come first; no bit of them is used yet.
            delta_ms, at = _varint(data, at + 1 if not data[at] else _varint(data, at)[1])
            delta = data[at]
            if delta & 0x80:
                delta, at = _varint(data, at)
            else:
                delta, at = delta >> 1, at + 1
            size = data[at]
            if size & 0x81:
                size, at = _varint(data, at)
            else:
                size, at = size >> 1, at + 1
            key = None
            if size >= 0:
                key = data[at : at + size]
                at += size
            size, at = _varint(data, at)
            value = None
            if size >= 0:
                value = data[at : at + size]
                at += size
            headers: Any = ()
            if data[at]:
                headers, at = _headers(data, at)
            else:
                at += 1
            if at != end:
                raise ValueError(f"a record of {length} bytes ends at {at}, not at {end}")
            found.append(
                Record(base + delta, first_ms + delta_ms if append_ms is None else append_ms, key, value, headers)
            )
        if at != len(data):
            raise ValueError(f"{len(data) - at} bytes follow the last record")
    except (ValueError, IndexError) as error:
        raise CorruptRecordError(f"the batch at offset {base} holds no records: {error}") from error
    return found


def _decompress(batch: Any) -> None:
    codec = CODECS.get(batch.compression_type)
    try:
        iter(batch)
    except UnsupportedCodecError as error:
        needs = f"whose package {codec.package} is missing" if codec else "that nobody knows"
        name = codec.name if codec else batch.compression_type
        raise CorruptRecordError(f"the batch at offset {batch.base_offset} is in the codec {name}, {needs}") from error
    except Exception as error:
        name = codec.name if codec else batch.compression_type
        raise CorruptRecordError(f"the batch at offset {batch.base_offset} is no {name}: {error!r}") from error


def _headers(data: bytes, at: int) -> tuple[list[tuple[str, bytes]], int]:
    count, at = _varint(data, at)
    if count < 0:
        raise ValueError(f"{count} headers")
    found: list[tuple[str, Any]] = []
    for _ in range(count):
        size, at = _varint(data, at)
        if size < 0:
            raise ValueError(f"a header's name of {size} bytes")
        name = data[at : at + size].decode("utf-8", "backslashreplace")
        size, at = _varint(data, at + size)
        value = data[at : at + size] if size >= 0 else None
        at += max(size, 0)
        found.append((name, value))
    return found, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint and the place behind it."""
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    found, shift, at = byte & 0x7F, 7, at + 1
    while (byte := data[at]) & 0x80:
        found |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")
    found |= byte << shift
    return (found >> 1) ^ -(found & 1), at + 1
