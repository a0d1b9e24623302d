"""What tells a duplicate from a conflict: an event's content as 16 bytes, and when two of one identity are the same.

    digest    64 bits of a hash over every column but entity, identity, time, time_unit, appended and a derived sequence
    moment    the time in microseconds and its unit, in one integer

Two contents are the same if their digests are, and their times are equal once both are floored at the coarser of their
units: what came first in milliseconds is the same trade in microseconds. A digest over the time would be 8 bytes less
an event and could not tell. Two digests of different contents are equal with a chance of 2^-64.
"""

from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.streams.rows import units
from slackwater.streams.stream import Stream

CONTENT = np.dtype([("digest", "<u8"), ("moment", "<u8")])

UNITS = ("us", "ms", "s")
"""Units of time from the finest; a moment holds the place of one of them in its two lowest bits."""

_UNIT_US = np.array([1, 1_000, 1_000_000], np.uint64)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's multipliers
_STEP = np.uint64(0x9E3779B97F4A7C15)


def contents_of(stream: Stream, events: pa.Table) -> Any:
    """The content of each event, an array of CONTENT."""
    apart = {*stream.entity, stream.identity, stream.time}
    digest = np.zeros(events.num_rows, np.uint64)
    for column in stream.columns:
        if column.name not in apart:
            digest = _mixed((digest ^ words_of(events.column(column.name).combine_chunks())) + _STEP)
    contents = np.empty(events.num_rows, CONTENT)
    contents["digest"] = digest
    contents["moment"] = events.column(stream.time).to_numpy().astype(np.uint64) << np.uint64(2)
    return contents


def same(one: Any, other: Any) -> Any:
    """Which of two arrays' contents, one by one, are those of the same event."""
    floors = _UNIT_US[np.maximum(one["moment"] & np.uint64(3), other["moment"] & np.uint64(3)).astype(np.intp)]
    times = [(each["moment"] >> np.uint64(2)) // floors for each in (one, other)]
    return (one["digest"] == other["digest"]) & (times[0] == times[1])


def words_of(column: Any) -> Any:
    """A column as 64 bits a row, equal where the values are; text as its hash."""
    if isinstance(column, pa.ChunkedArray):  # Arrow gives one of no chunks if the table has no rows
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_decimal(column.type):
        return units(column).astype(np.uint64)
    if pa.types.is_integer(column.type):
        return column.to_numpy().astype(np.uint64)
    known = column.dictionary_encode()
    words = [blake2b(text.encode(), digest_size=8).digest() for text in known.dictionary.to_pylist()]
    return np.frombuffer(b"".join(words), "<u8")[known.indices.to_numpy()]


def _mixed(words: Any) -> Any:
    words = (words ^ (words >> np.uint64(30))) * _MIX[0]
    words = (words ^ (words >> np.uint64(27))) * _MIX[1]
    return words ^ (words >> np.uint64(31))
