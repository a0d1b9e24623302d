"""What is proven, as data: views and streams as their declarations say, read field by field and nothing else of them.

    Sum(expr="quantity")   ->   Part("Sum", {"expr": "quantity"})

The command line hands the registered views over; what their classes can do is never called, so the product's SQL,
merges and decoders have no part in the proof. What the oracle does with a part is said by its kind's name
(`verify.measures`, `verify.answers`, `verify.keys`, `verify.decoder`), or, for a measure or an answer of a new kind, by
the function `oracle` of its class (`verify.kinds`). A kind without either is not proven.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Part:
    """One declaration: the name of its class, its fields, and what the class has for the proof alone."""

    kind: str
    args: Mapping[str, Any]
    oracle: Callable[..., Any] | None = None


@dataclass(frozen=True)
class StreamData:
    """One stream. `checks` are over several columns; `venues` says what is special about a venue."""

    name: str
    columns: tuple[Part, ...]
    entity: tuple[str, ...]
    identity: str
    time: str
    order: str
    checks: tuple[Part, ...]
    venues: Mapping[str, Part]

    @property
    def fields(self) -> tuple[str, ...]:
        """What an event holds: its columns, the unit of its time, and when the log took it, in microseconds."""
        return (*(column.args["name"] for column in self.columns), "time_unit", "appended")


@dataclass(frozen=True)
class Definition:
    """One view. `definition` is the hash by which an answer says what it was made by."""

    name: str
    definition: str
    stream: StreamData
    key: tuple[str, ...]
    derived: Mapping[str, Part]
    measures: Mapping[str, Part]
    answers: Mapping[str, Part]
    quantiles: Mapping[str, Part]
    base: str

    @property
    def rest(self) -> tuple[str, ...]:
        """The key columns after the entity."""
        return self.key[len(self.stream.entity) :]


def read_view(view: Any) -> Definition:
    """The data of a registered view."""
    parts = {name: _parts(getattr(view, name, {})) for name in ("derived", "measures", "answers", "quantiles")}
    base = getattr(view, "base", "1s")
    return Definition(view.name, view.definition, read_stream(view.stream), tuple(view.key), **parts, base=base)


def read_stream(stream: Any) -> StreamData:
    """The data of a registered stream."""
    columns = tuple(part_of(column) for column in stream.columns)
    checks = tuple(part_of(check) for check in stream.checks)
    roles = stream.identity, stream.time, stream.order
    return StreamData(stream.name, columns, tuple(stream.entity), *roles, checks, _parts(stream.venues))


def part_of(declared: Any) -> Part:
    """The data of one declaration."""
    kind = type(declared)
    args = {field.name: getattr(declared, field.name) for field in fields(declared)}
    return Part(kind.__name__, args, getattr(kind, "oracle", None))


def _parts(declared: Mapping[str, Any]) -> dict[str, Part]:
    return {name: part_of(each) for name, each in declared.items()}
