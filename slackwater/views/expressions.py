"""What an expression over a stream's events is: its kind, said by DuckDB's own binder when a view is defined.

So what cannot be computed, or not exactly, is refused with the declaration and not by the first event: columns that the
stream does not have, floats, what is null where a column is, aggregates and sub-queries inside an expression.
"""

import re
from collections.abc import Sequence
from functools import cache
from threading import Lock

import duckdb
import pyarrow as pa

from slackwater.streams.stream import Decimal, Identity, Stream, Time
from slackwater.views.errors import DefinitionError
from slackwater.views.kinds import Kind, kind_of

_INEXACT = re.compile(r"\b(double|float|float4|float8|real)\b|(?<!/)/(?!/)", re.IGNORECASE)
_UNSTABLE = re.compile(r"\b(random|uuid|gen_random_uuid|now|today|current_\w+|nextval|select)\b|;", re.IGNORECASE)
_TEXT = re.compile(r"'[^']*'")

_lock = Lock()


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})


@cache
def kind_in(stream: Stream, expression: str) -> Kind:
    """The kind of an expression over the stream's columns.

    Raises:
        DefinitionError: it is none that a state could be made of.
    """
    bare = _TEXT.sub("''", expression)
    if found := _INEXACT.search(bare):
        raise DefinitionError(f"{expression!r} has {found[0]!r}, which is inexact.", "No float is ever summed; use //.")
    if found := _UNSTABLE.search(bare):
        raise DefinitionError(f"{expression!r} has {found[0]!r}.", "An expression is of the event's columns alone.")
    # An aggregate or a window cannot stand in WHERE.
    select = f"SELECT ({expression}) AS value FROM {{}} WHERE ({expression}) IS NOT NULL OR true"
    (kind,) = types_of(select.format("events"), {"events": stream.schema.empty_table()}, stream)
    if any(field.nullable for field in stream.schema) and _is_null(select.format("events"), _sample(stream)):
        hint = f"Give it a value there: coalesce(..., 0). May be null: {_nullable(stream)}."
        raise DefinitionError(f"{expression!r} is null where a column of {stream.name!r} is.", hint)
    found_kind = kind_of(kind, expression)
    name = expression.strip()
    if name in stream.schema.names and found_kind.digits:
        signed = getattr(stream.column(name), "signed", not isinstance(stream.column(name), Decimal | Identity | Time))
        return Kind(found_kind.sql, found_kind.digits, found_kind.scale, found_kind.wide, unsigned=not signed)
    return found_kind


def types_of(select: str, tables: dict[str, pa.Table], stream: Stream) -> Sequence[str]:
    """The SQL types of the columns of a SELECT over some tables.

    Raises:
        DefinitionError: DuckDB does not take it.
    """
    with _lock, _connection().cursor() as cursor:
        for name, table in tables.items():
            cursor.register(name, table)
        try:
            return [line[1] for line in cursor.execute(f"DESCRIBE {select}").fetchall()]
        except duckdb.Error as error:
            known = f"The columns of {stream.name!r} are {', '.join(stream.schema.names)}."
            raise DefinitionError(f"DuckDB refuses {select!r}: {str(error).splitlines()[0]}", known) from error


def _is_null(select: str, events: pa.Table) -> bool:
    with _lock, _connection().cursor() as cursor:
        cursor.register("events", events)
        try:
            return bool(cursor.execute(f"SELECT value IS NULL FROM ({select})").fetchall()[0][0])
        except duckdb.Error:
            return False  # of this one event it has no value at all


def _sample(stream: Stream) -> pa.Table:
    """One event, its columns null where they may be."""
    values = [pa.nulls(1, field.type) if field.nullable else _one(field.type) for field in stream.schema]
    return pa.Table.from_arrays(values, schema=stream.schema)


def _one(kind: pa.DataType) -> pa.Array:
    return pa.array(["1"], pa.string()).cast(kind)


def _nullable(stream: Stream) -> str:
    return ", ".join(field.name for field in stream.schema if field.nullable)
