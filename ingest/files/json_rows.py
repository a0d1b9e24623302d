"""Values of JSON with the names that their writer gave them -> lines of events, by the paths of `--map`.

    {"data":{"p":61837.63,"m":true}}      price=data.p,side=!data.m
    ["61837.63",1688669597.8277,"b"]      price=0,time=1,side=2

Its numbers keep their text. A field without a mapping is at its own name. Not here: how the values are found in a file
(`line_reader`, `json_array`, `json_records`), and what a value may be (`ingest.files.columns`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa

from ingest.chunk import Chunk, Fault, Source
from ingest.files.columns import Columns
from ingest.files.json_records import KEY, JsonRecords
from slackwater.streams.errors import MappingError, MissingColumnError
from slackwater.streams.json_object import shown
from slackwater.streams.json_value import Number, at, paths_of, value_of
from slackwater.streams.mapping import FromColumn, Layout, lackable
from slackwater.streams.refusal import Reason, RefusedError
from slackwater.streams.stream import Choice, Decimal, Identity, Integer, Stream, Time

_SHOWN = 40
"""Paths of a value that an error names."""


class _Field(NamedTuple):
    """Where a field is, and what it may be there besides a text: a number, or one that is whole; true or false."""

    name: str
    column: str
    path: tuple[str, ...]
    number: bool
    whole: bool
    flag: bool
    may_lack: bool


class JsonRows(Source):
    """What `inner` gives, each a value of JSON, as lines of events. A row's original is what `inner` says."""

    def __init__(self, stream: Stream, name: str, inner: Source, layout: Layout) -> None:
        """Raises MappingError."""
        self.name = name
        self.unit = inner.unit
        self.total = inner.total
        self._inner = inner
        self._stream = stream
        self._layout = layout
        self._fields = [field for each in stream.fields if (field := _field(stream, each, layout)) is not None]
        self._made: dict[tuple[str, ...], Columns] = {}
        self._looked = inner.total is None  # the first lines of a pipe may be few
        if KEY not in layout.records and any(field.column == KEY for field in self._fields):
            raise MappingError("A field is mapped to `*`, and --records has no `*` whose key it could be.")

    @property
    def part(self) -> str:
        return self._inner.part

    def read(self, timeout_s: float) -> Chunk | None:
        """What is there now.

        Raises:
            MissingColumnError: none of the first values of a file has what a field is mapped to.
            SourceError, MappingError: as `inner` raises, and as `ingest.files.columns` does.
        """
        chunk = self._inner.read(timeout_s)
        self.done = self._inner.done
        if chunk is None or not chunk.lines:
            return chunk
        keys = self._inner.keys if isinstance(self._inner, JsonRecords) else None
        faults, good, rows = dict(chunk.faults), [], []
        first: Any = None
        for i, line in enumerate(chunk.lines):
            if i in faults:
                continue
            try:
                value = value_of(line)
                rows.append(self._texts(value, "" if keys is None else keys[i]))
            except RefusedError as error:
                faults[i] = Fault(str(error.reason), error.error)
                continue
            first = value if first is None else first
            good.append(i)
        names = [field.name for field in self._fields]
        columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
        if rows and not self._looked:
            self._look(columns, first)
        lines = [b""] * len(chunk.lines)
        for i, line in zip(good, self._lines(columns, len(rows)), strict=True):
            lines[i] = line
        return replace(chunk, source=self.name, lines=lines, faults=faults)

    def close(self) -> None:
        self._inner.close()

    def _texts(self, value: Any, key: str) -> list[bytes | None]:
        if type(value) not in (dict, list):
            raise RefusedError(Reason.NOT_AN_OBJECT, f"the value is {shown(value)}, no object and no array")
        return [_text(field, key if field.column == KEY else at(value, field.path)) for field in self._fields]

    def _look(self, columns: Mapping[str, Sequence[bytes | None]], first: Any) -> None:
        self._looked = True
        for field in self._fields:
            if not field.may_lack and all(text is None for text in columns[field.name]):
                raise MissingColumnError(self.name, field.name, field.column, paths_of(first)[:_SHOWN])

    def _lines(self, columns: Mapping[str, Sequence[bytes | None]], rows: int) -> list[bytes]:
        there = {
            field.column: columns[field.name]
            for field in self._fields
            if rows and not (field.may_lack and all(text is None for text in columns[field.name]))
        }
        if not rows:
            return []
        made = self._made.setdefault(tuple(there), Columns(self._stream, self.name, list(there), self._layout))

        def values(name: str) -> pa.Array:
            return pa.array(there[name], pa.binary())

        made.check(values, rows)
        return made.lines(values, rows)


def _field(stream: Stream, name: str, layout: Layout) -> _Field | None:
    source = layout.columns.get(name, FromColumn(name))
    if not isinstance(source, FromColumn):
        return None
    absent = name in lackable(stream, layout)
    worded = name in layout.readings and bool(layout.readings[name].words)
    kind, path = stream.column(name), tuple(source.column.split("."))
    whole = isinstance(kind, Identity) or (isinstance(kind, Integer) and not isinstance(kind, Time))
    number = worded or whole or isinstance(kind, Time | Decimal | Choice)
    may_lack = absent and name not in layout.columns
    return _Field(name, source.column, path, number, whole, isinstance(kind, Choice), may_lack)


def _text(field: _Field, value: Any) -> bytes | None:
    """The text of a field's value, if a value of its type may be one. Raises RefusedError."""
    kind = type(value)
    if kind is str:
        return bytes(value, "utf-8", "surrogatepass")
    if kind is Number and field.number and (not field.whole or value.removeprefix("-").isdecimal()):
        return str.encode(value)
    if value is None:
        return None
    if kind is bool and field.flag:
        return b"true" if value else b"false"
    raise RefusedError(Reason.WRONG_TYPE, f"{field.name} is {shown(value)}, which holds no {field.name}")
