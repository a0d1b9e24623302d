"""A look at a source before anything is taken: its first events as they would enter, and what would be refused.

Only the decoder judges: no log is asked and nothing is written. So a duplicate looks like an event here, and so does a
conflict.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ingest.chunk import Chunk, Source
from ingest.decoder import Decoder
from ingest.verdicts import Summary, count_refused, faults_of
from slackwater.core.clock import Clock
from slackwater.streams.compact import plain
from slackwater.streams.event import AHEAD_US
from slackwater.streams.rows import event_lines
from slackwater.streams.stream import Stream

MOST_LINES = 10_000
"""Lines that are looked at, however few events are among them."""


@dataclass
class Rehearsed:
    """The canonical lines of the first events, each with its place in the source; what was refused on the way.

    `lines` were looked at; `ended` says whether that is the whole source.
    """

    events: list[tuple[str, bytes]] = field(default_factory=list)
    tally: Summary = field(default_factory=Summary)
    lines: int = 0
    ended: bool = False


def rehearse(stream: Stream, source: Source, most: int, clock: Clock, names: bool = False) -> Rehearsed:
    """Read a source up to its event number `most`. `names`: as an import does, which makes ids where a venue has none.

    Raises:
        SourceError, MappingError
    """
    decoder, found = Decoder(stream, names), Rehearsed()
    while len(found.events) < most and found.lines < MOST_LINES:
        chunk = source.read(1.0)
        if chunk is None:
            found.ended = True
            break
        if chunk.lines:
            _look(decoder, chunk, most, clock.now_us(), found)
    return found


def _look(decoder: Decoder, chunk: Chunk, most: int, now_us: int, found: Rehearsed) -> None:
    table, accepted, bad = decoder.decode_chunk(chunk, np.full(len(chunk.lines), now_us + AHEAD_US))
    wanted = most - len(found.events)
    numbers = accepted.tolist()
    last = numbers[wanted - 1] if len(numbers) >= wanted else len(chunk.lines) - 1
    faults = {i: fault for i, fault in faults_of(chunk, bad).items() if i <= last}
    count_refused(found.tally, chunk, faults)
    events: pa.Table = plain(decoder.stream, table.slice(0, wanted))
    lines = event_lines(decoder.stream, events) if events.num_rows else []
    found.events += [(chunk.position(i), line) for i, line in zip(numbers, lines, strict=False)]
    found.tally.accepted += len(lines)
    found.lines += last + 1
