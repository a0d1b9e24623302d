"""What tells a duplicate from a conflict: an event's content as 16 bytes, and when two of one identity are the same.

    digest    64 bits of a hash over every column but entity, identity, time, time_unit, appended and a derived sequence
    timestamp the time in microseconds and its unit, in one integer

Two contents are the same if their digests are, and their times are equal once both are floored at the coarser of their
units: what came first in milliseconds is the same trade in microseconds. A digest over the time would be 8 bytes less
an event and could not tell. Two digests of different contents are equal with a chance of 2^-64.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.streams.entities import FEW_ROWS
from slackwater.streams.numbers import units_of
from slackwater.streams.order import UNIT_US
from slackwater.streams.stream import TIME_UNIT, Stream
from slackwater.streams.texts import array_of, of_each

CONTENT = np.dtype([("digest", "<u8"), ("timestamp", "<u8")])

_UNIT_US = np.array(
    [UNIT_US[unit] for unit in TIME_UNIT.values], np.uint64
)  # by what a timestamp's two lowest bits say
_UNITS = pa.array(TIME_UNIT.values)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's multipliers
_STEP = np.uint64(0x9E3779B97F4A7C15)


def contents_of(stream: Stream, events: pa.Table) -> Any:
    """The content of each event, an array of CONTENT."""
    apart = {*stream.entity, stream.identity, stream.time}
    digest = np.zeros(events.num_rows, np.uint64)
    for column in stream.columns:
        if column.name in apart:
            continue
        words = words_of(events.column(column.name))
        if column.name == stream.order and stream.timed:  # made of the time, so no content of its own
            timed = of_each(events.column(stream.entity[0]), stream.is_timed)
            words = np.where(timed, np.uint64(0), words)
        digest = _mixed((digest ^ words) + _STEP)
    contents = np.empty(events.num_rows, CONTENT)
    contents["digest"] = digest
    units = of_each(events.column(TIME_UNIT.name), lambda texts: pc.index_in(texts, _UNITS).to_numpy())
    times = array_of(events.column(stream.time)).to_numpy().astype(np.uint64)
    contents["timestamp"] = times << np.uint64(2) | units.astype(np.uint64)
    return contents


def same(one: Any, other: Any) -> Any:
    """Which of two arrays' contents, one by one, are those of the same event."""
    floors = _UNIT_US[np.maximum(one["timestamp"] & np.uint64(3), other["timestamp"] & np.uint64(3)).astype(np.intp)]
    times = [(each["timestamp"] >> np.uint64(2)) // floors for each in (one, other)]
    return (one["digest"] == other["digest"]) & (times[0] == times[1])


def words_of(column: Any) -> Any:
    """A column as 64 bits a row, equal where the values are; text as its hash."""
    column = array_of(column)
    if pa.types.is_dictionary(column.type):
        return of_each(column, lambda texts: np.array([_word(text) for text in texts.to_pylist()], np.uint64))
    if pa.types.is_decimal(column.type):
        return units_of(column).astype(np.uint64)
    if pa.types.is_integer(column.type):
        return column.to_numpy().astype(np.uint64)
    if len(column) < FEW_ROWS:
        return np.fromiter(map(_word, column.to_pylist()), np.uint64, len(column))
    known = column.dictionary_encode()
    words = [_word(text) for text in known.dictionary.to_pylist()]
    return np.array(words, np.uint64)[known.indices.to_numpy()]


@lru_cache(maxsize=1024)
def _word(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(words: Any) -> Any:
    words = (words ^ (words >> np.uint64(30))) * _MIX[0]
    words = (words ^ (words >> np.uint64(27))) * _MIX[1]
    return words ^ (words >> np.uint64(31))
