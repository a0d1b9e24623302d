"""The ground of one answer: which snapshot, which layer, which partitions, and where their chains end.

no cursor   the snapshot that is served, the chains' ends now
cursor      the snapshot and the ends that its first page had, or 410
as_of       that version, at its own cut, without a chain
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from serving.http.problems import ProblemError, gone, not_serving, retired, unknown_instrument
from serving.query.answer import partitions_json
from serving.query.cursor import Cursor
from serving.store.ends import Ends
from serving.store.merge import Place
from serving.store.snapshot import Snapshot
from serving.watch.completeness import APART, FIRST_PAGE, REFUSED
from slackwater.views.view import View

if TYPE_CHECKING:  # the service holds the streams, which stand on a ground too
    from serving.service import Service

_TRIES = 3


class Stamp(NamedTuple):
    """What an answer to one question depends on: while it is the same, so is the answer.

    The snapshot itself, which instruments lie where (`HotStore.spread`), and what is known of the chains of these
    partitions (`HotStore.revision`), their ends, their newest events and whether they are complete among it.
    """

    snapshot: Snapshot
    spread: int
    revision: int
    view: str
    partitions: frozenset[int]
    lacking: str | None = None

    def holds(self, service: "Service") -> bool:
        """Whether nothing has changed since."""
        hot = service.hot
        return (
            service.watch.snapshot is self.snapshot
            and hot.spread == self.spread
            and hot.revision(self.view, self.partitions) == self.revision
            and (not self.partitions or service.completeness.lacking(self.partitions) == self.lacking)
        )


@dataclass(frozen=True)
class Ground:
    """What one answer stands on. `view` is the one in force; `partitions` hold the asked instruments.

    `incomplete` is why deltas may be missing: a cell beyond the ends was known, what the delta topic holds was not, or
    the chain was asked for and may not be used; None where nothing is.
    `stamp` tells when the same question has another answer; None where it is not to be kept.
    """

    snapshot: Snapshot
    view: View
    layer: str
    partitions: frozenset[int]
    ends: Mapping[int, Ends]
    incomplete: str | None = None
    stamp: Stamp | None = None

    @property
    def cut(self) -> dict[int, int]:
        """The cut in the asked partitions."""
        return {p: at for p, at in self.snapshot.cut.items() if p in self.partitions}

    @property
    def applied(self) -> dict[int, int]:
        """What is applied in the asked partitions."""
        return {**self.cut, **{p: ends.upto for p, ends in self.ends.items()}}

    def about(self) -> dict[str, Any]:
        """What an answer says of itself."""
        about = {
            "version": self.snapshot.version,
            "definition": self.view.definition,
            "cut": partitions_json(self.cut),
            "applied": partitions_json(self.applied),
            "complete": self.incomplete is None,
            "layer": self.layer,
        }
        if self.incomplete is not None:
            about["reason"] = self.incomplete
        if self.snapshot.refusals:
            about["refusal"] = " ".join(self.snapshot.refusals)
        return about


def apart(ends: Mapping[int, Ends]) -> str | None:
    """That a cell beyond one of these ends was known; None if none was."""
    return None if all(end.complete for end in ends.values()) else APART


class Grounds:
    """Finds the ground of each question about the view of one name."""

    def __init__(self, service: "Service", name: str) -> None:
        self._service = service
        self._name = name

    def current(self, venue: str, symbols: tuple[str, ...], layer: str, cursor: Cursor | None) -> Ground:
        """The ground of what is served now, or of the cursor's first page.

        Raises:
            ProblemError: 404 for an unknown instrument, 410 for a cursor that is gone, 503 where nothing can answer.
        """
        for _ in range(_TRIES):  # a snapshot may be swapped away between two lines
            snapshot = self._snapshot(cursor)
            spread = self._service.hot.spread
            partitions = self._partitions(venue, symbols, snapshot, hot=True)
            view = snapshot.views[self._name]
            still = Stamp(snapshot, spread, 0, self._name, frozenset())
            if layer == "batch":
                return Ground(snapshot, view, "batch", partitions, {}, stamp=still)
            if cursor is not None:
                return self._pinned(snapshot, layer, partitions, cursor)
            if not snapshot.chain:
                if layer == "speed":
                    raise not_serving(" ".join(snapshot.refusals))
                return self._given(Ground(snapshot, view, "batch", partitions, {}, REFUSED, still))
            lacking = self._service.completeness.lacking(partitions)  # before the ends: they can only be later
            revision = self._service.hot.revision(self._name, partitions)
            ends = self._service.hot.ends(snapshot.key, self._name, partitions)
            if ends is not None:
                stamp = still._replace(revision=revision, partitions=partitions, lacking=lacking)
                return self._given(Ground(snapshot, view, layer, partitions, ends, lacking or apart(ends), stamp))
        raise not_serving("Versions change faster than they can be read.")

    async def as_of(self, version: int, venue: str, symbols: tuple[str, ...]) -> Ground:
        """The ground of one version alone.

        Raises:
            ProblemError: 404 for an unknown version or instrument, 410 for a retired version, 409 if it was made by
                another definition, 503 if it is not whole.
        """
        service = self._service
        snapshot = service.as_of.known(version)
        if snapshot is None:
            snapshot = await service.pool.run(lambda: service.as_of.snapshot(version))
        elif snapshot is not service.watch.snapshot:  # what is served is leased
            await self.refuse_retired(version)
        view, held = snapshot.views[self._name], snapshot.manifest.definitions.get(self._name)
        if held != view.definition:
            known = ", ".join(each.definition for each in service.views if each.name == self._name)
            detail = f"Version {version} holds definition {held} of {self._name}; this server knows {known}."
            raise ProblemError(409, "other-definition", detail)
        alone = replace(snapshot, cut=snapshot.manifest.cut, refusals=())
        partitions = self._partitions(venue, symbols, alone, hot=False)
        served = snapshot is service.watch.snapshot  # another one is asked each time whether it was retired
        stamp = Stamp(snapshot, service.hot.spread, 0, self._name, frozenset()) if served else None
        return Ground(alone, view, "batch", partitions, {}, stamp=stamp)

    async def refuse_retired(self, version: int) -> None:
        """Raises ProblemError, 410, if the version was retired meanwhile."""
        service = self._service
        if await service.pool.run(lambda: service.store.retired(version)):
            raise retired(version)

    def cursor(self, ground: Ground, after: Place) -> Cursor:
        """The cursor behind `after`; what it stands on is kept for a while."""
        self._service.hot.remember(ground.ends.values())
        uptos = {p: ends.upto for p, ends in ground.ends.items()}
        return Cursor(ground.snapshot.version, ground.snapshot.key, uptos, ground.incomplete is None, after)

    def _given(self, ground: Ground) -> Ground:
        if ground.incomplete is not None and self._service.options.incomplete == "refuse":
            raise not_serving(ground.incomplete)
        return ground

    def _snapshot(self, cursor: Cursor | None) -> Snapshot:
        snapshot = self._service.snapshot() if cursor is None else self._service.watch.kept(cursor.pin)
        if snapshot is None:
            raise gone("The version that this cursor stands on is not kept any more.")
        if self._name in snapshot.refused_views:
            raise not_serving(snapshot.refused_views[self._name])
        return snapshot

    def _pinned(self, snapshot: Snapshot, layer: str, partitions: frozenset[int], cursor: Cursor) -> Ground:
        view = snapshot.views[self._name]
        incomplete = None if cursor.complete else FIRST_PAGE
        if not cursor.ends:  # its first page had no chain to use
            return Ground(snapshot, view, "batch", partitions, {}, incomplete)
        recalled = self._service.hot.recall(snapshot.key, self._name, cursor.ends, cursor.complete)
        ends = recalled if snapshot.chain else None
        if ends is None:
            raise gone("The cells that this cursor stands on are not kept any more.")
        return Ground(snapshot, view, layer, frozenset(ends), ends, incomplete)

    def _partitions(self, venue: str, symbols: tuple[str, ...], snapshot: Snapshot, hot: bool) -> frozenset[int]:
        found: set[int] = set()
        unknown = []
        for symbol in symbols:
            where = {known.partition for known in snapshot.instruments(venue, symbol)}
            if hot:
                where |= self._service.hot.partitions_of(snapshot.views[self._name], (venue, symbol))
            if not where:
                unknown.append(symbol)
            found |= where
        if unknown and hot and (unread := self._service.completeness.unread(snapshot.cut)):
            raise not_serving(f"It is not known yet whether there is {venue}:{unknown[0]}. {unread}")
        if unknown:
            raise unknown_instrument(venue, unknown)
        return frozenset(found)
