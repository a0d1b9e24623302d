"""The events of a table by entity, as row numbers in order. An entity is the values of a stream's entity columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.streams.stream import Stream
from slackwater.streams.texts import array_of

Entity = tuple[str, ...]

FEW_ROWS = 32
"""Rows below which a dictionary of texts costs more than it saves."""


def by_entity(stream: Stream, events: pa.Table) -> Iterator[tuple[Entity, Any]]:
    """Each entity of a table of events with its row numbers, an int64 array in ascending order."""
    if events.num_rows < FEW_ROWS:
        names = zip(*(events.column(name).to_pylist() for name in stream.entity), strict=True)
        found: dict[Entity, list[int]] = {}
        for row, entity in enumerate(names):
            found.setdefault(entity, []).append(row)
        yield from ((entity, np.array(rows)) for entity, rows in found.items())
        return
    code, most = np.zeros(events.num_rows, np.int64), 1
    dictionaries = []
    for name in stream.entity:
        column = array_of(events.column(name)).dictionary_encode()
        dictionaries.append(column.dictionary)
        most *= len(column.dictionary)
        code = code * len(column.dictionary) + column.indices.to_numpy()
    there, order, ends = _ordered(code, most)
    for value, start, end in zip(there.tolist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        values, rest = [], value
        for dictionary in reversed(dictionaries):
            rest, at = divmod(rest, len(dictionary))
            values.append(dictionary[at].as_py())
        yield tuple(reversed(values)), order[start:end]


def _ordered(code: Any, most: int) -> tuple[Any, Any, Any]:
    """The codes that there are, the rows in order of them, and where the rows of each end."""
    # Each event is read once, however many entities there are; what fits 16 bits is sorted by radix.
    if most <= 1 << 16:
        counts = np.bincount(code)
        there = np.flatnonzero(counts)
        order = np.arange(len(code)) if len(there) == 1 else np.argsort(code.astype(np.uint16), kind="stable")
        return there, order, np.cumsum(counts[there])
    there, number = np.unique(code, return_inverse=True)
    order = np.argsort(number.astype(np.uint16) if len(there) < 1 << 16 else number, kind="stable")
    return there, order, np.cumsum(np.bincount(number))


def entity_key(entity: Entity) -> bytes:
    """The key of an entity's records in the log, which chooses their partition."""
    return ":".join(entity).encode()
