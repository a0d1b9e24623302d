"""The list of a stream's instruments, in order of entity and partition: the version's and those of the chains, as one.

    version     x:A/0   x:B/0           x:D/1         columns in order, found by bisection
    chains              x:B/0   x:C/1                 a directory in order; a span where an event is below the end
    list        x:A/0   x:B/0   x:C/1   x:D/1         portions of both are joined until there are enough

So a page costs what it holds, not what there is, but for conditions that must look at everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

import pyarrow as pa

from serving.store.fold import Ends
from serving.store.hot import HotStore
from serving.store.request import Entity
from serving.store.snapshot import Snapshot
from slackwater.store.instruments import Instruments, behind, entity_of, name_of
from slackwater.streams.stream import Stream
from slackwater.views.view import View

PORTION = 1_024
"""Instruments that are looked at together."""

_LAST = "\U0010ffff"

CONTRACT_VENUES = frozenset({"binance_coinm"})
"""Venues whose quantities are contracts; everywhere else they are units of the base currency."""


class Place(NamedTuple):
    """An entity in one partition."""

    entity: Entity
    partition: int


Spans = dict[Place, tuple[int, int]]
"""Place -> the first and the last base start with an event."""


@dataclass(frozen=True)
class Wanted:
    """Which entities of a stream: all conditions hold.

    `values` are those that are wanted of each entity column; empty: any. `prefix` begins the last column, each of the
    `words` (in small letters) stands in some column.
    """

    values: tuple[tuple[str, ...], ...]
    prefix: str = ""
    words: tuple[str, ...] = ()
    active_since: int | None = None
    after: Place | None = None

    @cached_property
    def _begin(self) -> Entity:
        """The first columns, as far as each has one value."""
        return tuple(values[0] for values in takewhile(lambda values: len(values) == 1, self.values))

    @cached_property
    def range(self) -> tuple[Entity, Entity]:
        """Every entity that is wanted is in [low, high)."""
        begin, left = self._begin, len(self.values) - len(self._begin)
        prefix = self.prefix if left == 1 else ""  # of the last column alone that is left
        low, high = ((*begin, prefix), (*begin, prefix + _LAST)) if left else (begin, _next(begin))
        return (low if self.after is None else max(low, self.after.entity)), high

    @property
    def picks(self) -> bool:
        """Whether some in the range may not be wanted."""
        return self.by_name or self.active_since is not None

    @cached_property
    def by_name(self) -> bool:
        """Whether some entities in the range may not be wanted."""
        in_range = len(self.values) - len(self._begin) == 1
        return bool((self.prefix and not in_range) or self.words or self._filters)

    @cached_property
    def _filters(self) -> list[tuple[int, frozenset[str]]]:
        """The columns after the first ones of which some values are wanted alone."""
        return [(at, frozenset(some)) for at, some in enumerate(self.values) if some and at >= len(self._begin)]

    def fits(self, entity: Entity) -> bool:
        """Whether an entity in the range is wanted."""
        for at, values in self._filters:
            if entity[at] not in values:
                return False
        if not str(entity[-1]).startswith(self.prefix):
            return False
        text = " ".join(map(str, entity)).lower() if self.words else ""
        return all(word in text for word in self.words)

    def place(self, place: Place, span: tuple[int, int]) -> bool:
        """Whether a place of an entity that is wanted is wanted."""
        is_late = self.active_since is None or span[1] >= self.active_since
        return is_late and (self.after is None or place > self.after)


def listed(
    snapshot: Snapshot, hot: HotStore, view: View, ends: Mapping[int, Ends], wanted: Wanted, most: int | None = None
) -> Spans:
    """The first `most` places that are wanted, in order, with their spans below `ends`, which may be empty."""
    low, high = wanted.range
    portion = PORTION if most is None or wanted.picks else min(PORTION, most)
    found: Spans = {}
    while most is None or len(found) < most:
        known, known_to = _of_version(snapshot.batch.instruments(view), wanted, low, high, portion)
        there, there_to = _of_chains(hot, view, low, high, portion) if ends else ({}, high)
        upto = min(known_to, there_to)
        spans = known if upto == known_to else {place: span for place, span in known.items() if place.entity < upto}
        names = [entity for entity in there if entity < upto and (not wanted.by_name or wanted.fits(entity))]
        _add_chains(spans, {entity: there[entity] for entity in names}, ends)
        here = [place for place, span in spans.items() if wanted.place(place, span)]
        found |= {place: spans[place] for place in sorted(here)}
        if upto == high:
            break
        low = upto
    return found if most is None else dict(list(found.items())[:most])


def _of_version(known: Instruments, wanted: Wanted, low: Entity, high: Entity, portion: int) -> tuple[Spans, Entity]:
    """A portion of a version's places in [low, high) that may be wanted, and the entity up to which it is whole."""
    columns = len(wanted.values)
    first, last = known.place(*name_of(low)), known.place(*name_of(high))
    upto = high
    if last - first > portion:
        upto = _next(known[first + portion].entity(columns))
        last = known.place(*name_of(upto))
    found: Spans = {}
    all_fit = not wanted.by_name
    for venue, symbol, partition, first_start, last_start in known.rows(first, last):
        entity = entity_of(venue, symbol, columns)
        if all_fit or wanted.fits(entity):
            found[Place(entity, partition)] = first_start, last_start
    return found, upto


def _of_chains(
    hot: HotStore, view: View, low: Entity, high: Entity, portion: int
) -> tuple[dict[Entity, frozenset[int]], Entity]:
    """A portion of the chains' entities in [low, high), and the entity up to which it is whole."""
    found = hot.instruments(view, low, high, portion)
    return found, high if len(found) < portion else _next(next(reversed(found)))


def _add_chains(spans: Spans, entities: Mapping[Entity, frozenset[int]], ends: Mapping[int, Ends]) -> None:
    for partition, end in ends.items():
        here = [entity for entity, partitions in entities.items() if partition in partitions]
        for entity, (first, last) in end.spans(here).items():
            place = Place(entity, partition)
            known = spans.get(place, (first, last))
            spans[place] = min(first, known[0]), max(last, known[1])


def _next(entity: Entity) -> Entity:
    """The next entity in order: what is below it is this one or comes before it."""
    return (*entity[:-1], behind(str(entity[-1])))


def instruments_schema(streams: Iterable[Stream], time: pa.DataType) -> pa.Schema:
    """Of a table of instruments. An entity has the columns of its stream, and null in those of the others."""
    given = [*streams]
    columns = dict.fromkeys(name for stream in given for name in stream.entity)
    return pa.schema(
        [
            pa.field("stream", pa.string(), nullable=False),
            *(pa.field(n, pa.string(), nullable=not all(n in each.entity for each in given)) for n in columns),
            pa.field("partition", pa.int64(), nullable=False),
            pa.field("first_start", time, nullable=False),
            pa.field("last_start", time, nullable=False),
            ("quantity_unit", pa.string()),
            pa.field("duplicates", pa.int64(), nullable=False),
        ]
    )


def instrument_items(snapshot: Snapshot, view: View, found: Spans) -> Iterable[dict[str, Any]]:
    """The places of a view's stream as they are listed, their times in microseconds.

    A stream without quantities has no unit of them.
    """
    stream, duplicates = view.stream, snapshot.batch.duplicates
    has_unit = "quantity" in stream.fields
    unit = ("quantity_unit",) if has_unit else ()
    names = ("stream", *stream.entity, "partition", "first_start", "last_start", *unit, "duplicates")
    for (entity, partition), (first, last) in found.items():
        if has_unit:
            unit = ("contracts",) if entity[0] in CONTRACT_VENUES else ("base",)
        events = duplicates.get((stream.name, tuple(map(str, entity))), 0) if duplicates else 0
        yield dict(zip(names, (stream.name, *entity, partition, first, last, *unit, events), strict=True))
