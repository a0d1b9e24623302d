"""A view: name, stream, key columns, measures and answers. It is data; everything else is generated from it."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

import pyarrow as pa

from slackwater.streams.schema import GRID, MAX_LINES
from slackwater.streams.stream import Stream
from slackwater.views.answers.answer import Answer
from slackwater.views.answers.quantiles import Quantiles
from slackwater.views.checks import check_answers, check_intervals, check_key, check_names, check_parts
from slackwater.views.expressions import kind_in
from slackwater.views.interval import INTERVALS, PUBLISHED_INTERVALS, Interval, parse_interval
from slackwater.views.keys import Derived, Given, KeyColumn
from slackwater.views.kinds import INTEGER, TEXT, Kind
from slackwater.views.measures.measure import Measure, StateColumn, StatePart
from slackwater.views.merge import Finish, Merge, finish_of, merge_of


@dataclass(frozen=True)
class View:
    """One definition.

    Attributes:
        name: the view's name in topics, folders and routes.
        measures: name -> measure; together they are the state.
        answers: name -> answer column, in the order in which an answer prints them.
        key: key columns: the stream's entity first, then further text or integer columns, or derived ones.
        stream: the stream whose events it is made of. A view holds the stream itself, so it is fed no other.
        derived: key column -> what it is made of, such as a Bucket.
        quantiles: name -> quantile of a bucket; answers over all rows of one start that differ in the bucket alone.
        base: the finest interval; a state is of one bar of it.
        published: the intervals that batch writes, the base first, each tiling the next ones that it divides.

    Raises:
        DefinitionError: it contradicts itself or its stream, with a hint at what can be declared.
    """

    name: str
    measures: Mapping[str, Measure]
    answers: Mapping[str, Answer]
    key: tuple[str, ...] = ()
    stream: Stream = field(kw_only=True)
    derived: Mapping[str, Derived] = field(default_factory=dict)
    quantiles: Mapping[str, Quantiles] = field(default_factory=dict)
    base: str = "1s"
    published: tuple[str, ...] = tuple(each.text for each in PUBLISHED_INTERVALS)

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", (*self.stream.entity, *self.derived))
        check_names(self)
        check_key(self)
        check_intervals(self)
        check_parts(self)
        check_answers(self)

    @cached_property
    def entity(self) -> tuple[str, ...]:
        """The key columns that choose the partition: an entity lives in one."""
        return self.stream.entity

    @cached_property
    def rest(self) -> tuple[str, ...]:
        """The key columns after the entity."""
        return self.key[len(self.stream.entity) :]

    def kind_of(self, expression: str) -> Kind:
        """The kind of an expression over the stream's events. Raises DefinitionError."""
        return kind_in(self.stream, expression)

    @cached_property
    def key_columns(self) -> tuple[KeyColumn, ...]:
        """The key's columns, in order."""
        return tuple(
            self.derived[name].column(name, partial(kind_in, self.stream))
            if name in self.derived
            else KeyColumn(name, TEXT if pa.types.is_string(self.stream.schema.field(name).type) else INTEGER, name)
            for name in self.key
        )

    @cached_property
    def parts(self) -> tuple[StatePart, ...]:
        """The measures' parts of a state, in order."""
        type_of = partial(kind_in, self.stream)
        return tuple(measure.part(name, type_of) for name, measure in self.measures.items())

    @cached_property
    def columns(self) -> tuple[StateColumn, ...]:
        """The state's columns, in order."""
        return tuple(column for part in self.parts for column in part.columns)

    @cached_property
    def merge(self) -> Merge:
        """The merge of two states."""
        return merge_of(self.parts)

    @cached_property
    def finish(self) -> Finish:
        """The answers of a state, by name."""
        return finish_of(self.answers, self.columns)

    @cached_property
    def answer_kinds(self) -> Mapping[str, Kind]:
        """What the values of each answer are."""
        return {name: answer.kind(self.columns) for name, answer in self.answers.items()}

    @cached_property
    def intervals(self) -> tuple[Interval, ...]:
        """The published intervals, the base first."""
        return tuple(map(parse_interval, self.published))

    @cached_property
    def coarsest(self) -> Mapping[str, Interval]:
        """The name of each interval that the base makes up -> the coarsest published one whose bars tile its bars."""
        return {text: each for text, of in INTERVALS.items() for each in self.intervals if each.tiles(of)}

    @cached_property
    def row_types(self) -> list[type]:
        """The Python types of a row laid flat: key, start, state."""
        return [
            *(column.kind.python for column in self.key_columns),
            int,
            *(column.kind.python for column in self.columns),
        ]

    @cached_property
    def state_schema(self) -> pa.Schema:
        """Arrow schema of a table of states: key columns, `start` (microseconds), state columns."""
        found = [pa.field(column.name, column.kind.arrow, nullable=False) for column in self.key_columns]
        found.append(pa.field("start", pa.int64(), nullable=False))
        found += [pa.field(column.name, column.arrow, nullable=False) for column in self.columns]
        return pa.schema(found)

    @cached_property
    def definition(self) -> str:
        """The definition hash: 16 hex digits of a SHA-256 over everything that gives a state or an answer a meaning."""
        meaning = {
            "name": self.name,
            "stream": self.stream.definition,
            "key": self.key,
            "derived": {name: repr(derived) for name, derived in self.derived.items()},
            "measures": {name: repr(measure) for name, measure in self.measures.items()},
            "answers": {name: repr(answer) for name, answer in self.answers.items()},
            "quantiles": {name: repr(quantile) for name, quantile in self.quantiles.items()},
            "base": self.base,
            "published": self.published,
            "grid": GRID,
            "max_lines": MAX_LINES,
            "state": [[column.name, column.sql] for column in self.columns],
        }
        return hashlib.sha256(json.dumps(meaning, separators=(",", ":")).encode()).hexdigest()[:16]

    def apart(self, name: str) -> "View":
        """The same with one more key column, an integer, for tables of states of one session: rows that differ in it
        are kept apart. No stream has such a column, so nothing is published of it.
        """
        other = copy.copy(self)
        object.__setattr__(other, "key", (*self.key, name))
        object.__setattr__(other, "derived", {**self.derived, name: Given()})
        return other

    def __getstate__(self) -> dict[str, Any]:
        # What is made of the declaration is made again where it is needed: parts hold functions.
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __eq__(self, other: object) -> bool:
        # Two mappings in another order are equal, but they are other states: a state is a tuple in the measures' order.
        return isinstance(other, View) and self.definition == other.definition

    def __hash__(self) -> int:
        return hash(self.definition)
