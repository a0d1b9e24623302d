"""The hot store: every known cell, as chains, folded from the cut of the version that is served.

The feed puts cells, the watch of versions swaps cuts, requests take ends. One lock, held for microseconds; what a
request took is read later without a race, since an end does not move (`serving.store.fold`).
"""

import sys
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from threading import Lock
from typing import NamedTuple

from serving.store.directory import Directory
from serving.store.fold import Ends, Fold
from serving.store.request import Entity
from serving.store.row_cache import ENTRY_BYTES, rows_bytes
from slackwater.deltas.cell import Cell, DeltaKey, delta_key_of
from slackwater.deltas.chain import Chain
from slackwater.deltas.errors import CellConflictError
from slackwater.views.view import View

MAX_SNAPSHOTS = 4
"""Snapshots whose folds are retained: the one that is served and three before it, for cursors."""

MAX_OPEN_CELLS = 4096
"""Open cells that cursors stand on."""

MAX_OPEN_CELL_BYTES = 32 * 1024 * 1024
"""What these cells may take in memory, about."""

MAX_CONFLICTS = 100


class Conflict(NamedTuple):
    """Two cells over one slice differ: an alarm while the slice is above the cut."""

    delta_key: DeltaKey
    start: int
    upto: int
    text: str


class HotStore:
    """The cells of all known definitions, over one topic of events a stream; folded are those of the served version.

    A stream's folds stand under a key of their own (`serving.store.snapshot.Standing`): what becomes of one stream
    leaves those of the others as they are.
    """

    def __init__(self, views: tuple[View, ...]) -> None:
        self._views = {(view.name, view.definition): view for view in views}
        self._streams = {view.name: view.stream.name for view in views}
        self.conflicts: list[Conflict] = []
        self.conflicts_total = 0
        self.floors: dict[str, dict[int, int]] = {}
        self.placement_epoch = 0
        self._revisions: dict[tuple[str, int], int] = {}
        self._lock = Lock()
        self._topic_ids: dict[str, str] = {}
        self._chains: dict[DeltaKey, Chain] = {}
        self._folds: dict[str, dict[tuple[str, int], Fold]] = {}
        self._keys: dict[str, list[str]] = {}  # stream -> the keys of its folds, oldest first
        self._directories = {view.definition: Directory() for view in views}
        self._open_cells: OrderedDict[tuple[DeltaKey, int, int], Cell] = OrderedDict()
        self.open_cell_bytes = 0

    def topic_id(self, stream: str) -> str:
        """The topic of a stream whose cells are held; empty before the first swap."""
        return self._topic_ids.get(stream, "")

    def stream_of(self, view: str) -> str:
        """The stream of the view of a name."""
        return self._streams[view]

    def view_of(self, delta_key: DeltaKey) -> View | None:
        """The view of a delta key whose cells are served, None for any other delta key."""
        view = self._views.get((delta_key.view, delta_key.definition))
        return view if view is not None and delta_key.topic_id == self._topic_ids.get(view.stream.name) else None

    def put(self, cells: Iterable[Cell]) -> None:
        """Take cells of served delta keys, in any order, any number of times."""
        with self._lock:
            for cell in cells:
                self._put(cell)

    def swap(self, key: str, stream: str, topic_id: str, cut: Mapping[int, int], views: Iterable[View]) -> bool:
        """Fold the chains of `views` of `stream`, one of each name, from `cut` on, under `key`.

        False if cells that it needs were dropped or never taken.
        """
        with self._lock:
            if topic_id != self._topic_ids.get(stream, ""):
                self._forget(stream, topic_id)
            floor = self.floors.get(stream, {})
            whole = all(at >= floor.get(p, 0) for p, at in cut.items())
            keys = [known for known in self._keys.get(stream, ()) if known != key]
            self._folds[key] = {(view.name, p): self._fold(view, p, at) for view in views for p, at in cut.items()}
            for gone in keys[: 1 - MAX_SNAPSHOTS]:
                del self._folds[gone]
            self._keys[stream] = [*keys[1 - MAX_SNAPSHOTS :], key]
            self.placement_epoch += 1
            self._drop(stream)
            self.conflicts = [
                c
                for c in self.conflicts
                if self._of(c.delta_key) != stream or c.upto > cut.get(c.delta_key.partition, 0)
            ]
            return whole

    def ends(self, key: str, view: str, partitions: Iterable[int]) -> dict[int, Ends] | None:
        """Where the chains end now; None if the folds of `key` are gone."""
        with self._lock:
            folds = self._folds.get(key)
            if folds is None:
                return None
            found = {p: folds[view, p] for p in partitions if (view, p) in folds}
            return {p: Ends(f, len(f.cells), f.open_cell, f.end, f.complete, self._lock) for p, f in found.items()}

    def revision(self, view: str, partitions: Iterable[int]) -> int:
        """Grows with every change of what `ends` gives; `placement_epoch` with `partitions_of` and swaps.

        Take both before what they stand for: then a change meanwhile makes them too old, never too new.
        """
        return sum([self._revisions.get((view, partition), 0) for partition in partitions])

    def read_point(self, keys: Iterable[str]) -> dict[str, dict[int, Ends]] | None:
        """View -> the ends of its chains, at one position of each partition in all views of a stream; None as for
        `ends`. `keys` are those of different streams.

        The position is the furthest at which the chain of every view has an end.
        """
        found: dict[str, dict[int, Ends]] = {}
        with self._lock:
            for key in keys:
                folds = self._folds.get(key)
                if folds is None:
                    return None
                for partition in sorted({partition for _, partition in folds}):
                    group = {name: fold for (name, of), fold in folds.items() if of == partition}
                    upto = _common_end(group.values())
                    for name, fold in group.items():
                        now = upto == fold.end
                        count, open_cell = (len(fold.cells), fold.open_cell) if now else (fold.count_at(upto)[0], None)
                        ends = Ends(fold, count, open_cell, upto, now and fold.complete, self._lock)
                        found.setdefault(name, {})[partition] = ends
        return found

    def remember(self, ends: Iterable[Ends]) -> None:
        """Keep the open cells of ends that a cursor names."""
        with self._lock:
            for open_cell in (end.open_cell for end in ends):
                if open_cell is not None:
                    place = open_cell.delta_key, open_cell.start, open_cell.upto
                    if place not in self._open_cells:
                        self.open_cell_bytes += _open_cell_bytes(open_cell)
                    self._open_cells[place] = open_cell
                    self._open_cells.move_to_end(place)
            while len(self._open_cells) > MAX_OPEN_CELLS or self.open_cell_bytes > MAX_OPEN_CELL_BYTES:
                _, dropped = self._open_cells.popitem(last=False)
                self.open_cell_bytes -= _open_cell_bytes(dropped)

    def recall(self, key: str, view: str, uptos: Mapping[int, int], complete: bool) -> dict[int, Ends] | None:
        """The ends at `uptos` again; None if what they stand on is gone."""
        with self._lock:
            folds = self._folds.get(key)
            if folds is None or not all((view, p) in folds for p in uptos):
                return None
            found = {p: self._end_at(folds[view, p], upto, complete) for p, upto in uptos.items()}
        return {p: end for p, end in found.items() if end is not None} if None not in found.values() else None

    def partitions_of(self, view: View, instrument: Entity) -> frozenset[int]:
        """The partitions that hold cells of an instrument."""
        return self._directories[view.definition].get(instrument, frozenset())

    def instruments(
        self, view: View, low: Entity = (), high: Entity | None = None, most: int = sys.maxsize
    ) -> dict[Entity, frozenset[int]]:
        """The first `most` instruments of a view's cells in [low, high), in order, each with its partitions."""
        with self._lock:
            return self._directories[view.definition].page(low, high, most)

    def applied(self, view: str) -> dict[int, int]:
        """Partition -> the chain's end now, of the version that is served."""
        with self._lock:
            return {p: fold.end for (name, p), fold in self._newest(self._streams[view]).items() if name == view}

    def furthest(self, stream: str) -> dict[int, int]:
        """Partition -> the furthest end of any view's chain of a stream, of the version that is served."""
        found: dict[int, int] = {}
        with self._lock:
            for (_, partition), fold in self._newest(stream).items():
                found[partition] = max(fold.end, found.get(partition, 0))
        return found

    def cells(self) -> int:
        """How many cells are held."""
        with self._lock:
            return sum(map(len, self._chains.values()))

    def reasons(self) -> list[str]:
        """The alarm, if cells differ."""
        if not self.conflicts:
            return []
        return [f"Alarm: {len(self.conflicts)} pairs of cells over one slice differ. {self.conflicts[0].text}"]

    def _newest(self, stream: str) -> dict[tuple[str, int], Fold]:
        keys = self._keys.get(stream)
        return self._folds[keys[-1]] if keys else {}

    def _of(self, delta_key: DeltaKey) -> str:
        return self._streams[delta_key.view]

    def _put(self, cell: Cell) -> None:
        delta_key = cell.delta_key
        view = self.view_of(delta_key)
        if view is None or cell.start < self.floors.get(view.stream.name, {}).get(delta_key.partition, 0):
            return
        chain = self._chains.get(delta_key)
        if chain is None:
            chain = self._chains[delta_key] = Chain()
        try:
            changed = chain.put(cell)
        except CellConflictError as error:
            self.conflicts_total += 1
            conflict = Conflict(delta_key, cell.start, cell.upto, error.fact)
            if conflict not in self.conflicts and len(self.conflicts) < MAX_CONFLICTS:
                self.conflicts.append(conflict)
            return
        if not changed:
            return
        directory, width = self._directories[view.definition], len(view.entity)
        for row in cell.rows:
            if directory.put(row.key[:width], delta_key.partition):
                self.placement_epoch += 1
        name = delta_key.view, delta_key.partition
        self._revisions[name] = self._revisions.get(name, 0) + 1
        folds = self._newest(view.stream.name)
        fold = folds.get(name)
        if fold is not None and fold.delta_key == delta_key and not fold.take(cell):
            folds[name] = Fold(view, delta_key, fold.cut, chain)

    def _fold(self, view: View, partition: int, cut: int) -> Fold:
        delta_key = delta_key_of(view, self._topic_ids[view.stream.name], partition)
        return Fold(view, delta_key, cut, self._chains.setdefault(delta_key, Chain()))

    def _end_at(self, fold: Fold, upto: int, complete: bool) -> Ends | None:
        count, boundary = fold.count_at(upto)
        if boundary == upto:
            return Ends(fold, count, None, boundary, complete, self._lock)
        open_cell = fold.open_cell
        if open_cell is None or (open_cell.start, open_cell.upto) != (boundary, upto):
            open_cell = self._open_cells.get((fold.delta_key, boundary, upto))
        return Ends(fold, count, open_cell, upto, complete, self._lock) if open_cell is not None else None

    def _drop(self, stream: str) -> None:
        """Forget cells of a stream below the cut of every retained key."""
        cuts: dict[int, list[int]] = {}
        for key in self._keys[stream]:
            for (_, partition), fold in self._folds[key].items():
                cuts.setdefault(partition, []).append(fold.cut)
        before, floor = self.floors.get(stream, {}), {partition: min(of) for partition, of in cuts.items()}
        for delta_key, chain in self._chains.items():
            at = floor.get(delta_key.partition, 0)
            if self._of(delta_key) == stream and at > before.get(delta_key.partition, 0):
                chain.drop_below(at)
        self.floors[stream] = floor

    def _forget(self, stream: str, topic_id: str) -> None:
        """Another topic of this stream: all of the one before is forgotten."""
        self._topic_ids[stream] = topic_id
        self._chains = {delta_key: chain for delta_key, chain in self._chains.items() if self._of(delta_key) != stream}
        for key in self._keys.pop(stream, ()):
            del self._folds[key]
        self._directories |= {of.definition: Directory() for of in self._views.values() if of.stream.name == stream}
        for place in [place for place in self._open_cells if self._of(place[0]) == stream]:
            self.open_cell_bytes -= _open_cell_bytes(self._open_cells.pop(place))
        self.floors.pop(stream, None)
        self.conflicts = [conflict for conflict in self.conflicts if self._of(conflict.delta_key) != stream]


def _common_end(folds: Collection[Fold]) -> int:
    """The furthest position at which each of these chains ends now, or has settled cells up to."""
    upto = min(fold.end for fold in folds)
    while (lower := min(upto if upto == fold.end else fold.count_at(upto)[1] for fold in folds)) < upto:
        upto = lower
    return upto


def _open_cell_bytes(open_cell: Cell) -> int:
    return ENTRY_BYTES + rows_bytes(open_cell.rows)
