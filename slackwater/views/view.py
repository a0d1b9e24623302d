"""A view: name, stream, key columns, measures and answers. It is data; everything else is generated from it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from slackwater.streams.schema import BASE_US, GRID, MAX_LINES
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Answer
from slackwater.views.errors import DefinitionError
from slackwater.views.measures import Measure, StateColumn

INSTRUMENT = ("venue", "symbol")
"""Every key starts with these two: they choose the partition, so an instrument lives in one."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_WORDS = frozenset({"start", "closed", "venue", "symbol"})


@dataclass(frozen=True)
class View:
    """One definition.

    Attributes:
        name: the view's name in topics, folders and routes.
        measures: name -> measure; together they are the state.
        answers: name -> answer column, in the order in which an answer prints them.
        key: key columns of the event; the first two are venue and symbol.
        stream: the stream whose events it is made of. A view holds the stream itself, so it is fed no other.

    Raises:
        DefinitionError: a name is no identifier, stands twice or is a key column's; there is no measure; the key does
            not start with the instrument or is not of text columns; an answer's column is unknown or of a wrong kind.
    """

    name: str
    measures: Mapping[str, Measure]
    answers: Mapping[str, Answer]
    key: tuple[str, ...] = INSTRUMENT
    stream: Stream = TRADES

    def __post_init__(self) -> None:
        names = [self.name, *self.measures, *self.answers]
        if wrong := [n for n in names if not _NAME.fullmatch(n) or n in _WORDS]:
            raise DefinitionError(f"View {self.name!r}: {wrong} cannot be names.", "Use [a-z][a-z0-9_]*.")
        if not self.measures:
            raise DefinitionError(f"View {self.name!r} has no measure.")
        columns = [*self.key, *(column.name for column in self.columns)]
        if twice := {c for c in columns if columns.count(c) > 1}:
            raise DefinitionError(f"View {self.name!r}: key or state columns {sorted(twice)} stand twice.")
        if keys := [n for n in self.answers if n in self.key]:
            raise DefinitionError(f"View {self.name!r}: answers {keys} are key columns already.")
        texts = {field.name for field in self.stream.schema if pa.types.is_string(field.type)}
        if self.key[:2] != INSTRUMENT or not set(self.key) <= texts:
            hint = f"Start with venue, symbol; others are text columns of the event: {', '.join(sorted(texts))}."
            raise DefinitionError(f"View {self.name!r}: the key is {self.key}.", hint)
        for answer in self.answers.values():
            answer.finish(self.columns)  # raises where a column is unknown

    @cached_property
    def columns(self) -> tuple[StateColumn, ...]:
        """The state's columns, in order."""
        return tuple(column for name, measure in self.measures.items() for column in measure.columns(name))

    @cached_property
    def state_schema(self) -> pa.Schema:
        """Arrow schema of a table of states: key columns, `start` (microseconds), state columns."""
        fields = [pa.field(k, pa.string(), nullable=False) for k in self.key]
        fields.append(pa.field("start", pa.int64(), nullable=False))
        fields += [pa.field(column.name, column.arrow, nullable=False) for column in self.columns]
        return pa.schema(fields)

    @cached_property
    def definition(self) -> str:
        """The definition hash: 16 hex digits of a SHA-256 over everything that gives a state or an answer a meaning."""
        meaning = {
            "name": self.name,
            "stream": self.stream.definition,
            "key": self.key,
            "measures": {name: repr(measure) for name, measure in self.measures.items()},
            "answers": {name: repr(answer) for name, answer in self.answers.items()},
            "base_us": BASE_US,
            "grid": GRID,
            "max_lines": MAX_LINES,
            "state": [[column.name, column.sql] for column in self.columns],
        }
        return hashlib.sha256(json.dumps(meaning, separators=(",", ":")).encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        # Two mappings in another order are equal, but they are other states: a state is a tuple in the measures' order.
        return isinstance(other, View) and self.definition == other.definition

    def __hash__(self) -> int:
        return hash(self.definition)
