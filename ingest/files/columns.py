"""Columns of a file, whatever its format -> the lines of its rows, for the decoder to judge.

Times that a file gives in seconds or milliseconds become microseconds, and the events say of which unit they are, so
that the same event of a finer source is a duplicate. A column may tell of which venues a file is
(`slackwater.streams.order.Venue.columns`): aggregates never pass for the trades that they are made of.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ingest.chunk import Certain
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import Constant, FromColumn, Layout, Reading, TimeUnit, resolve, unit_missing
from slackwater.streams.rows import row_lines
from slackwater.streams.stream import TIME_UNIT, Choice, Decimal, Stream, Text
from slackwater.streams.tokens import check_types, one_unit, quoted, time_units, tokens
from slackwater.streams.typed import typed_rows
from slackwater.streams.written import is_number


class Columns:
    """The columns of one file. `schema` is given where they have types; without it each value is text."""

    def __init__(
        self, stream: Stream, name: str, names: Sequence[str], layout: Layout, schema: pa.Schema | None = None
    ) -> None:
        """Map the columns to the fields of the stream. Raises MappingError."""
        self._stream = stream
        self._name = name
        self._unit = layout.time_unit
        self._checked = False
        found = resolve(stream, name, names, layout)
        self._sources = {field: _read(stream, field, source, layout) for field, source in found.items()}
        if schema is not None:
            check_types(stream, schema, self._sources, layout.time_unit)
        self._unit_said = TIME_UNIT.name in self._sources
        if self._sources.get(TIME_UNIT.name) == Constant("us"):  # what a line says that says nothing
            del self._sources[TIME_UNIT.name]
        telling = {column for venue in stream.venues.values() for column in venue.columns} & set(names)
        self._telling = sorted(telling)
        self._venues = {venue for venue, rule in stream.venues.items() if telling & set(rule.columns)}
        venue = self._sources[stream.entity[0]]
        if isinstance(venue, Constant):
            self._check_venues([venue.text])

    @property
    def texts(self) -> list[str]:
        """The columns of few texts: a file had better give them with a dictionary."""
        few = [field for field in self._stream.fields if isinstance(self._stream.column(field), Text | Choice)]
        sources = (self._sources.get(field) for field in few)
        return [source.column for source in sources if isinstance(source, FromColumn)]

    def check(self, column: Callable[[str], Any], rows: int) -> None:
        """Look at some rows before anything is made of them; `column` gives the values of a column as an Arrow array.

        Raises:
            TimeUnitError: times are numbers written as text, and nobody said of what.
            MappingError: a column says that the file is not of its venue.
        """
        time, venue = self._sources[self._stream.time], self._sources[self._stream.entity[0]]
        if rows and isinstance(venue, FromColumn) and self._telling:
            texts = column(venue.column).unique().to_pylist()
            self._check_venues(str(v, "latin-1") if type(v) is bytes else v for v in texts)
        if rows and isinstance(time, FromColumn):
            self._check_time(time, column(time.column))

    def certain(self, column: Callable[[str], Any], rows: int) -> Certain:
        """The rows that are events for certain, whatever their times' newest may be."""
        sources, unit = self._sources, self._unit
        time = sources[self._stream.time]
        if isinstance(time, FromColumn):
            values = column(time.column)
            if pa.types.is_integer(values.type):
                unit = one_unit(values, unit) or unit
            said: TimeUnit | None = values.type.unit if pa.types.is_timestamp(values.type) else unit
            if not self._unit_said and said in TIME_UNIT.values:
                sources = {**sources, TIME_UNIT.name: Constant(said)}
        return Certain(*typed_rows(self._stream, sources, column, rows, unit))

    def lines(self, column: Callable[[str], Any], rows: int) -> list[bytes]:
        """The lines of some rows, which `check` let pass."""
        made: dict[str, Any] = {}
        for field, source in self._sources.items() if rows else ():
            if isinstance(source, Constant):
                made[field] = quoted(pa.array([source.text.encode()], pa.binary()))[0].as_py()
                continue
            made[field] = tokens(self._stream, field, column(source.column), source, self._unit)
        time = self._sources[self._stream.time]
        if rows and isinstance(time, FromColumn) and not self._unit_said:
            unit = time_units(column(time.column), self._unit)
            made |= {} if unit is None else {TIME_UNIT.name: unit}
        return row_lines(self._stream, made, rows) if rows else []

    def _check_time(self, source: FromColumn, values: Any) -> None:
        # Before anything of the file is taken; a number that comes later is a bad row.
        if not self._checked and self._unit is None:
            texts = (value.encode() if type(value) is str else value for value in values.slice(0, 8192).to_pylist())
            if any(type(value) is bytes and is_number(value) for value in texts):
                raise unit_missing(source.column)
        self._checked = True

    def _check_venues(self, venues: Any) -> None:
        for venue in venues:
            if self._telling and venue is not None and venue not in self._venues:
                raise MappingError(
                    f"{self._name!r} has the column {self._telling[0]!r}, so it is no file of {venue!r}.",
                    f"Its venue is one of {', '.join(sorted(self._venues))}: ids of two kinds are never mixed in one.",
                )


def _read(stream: Stream, field: str, source: FromColumn | Constant, layout: Layout) -> FromColumn | Constant:
    """A field's source with how its values are read."""
    reading = layout.readings.get(field, Reading())
    if isinstance(source, Constant):
        return Constant(source.text.lower()) if reading.lower else source
    if source.negated and reading.words:
        raise MappingError(
            f"The field {field!r} has a `!` and --values besides.", "--values says all of it: leave `!` out."
        )
    kind = TIME_UNIT if field == TIME_UNIT.name else stream.column(field)
    read = isinstance(kind, Choice | Decimal) or reading != Reading()
    return replace(source, reading=reading) if read else source
