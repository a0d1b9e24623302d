"""Reads partitions of a topic with kafka-python's consumer. A position out of range is raised, never reset: only the
caller knows what a hole means to it.
"""

import time
from collections.abc import Mapping
from typing import Any

from kafka.errors import LogTruncationError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata, TopicPartition

from slackwater.log.errors import PositionLostError
from slackwater.log.kafka_batches import read_batches_of
from slackwater.log.kafka_bounds import KafkaBounds
from slackwater.log.kafka_reach import Reach
from slackwater.log.log import Bounds, Record, Slice, Unread

GATHER_BYTES = 64 * 1024
"""What a broker that gathers records does not wait any longer at."""

IDLE_S = 0.1
"""Where nothing came for so long, the first record is given at once, and a broker is asked less often: one that
gathers for 5 ms answers 200 times a second, also with nothing, which took a quarter of a core here and there."""

IDLE_WAIT_MS = 50
"""How long a broker then waits for a record. Whatever else is asked over that connection waits behind it."""

UNREAD_S = 5.0
"""Between two tries of a batch that cannot be read: most stay so, one from a disk that was mended does not."""


class KafkaReader:
    """See `Reader`. A position moves over control records and gaps; the slice covers them."""

    def __init__(
        self, consumer: Any, topic: str, starts: Mapping[int, int], gather_s: float, reach: Reach, bounds: KafkaBounds
    ) -> None:
        read_batches_of(consumer, self._stopped)
        self._unread: dict[int, Unread] = {}
        self._paused_s: dict[TopicPartition, float] = {}
        self._reach = reach
        self._bounds = bounds
        self._gather_s = gather_s
        self._found_s = time.monotonic()
        self._consumer = consumer
        self._topic = topic
        self._partitions = {TopicPartition(topic, p): start for p, start in starts.items()}
        consumer.assign(list(self._partitions))
        for partition, start in self._partitions.items():
            consumer.seek(partition, start)

    def poll(self, timeout_s: float) -> list[Slice]:
        self._try_again()
        try:
            with self._reach.meant():
                found = self._consumer.poll(timeout_ms=max(0, int(timeout_s * 1000)))
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            lost = error.args[0] if error.args and isinstance(error.args[0], dict) else self._partitions
            raise PositionLostError(self._topic, {tp.partition: at for tp, at in lost.items()}) from error
        if self._gather_s:
            self._gather(bool(found))
        slices = []
        for partition, start in self._partitions.items():
            upto = self._consumer.position(partition)
            if upto > start:
                records = [_record(one) for one in found.get(partition, ())]
                slices.append(Slice(partition.partition, start, upto, records))
                self._partitions[partition] = upto
                stuck = self._unread.get(partition.partition)
                if stuck is not None and stuck.offset < upto:
                    del self._unread[partition.partition]
        return slices

    @property
    def unread(self) -> Mapping[int, Unread]:
        return self._unread

    def _stopped(self, at: TopicPartition, offset: int, reason: str) -> None:
        """A partition stands before a batch that cannot be read: the others go on, it is tried again after a while."""
        self._unread[at.partition] = Unread(at.partition, offset, reason)
        self._paused_s[at] = time.monotonic() + UNREAD_S
        self._consumer.pause(at)

    def _try_again(self) -> None:
        now = time.monotonic()
        for at in [at for at, until_s in self._paused_s.items() if until_s <= now]:
            del self._paused_s[at]
            self._consumer.resume(at)

    def _gather(self, found: bool) -> None:
        """Let the next requests gather records while some come, and wait for the first one else."""
        now = time.monotonic()
        self._found_s = now if found else self._found_s
        if now - self._found_s < IDLE_S:
            least, wait_ms = GATHER_BYTES, max(1, round(self._gather_s * 1000))
        else:
            least, wait_ms = 1, IDLE_WAIT_MS
        # kafka-python reads both anew for each request.
        self._consumer._fetcher.config.update(fetch_min_bytes=least, fetch_max_wait_ms=wait_ms)

    def seek(self, partition: int, offset: int) -> None:
        at = TopicPartition(self._topic, partition)
        self._consumer.seek(at, offset)
        self._partitions[at] = offset
        self._unread.pop(partition, None)
        if self._paused_s.pop(at, None) is not None:
            self._consumer.resume(at)

    def bounds(self) -> dict[int, Bounds]:
        return self._bounds.ask([at.partition for at in self._partitions])

    def commit(self, positions: Mapping[int, int], wait: bool = False) -> None:
        """See `Reader.commit`; does nothing in a reader without a group."""
        if self._consumer.config["group_id"] is None:
            return
        offsets = {
            TopicPartition(self._topic, p): OffsetAndMetadata(at, "", -1) for p, at in positions.items() if at >= 0
        }
        if offsets:
            if wait:
                self._consumer.commit(offsets)
            else:
                self._consumer.commit_async(offsets)

    def close(self) -> None:
        self._consumer.close(autocommit=False)
        self._bounds.close()


def _record(found: Any) -> Record:
    if isinstance(found, Record):
        return found
    return Record(found.offset, found.timestamp, found.key, found.value, found.headers)
