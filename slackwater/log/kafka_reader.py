"""Reads partitions of a topic with kafka-python's consumer. A position out of range is raised, never reset: only the
caller knows what a hole means to it.

A batch that cannot be read raises out of the poll of all partitions, and nothing says of which one it is. So each is
read alone then, until the same happens; that one is left out for a while, and the others go on.
"""

import time
from collections.abc import Collection, Mapping
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from slackwater.log.errors import LogError, PositionLostError
from slackwater.log.kafka_bounds import ASK_MS, KafkaBounds
from slackwater.log.kafka_reach import Reach, of_cluster
from slackwater.log.log import AskedAtOnce, Bounds, Record, Slice, Unread

UNREAD_S = 5.0
"""Between two tries of a batch that cannot be read: most stay so, one from a disk that was mended does not."""

ALONE_S = 10.0
"""How long partitions that hold more may take to show their next record, or that it cannot be read."""

TRIES = 3
"""Polls in a row that may raise without a partition that raises alone."""

_LOST = (OffsetOutOfRangeError, LogTruncationError)


class KafkaReader:
    """See `Reader`. A position moves over control records and gaps; the slice covers them."""

    def __init__(
        self, consumer: Any, topic: str, starts: Mapping[int, int], gather_s: float, reach: Reach, bounds: KafkaBounds
    ) -> None:
        self._unread: dict[int, Unread] = {}
        self._left_out_s: dict[TopicPartition, float] = {}
        self._reach = reach
        self._bounds = bounds
        self._gather_s = gather_s
        self._found_s = float("-inf")
        self._failures = 0
        self._consumer = consumer
        self._topic = topic
        self._partitions = {TopicPartition(topic, p): start for p, start in starts.items()}
        self._begin(self._partitions)

    def poll(self, timeout_s: float) -> list[Slice]:
        self._try_again()
        try:
            with self._reach.meant():
                found = self._found(max(0, int(timeout_s * 1000)))
        except _LOST as error:
            lost = error.args[0] if error.args and isinstance(error.args[0], dict) else self._partitions
            raise PositionLostError(self._topic, {tp.partition: at for tp, at in lost.items()}) from error
        slices = []
        for partition in self._read():
            start, upto = self._partitions[partition], self._consumer.position(partition)
            if upto > start:
                records = [
                    Record(one.offset, one.timestamp, one.key, one.value, one.headers)
                    for one in found.get(partition, ())
                ]
                slices.append(Slice(partition.partition, start, upto, records))
                self._partitions[partition] = upto
                stuck = self._unread.get(partition.partition)
                if stuck is not None and stuck.offset < upto:
                    del self._unread[partition.partition]
        return slices

    def _found(self, timeout_ms: int) -> Any:
        # While records come, a request for each would take half a core at 1,000 a second: let some gather first.
        time.sleep(max(0.0, self._found_s + self._gather_s - time.monotonic()))
        try:
            found = self._consumer.poll(timeout_ms=timeout_ms)
        except Exception as error:
            # Whatever a codec raises of bytes that are not its own; what is of the cluster is of no batch.
            if isinstance(error, _LOST) or of_cluster(error):
                raise
            if not self._leave_out():  # it can be read now, or the broker has gone; what stays comes again
                self._failures += 1
                if self._failures > TRIES:
                    raise LogError(f"{self._topic!r} cannot be read now: {error!r}.") from error
            return {}
        self._failures = 0
        if found:
            self._found_s = time.monotonic()
        return found

    @property
    def unread(self) -> Mapping[int, Unread]:
        return self._unread

    def _leave_out(self) -> bool:
        """Find the partition whose next batch cannot be read, and leave it out for a while; whether there is one."""
        suspects = sorted(self._read(), key=lambda at: at.partition not in self._unread)
        try:
            ends = self._consumer.end_offsets(suspects, timeout_ms=ASK_MS)
            ends_s = time.monotonic() + ALONE_S
            for at in suspects:
                error = self._alone(at, ends_s) if self._partitions[at] < ends[at] else None
                if error is not None:
                    self._unread[at.partition] = Unread(at.partition, self._partitions[at], _reason(error))
                    self._left_out_s[at] = time.monotonic() + UNREAD_S
                    return True
            return False
        finally:
            self._assign(self._read())

    def _alone(self, at: TopicPartition, ends_s: float) -> Exception | None:
        """What it raises to read the next record of a partition alone; that record is read again later."""
        self._assign([at])
        try:
            while self._consumer.position(at) == self._partitions[at] and time.monotonic() < ends_s:
                self._consumer.poll(timeout_ms=100, max_records=1)
        except Exception as error:  # noqa: BLE001 - as above
            return None if isinstance(error, _LOST) or of_cluster(error) else error
        return None

    def _read(self) -> list[TopicPartition]:
        """The partitions that are not left out."""
        return [at for at in self._partitions if at not in self._left_out_s]

    def _begin(self, partitions: Collection[TopicPartition]) -> None:
        if partitions:
            self._consumer.assign(list(partitions))
        for at in partitions:
            self._consumer.seek(at, self._partitions[at])

    def _assign(self, partitions: Collection[TopicPartition]) -> None:
        """Read these partitions, from what was given of them on, and forget all that was fetched.

        After it raised, kafka-python 3.0.12 keeps the batch that it raised of, finds nothing more in it, and looks into
        it for ever in the next poll. A poll of nothing throws it away.
        """
        self._consumer.unsubscribe()
        try:
            self._consumer.poll(timeout_ms=0)
        finally:
            self._begin(partitions)

    def _try_again(self) -> None:
        now = time.monotonic()
        again = [at for at, until_s in self._left_out_s.items() if until_s <= now]
        for at in again:
            del self._left_out_s[at]
        if again:
            self._assign(self._read())

    def seek(self, partition: int, offset: int) -> None:
        at = TopicPartition(self._topic, partition)
        self._partitions[at] = offset
        self._unread.pop(partition, None)
        if self._left_out_s.pop(at, None) is None:
            self._consumer.seek(at, offset)
        else:
            self._assign(self._read())

    def bounds(self) -> dict[int, Bounds]:
        return self._bounds.ask([at.partition for at in self._partitions])

    def ask_bounds(self) -> AskedAtOnce:
        return AskedAtOnce(self.bounds)

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


def _reason(error: Exception) -> str:
    text = (str(error) if isinstance(error, KafkaError) else repr(error)).rstrip(".")
    if isinstance(error.__context__, UnicodeDecodeError):
        return (
            f"{text}: a header's name that is not UTF-8, which kafka-python refuses; confluent-kafka reads it "
            "(install `slackwater[fast]`, set SLACKWATER_KAFKA_CLIENT to confluent)"
        )
    return text
