"""The dead letters that stand in their topic: each once, however often its source was read, with what became of it.

    refused, refused again, settled, refused        one letter, written three times, open
    refused, settled                                one letter, settled: its original was handed in again and taken

A letter is its source, its place in it, and its original. The topic is read twice: what is known of each letter first,
some 300 bytes of memory each, then the letters that were asked for, as they are needed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from slackwater.log.dead_letter import SETTLED, DeadLetter, letter_of, whole_of
from slackwater.log.log import Log, Record, read_range


class Chosen(NamedTuple):
    """Which letters: of a stream, of a reason, of sources that contain a text, of a time [low, high) in microseconds.
    Empty means any. `settled` ones are left out, unless it is true.
    """

    stream: str = ""
    reason: str = ""
    source: str = ""
    low_us: int = 0
    high_us: int = 2**63 - 1
    settled: bool = False

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a letter is among them, settled or not."""
        return (
            self.stream in ("", letter.stream)
            and self.reason in ("", letter.reason)
            and self.source in letter.source
            and self.low_us <= letter.time_us < self.high_us
        )


class Stored(NamedTuple):
    """A letter at the offset where it was written last; `times` it was written, and what became of it: `settled`."""

    offset: int
    letter: DeadLetter
    times: int
    settled: str

    def facts(self) -> dict[str, Any]:
        """What a program is told of it, but its time and its bytes."""
        length, sha256 = whole_of(self.letter)
        return {
            "offset": self.offset,
            "stream": self.letter.stream,
            "source": self.letter.source,
            "position": self.letter.position,
            "reason": str(self.letter.reason),
            "error": self.letter.error,
            "times": self.times,
            "settled": self.settled,
            "length": length,
            "sha256": sha256,
        }

    def text(self) -> str:
        """Its original as far as it holds it; what is no UTF-8 is escaped."""
        return self.letter.value.decode("utf-8", "backslashreplace")


@dataclass
class _Fate:
    offset: int = -1
    times: int = 0
    settled: str = ""


def stored_letters(log: Log, topic: str, chosen: Chosen) -> Iterator[Stored]:
    """The letters that stand in the topic, in the order in which they were written last.

    Raises:
        LogError: the topic cannot be read.
    """
    (partition,) = bounds = log.bounds(topic)
    start, upto = bounds[partition].start, bounds[partition].end
    fates: dict[bytes, _Fate] = {}
    for record in _records(log, topic, partition, start, upto):
        fate = fates.setdefault(_identity(record), _Fate())
        settled = dict(record.headers).get(SETTLED)
        if settled is not None:
            fate.settled = settled.decode("utf-8", "replace")
            continue
        fate.offset, fate.times, fate.settled = record.offset, fate.times + 1, ""
    for record in _records(log, topic, partition, start, upto):
        fate = fates[_identity(record)]
        if fate.offset != record.offset or (fate.settled and not chosen.settled):
            continue
        letter = letter_of(record.value or b"", record.headers)
        if chosen.takes(letter):
            yield Stored(record.offset, letter, fate.times, fate.settled)


def _records(log: Log, topic: str, partition: int, start: int, upto: int) -> Iterator[Record]:
    for piece in read_range(log, topic, {partition: start}, {partition: upto}):
        yield from piece.records


def _identity(record: Record) -> bytes:
    """Of a letter, and of what settles it: the key, and the SHA-256 of its original."""
    headers = dict(record.headers)
    sha256 = headers.get("sha256") or whole_of(letter_of(record.value or b"", record.headers)).sha256.encode()
    return hashlib.sha256(sha256 + (record.key or b"")).digest()[:16]
