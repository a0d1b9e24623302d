"""What the proof reads beside the service: the log's raw records and the archive's files, given by the caller.

How a log is reached (Kafka with its securities, or a log in memory) is no matter of the proof: the caller hands over
what reads it, and the bytes speak for themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from verify.archive import ArchivedFile, Corrected
from verify.definition import StreamData

MARK_HEADER = "slackwater-mark"


class Bounds(Protocol):
    """The retained offsets of a partition: [start, end) can be read, [end, high) is hidden by an open transaction."""

    @property
    def start(self) -> int:
        """The first one."""

    @property
    def end(self) -> int:
        """Behind the last one that can be read."""

    @property
    def high(self) -> int:
        """Behind the last one."""


class Record(Protocol):
    """One record of a partition."""

    @property
    def offset(self) -> int:
        """Its offset."""

    @property
    def append_time_ms(self) -> int:
        """When the log appended it, in milliseconds, UTC."""

    @property
    def value(self) -> bytes | None:
        """Its bytes."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Its headers."""


class Version(NamedTuple):
    """What is served: its number (0: nothing yet), its views' definitions by name, and of a stream its entities and
    partition -> where the log goes on. It says what to ask for, and proves nothing.
    """

    number: int
    definitions: Mapping[str, str]
    entities: Sequence[tuple[Any, ...]]
    cut: Mapping[int, int]


class Evidence(Protocol):
    """The log and the archive. Every method raises EvidenceError where it cannot say."""

    def bounds(self, stream: str) -> Mapping[int, Bounds]:
        """Partition -> its retained offsets, now."""

    def records(self, stream: str, partition: int, start: int, end: int) -> Iterator[Record]:
        """The records of [start, end)."""

    def served(self, stream: StreamData) -> Version:
        """The version that is served."""

    def archive(self, version: int, stream: str) -> Sequence[ArchivedFile]:
        """The files of a stream's events that a version stands on; none for version 0."""

    def corrected(self, version: int, stream: str) -> Corrected:
        """What of a stream a version is without."""


def unmarked(evidence: Evidence, stream: str, partition: int, start: int, end: int) -> Iterator[Record]:
    """The records of [start, end) without marks, which are no event's: empty ones with a batch run's header."""
    for record in evidence.records(stream, partition, start, end):
        if record.value or all(name != MARK_HEADER for name, _ in record.headers):
            yield record
