"""The basis of one answer: a snapshot, a layer, the partitions that the answer reads, and where their chains end.

A basis is a value; `serving.query.bases` finds it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from serving.store.batch import BatchReader
from serving.store.fold import Ends
from serving.store.request import Entity
from serving.store.snapshot import Snapshot, Standing
from serving.watch.live import APART
from slackwater.deltas.cell import Cell
from slackwater.views.interval import Interval
from slackwater.views.merge import State
from slackwater.views.rows import Row
from slackwater.views.view import View


class BasisId(NamedTuple):
    """What an answer to one question depends on: while it is the same, so is the answer.

    The snapshot itself, which instruments lie where (`HotStore.placement_epoch`), and what is known of the chains of
    these partitions (`HotStore.revision`), their ends, their newest events and whether they are complete among it.
    """

    snapshot: Snapshot
    placement_epoch: int
    revision: int
    view: str
    partitions: frozenset[int]
    lacking: str | None = None


@dataclass(frozen=True)
class Basis:
    """What one answer stands on. `view` is the one in force; `partitions` hold the requested instruments.

    `incomplete_reason` is why deltas may be missing: a cell after the ends was known, what the delta topic holds was
    not, or the chain was requested and may not be used; None where nothing is.
    `basis_id` tells when the same question has another answer; None where it is not to be cached.
    """

    snapshot: Snapshot
    view: View
    layer: str
    partitions: frozenset[int]
    ends: Mapping[int, Ends]
    incomplete_reason: str | None = None
    basis_id: BasisId | None = None

    @cached_property
    def standing(self) -> Standing:
        """How the version stands on the view's stream."""
        return self.snapshot.streams[self.view.stream.name]

    @cached_property
    def cut(self) -> dict[int, int]:
        """The cut in the requested partitions."""
        return {p: at for p, at in self.standing.cut.items() if p in self.partitions}

    @cached_property
    def applied(self) -> dict[int, int]:
        """What is applied in the requested partitions."""
        return {**self.cut, **{p: ends.upto for p, ends in self.ends.items()}}

    @property
    def batch(self) -> BatchReader | None:
        """What reads the stored rows; None where the speed layer answers alone."""
        return None if self.layer == "speed" else self.snapshot.batch

    def newest(self, entity: Entity) -> int | None:
        """The newest second that an applied event of the entity lies in; the same for every layer of one answer."""
        found = [known.last_start for known in self.snapshot.batch.places(self.view, entity)]
        found += [start for ends in self.ends.values() if (start := ends.newest(entity)) is not None]
        return max(found, default=None)

    def closed_to(self, interval: Interval, entities: Iterable[Entity]) -> dict[Entity, int]:
        """Per entity the last start whose bar is closed."""
        return {entity: interval.last_closed(self.newest(entity) or 0) for entity in entities}

    def span(self, entity: Entity) -> tuple[int, int] | None:
        """The oldest and newest base start of an entity in the layers that answer."""
        known = self.snapshot.batch.places(self.view, entity) if self.batch is not None else ()
        spans = [(each.first_start, each.last_start) for each in known]
        spans += [span for ends in self.ends.values() if (span := ends.span(entity)) is not None]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def parts(self, row: Row, interval: Interval) -> list[tuple[Cell, State]]:
        """What each cell gave to a row."""
        low, high = row.start, interval.end(row.start)
        return [part for ends in self.ends.values() for part in ends.parts(row.key, low, high)]

    def meta(self) -> dict[str, Any]:
        """What an answer says of itself."""
        meta = {
            "version": self.snapshot.manifest.version,
            "definition": self.view.definition,
            "stream": self.view.stream.name,
            "cut": partitions_json(self.cut),
            "applied": partitions_json(self.applied),
            "complete": self.incomplete_reason is None,
            "layer": self.layer,
        }
        if self.incomplete_reason is not None:
            meta["reason"] = self.incomplete_reason
        if refusals := (*self.snapshot.refusals, *self.standing.refusals):
            meta["refusal"] = " ".join(refusals)
        return meta


def apart(ends: Mapping[int, Ends]) -> str | None:
    """The reason if a cell after one of these ends is known; None if none is."""
    return None if all(end.complete for end in ends.values()) else APART


def partitions_json(offsets: Mapping[int, int]) -> dict[str, int]:
    """Partition -> offset with the partitions as text, in their order."""
    return {str(partition): offsets[partition] for partition in sorted(offsets)}
