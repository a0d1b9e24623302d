"""The ids of a table of events, in the form in which they are looked up: dense integers by entity, all others by key.

ids of one entity       7  8  9                    integers      7 8 9 -> runs
                        01J9ZZ..  01JA00..         keys          one group for all entities
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from slackwater.store.id_keys import KEY, keys_of
from slackwater.streams.entities import Entity, by_entity
from slackwater.streams.numbers import integers
from slackwater.streams.stream import Stream
from slackwater.streams.texts import array_of


class Group(NamedTuple):
    """Rows of a table and their ids: int64 of one entity, or keys (S16) of any where `entity` is None."""

    entity: Entity | None
    rows: Any
    ids: Any


class Grouped(NamedTuple):
    """The rows of each entity in order, and the ids of all of them by group."""

    entities: list[tuple[Entity, Any]]
    groups: list[Group]


def group_ids(stream: Stream, events: pa.Table) -> Grouped:
    """The ids of events. An id is an integer here if it is a canonical one, whatever its venue's rule."""
    texts = array_of(events.column(stream.identity))
    numbers, whole = integers(texts)
    entities = list(by_entity(stream, events))
    groups, keyed = [], []
    for entity, rows in entities:
        dense = whole[rows]
        if dense.all():
            groups.append(Group(entity, rows, numbers[rows]))
            continue
        if dense.any():
            mine = rows[dense]
            groups.append(Group(entity, mine, numbers[mine]))
        keyed.append((entity, rows[~dense]))
    if keyed:
        rows = np.concatenate([mine for _, mine in keyed])
        keys = [keys_of(entity, texts.take(pa.array(mine)).to_pylist()) for entity, mine in keyed]
        order = np.argsort(rows)
        groups.append(Group(None, rows[order], np.concatenate(keys).astype(KEY)[order]))
    return Grouped(entities, groups)
