"""What an expression over a stream's events is: its kind, said by DuckDB's own binder when a view is defined.

So what cannot be computed, or not exactly, is refused with the declaration and not by the first event: columns that the
stream does not have, floats, what may be null or divides by 0, aggregates and sub-queries inside an expression.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from threading import Lock
from typing import Any

import duckdb
import pyarrow as pa

from slackwater.streams.stream import Stream
from slackwater.views.errors import DefinitionError
from slackwater.views.kinds import Kind, kind_of
from slackwater.views.syntax import Node, divisors, is_constant, null_by, parts

_INEXACT = re.compile("double|float", re.IGNORECASE)
_UNSTABLE = re.compile(
    r"\b(random|uuid|gen_random_uuid|now|today|current_\w+|nextval|select|collate"
    r"|transaction_timestamp|txid_current|version(?=\s*\())\b|;",
    re.IGNORECASE,
)
_TEXT = re.compile(r"'[^']*'")

_ONE = "'1'"  # a value of every type that a column has

_lock = Lock()


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@cache
def kind_in(stream: Stream, expression: str) -> Kind:
    """The kind of an expression over the stream's columns.

    Raises:
        DefinitionError: it is none that a state could be made of.
    """
    bare = _TEXT.sub("''", expression)
    if found := _UNSTABLE.search(bare):
        raise DefinitionError(f"{expression!r} has {found[0]!r}.", "An expression is of the event's columns alone.")
    # An aggregate or a window cannot stand in WHERE.
    select = f"SELECT ({expression}) AS value FROM source WHERE ({expression}) IS NOT NULL OR true"
    (kind,) = types_of(select, stream.schema, stream)
    if expression.strip() not in stream.schema.names:
        _check_syntax(stream, expression)
    if (nullable := [field.name for field in stream.schema if field.nullable]) and _is_null(select, stream.schema):
        hint = f"Give it a value there: coalesce(..., 0). May be null: {', '.join(nullable)}."
        raise DefinitionError(f"{expression!r} is null where a column of {stream.name!r} is.", hint)
    found_kind = kind_of(kind, expression)
    name = expression.strip()
    if name in stream.fields and found_kind.digits:
        column = stream.column(name)
        unsigned = getattr(column, "low", 0) >= 0 and not getattr(column, "signed", False)
        return replace(found_kind, unsigned=unsigned)
    return found_kind


def _check_syntax(stream: Stream, expression: str) -> None:
    """Raises DefinitionError where a part of it is a float, may be null, or divides by what may be 0."""
    (text,) = _row("SELECT json_serialize_sql(?, skip_null := true, skip_empty := true)", f"SELECT ({expression})")
    tree = json.loads(text)
    (whole,) = tree["statements"][0]["node"]["select_list"]
    for kind in types_of(f"{_selecting(tree, parts(whole))} FROM source", stream.schema, stream):
        if _INEXACT.search(kind):
            hint = "No float is ever summed; use //, and numbers without an exponent."
            raise DefinitionError(f"{expression!r} has a part that is of type {kind}, which is inexact.", hint)
    below = divisors(whole)
    if not all(map(is_constant, below)) or (below and not all(_row(_selecting(tree, below)))):
        raise DefinitionError(f"{expression!r} divides by what may be 0.", "Divide by a number that is not 0.")
    if cause := null_by(whole):
        raise DefinitionError(f"{expression!r} may be null by {cause}.", "Give it a value there: coalesce(..., 0).")


def _selecting(tree: dict[str, Any], columns: Iterable[Node]) -> str:
    """The statement of a tree with other columns."""
    (statement,) = tree["statements"]
    changed = {**statement, "node": {**statement["node"], "select_list": [*columns]}}
    (sql,) = _row("SELECT json_deserialize_sql(?)", json.dumps({**tree, "statements": [changed]}))
    return str(sql)


def _row(statement: str, *given: str) -> tuple[Any, ...]:
    """The first row of a statement. Raises DefinitionError: it has no value."""
    with _lock, _connection().cursor() as cursor:
        try:
            return tuple(cursor.execute(statement, given).fetchall()[0])
        except duckdb.Error as error:
            raise DefinitionError(f"DuckDB refuses {statement!r}: {str(error).splitlines()[0]}") from error


def types_of(select: str, schema: pa.Schema, stream: Stream) -> Sequence[str]:
    """The SQL types of the columns of a SELECT over `source`, a table of that schema.

    Raises:
        DefinitionError: DuckDB does not take it.
    """
    try:
        return _described(f"{_source(schema)} {select}")
    except duckdb.Error as error:
        known = f"The columns of {stream.name!r} are {', '.join(stream.schema.names)}."
        raise DefinitionError(f"DuckDB refuses {select!r}: {str(error).splitlines()[0]}", known) from error


@cache  # views have expressions in common, and each costs DuckDB some milliseconds
def _described(statement: str) -> tuple[str, ...]:
    with _lock, _connection().cursor() as cursor:
        return tuple(line[1] for line in cursor.execute(f"DESCRIBE {statement}").fetchall())


def _is_null(select: str, schema: pa.Schema) -> bool:
    """Whether an expression is null for an event whose columns are null where they may be."""
    with _lock, _connection().cursor() as cursor:
        try:
            return bool(cursor.execute(f"{_source(schema)} SELECT value IS NULL FROM ({select})").fetchall()[0][0])
        except duckdb.Error:
            return False  # of this one event it has no value at all


def _source(schema: pa.Schema) -> str:
    """One row. In SQL and not as a table of Arrow: to register the first one takes half a second of imports."""
    columns = (f'{"NULL" if field.nullable else _ONE}::{_sql(field.type)} AS "{field.name}"' for field in schema)
    return f"WITH source AS (SELECT {', '.join(columns)})"


def _sql(kind: pa.DataType) -> str:
    if pa.types.is_decimal128(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return "VARCHAR" if pa.types.is_string(kind) else "BIGINT"
