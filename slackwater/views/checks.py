"""What a view cannot be declared as: every refusal, with a hint at what can. Asked once, where a view is defined.

Not here: what an expression may be (`slackwater.views.expressions`), and what each kind of measure and answer asks.
"""

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from slackwater.streams.words import SQL
from slackwater.views.errors import DefinitionError, IntervalError
from slackwater.views.expressions import types_of
from slackwater.views.interval import DAY_US
from slackwater.views.keys import Bucket

if TYPE_CHECKING:
    from slackwater.views.view import View

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_WORDS = frozenset({"start", "closed", "interval", "explain", "revision", "correction"})


def check_names(view: "View") -> None:
    """Names are identifiers, and none stands for two things. Raises DefinitionError."""
    names = [view.name, *view.measures, *view.answers, *view.derived, *view.quantiles]
    taken = {*_WORDS, *view.stream.entity}
    if wrong := [n for n in names if not _NAME.fullmatch(n) or n in taken]:
        raise DefinitionError(f"View {view.name!r}: {wrong} cannot be names.", "Use [a-z][a-z0-9_]*.")
    if words := [n for n in names[1:] if n in SQL]:
        hint = "They are words of SQL: use another, such as end_price for end."
        raise DefinitionError(f"View {view.name!r}: {words} cannot be names.", hint)
    if not view.measures:
        raise DefinitionError(f"View {view.name!r} has no measure.", "Count() is one.")
    if keys := [n for n in (*view.answers, *view.quantiles) if n in view.key]:
        raise DefinitionError(f"View {view.name!r}: answers {keys} are key columns already.")


def check_key(view: "View") -> None:
    """The key is the entity, then texts and integers of the stream or what is derived. Raises DefinitionError."""
    entity, fields = view.stream.entity, {field.name: field for field in view.stream.schema}
    could = [
        n for n, f in fields.items() if not f.nullable and (pa.types.is_string(f.type) or pa.types.is_int64(f.type))
    ]
    hint = f"Start with {', '.join(entity)}; others are text or integer columns of the stream: {', '.join(could)}."
    rest = view.key[len(entity) :]
    if view.key[: len(entity)] != entity or [n for n in rest if n not in could and n not in view.derived]:
        raise DefinitionError(f"View {view.name!r}: the key is {view.key}.", hint)
    if wrong := [n for n in view.derived if n in fields or n not in rest]:
        raise DefinitionError(
            f"View {view.name!r}: {wrong} cannot be derived.",
            "A derived column stands in the key, behind the entity, and has a name of its own.",
        )
    _ = view.key_columns  # raises where one cannot be made


def check_intervals(view: "View") -> None:
    """The base divides a day and every published interval, and is published first. Raises DefinitionError."""
    try:
        base, *levels = view.intervals
    except (IntervalError, ValueError) as error:
        raise DefinitionError(f"View {view.name!r}: it publishes {view.published}: {error}") from error
    if base.text != view.base or DAY_US % base.us:
        raise DefinitionError(
            f"View {view.name!r}: the base is {view.base!r}, and it publishes {', '.join(view.published)}.",
            "The base divides a day, and is the first of what is published.",
        )
    if wrong := [level.text for level in levels if not base.tiles(level) or level.us <= base.us]:
        raise DefinitionError(
            f"View {view.name!r}: {', '.join(wrong)} cannot be made of bars of {view.base}.",
            f"Publish multiples of {view.base} that divide a day, or 1d, 1w, 1M, 1y, total.",
        )
    if len(set(view.published)) < len(view.published) or sorted(levels, key=lambda each: each.us) != levels:
        raise DefinitionError(
            f"View {view.name!r}: it publishes {', '.join(view.published)}.", "Each once, the finest first."
        )


def check_parts(view: "View") -> None:
    """The SQL of keys and measures gives the types that they say, over events and states. Raises DefinitionError."""
    columns = [*view.key, "start", *(column.name for column in view.columns)]
    if twice := {c for c in columns if columns.count(c) > 1}:
        raise DefinitionError(f"View {view.name!r}: duplicate columns {sorted(twice)} in key and state.")
    said = [(column.name, column.kind.sql) for column in view.key_columns]
    said += [(column.name, column.sql) for column in view.columns]
    for what, keys in (("summarise", [column.sql for column in view.key_columns]), ("merge", [*view.key])):
        schema = view.stream.schema if what == "summarise" else view.state_schema
        aggregates = [sql for part in view.parts for sql in getattr(part, what)]
        found = types_of(f"SELECT {', '.join([*keys, *aggregates])} FROM source GROUP BY ALL", schema, view.stream)
        if wrong := [(name, sql, got) for (name, sql), got in zip(said, found, strict=False) if sql != got]:
            name, sql, got = wrong[0]
            raise DefinitionError(f"View {view.name!r}: {what} of {name} gives {got}, and it is {sql}.")
        if len(found) != len(said):
            raise DefinitionError(f"View {view.name!r}: {what} gives {len(found)} columns of {len(said)}.")


def check_answers(view: "View") -> None:
    """Every answer can be made of the state, and every gap is one. Raises DefinitionError."""
    for name, answer in view.answers.items():
        answer.finish(view.columns)
        kind = answer.kind(view.columns)
        (got,) = types_of(f"SELECT {answer.value_sql(view.columns)} FROM source", view.state_schema, view.stream)
        if got != kind.sql:
            raise DefinitionError(f"View {view.name!r}: SQL gives {got} for {name}, and it is {kind.sql}.")
        if answer.gap not in (None, "0", *view.answers) or (answer.gap == "0" and not kind.digits):
            hint = f'A gap is "0", of a number, or the name of an answer: {", ".join(view.answers)}.'
            raise DefinitionError(f"View {view.name!r}: the gap of {name} is {answer.gap!r}.", hint)
    for name, quantile in view.quantiles.items():
        quantile.check(name, view.columns, {n: d for n, d in view.derived.items() if isinstance(d, Bucket)})
