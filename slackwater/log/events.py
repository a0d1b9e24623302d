"""Records of the log -> an Arrow table of events with their positions, and what was refused.

Not here: what a line means (`slackwater.streams.decode`), and the records themselves (`slackwater.log.log`).
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from slackwater.log.log import Record
from slackwater.log.mark import mark_of
from slackwater.streams.decode import decode_lines
from slackwater.streams.event import AHEAD_US, count_lines
from slackwater.streams.lines import Lines
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.refusal import RefusedError
from slackwater.streams.schema import MAX_LINES
from slackwater.streams.stream import Stream

WHOLE_RECORD = -1
"""The index of a refusal that concerns a record as a whole."""

MUCH_TEXT = 64 * 1024
"""Bytes of records from which all their lines are found at once, which has a fixed cost of 0.1 ms."""

_PLACE = [pa.field("offset", pa.int64(), nullable=False), pa.field("index", pa.int16(), nullable=False)]


@cache
def positioned(stream: Stream) -> pa.Schema:
    """Events of a stream with their place: the record's offset, and the line's index in the record."""
    return pa.schema([*_PLACE, *stream.schema])


@cache
def _no_events(stream: Stream) -> pa.Table:
    """Made once: a worker with nothing to do decodes nothing all the time, and a table of no rows takes 0.1 ms."""
    return positioned(stream).empty_table()


class Refused(NamedTuple):
    """What was refused: the record's offset, the line in it (WHOLE_RECORD for all of it), why, and the bytes."""

    offset: int
    line: int
    reason: str
    error: str
    value: bytes


class Decoded(NamedTuple):
    """Events of `positioned(stream)` and refusals, both in log order; of each event the number of its record."""

    table: pa.Table
    refused: list[Refused]
    record_of: Any


def decode(stream: Stream, records: Sequence[Record], compact: bool = False) -> Decoded:
    """Decode a block of records. Marks are passed over; a record that does not decode never stops the block.

    Where `compact` is allowed, the events of a block may come as a compact table (`slackwater.streams.compact`).
    """
    refused: list[Refused] = []
    numbers, lines, counts = _lines(records, refused)
    if not numbers:
        return Decoded(_no_events(stream), refused, np.empty(0, np.int64))
    of = np.repeat(np.arange(len(counts)), counts)
    index = np.arange(len(lines)) - np.repeat(np.cumsum(counts) - counts, counts)
    latest = _latest_us(np.array([records[i].append_time_ms for i in numbers], np.int64))[of]
    events, accepted, bad = decode_lines(stream, lines, latest, compact)
    offset = np.array([records[i].offset for i in numbers], np.int64)[of]
    refused += [Refused(int(offset[i]), int(index[i]), error.reason, error.error, lines[i]) for i, error in bad.items()]
    refused.sort(key=lambda one: (one.offset, one.line))
    places = [pa.array(offset[accepted]), pa.array(index[accepted].astype(np.int16))]
    *fields, _ = events.columns
    appended = pa.array(latest[accepted] - AHEAD_US)
    schema = positioned(stream) if events.schema == stream.schema else pa.schema([*_PLACE, *events.schema])
    table = pa.Table.from_arrays([*places, *fields, appended], schema=schema)
    return Decoded(table, refused, np.array(numbers, np.int64)[of[accepted]])


def _lines(records: Sequence[Record], refused: list[Refused]) -> tuple[list[int], Sequence[bytes], Any]:
    """The lines of records, the numbers of the records that have some, and how many each of those has.

    Marks have none, and what is `refused` whole.
    """
    values = [record.value or b"" for record in records]
    numbers = [i for i, value in enumerate(values) if value or mark_of(records[i]) is None]
    texts = [values[i] for i in numbers]
    if sum(map(len, texts)) >= MUCH_TEXT and all(texts):
        lines = Lines(texts)
        if lines.counts.max() <= MAX_LINES:
            return numbers, lines, lines.counts
    good, counts = [], []
    for i, text in zip(numbers, texts, strict=True):
        try:
            counts.append(count_lines(text))
            good.append(i)
        except RefusedError as error:
            refused.append(Refused(records[i].offset, WHOLE_RECORD, error.reason, error.error, text))
    texts = [values[i] for i in good]
    return good, texts if len(texts) == sum(counts) else Lines(texts, counts), counts


def decode_each(stream: Stream, blocks: Sequence[Sequence[Record]]) -> list[pa.Table]:
    """The events of each of these blocks of records, decoded together: of few records a block costs what a line does.
    What is refused is left out."""
    decoded = decode(stream, [record for block in blocks for record in block])
    ends = np.searchsorted(decoded.record_of, np.cumsum([len(block) for block in blocks])).tolist()
    return [decoded.table.slice(at, end - at) for at, end in pairwise([0, *ends])]


def _latest_us(append_times_ms: Any) -> Any:
    last = (MAX_ID - AHEAD_US) // 1000  # beyond it the product would wrap
    return np.where(append_times_ms > last, MAX_ID, np.minimum(append_times_ms, last) * 1000 + AHEAD_US)
