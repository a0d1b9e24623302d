"""A moment: what all events that are made in one turn stand on, and which bars changed between two moments.

    chain   [0,256) [256,512) [512,530)         the moment before
            [0,256) [256,512) [512,541)         this one: the rows of [512,541) that are not those of [512,530)

It is what a request takes too (`serving.query.basis`): one snapshot, and the ends of its chains.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from serving.http.problems import not_serving
from serving.query.basis import Basis, apart
from serving.store.directory import Entity, entity_of
from serving.store.ends import Ends
from serving.store.hot import HotStore
from serving.store.snapshot import Snapshot, Standing
from serving.stream.place import NOWHERE, Place
from serving.watch.completeness import REFUSED, Completeness
from slackwater.views.rows import Row
from slackwater.views.view import View


@dataclass(frozen=True)
class ReadPoint:
    """One snapshot, the view in force, and the ends of all chains; no ends where the batch view answers alone."""

    snapshot: Snapshot
    view: View
    ends: Mapping[int, Ends]
    completeness: Completeness

    @cached_property
    def standing(self) -> Standing:
        """How the version stands on the view's stream."""
        return self.snapshot.of(self.view)

    @cached_property
    def applied(self) -> dict[int, int]:
        """Partition -> what is applied."""
        return {**self.standing.cut, **{p: ends.upto for p, ends in self.ends.items()}}

    @cached_property
    def token(self) -> str:
        """The token of this place. A chain that may not be used has no place that one could go on from."""
        return Place(self.standing.key, self.applied).encode() if self.ends else NOWHERE

    def basis(self, partitions: Iterable[int]) -> Basis:
        """What an answer from these partitions stands on, and whether anything is known to be missing now."""
        held = frozenset(partitions)
        if not self.standing.chain:
            return Basis(self.snapshot, self.view, "batch", held, {}, REFUSED)
        ends = {p: of for p, of in self.ends.items() if p in held}
        lacking = self.completeness.lacking(self.view.stream.name, held)
        return Basis(self.snapshot, self.view, "merged", held, ends, lacking or apart(ends))

    def meta(self, partitions: Iterable[int]) -> dict[str, Any]:
        """What an answer says of itself."""
        return self.basis(partitions).meta()

    def newest(self, entity: Entity) -> int | None:
        """The newest second that an applied event of the entity lies in."""
        return self.whole.newest(entity)

    @cached_property
    def whole(self) -> Basis:
        """What it stands on in all partitions, to read from."""
        return Basis(self.snapshot, self.view, "merged", frozenset(self.standing.cut), self.ends)

    def stands_on(self, other: "ReadPoint") -> bool:
        """Whether this is a later moment of the same chains, so that `changed_rows` says what changed."""
        return (
            self.standing.key == other.standing.key
            and self.ends.keys() == other.ends.keys()
            and all(of.fold is other.ends[p].fold for p, of in self.ends.items())
        )

    def follows(self, other: "ReadPoint") -> bool:
        """Whether it can only be later: of a newer version, nothing but what was applied since is different.

        That needs a proof that the version is its parent and the deltas between their cuts, and that all of these
        were applied here: then a bar that no cell touched is the same in both.
        """
        new, old = self.snapshot, other.snapshot
        here, there = self.standing, other.standing
        if not (here.chain and there.chain) or here.topic_id != there.topic_id or self.view != other.view:
            return False
        if any(self.applied.get(p, -1) < at for p, at in other.applied.items()):
            return False
        if any(other.applied.get(p, 0) < at for p, at in here.cut.items()):
            return False
        if new.manifest.run_id == old.manifest.run_id and new.version == old.version:
            return True
        proof = new.manifest.proof
        return new.manifest.parent == old.version and proof.outcome == "equal" and not proof.imported


def take_read_point(
    hot: HotStore, snapshot: Snapshot | None, name: str, completeness: Completeness
) -> ReadPoint | None:
    """The moment that is now; None if the snapshot is being swapped away.

    Raises:
        ProblemError: 503, nothing can answer for the view `name`.
    """
    if snapshot is None:
        raise not_serving("There is no version that is whole.")
    if name in snapshot.refused_views:
        raise not_serving(snapshot.refused_views[name])
    view = snapshot.views[name]
    standing = snapshot.of(view)
    if not standing.chain:
        return ReadPoint(snapshot, view, {}, completeness)
    ends = hot.ends(standing.key, name, standing.cut)
    return None if ends is None else ReadPoint(snapshot, view, ends, completeness)


def changed_rows(old: Ends, new: Ends) -> Iterator[Row]:
    """The base rows that the cells between two ends of one fold changed."""
    if new.upto == old.upto:
        return
    known = {(row.key, row.start): row.state for row in old.open_cell.rows} if old.open_cell else {}
    cells = new.fold.cells[old.count : new.count]
    for cell in cells if new.open_cell is None else [*cells, new.open_cell]:
        grown = old.open_cell is not None and cell.start == old.open_cell.start
        for row in cell.rows:
            if not grown or known.get((row.key, row.start)) != row.state:
                yield row


def rows_since(ends: Ends, at: int) -> Iterator[Row]:
    """The base rows of all cells that reach beyond `at`: every row that changed since, and maybe some that did not."""
    first, _ = ends.fold.count_at(at)
    for cell in ends.fold.cells[first : ends.count]:
        yield from cell.rows
    if ends.open_cell is not None and ends.open_cell.upto > at:
        yield from ends.open_cell.rows


def newest_before(read_point: ReadPoint, instrument: Entity, place: Mapping[int, int]) -> int | None:
    """A second that an event of the instrument lies in which was applied at `place`; it may not be the newest."""
    found = [known.last_start for known in read_point.snapshot.places(read_point.view, instrument)]
    for p, ends in read_point.ends.items():
        with ends.lock:
            count, _ = ends.fold.count_at(place.get(p, 0))
            newest = ends.fold.newest(instrument, min(count, ends.count))
        if newest is not None:
            found.append(newest)
    return max(found, default=None)


def by_entity(view: View, rows: Iterable[Row]) -> dict[Entity, set[int]]:
    """Entity -> the base starts of its rows."""
    found: dict[Entity, set[int]] = {}
    for row in rows:
        found.setdefault(entity_of(view, row), set()).add(row.start)
    return found
