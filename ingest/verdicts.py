"""Judges a chunk: the decoder, then the duplicate filter; what neither lets through goes to the dead letters.

The same for the log's writer and for imported history. Not here: what happens to the events that are new.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ingest.chunk import Chunk, Fault
from ingest.decoder import Decoder
from ingest.files.line_reader import LongLine
from ingest.known import CONFLICT, DUPLICATE, NEW, TOO_MANY
from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.log.dead_letter import CONFLICT as CONFLICT_REASON
from slackwater.log.dead_letter import TAKEN, TOO_MANY_INSTRUMENTS, DeadLetter, Whole, send
from slackwater.log.log import Writer
from slackwater.store.identities import Grouped, group_ids
from slackwater.streams.event import AHEAD_US
from slackwater.streams.refusal import RefusedError
from slackwater.streams.stream import Stream

_NO_ROOM = "its instrument is new, and as many are known as SLACKWATER_MAX_INSTRUMENTS allows"


class Example(NamedTuple):
    """A line that was refused: where it stood, what is wrong with it, and its first bytes."""

    source: str
    position: str
    error: str
    line: bytes


EXAMPLE_BYTES = 200
"""Of a line are shown at most."""


@dataclass
class Summary:
    """Events by fate, counted up. `refused` maps reason -> lines; `records`: how many hold what was accepted.

    `examples` maps each reason, conflicts among them, to the first line that was refused for it.
    """

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    records: int = 0
    examples: dict[str, Example] = field(default_factory=dict, compare=False)

    def copy(self) -> "Summary":
        """The counts so far."""
        return replace(self, refused=Counter(dict(sorted(self.refused.items()))), examples=dict(self.examples))

    def add(self, other: "Summary") -> None:
        """Add the counts of another, but its records."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.conflicts += other.conflicts
        self.refused.update(other.refused)
        for reason, example in other.examples.items():
            self.examples.setdefault(reason, example)

    def facts(self) -> dict[str, Any]:
        """What a program is told, but the records."""
        examples = {
            reason: {
                "source": first.source,
                "position": first.position,
                "error": first.error,
                "line": first.line.decode("utf-8", "backslashreplace"),
            }
            for reason, first in sorted(self.examples.items())
        }
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "refused": dict(sorted(self.refused.items())),
            "examples": examples,
        }

    @property
    def dead_letters(self) -> int:
        """Lines that went to the dead letters."""
        return self.conflicts + sum(self.refused.values())

    @property
    def lines(self) -> int:
        """Lines that were judged."""
        return self.accepted + self.duplicates + self.dead_letters


class Taken(NamedTuple):
    """The new events of a chunk, in order, and their ids in groups; the numbers of the lines that were refused."""

    events: pa.Table
    grouped: Grouped
    refused: list[int]


def judge_chunk(
    decoder: Decoder,
    chunk: Chunk,
    judge: Callable[[pa.Table, Grouped], Any],
    writer: Writer,
    topic: str,
    clock: Clock,
    tally: Summary,
) -> Taken:
    """What is new of a chunk; the rest is counted, and what was refused is in `topic`, when this returns.

    `judge` gives a verdict of `ingest.known` on each event. An event's time may be one minute ahead of `clock`.

    Raises:
        AppendError: a dead letter was not acknowledged.
    """
    now_us = clock.now_us()
    latest = np.full(len(chunk.lines), now_us + AHEAD_US)
    events, accepted, bad = decoder.decode_chunk(chunk, latest)
    grouped = group_ids(decoder.stream, events)
    verdicts = judge(events, grouped)
    faults = faults_of(chunk, bad)
    conflicts = accepted[verdicts == CONFLICT].tolist()
    reach("ingest.judge")
    faults |= {i: Fault(CONFLICT_REASON, TAKEN) for i in conflicts}
    faults |= {i: Fault(TOO_MANY_INSTRUMENTS, _NO_ROOM) for i in accepted[verdicts == TOO_MANY].tolist()}
    refused = sorted(faults)
    acks = [send(writer, topic, _letter(decoder.stream, chunk, i, faults[i], now_us)) for i in refused]
    if acks:
        reach("ingest.letter")
    for ack in acks:
        ack.offset()
    count_refused(tally, chunk, faults)
    tally.conflicts += len(conflicts)
    tally.duplicates += int((verdicts == DUPLICATE).sum())
    new = verdicts == NEW
    if new.all():
        return Taken(events, grouped, refused)
    events = events.filter(pa.array(new)).combine_chunks()
    return Taken(events, group_ids(decoder.stream, events), refused)


def faults_of(chunk: Chunk, bad: Mapping[int, RefusedError]) -> dict[int, Fault]:
    """What is wrong with lines of a chunk: what its source found, and what the decoder did."""
    return {i: Fault(str(error.reason), error.error) for i, error in bad.items()} | dict(chunk.faults)


def count_refused(tally: Summary, chunk: Chunk, faults: Mapping[int, Fault]) -> None:
    """Count what is refused of a chunk by reason, and keep the first of each; conflicts are counted elsewhere."""
    for i in sorted(faults):
        reason, error = faults[i]
        if reason not in tally.examples:
            line = bytes(chunk.original(i)[:EXAMPLE_BYTES])
            tally.examples[reason] = Example(chunk.source, chunk.position(i), error, line)
        if reason != CONFLICT_REASON:
            tally.refused[reason] += 1


def _letter(stream: Stream, chunk: Chunk, i: int, fault: Fault, now_us: int) -> DeadLetter:
    original, place = chunk.original(i), chunk.position(i)
    whole = Whole(original.length, original.sha256) if isinstance(original, LongLine) else None
    return DeadLetter(stream.name, chunk.source, place, fault.reason, fault.error, now_us, original, whole=whole)
