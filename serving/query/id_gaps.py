"""What is missing of an entity where its venue's ids are dense: of the version's archive and of the chain, as one.

It needs a view of the stream that says of each bar its smallest and largest id and the number of its events: the one
that has the first and the last of something by the order of events, and a count.
"""

from collections.abc import Collection, Iterable
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from serving.query.basis import Basis
from serving.query.read import chain_rows
from serving.store.archived_ids import ArchivedIds, Runs
from serving.store.batch import whole
from serving.store.request import Entity, Keys, Range, RowRequest
from slackwater.store.gaps import IdGaps, gaps_of
from slackwater.versions.inspector import Inspector
from slackwater.views.measures import Count, First, Last
from slackwater.views.rows import Row
from slackwater.views.view import View


class IdPlaces(NamedTuple):
    """Where a state of a view holds its smallest id, its largest, and its number of events.

    `names` are the columns of the two ids.
    """

    first: int
    last: int
    events: int

    names: tuple[str, str]

    def of(self, row: Row) -> tuple[int, int, int]:
        """Those of a row."""
        return row.state[self.first], row.state[self.last], row.state[self.events]  # type: ignore[return-value]


@cache
def id_places(view: View) -> IdPlaces | None:
    """Where a view holds them; None where it does not, or where a bar is more than one row."""
    order, names = view.stream.order, [column.name for column in view.columns]
    first = next((n for n, of in view.measures.items() if isinstance(of, First) and of.by == order), None)
    last = next((n for n, of in view.measures.items() if isinstance(of, Last) and of.by == order), None)
    count = next((n for n, of in view.measures.items() if isinstance(of, Count) and of.where is None), None)
    if view.rest or first is None or last is None or count is None:
        return None
    ends = f"{first}_id", f"{last}_id"
    return IdPlaces(names.index(ends[0]), names.index(ends[1]), names.index(count), ends)


def is_dense(view: View, entity: Entity) -> bool:
    """Whether a hole in the ids of an entity is a gap in the data, and the view can say so."""
    return entity[0] in view.stream.dense_venues and id_places(view) is not None


def gaps_by_entity(basis: Basis, ids: ArchivedIds, entities: Iterable[Entity]) -> dict[Entity, IdGaps]:
    """The gaps of those of the entities whose ids are dense, by what the basis stands on. Blocks.

    Raises:
        DamagedFileError, OSError: a file of ids is damaged or gone.
    """
    chosen = [entity for entity in entities if is_dense(basis.view, entity)]
    runs = ids.of(basis.snapshot.manifest, basis.view.stream) if chosen and basis.batch is not None else {}
    return {entity: _gaps(basis, runs, entity) for entity in chosen}


def starts_of(basis: Basis, entity: Entity, ids: Collection[int], inspector: Inspector) -> dict[int, int]:
    """The start of the base bar that each of some ids of an entity lies in, of those that are there. Blocks.

    Raises:
        DamagedFileError, OSError, duckdb.Error: files of the version cannot be read.
    """
    places, base = id_places(basis.view), basis.view.intervals[0]
    if places is None or not ids:
        return {}
    of = RowRequest(basis.view, Keys((entity,)), Range(base))
    bars = [(row.start, *places.of(row)[:2]) for row in chain_rows(basis, of.keys, of.range)]
    if basis.batch is not None and not basis.batch.nothing(of):
        cursor, batch = basis.batch.cursor(), basis.batch
        read = partial(batch.bars_of_ids, of, places.names, sorted(ids), cursor)
        bars += whole(inspector, batch.files(of), read)
    return {number: min(starts) for number in ids if (starts := [s for s, a, b in bars if a <= number <= b])}


def _gaps(basis: Basis, runs: Runs, entity: Entity) -> IdGaps:
    places = id_places(basis.view)
    if places is None:
        raise ValueError(f"{basis.view.name} does not say which ids its bars hold")
    nothing = np.zeros(0, np.int64)
    base = basis.view.intervals[0]
    bars = [places.of(row) for row in chain_rows(basis, Keys((entity,)), Range(base))]
    return gaps_of(*runs.get(tuple(map(str, entity)), (nothing, nothing)), bars)
