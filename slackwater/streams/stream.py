"""A stream: one kind of event, declared as data. Everything that handles its events is generated from the declaration.

    TRADES = Stream(name="trades", columns=(Text("venue", ...), ..., Decimal("price"), ...), entity=("venue", "symbol"),
                    identity="trade_id", time="time", ...)

Not here: the streams that there are (`slackwater.streams.registry`), and the views over them (`slackwater.views`).
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from slackwater.streams.errors import StreamDeclarationError
from slackwater.streams.schema import EVENT_FORMAT, PRICE_SCALE


@dataclass(frozen=True)
class Column:
    """What every kind of column offers. `arrow` is its type in a table of events."""

    name: str

    @property
    def arrow(self) -> pa.DataType:
        """The type of the column in a table of events."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Column):
    """Text that matches `pattern` whole and holds none of `without`."""

    pattern: str
    without: tuple[str, ...] = ()

    @property
    def arrow(self) -> pa.DataType:
        return pa.string()


@dataclass(frozen=True)
class Identity(Column):
    """What tells an event from all others of its entity: an integer from 0 to 2^63-1."""

    @property
    def arrow(self) -> pa.DataType:
        return pa.int64()


@dataclass(frozen=True)
class Time(Column):
    """When it happened: microseconds since the epoch, UTC, from 2009-01-03 to one minute after it was appended."""

    @property
    def arrow(self) -> pa.DataType:
        return pa.int64()


@dataclass(frozen=True)
class Decimal(Column):
    """An exact decimal above 0 with ten digits before the point and eight behind it, a DECIMAL(18,8)."""

    @property
    def arrow(self) -> pa.DataType:
        return pa.decimal128(18, PRICE_SCALE)


@dataclass(frozen=True)
class Choice(Column):
    """One of a few texts."""

    values: tuple[str, ...]

    @property
    def arrow(self) -> pa.DataType:
        return pa.string()


@dataclass(frozen=True)
class Stream:
    """One kind of event.

    Attributes:
        name: of its topic (behind the prefix) and its routes.
        columns: in the order in which an event's line and tables hold them.
        entity: the columns that choose the partition; an entity lives in one partition.
        identity: the column that is unique within an entity.
        time: the column of the event time.
    """

    name: str
    columns: tuple[Column, ...]
    entity: tuple[str, ...]
    identity: str
    time: str

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise StreamDeclarationError(self.name, f"columns {twice} stand twice")
        if missing := [name for name in (*self.entity, self.identity, self.time) if name not in names]:
            raise StreamDeclarationError(self.name, f"it has no columns {missing}")

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields of an event's line, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of a table of events, as views see them."""
        return pa.schema([pa.field(column.name, column.arrow, nullable=False) for column in self.columns])

    @cached_property
    def definition(self) -> str:
        """16 hex digits of a SHA-256 over everything that gives an event of it a meaning."""
        meaning = {
            "name": self.name,
            "columns": [repr(column) for column in self.columns],
            "entity": self.entity,
            "identity": self.identity,
            "time": self.time,
            "event_format": EVENT_FORMAT,
        }
        return hashlib.sha256(json.dumps(meaning, separators=(",", ":")).encode()).hexdigest()[:16]

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.definition == other.definition

    def __hash__(self) -> int:
        return hash(self.definition)
