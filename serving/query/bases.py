"""Finds the basis of each question: which snapshot, layer and partitions, and where their chains end.

no cursor   the snapshot that is served, the chains' ends now
cursor      the snapshot and the ends that its first page had, or 410
as_of       that version, at its own cut, without a chain
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from serving.http.problems import gone, not_serving, unknown_instrument
from serving.query.as_of import AsOf
from serving.query.basis import Basis, BasisId, apart
from serving.query.cursor import Cursor
from serving.query.parameters import Point
from serving.store.fold import Ends
from serving.store.hot import HotStore
from serving.store.request import Entity
from serving.store.snapshot import Snapshot
from serving.watch.live import FIRST_PAGE, REFUSED, Completeness
from serving.watch.standings import alone
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.request import REQUEST
from slackwater.views.kinds import Value
from slackwater.views.view import View

_TRIES = 3


class Bases:
    """Finds the basis of each question. `refuse`: an answer that may miss deltas is refused, not given."""

    def __init__(
        self, watch: VersionsWatch, hot: HotStore, completeness: Completeness, as_of: AsOf, refuse: bool = False
    ) -> None:
        self._watch = watch
        self._hot = hot
        self._completeness = completeness
        self._as_of = as_of
        self._refuse = refuse

    @property
    def served(self) -> Snapshot | None:
        """What is served now; None if there is nothing yet."""
        return self._watch.snapshot

    def snapshot(self) -> Snapshot:
        """What is served now.

        Raises:
            ProblemError: 503 if there is nothing yet.
        """
        found = self._now()
        request = REQUEST.get()
        if request is not None:
            request.version = found.manifest.version
        return found

    def current(self, name: str, entities: tuple[Entity, ...], layer: str, cursor: Cursor | None) -> Basis:
        """The basis of what is served of a view now, or of the cursor's first page.

        Raises:
            ProblemError: 404 for an unknown instrument, 410 for a cursor that is gone, 503 where nothing can answer.
        """
        for _ in range(_TRIES):  # a snapshot may be swapped away between two lines
            snapshot = self._of(name, cursor)
            placement_epoch = self._hot.placement_epoch
            view = snapshot.views[name]
            partitions = self._partitions(view, entities, snapshot, hot=True)
            still = BasisId(snapshot, placement_epoch, 0, name, frozenset())
            if layer == "batch":
                return Basis(snapshot, view, "batch", partitions, {}, basis_id=still)
            if cursor is not None:
                return self._pinned(snapshot, view, layer, partitions, cursor)
            if layer == "speed" and not snapshot.of(view).chain:
                raise not_serving(" ".join(snapshot.refusals_of(view)))
            found = self._chained(snapshot, view, layer, partitions, still)
            if found is not None:
                return self._given(found)
        raise not_serving("Versions change faster than they can be read.")

    def whole(self, name: str) -> Basis:
        """The basis of what is served of a view in all partitions.

        Raises:
            ProblemError: 503 where nothing can answer.
        """
        for _ in range(_TRIES):
            found = self._whole(self._of(name, None), name)
            if found is not None:
                return self._given(found)
        raise not_serving("Versions change faster than they can be read.")

    def read_point(self, name: str) -> Basis | None:
        """The basis of a view in all partitions now, for its streams of changes; missing deltas refuse nothing.

        None while what it would give is older than what another server gave: the deltas are being read for the first
        time, or the snapshot is being swapped.

        Raises:
            ProblemError: 503 where nothing can answer.
        """
        snapshot = self._now()
        view = _answered(snapshot, name).views[name]
        standing = snapshot.of(view)
        if standing.chain and self._completeness.unread(view.stream.name, standing.cut):
            return None
        return self._whole(snapshot, name)

    def narrowed(self, basis: Basis, entities: Iterable[Entity]) -> Basis:
        """A basis of all partitions in those of some entities alone; whether deltas may be missing is asked now."""
        held = frozenset().union(*(self._places(basis.view, entity, basis.snapshot) for entity in entities))
        if not basis.standing.chain:
            return replace(basis, partitions=held)
        ends = {p: of for p, of in basis.ends.items() if p in held}
        lacking = self._completeness.lacking(basis.view.stream.name, held)
        return replace(basis, partitions=held, ends=ends, incomplete_reason=lacking or apart(ends))

    def every(self) -> dict[str, Basis]:
        """The bases of all views in all partitions, at one position of each partition.

        Raises:
            ProblemError: 503 if nothing is served, or not every view.
        """
        for _ in range(_TRIES):
            snapshot = self.snapshot()
            if snapshot.refused_views:
                raise not_serving(" ".join(snapshot.refused_views.values()))
            chained = {name: of for name, of in snapshot.streams.items() if of.chain}
            # Before the ends, as always.
            lacking = {name: self._completeness.lacking(name, of.cut) for name, of in chained.items()}
            ends = self._hot.read_point(of.key for of in chained.values())
            if ends is None:
                continue
            return {
                name: self._given(self._one_of(snapshot, view, ends, lacking)) for name, view in snapshot.views.items()
            }
        raise not_serving("Versions change faster than they can be read.")

    def _one_of(
        self, snapshot: Snapshot, view: View, ends: Mapping[str, Mapping[int, Ends]], lacking: Mapping[str, str | None]
    ) -> Basis:
        """The basis of one view of all; a gap in a chain is the reason of every view of that stream."""
        stream, held = view.stream.name, frozenset(snapshot.of(view).cut)
        if stream not in lacking:
            return Basis(snapshot, view, "batch", held, {}, REFUSED)
        own = [ends.get(each.name, {}) for each in snapshot.views.values() if each.stream == view.stream]
        reason = lacking[stream] or next(filter(None, map(apart, own)), None)
        return Basis(snapshot, view, "merged", held, ends.get(view.name, {}), reason)

    async def as_of(
        self, name: str, asked: Point | str, entities: tuple[Entity, ...], cursor: Cursor | None = None
    ) -> Basis:
        """The basis of one version's view alone: that of a number, a time, or the name of a pin.

        Raises:
            ProblemError: 404 for an unknown version or instrument, 410 for a retired version, or a pin that is another
                version's than on the cursor's page; 409 if it was made by another definition, 503 if it is not whole.
        """
        version = await self._as_of.version(asked)
        if cursor is not None and cursor.version != version:
            raise gone(f"The pages before are of version {cursor.version}, and this means version {version} now.")
        snapshot = await self._as_of.snapshot(version, name)
        view = snapshot.views[name]
        itself = replace(snapshot, streams=alone(snapshot.manifest, snapshot.streams), refusals=())
        partitions = self._partitions(view, entities, itself, hot=False)
        served = snapshot is self._watch.snapshot  # another one may be retired at any time
        basis_id = BasisId(snapshot, self._hot.placement_epoch, 0, name, frozenset()) if served else None
        return Basis(itself, view, "batch", partitions, {}, basis_id=basis_id)

    async def refuse_retired(self, version: int) -> None:
        """Raises ProblemError, 410, if the version was retired meanwhile."""
        await self._as_of.refuse_retired(version)

    def holds(self, basis_id: BasisId) -> bool:
        """Whether nothing has changed since."""
        snapshot, epoch, revision, view, partitions, lacking = basis_id
        return (
            self._watch.snapshot is snapshot
            and self._hot.placement_epoch == epoch
            and self._hot.revision(view, partitions) == revision
            and (not partitions or self._completeness.lacking(self._hot.stream_of(view), partitions) == lacking)
        )

    def cursor(self, basis: Basis, after: tuple[Value, ...]) -> Cursor:
        """The cursor behind `after`; what it stands on is retained for a while."""
        self._hot.remember(basis.ends.values())
        uptos = {p: ends.upto for p, ends in basis.ends.items()}
        return Cursor(
            basis.snapshot.version, basis.snapshot.of(basis.view).key, uptos, basis.incomplete_reason is None, after
        )

    def remember(self, ends: Iterable[Ends]) -> None:
        """Retain what a cursor that is given again stands on."""
        self._hot.remember(ends)

    def lag(self, name: str, applied: Mapping[int, int]) -> int:
        """Records between what is applied of a view and the end of its stream's log when it was read last."""
        return self._completeness.lag(self._hot.stream_of(name), applied)

    def _now(self) -> Snapshot:
        found = self.served
        if found is None:
            raise not_serving(self._watch.missing())
        return found

    def _of(self, name: str, cursor: Cursor | None) -> Snapshot:
        snapshot = self.snapshot() if cursor is None else self._watch.retained(cursor.pin)
        if snapshot is None:
            raise gone("The version that this cursor stands on is not retained any more.")
        return _answered(snapshot, name)

    def _whole(self, snapshot: Snapshot, name: str) -> Basis | None:
        view = snapshot.views[name]
        still = BasisId(snapshot, 0, 0, name, frozenset())
        return self._chained(snapshot, view, "merged", frozenset(snapshot.of(view).cut), still)

    def _chained(
        self, snapshot: Snapshot, view: View, layer: str, partitions: frozenset[int], still: BasisId
    ) -> Basis | None:
        """The basis with the chains' ends now; None if the snapshot was swapped away."""
        standing = snapshot.streams[view.stream.name]
        if not standing.chain:
            return Basis(snapshot, view, "batch", partitions, {}, REFUSED, still)
        lacking = self._completeness.lacking(view.stream.name, partitions)  # before the ends: they can only be later
        revision = self._hot.revision(view.name, partitions)
        ends = self._hot.ends(standing.key, view.name, partitions)
        if ends is None:
            return None
        basis_id = still._replace(revision=revision, partitions=partitions, lacking=lacking)
        return Basis(snapshot, view, layer, partitions, ends, lacking or apart(ends), basis_id)

    def _given(self, basis: Basis) -> Basis:
        if basis.incomplete_reason is not None and self._refuse:
            raise not_serving(basis.incomplete_reason)
        return basis

    def _pinned(self, snapshot: Snapshot, view: View, layer: str, partitions: frozenset[int], cursor: Cursor) -> Basis:
        incomplete = None if cursor.complete else FIRST_PAGE
        if not cursor.ends:  # its first page had no chain to use
            return Basis(snapshot, view, "batch", partitions, {}, incomplete)
        recalled = self._hot.recall(snapshot.of(view).key, view.name, cursor.ends, cursor.complete)
        ends = recalled if snapshot.of(view).chain else None
        if ends is None:
            raise gone("The cells that this cursor stands on are not retained any more.")
        return Basis(snapshot, view, layer, frozenset(ends), ends, incomplete)

    def _partitions(self, view: View, entities: tuple[Entity, ...], snapshot: Snapshot, hot: bool) -> frozenset[int]:
        found: set[int] = set()
        unknown = []
        for entity in entities:
            where = self._places(view, entity, snapshot, hot)
            if not where:
                unknown.append(":".join(map(str, entity)))
            found |= where
        if unknown and hot and (unread := self._completeness.unread(view.stream.name, snapshot.of(view).cut)):
            raise not_serving(f"It is not known yet whether there is {unknown[0]}. {unread}")
        if unknown:
            raise unknown_instrument(unknown)
        return frozenset(found)

    def _places(self, view: View, entity: Entity, snapshot: Snapshot, hot: bool = True) -> frozenset[int]:
        """The partitions that hold an entity, those of the chains among them where they are `hot`."""
        found = frozenset([known.partition for known in snapshot.batch.places(view, entity)])
        return found | self._hot.partitions_of(view, entity) if hot else found


def _answered(snapshot: Snapshot, name: str) -> Snapshot:
    """The snapshot, which answers for a view. Raises ProblemError, 503, if it does not."""
    if name in snapshot.refused_views:
        raise not_serving(snapshot.refused_views[name])
    return snapshot
