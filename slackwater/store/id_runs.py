"""Which integer ids an entity has, exactly, as sorted runs [first, last]: small where ids are dense.

They feed ingest's duplicate filter. A run file is Parquet: the entity's columns, first, last, others. `others` is how
many ids of the entity are no dense integers and new with this file; they stand in files of `slackwater.store.id_keys`.
"""

import bisect
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slackwater.core.checked_files import open_checked
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream


def runs_schema(stream: Stream) -> pa.Schema:
    """Of a run file; a row has both ends of a run, or `others`."""
    entity = [(name, pa.string()) for name in stream.entity]
    return pa.schema([*entity, ("first", pa.int64()), ("last", pa.int64()), ("others", pa.int64())])


class IdRuns:
    """Runs of ids per entity. Both ends of a run belong to it. `others` counts the ids that are in no run."""

    def __init__(self) -> None:
        self._firsts: dict[Entity, list[int]] = {}
        self._lasts: dict[Entity, list[int]] = {}
        self.others: Counter[Entity] = Counter()

    def __contains__(self, item: tuple[Entity, int]) -> bool:
        entity, one = item
        firsts = self._firsts.get(entity)
        if not firsts:
            return False
        at = bisect.bisect_right(firsts, one) - 1
        return at >= 0 and one <= self._lasts[entity][at]

    def add(self, entity: Entity, first: int, last: int) -> None:
        """Add the ids first..last; runs that touch become one."""
        firsts, lasts = self._firsts.setdefault(entity, []), self._lasts.setdefault(entity, [])
        low = bisect.bisect_left(lasts, first - 1)
        high = bisect.bisect_right(firsts, last + 1)
        if low < high:
            first, last = min(first, firsts[low]), max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    def add_ids(self, entity: Entity, ids: Any) -> None:
        """Add ids, an int64 array of at least one."""
        if not (ids[1:] > ids[:-1]).all():  # they come in order, mostly, and a sort costs more than all
            ids = np.unique(ids)
        if ids[-1] - ids[0] == len(ids) - 1:
            self.add(entity, int(ids[0]), int(ids[-1]))
            return
        breaks = np.flatnonzero(np.diff(ids) != 1)
        firsts, lasts = ids[np.r_[0, breaks + 1]], ids[np.r_[breaks, len(ids) - 1]]
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            self.add(entity, first, last)

    def remove(self, entity: Entity, first: int, last: int) -> None:
        """Take the ids first..last out, those that are there; a run that holds some of them becomes what is left."""
        firsts, lasts = self._firsts.get(entity, []), self._lasts.get(entity, [])
        low, high = bisect.bisect_left(lasts, first), bisect.bisect_right(firsts, last)
        left = [(max(last + 1, a), b) for a, b in zip(firsts[low:high], lasts[low:high], strict=True) if b > last]
        left = [(a, first - 1) for a in firsts[low:high][:1] if a < first] + left
        firsts[low:high] = [a for a, _ in left]
        lasts[low:high] = [b for _, b in left]
        if entity in self._firsts and not firsts:
            del self._firsts[entity], self._lasts[entity]

    def remove_ids(self, entity: Entity, ids: Any) -> None:
        """Take ids out, an int64 array of at least one."""
        ids = np.unique(ids)
        breaks = np.flatnonzero(np.diff(ids) != 1)
        for first, last in zip(
            ids[np.r_[0, breaks + 1]].tolist(), ids[np.r_[breaks, len(ids) - 1]].tolist(), strict=True
        ):
            self.remove(entity, first, last)

    def update(self, other: "IdRuns") -> None:
        """Add all that another has."""
        for entity in other._firsts:
            for first, last in zip(other._firsts[entity], other._lasts[entity], strict=True):
                self.add(entity, first, last)
        self.others.update(other.others)

    @property
    def entities(self) -> Collection[Entity]:
        """The entities that have an id."""
        return self._firsts.keys() | self.others.keys()

    def arrays(self) -> dict[Entity, tuple[Any, Any]]:
        """Each entity's first and last ids of its runs, in order, as int64 arrays."""
        return {
            entity: (np.array(firsts, np.int64), np.array(self._lasts[entity], np.int64))
            for entity, firsts in self._firsts.items()
        }

    def table(self, stream: Stream) -> pa.Table:
        """The runs as a table of `runs_schema`."""
        runs = (
            (*entity, first, last, 0)
            for entity in sorted(self._firsts)
            for first, last in zip(self._firsts[entity], self._lasts[entity], strict=True)
        )
        others = ((*entity, None, None, count) for entity, count in sorted(self.others.items()))
        schema = runs_schema(stream)
        columns: list[Any] = list(zip(*chain(runs, others), strict=True)) or [[]] * len(schema)
        return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def write_runs(stream: Stream, runs: IdRuns, path: Path) -> int:
    """Write a run file; its number of rows."""
    table = runs.table(stream)
    pq.write_table(table, path, compression="zstd")
    return int(table.num_rows)


def read_runs(stream: Stream, names: Iterable[str | Path], into: IdRuns | None = None) -> IdRuns:
    """The union of run files, and of what `into` holds, which grows. `names` are paths, or names with checksums."""
    runs = IdRuns() if into is None else into
    for name in names:
        with open_checked(str(name)) as file:
            table = pq.read_table(file, schema=runs_schema(stream))
        for *entity, first, last, others in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if first is None:
                runs.others[tuple(entity)] += others
            else:
                runs.add(tuple(entity), first, last)
    return runs
