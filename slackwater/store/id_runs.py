"""Which integer ids an entity has, exactly, as sorted runs [first, last]: small where ids are dense.

They feed ingest's duplicate filter. A run file is Parquet: the entity's columns, first, last, others. `others` is how
many ids of the entity are no dense integers and new with this file; they stand in files of `slackwater.store.id_keys`.
"""

import bisect
from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slackwater.core.checked_files import open_checked
from slackwater.streams.entities import Entity, by_entity
from slackwater.streams.stream import Stream

FEW_RUNS = 32
"""Runs below which arrays cost more than they save."""


def runs_schema(stream: Stream) -> pa.Schema:
    """Of a run file; a row has both ends of a run, or `others`."""
    entity = [(name, pa.string()) for name in stream.entity]
    return pa.schema([*entity, ("first", pa.int64()), ("last", pa.int64()), ("others", pa.int64())])


class IdRuns:
    """Runs of ids per entity. Both ends of a run belong to it. `others` counts the ids that are in no run."""

    def __init__(self) -> None:
        self._firsts: dict[Entity, array[int]] = {}
        self._lasts: dict[Entity, array[int]] = {}
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
        firsts, lasts = self._of(entity)
        low = bisect.bisect_left(lasts, first - 1)
        high = bisect.bisect_right(firsts, last + 1)
        if low < high:
            first, last = min(first, firsts[low]), max(last, lasts[high - 1])
        firsts[low:high] = array("q", [first])
        lasts[low:high] = array("q", [last])

    def add_runs(self, entity: Entity, firsts: Any, lasts: Any) -> None:
        """Add runs, their ends as two int64 arrays of at least one. To put each into its place moves all behind it: of
        many runs amid many others, that is a square.
        """
        if len(firsts) < FEW_RUNS:
            for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
                self.add(entity, first, last)
            return
        own = self._of(entity)
        at = bisect.bisect_left(own[1], int(firsts.min()) - 1)  # what lies before it stays
        firsts, lasts = (np.concatenate([mine[at:], more]) for mine, more in zip(own, (firsts, lasts), strict=True))
        order = np.argsort(firsts, kind="stable")
        firsts, lasts = firsts[order], np.maximum.accumulate(lasts[order])
        breaks = np.flatnonzero(firsts[1:] - 1 > lasts[:-1])
        own[0][at:] = array("q", firsts[np.r_[0, breaks + 1]].tobytes())
        own[1][at:] = array("q", lasts[np.r_[breaks, len(lasts) - 1]].tobytes())

    def add_ids(self, entity: Entity, ids: Any) -> None:
        """Add ids, an int64 array of at least one."""
        if not (ids[1:] > ids[:-1]).all():  # they come in order, mostly, and a sort costs more than all
            ids = np.unique(ids)
        if ids[-1] - ids[0] == len(ids) - 1:
            self.add(entity, int(ids[0]), int(ids[-1]))
            return
        breaks = np.flatnonzero(np.diff(ids) != 1)
        self.add_runs(entity, ids[np.r_[0, breaks + 1]], ids[np.r_[breaks, len(ids) - 1]])

    def remove(self, entity: Entity, first: int, last: int) -> None:
        """Take the ids first..last out, those that are there; a run that holds some of them becomes what is left."""
        if entity not in self._firsts:
            return
        firsts, lasts = self._of(entity)
        low, high = bisect.bisect_left(lasts, first), bisect.bisect_right(firsts, last)
        left = [(max(last + 1, a), b) for a, b in zip(firsts[low:high], lasts[low:high], strict=True) if b > last]
        left = [(a, first - 1) for a in firsts[low:high][:1] if a < first] + left
        firsts[low:high] = array("q", [a for a, _ in left])
        lasts[low:high] = array("q", [b for _, b in left])
        if not firsts:
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
            self.add_runs(entity, *map(np.array, other._of(entity)))
        self.others.update(other.others)

    @property
    def entities(self) -> Collection[Entity]:
        """The entities that have an id."""
        return self._firsts.keys() | self.others.keys()

    def arrays(self) -> dict[Entity, tuple[Any, Any]]:
        """Each entity's first and last ids of its runs, in order, as int64 arrays."""
        return {entity: (np.array(firsts), np.array(self._lasts[entity])) for entity, firsts in self._firsts.items()}

    def table(self, stream: Stream) -> pa.Table:
        """The runs as a table of `runs_schema`."""
        entities, others = sorted(self._firsts), sorted(self.others.items())
        names = [*entities, *(entity for entity, _ in others)]
        counts = [*(len(self._firsts[entity]) for entity in entities), *(1 for _ in others)]
        of = np.repeat(np.arange(len(names)), np.array(counts, np.int64))
        ends = (
            pa.concat_arrays(
                [*(pa.array(np.array(each[entity])) for entity in entities), pa.nulls(len(others), pa.int64())]
            )
            for each in (self._firsts, self._lasts)
        )
        columns = [
            *(pa.array([name[n] for name in names], pa.string()).take(of) for n in range(len(stream.entity))),
            *ends,
            pa.array(np.r_[np.zeros(len(of) - len(others), np.int64), [count for _, count in others]].astype(np.int64)),
        ]
        return pa.Table.from_arrays(columns, schema=runs_schema(stream))

    def _of(self, entity: Entity) -> "tuple[array[int], array[int]]":
        return self._firsts.setdefault(entity, array("q")), self._lasts.setdefault(entity, array("q"))


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
        others = pc.is_null(table.column("first"))
        counted = table.filter(others).drop_columns(["first", "last"])
        for *entity, count in zip(*(column.to_pylist() for column in counted.columns), strict=True):
            runs.others[tuple(entity)] += count
        table = table.filter(pc.invert(others))
        firsts, lasts = (table.column(name).to_numpy() for name in ("first", "last"))
        for of, rows in by_entity(stream, table):
            runs.add_runs(of, firsts[rows], lasts[rows])
    return runs
