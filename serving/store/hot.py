"""The hot store: every known cell, as chains, folded from the cut of the version that is served.

The feed puts cells, the watch of versions swaps cuts, requests take ends. One lock, held for microseconds; what a
request took is read later without a race, since an end does not move (`serving.store.ends`).
"""

import sys
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from threading import Lock
from typing import NamedTuple

from serving.store.directory import Directory, Entity, entity_of
from serving.store.ends import Ends
from serving.store.fold import Fold
from serving.store.row_cache import ENTRY_BYTES, rows_bytes
from slackwater.deltas.cell import Cell, Lane, lane_of
from slackwater.deltas.chain import Chain
from slackwater.deltas.errors import CellConflictError
from slackwater.views.view import View

KEPT_SNAPSHOTS = 4
"""Snapshots whose folds are kept: the one that is served and three before it, for cursors."""

KEPT_TIPS = 4096
"""Open cells that cursors stand on."""

KEPT_TIP_BYTES = 32 * 1024 * 1024
"""What these cells may take in memory, about."""

KEPT_CONFLICTS = 100


class Conflict(NamedTuple):
    """Two cells over one slice differ: an alarm while the slice is above the cut."""

    lane: Lane
    start: int
    upto: int
    text: str


class HotStore:
    """The cells of all known definitions over one topic of events; folded are those of the served version."""

    def __init__(self, views: tuple[View, ...]) -> None:
        self._views = {(view.name, view.definition): view for view in views}
        self.conflicts: list[Conflict] = []
        self.conflicts_total = 0
        self.floor: dict[int, int] = {}
        self.spread = 0
        self._revisions: dict[tuple[str, int], int] = {}
        self._lock = Lock()
        self._topic_id = ""
        self._chains: dict[Lane, Chain] = {}
        self._folds: OrderedDict[str, dict[tuple[str, int], Fold]] = OrderedDict()
        self._directories: dict[View, Directory] = {}
        self._tips: OrderedDict[tuple[Lane, int, int], Cell] = OrderedDict()
        self.tip_bytes = 0

    @property
    def topic_id(self) -> str:
        """The topic whose cells are kept."""
        return self._topic_id

    def view_of(self, lane: Lane) -> View | None:
        """The view of a lane whose cells are wanted, None for any other lane."""
        return self._views.get((lane.view, lane.definition)) if lane.topic_id == self._topic_id else None

    def put(self, cells: Iterable[Cell]) -> None:
        """Take cells of wanted lanes, in any order, any number of times."""
        with self._lock:
            folds = next(reversed(self._folds.values())) if self._folds else {}
            for cell in cells:
                self._put(cell, folds)

    def swap(self, snapshot: str, topic_id: str, cut: Mapping[int, int], views: Iterable[View]) -> bool:
        """Fold the chains of `views`, one of each name, from `cut` on, under the name `snapshot`.

        False if cells that it needs were dropped or never kept.
        """
        with self._lock:
            if topic_id != self._topic_id:
                self._forget(topic_id)
            whole = all(at >= self.floor.get(p, 0) for p, at in cut.items())
            self._folds.pop(snapshot, None)
            folds = {(view.name, p): self._fold(view, p, at) for view in views for p, at in cut.items()}
            self._folds[snapshot] = folds
            self.spread += 1
            while len(self._folds) > KEPT_SNAPSHOTS:
                self._folds.popitem(last=False)
            self._drop()
            self.conflicts = [c for c in self.conflicts if c.upto > cut.get(c.lane.partition, 0)]
            return whole

    def ends(self, snapshot: str, view: str, partitions: Iterable[int]) -> dict[int, Ends] | None:
        """Where the chains end now; None if the snapshot's folds are gone."""
        with self._lock:
            folds = self._folds.get(snapshot)
            if folds is None:
                return None
            found = {p: folds[view, p] for p in partitions if (view, p) in folds}
            return {p: Ends(f, len(f.cells), f.tip, f.end, f.complete, self._lock) for p, f in found.items()}

    def revision(self, view: str, partitions: Iterable[int]) -> int:
        """A number that grows with every change of what `ends` gives; `spread` grows with `partitions_of` and swaps.

        Take both before what they stand for: then a change meanwhile makes them too old, never too new.
        """
        return sum(self._revisions.get((view, partition), 0) for partition in partitions)

    def moment(self, snapshot: str) -> dict[str, dict[int, Ends]] | None:
        """View -> the ends of its chains, at one position of each partition in all views; None as for `ends`.

        The position is the furthest at which the chain of every view has an end.
        """
        with self._lock:
            folds = self._folds.get(snapshot)
            if folds is None:
                return None
            found: dict[str, dict[int, Ends]] = {}
            for partition in sorted({partition for _, partition in folds}):
                group = {name: fold for (name, of), fold in folds.items() if of == partition}
                upto = _common_end(group.values())
                for name, fold in group.items():
                    now = upto == fold.end
                    count, tip = (len(fold.cells), fold.tip) if now else (fold.count_at(upto)[0], None)
                    ends = Ends(fold, count, tip, upto, now and fold.complete, self._lock)
                    found.setdefault(name, {})[partition] = ends
            return found

    def remember(self, ends: Iterable[Ends]) -> None:
        """Keep the tips of ends that a cursor names."""
        with self._lock:
            for tip in (end.tip for end in ends):
                if tip is not None:
                    place = tip.lane, tip.start, tip.upto
                    if place not in self._tips:
                        self.tip_bytes += _tip_bytes(tip)
                    self._tips[place] = tip
                    self._tips.move_to_end(place)
            while len(self._tips) > KEPT_TIPS or self.tip_bytes > KEPT_TIP_BYTES:
                _, dropped = self._tips.popitem(last=False)
                self.tip_bytes -= _tip_bytes(dropped)

    def recall(self, snapshot: str, view: str, uptos: Mapping[int, int], complete: bool) -> dict[int, Ends] | None:
        """The ends at `uptos` again; None if what they stand on is gone."""
        with self._lock:
            folds = self._folds.get(snapshot)
            if folds is None or not all((view, p) in folds for p in uptos):
                return None
            found = {p: self._end_at(folds[view, p], upto, complete) for p, upto in uptos.items()}
        return {p: end for p, end in found.items() if end is not None} if None not in found.values() else None

    def partitions_of(self, view: View, instrument: Entity) -> frozenset[int]:
        """The partitions that hold cells of an instrument."""
        directory = self._directories.get(view)
        return frozenset() if directory is None else directory.of(instrument)

    def instruments(
        self, view: View, low: Entity = (), high: Entity | None = None, most: int = sys.maxsize
    ) -> dict[Entity, frozenset[int]]:
        """The first `most` instruments of a view's cells in [low, high), in order, each with its partitions."""
        with self._lock:
            directory = self._directories.get(view)
            return {} if directory is None else directory.page(low, high, most)

    def applied(self, view: str) -> dict[int, int]:
        """Partition -> the chain's end now, of the snapshot that is served."""
        with self._lock:
            folds = next(reversed(self._folds.values())) if self._folds else {}
            return {p: fold.end for (name, p), fold in folds.items() if name == view}

    def furthest(self) -> dict[int, int]:
        """Partition -> the furthest end of any view's chain, of the snapshot that is served."""
        found: dict[int, int] = {}
        with self._lock:
            for (_, partition), fold in next(reversed(self._folds.values()), {}).items():
                found[partition] = max(fold.end, found.get(partition, 0))
        return found

    def cells(self) -> int:
        """How many cells are kept."""
        with self._lock:
            return sum(map(len, self._chains.values()))

    def reasons(self) -> list[str]:
        """The alarm, if cells differ."""
        if not self.conflicts:
            return []
        return [f"Alarm: {len(self.conflicts)} pairs of cells over one slice differ. {self.conflicts[0].text}"]

    def _put(self, cell: Cell, folds: dict[tuple[str, int], Fold]) -> None:
        lane = cell.lane
        view = self.view_of(lane)
        if view is None or cell.start < self.floor.get(lane.partition, 0):
            return
        chain = self._chains.get(lane)
        if chain is None:
            chain = self._chains[lane] = Chain()
        try:
            changed = chain.put(cell)
        except CellConflictError as error:
            self.conflicts_total += 1
            conflict = Conflict(lane, cell.start, cell.upto, error.fact)
            if conflict not in self.conflicts and len(self.conflicts) < KEPT_CONFLICTS:
                self.conflicts.append(conflict)
            return
        if not changed:
            return
        directory = self._directories.setdefault(view, Directory())
        for row in cell.rows:
            if directory.put(entity_of(view, row), lane.partition):
                self.spread += 1
        name = lane.view, lane.partition
        self._revisions[name] = self._revisions.get(name, 0) + 1
        fold = folds.get((lane.view, lane.partition))
        if fold is not None and fold.lane == lane and not fold.take(cell):
            folds[lane.view, lane.partition] = Fold(view, lane, fold.cut, chain)

    def _fold(self, view: View, partition: int, cut: int) -> Fold:
        lane = lane_of(view, self._topic_id, partition)
        return Fold(view, lane, cut, self._chains.setdefault(lane, Chain()))

    def _end_at(self, fold: Fold, upto: int, complete: bool) -> Ends | None:
        count, boundary = fold.count_at(upto)
        if boundary == upto:
            return Ends(fold, count, None, boundary, complete, self._lock)
        tip = fold.tip
        if tip is None or (tip.start, tip.upto) != (boundary, upto):
            tip = self._tips.get((fold.lane, boundary, upto))
        return Ends(fold, count, tip, upto, complete, self._lock) if tip is not None else None

    def _drop(self) -> None:
        """Forget cells below the cut of every kept snapshot."""
        cuts: dict[int, list[int]] = {}
        for folds in self._folds.values():
            for (_, partition), fold in folds.items():
                cuts.setdefault(partition, []).append(fold.cut)
        floor = {partition: min(of) for partition, of in cuts.items()}
        for lane, chain in self._chains.items():
            if floor.get(lane.partition, 0) > self.floor.get(lane.partition, 0):
                chain.drop_below(floor[lane.partition])
        self.floor = floor

    def _forget(self, topic_id: str) -> None:
        self._topic_id = topic_id
        self._chains.clear()
        self._folds.clear()
        self._directories.clear()
        self._tips.clear()
        self.floor.clear()
        self.conflicts.clear()


def _common_end(folds: Collection[Fold]) -> int:
    """The furthest position at which each of these chains ends now, or has settled cells up to."""
    upto = min(fold.end for fold in folds)
    while (lower := min(upto if upto == fold.end else fold.count_at(upto)[1] for fold in folds)) < upto:
        upto = lower
    return upto


def _tip_bytes(tip: Cell) -> int:
    return ENTRY_BYTES + rows_bytes(tip.rows)
