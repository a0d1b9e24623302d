"""The instruments of a version, in order of venue, symbol and partition: columns, since there may be very many.

    venues      x        y            each venue once, and where its symbols begin
    symbols     A  B  B  A  C         found by bisection
    partition   0  0  1  1  0         arrays of integers

An instrument costs the text of its symbol and some thirty bytes. Not here: who finds them (`batch_layer.run`).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat, starmap
from sys import intern
from typing import Any, overload

import pyarrow as pa

Name = tuple[str, str]
"""Venue and symbol."""

_COLUMNS = ("partition", "first_start", "last_start")
SCHEMA = pa.schema([*((name, pa.string()) for name in ("venue", "symbol")), *((name, pa.int64()) for name in _COLUMNS)])
"""Of all entries as a table."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What a version knows of an instrument: its partition, and the starts of its first and last base bar."""

    venue: str
    symbol: str
    partition: int
    first_start: int
    last_start: int

    def entity(self, columns: int) -> tuple[str, ...]:
        """The entity of so many columns that it stands for."""
        return entity_of(self.venue, self.symbol, columns)


class Instruments(Sequence[Instrument]):
    """Immutable. An instrument that lives in several partitions has an entry for each."""

    __slots__ = ("_columns", "_starts", "_symbols", "_venues")

    def __init__(self, found: Iterable[Instrument] = ()) -> None:
        known = sorted(found, key=lambda each: (each.venue, each.symbol, each.partition))
        counts: dict[str, int] = {}
        for each in known:
            counts[each.venue] = counts.get(each.venue, 0) + 1
        self._set(counts, [each.symbol for each in known], [[getattr(each, c) for each in known] for c in _COLUMNS])

    def _set(self, counts: Mapping[str, int], symbols: Sequence[str], columns: Sequence[Sequence[int]]) -> None:
        self._venues = list(counts)
        self._starts = list(accumulate(counts.values(), initial=0))
        self._symbols = [*map(intern, symbols)]  # the hot store has the same texts
        self._columns = tuple(array("q", column) for column in columns)

    def of(self, venue: str, symbol: str) -> tuple[Instrument, ...]:
        """An entry for each partition that holds the instrument."""
        return tuple(self.entries(self.place(venue, symbol), self.place(venue, behind(symbol))))

    def place(self, venue: str, symbol: str) -> int:
        """The index of the first entry at or behind a venue and symbol."""
        at = bisect_left(self._venues, venue)
        if at == len(self._venues) or self._venues[at] != venue:
            return self._starts[at]
        return bisect_left(self._symbols, symbol, self._starts[at], self._starts[at + 1])

    def entries(self, first: int, last: int) -> Iterator[Instrument]:
        """The entries at the indexes [first, last), which are in range."""
        return starmap(Instrument, self.rows(first, last))

    def rows(self, first: int, last: int) -> Iterator[tuple[str, str, int, int, int]]:
        """The same as tuples of an entry's fields, for many of them."""
        at = bisect_right(self._starts, first) - 1
        while first < last:
            stop = min(last, self._starts[at + 1])
            symbols, (partitions, firsts, lasts) = self._symbols[first:stop], self._slices(first, stop)
            yield from zip(repeat(self._venues[at]), symbols, partitions, firsts, lasts, strict=False)
            first, at = stop, at + 1

    def grown(self, found: Iterable[Instrument]) -> "Instruments":
        """These and others, which may be known: of a venue, symbol and partition the bounds are joined."""
        spans: dict[tuple[str, str, int], tuple[int, int]] = {}
        for venue, symbol, partition, first, last in map(_fields, found):
            low, high = spans.get((venue, symbol, partition), (first, last))
            spans[venue, symbol, partition] = min(low, first), max(high, last)
        columns = [array("q", column) for column in self._columns]
        new: list[Instrument] = []
        for (venue, symbol, partition), (first, last) in spans.items():
            at, end = self.place(venue, symbol), self.place(venue, behind(symbol))
            while at < end and columns[0][at] != partition:
                at += 1
            if at == end:
                new.append(Instrument(venue, symbol, partition, first, last))
            else:
                columns[1][at], columns[2][at] = min(columns[1][at], first), max(columns[2][at], last)
        grown = Instruments()
        grown._venues, grown._starts, grown._symbols = self._venues, self._starts, self._symbols
        grown._columns = tuple(columns)
        return Instruments([*grown, *new]) if new else grown

    def span(self, venue: str, symbol: str) -> tuple[int, int] | None:
        """The first and the last base start of an instrument in any partition; None where it is not known."""
        found = self.of(venue, symbol)
        if not found:
            return None
        return min(each.first_start for each in found), max(each.last_start for each in found)

    def table(self) -> pa.Table:
        """A row an entry, a column a field."""
        return pa.table([pa.array(column, SCHEMA.field(name).type) for name, column in self._named().items()], SCHEMA)

    def facts(self) -> dict[str, Any]:
        """As JSON: `from_facts` makes the same of it."""
        counts = [high - low for low, high in zip(self._starts, self._starts[1:], strict=False)]
        columns = {name: list(column) for name, column in zip(_COLUMNS, self._columns, strict=True)}
        return {"venues": dict(zip(self._venues, counts, strict=True)), "symbol": self._symbols, **columns}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Instruments":
        """The instruments of a JSON object. Raises KeyError, TypeError or ValueError if it is none."""
        found = cls()
        columns = [facts[name] for name in _COLUMNS]
        found._set(facts["venues"], facts["symbol"], columns)
        if {found._starts[-1], *map(len, columns)} != {len(found._symbols)}:
            raise ValueError("columns of different lengths")
        if list(facts["venues"]) != sorted(facts["venues"]):
            raise ValueError("venues out of order")
        return found

    def __len__(self) -> int:
        return len(self._symbols)

    @overload
    def __getitem__(self, at: int) -> Instrument: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Instrument]: ...

    def __getitem__(self, at: int | slice) -> Instrument | Sequence[Instrument]:
        if isinstance(at, slice):
            return list(self)[at]
        place = range(len(self))[at]
        return next(self.entries(place, place + 1))

    def __iter__(self) -> Iterator[Instrument]:
        return self.entries(0, len(self))

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Instruments):
            return NotImplemented
        return self.facts() == other.facts()

    def __repr__(self) -> str:
        return f"Instruments({len(self)})"

    def _slices(self, first: int, stop: int) -> list["array[int]"]:
        return [column[first:stop] for column in self._columns]

    def _named(self) -> dict[str, Sequence[Any]]:
        bounds = zip(self._venues, self._starts, self._starts[1:], strict=False)
        venues = [venue for venue, low, high in bounds for _ in range(high - low)]
        return {"venue": venues, "symbol": self._symbols, **dict(zip(_COLUMNS, self._columns, strict=True))}


def _fields(each: Instrument) -> tuple[str, str, int, int, int]:
    return each.venue, each.symbol, each.partition, each.first_start, each.last_start


def name_of(entity: Sequence[object]) -> Name:
    """The two texts by which an entity is listed, as `slackwater.views.sql.instrument_sql` gives them."""
    first, *others = map(str, entity)
    return first, "\x1f".join(others)


def entity_of(venue: str, symbol: str, columns: int) -> tuple[str, ...]:
    """The entity of so many columns that these two texts list: `name_of` the other way."""
    return (venue, symbol) if columns == 2 else (venue, *symbol.split("\x1f"))[:columns]


def behind(symbol: str) -> str:
    """The next text after a symbol: what is below it is the symbol or comes before it."""
    return symbol + "\0"


NO_INSTRUMENTS = Instruments()
