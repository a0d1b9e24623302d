"""Lets kafka-python read a record whose header has a name that is not UTF-8.

The protocol says that names are UTF-8 and brokers do not check it. The client (3.0.12) raises CorruptRecordError for
such a record, again at every poll: one record of a foreign writer would stop every reader of its partition for good.
Here the bytes that do not decode are shown as `\\xff` instead, which no name of this project has, and the record is
judged by its value like any other.
"""

from typing import Any

from kafka.errors import CorruptRecordError
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch


class ForgivingBatch(DefaultRecordBatch):
    """The client's batch. Its own parser reads every record; one that fails for a name is read once more."""

    _buffer: Any

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except CorruptRecordError as error:
            if not isinstance(error.__context__, UnicodeDecodeError):
                raise
        self._buffer = _Buffer(self._buffer)  # for the rest of the batch: a copy for each record would add up
        return super().__next__()

    next = __next__


class _Buffer(bytearray):
    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found


class _Bytes(bytearray):
    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, "backslashreplace")


def forgive_header_names() -> None:
    """Make every consumer of this process read them. Again does nothing."""
    memory_records.DefaultRecordBatch = ForgivingBatch
