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
from slackwater.streams.stream import Stream

WHOLE_RECORD = -1
"""The index of a refusal that concerns a record as a whole."""

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


def decode(stream: Stream, records: Sequence[Record]) -> Decoded:
    """Decode a block of records. Marks are passed over; a record that does not decode never stops the block."""
    values: list[bytes] = []
    numbers: list[int] = []
    offsets: list[int] = []
    counts: list[int] = []
    times: list[int] = []
    refused: list[Refused] = []
    for number, record in enumerate(records):
        value = record.value
        if not value and mark_of(record) is not None:
            continue
        try:
            counts.append(count_lines(value))
        except RefusedError as error:
            refused.append(Refused(record.offset, WHOLE_RECORD, error.reason, error.error, value or b""))
            continue
        values.append(value or b"")
        numbers.append(number)
        offsets.append(record.offset)
        times.append(record.append_time_ms)
    if not values:
        return Decoded(_no_events(stream), refused, np.empty(0, np.int64))
    lines = values if len(values) == sum(counts) else Lines(b"\n".join(values), sum(counts))
    of = np.repeat(np.arange(len(counts)), counts)
    index = np.arange(len(lines)) - np.repeat(np.cumsum(counts) - counts, counts)
    latest = _latest_us(np.asarray(times, np.int64))[of]
    events, accepted, bad = decode_lines(stream, lines, latest)
    offset = np.asarray(offsets, np.int64)[of]
    refused += [Refused(int(offset[i]), int(index[i]), error.reason, error.error, lines[i]) for i, error in bad.items()]
    refused.sort(key=lambda one: (one.offset, one.line))
    places = [pa.array(offset[accepted]), pa.array(index[accepted].astype(np.int16))]
    *fields, _ = events.columns
    appended = pa.array(latest[accepted] - AHEAD_US)
    table = pa.Table.from_arrays([*places, *fields, appended], schema=positioned(stream))
    return Decoded(table, refused, np.asarray(numbers, np.int64)[of[accepted]])


def decode_each(stream: Stream, blocks: Sequence[Sequence[Record]]) -> list[pa.Table]:
    """The events of each of these blocks of records, decoded together: of few records a block costs what a line does.
    What is refused is left out."""
    decoded = decode(stream, [record for block in blocks for record in block])
    ends = np.searchsorted(decoded.record_of, np.cumsum([len(block) for block in blocks])).tolist()
    return [decoded.table.slice(at, end - at) for at, end in pairwise([0, *ends])]


def _latest_us(append_times_ms: Any) -> Any:
    last = (MAX_ID - AHEAD_US) // 1000  # beyond it the product would wrap
    return np.where(append_times_ms > last, MAX_ID, np.minimum(append_times_ms, last) * 1000 + AHEAD_US)
