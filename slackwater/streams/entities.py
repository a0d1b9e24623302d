"""The events of a table by entity, as row numbers in order. An entity is the values of a stream's entity columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.streams.stream import Stream

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
    code = np.zeros(events.num_rows, np.int64)
    dictionaries = []
    for name in stream.entity:
        column = events.column(name).combine_chunks().dictionary_encode()
        dictionaries.append(column.dictionary)
        code = code * len(column.dictionary) + column.indices.to_numpy()
    there, number = np.unique(code, return_inverse=True)
    # Each event is read once, however many entities there are; what fits 16 bits is sorted by radix.
    order = np.argsort(number.astype(np.uint16) if len(there) < 1 << 16 else number, kind="stable")
    ends = np.cumsum(np.bincount(number))
    for value, start, end in zip(there.tolist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        values, rest = [], value
        for dictionary in reversed(dictionaries):
            rest, at = divmod(rest, len(dictionary))
            values.append(dictionary[at].as_py())
        yield tuple(reversed(values)), order[start:end]


def entity_key(entity: Entity) -> bytes:
    """The key of an entity's records in the log, which chooses their partition."""
    return ":".join(entity).encode()
