"""A stream: one kind of event, declared as data. Everything that handles its events is generated from the declaration.

    TRADES = Stream(name="trades", columns=(Text("venue", ...), ..., Decimal("price"), ...), entity=("venue", "symbol"),
                    identity="trade_id", time="time", order="sequence", ...)

Not here: the streams that there are (`slackwater.streams.registry`), and the views over them (`slackwater.views`).
"""

import hashlib
import json
from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from keyword import iskeyword
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from slackwater.streams.checks import ProductBelow
from slackwater.streams.column import Column
from slackwater.streams.columns import ABSENT, Choice, Decimal, Identity, Integer, Sequence, Text, Time
from slackwater.streams.errors import StreamDeclarationError
from slackwater.streams.order import Venue
from slackwater.streams.schema import EVENT_FORMAT, IDENTIFIER
from slackwater.streams.words import SQL

__all__ = [
    "APPENDED",
    "TIME_UNIT",
    "Choice",
    "Column",
    "Decimal",
    "Identity",
    "Integer",
    "ProductBelow",
    "Sequence",
    "Stream",
    "Text",
    "Time",
    "Venue",
]

APPENDED = "appended"
"""The column that every table of events ends with: when the log took it, in microseconds; null in imported history."""


@dataclass(frozen=True)
class TimeUnit(Choice):
    """The unit in which the source measured the time; microseconds where a line does not say."""

    optional: ClassVar[bool] = True

    def take(self, token: str | None) -> str:
        return token or "us"


TIME_UNIT = TimeUnit("time_unit", ("us", "ms", "s"))

_RESERVED = {TIME_UNIT.name, APPENDED, "partition", "offset", "index", "start"}


@dataclass(frozen=True)
class Stream:
    """One kind of event.

    Attributes:
        name: of its topic (behind the prefix) and its routes.
        columns: in the order in which an event's line and tables hold them.
        entity: the columns that choose the partition; an entity lives in one partition. The first is the venue.
        identity: the column that is unique within an entity.
        time: the column of the event time.
        order: the column by which the events of an entity are ordered.
        checks: what must hold between columns.
        venues: what is special about a venue; the others are as `Venue()` says.

    Raises:
        StreamDeclarationError: names are no identifiers or duplicates, or a column is missing or of a wrong kind.
    """

    name: str
    columns: tuple[Column, ...]
    entity: tuple[str, ...]
    identity: str
    time: str
    order: str
    checks: tuple[ProductBelow, ...] = ()
    venues: Mapping[str, Venue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if wrong := [name for name in (self.name, *names) if not IDENTIFIER.fullmatch(name)]:
            raise StreamDeclarationError(self.name, f"{wrong} cannot be names", "Use [a-z][a-z0-9_]*.")
        if escaped := [column.name for column in self.columns if not column.plain]:
            hint = "Name its characters, such as [A-Za-z0-9 _.-]{1,80}; groups are (?:...)."
            raise StreamDeclarationError(self.name, f"{escaped} may hold what JSON escapes", hint)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise StreamDeclarationError(self.name, f"duplicate columns {twice}")
        if reserved := sorted({*names} & _RESERVED):
            raise StreamDeclarationError(self.name, f"{reserved} cannot be columns", "Every event has them anyway.")
        if words := [name for name in names if name in SQL or iskeyword(name)]:
            hint = "They are words of SQL or of Python: use another, such as order_id for order."
            raise StreamDeclarationError(self.name, f"{words} cannot be columns", hint)
        self._check_entity()
        roles = [*((name, Text) for name in self.entity), (self.identity, Identity), (self.time, Time)]
        for name, kind in [*roles, (self.order, Integer)]:
            if name not in names or not isinstance(self.column(name), kind):
                raise StreamDeclarationError(self.name, f"it has no column {name!r} of the kind {kind.__name__}")
        for kind, role in ((Identity, self.identity), (Time, self.time), (Sequence, self.order)):
            if others := [column.name for column in self.columns if type(column) is kind and column.name != role]:
                raise StreamDeclarationError(self.name, f"{kind.__name__} {others} beside {role!r}")
        if unordered := [name for name in sorted(self.unnamed) if self.venues[name].sequence == "id"]:
            raise StreamDeclarationError(self.name, f"{unordered} have no ids, which cannot be their order")
        for check in self.checks:
            if wrong := [n for n in (check.left, check.right) if type(self._by_name.get(n)) is not Decimal]:
                raise StreamDeclarationError(self.name, f"a check is over {wrong}, which are no decimals")

    def _check_entity(self) -> None:
        if not self.entity:
            raise StreamDeclarationError(self.name, "it has no entity", "Its first column is the venue.")
        if apart := [c.name for c in self.columns if c.name in self.entity and type(c) is Text and c.holds_comma]:
            raise StreamDeclarationError(
                self.name, f"{apart} of the entity may hold a comma", "It parts several values."
            )

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.wire}

    @cached_property
    def wire(self) -> tuple[Column, ...]:
        """What a line may hold, in order."""
        return (*self.columns, TIME_UNIT)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields of a line, in order."""
        return tuple(column.name for column in self.wire)

    @cached_property
    def optional(self) -> frozenset[str]:
        """The fields that a line may lack."""
        return frozenset(column.name for column in self.wire if column.optional)

    @cached_property
    def unnamed(self) -> frozenset[str]:
        """The venues that give no ids."""
        return frozenset(name for name, venue in self.venues.items() if venue.ids == "none")

    @cached_property
    def timed(self) -> frozenset[str]:
        """The venues whose sequence is made of the time."""
        return frozenset(name for name, venue in self.venues.items() if venue.sequence == "time" and self.sequenced)

    def may_be_timed(self, venues: pa.Array) -> bool:
        """Whether an event may be of `timed` venues, for the price of a look at each venue that there is."""
        if not self.timed:
            return False
        known = venues.dictionary if pa.types.is_dictionary(venues.type) else venues.unique()
        return not self.timed.isdisjoint(known.to_pylist())

    def is_timed(self, venues: pa.Array) -> Any:
        """Which events are of `timed` venues, as booleans."""
        return pc.is_in(venues, pa.array(sorted(self.timed), pa.string())).to_numpy(zero_copy_only=False)

    @cached_property
    def event(self) -> Any:
        """The named tuple of an event: its fields, decimals in units of 1e-8, times in microseconds."""
        return namedtuple(self.name, self.fields)

    @cached_property
    def parsers(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """(field, parser of its value) of each field."""
        return tuple((column.name, column.parse) for column in self.wire)

    @cached_property
    def absent(self) -> dict[str, Any]:
        """What stands for the fields that a line may lack."""
        return {column.name: "us" if column is TIME_UNIT else ABSENT for column in self.wire if column.optional}

    @cached_property
    def places(self) -> tuple[int, int, int, int]:
        """Where an event has its venue, identity, time and order."""
        venue, identity, time, order = map(self.fields.index, (self.entity[0], self.identity, self.time, self.order))
        return venue, identity, time, order

    @cached_property
    def factors(self) -> tuple[tuple[ProductBelow, int, int], ...]:
        """The checks, and where an event has the two values of each."""
        return tuple((one, self.fields.index(one.left), self.fields.index(one.right)) for one in self.checks)

    @cached_property
    def sequenced(self) -> bool:
        """Whether its order is a sequence, which may follow from the rest of an event."""
        return isinstance(self.column(self.order), Sequence)

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of a table of events, as views see them: the fields, then `appended`."""
        events = [pa.field(column.name, column.arrow, nullable=False) for column in self.wire]
        return pa.schema([*events, pa.field(APPENDED, pa.int64())])

    @cached_property
    def definition(self) -> str:
        """16 hex digits of a SHA-256 over everything that gives an event of it a meaning."""
        meaning = {
            "name": self.name,
            "columns": [repr(column) for column in self.columns],
            "entity": self.entity,
            "identity": self.identity,
            "time": self.time,
            "order": self.order,
            "checks": [repr(check) for check in self.checks],
            "venues": {name: rule for name, venue in sorted(self.venues.items()) if (rule := venue.meaning)},
            "event_format": EVENT_FORMAT,
        }
        return hashlib.sha256(json.dumps(meaning, separators=(",", ":")).encode()).hexdigest()[:16]

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        return self._by_name[name]

    def venue(self, name: str) -> Venue:
        """What is special about a venue."""
        return self.venues.get(name, _ORDINARY)

    @cached_property
    def dense_venues(self) -> tuple[str, ...]:
        """The venues whose ids are dense, by name: a hole in them is a gap in the data."""
        return tuple(sorted(name for name, venue in self.venues.items() if venue.ids == "dense"))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Stream) and self.definition == other.definition)

    def __hash__(self) -> int:
        return hash(self.definition)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # what is derived is derived again


_ORDINARY = Venue()
