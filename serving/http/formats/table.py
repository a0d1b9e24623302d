"""A table in the requested form: from items as JSON gives them, or from typed columns a million rows long.

    items   decimals are text (or doubles), times are microseconds (or ISO 8601), objects are objects
    typed   decimals are decimal128, times are timestamps, as `schema` says

Both give the same rows. Not here: the bytes of a table (`serving.http.formats.encoders`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from serving.query.output import OutputForm
from slackwater.core.decimals import decimal_text
from slackwater.views.kinds import decimal_integers

Item = Mapping[str, Any]


def table_of_items(items: Sequence[Item], schema: pa.Schema, output: OutputForm) -> pa.Table:
    """Items as a table. Those of a text format look as asked already; those of a typed one have times as integers."""
    given = output.schema(schema)
    columns = [_column([item.get(field.name) for item in items], field.type) for field in given]
    return pa.Table.from_arrays(columns, schema=given)


def table_of_typed(table: pa.Table, output: OutputForm) -> pa.Table:
    """Typed columns in the requested form."""
    given = output.schema(table.schema)
    return pa.Table.from_arrays([_as(table.column(f.name), f.type) for f in given], schema=given)


def decimals_text(column: pa.Array) -> pa.Array:
    """Decimals as text without exponent and without trailing zeros."""
    text = column.cast(pa.string())
    if column.type.scale > 0:  # else there is no point, and the zeros count
        text = pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")
    odd = pc.fill_null(pc.match_substring(text, "E"), False)  # small ones have an exponent
    if not pc.any(odd).as_py():
        return text
    units = decimal_integers(column.filter(odd))
    return pc.replace_with_mask(text, odd, pa.array([decimal_text(each, column.type.scale) for each in units]))


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(kind):
        return pa.array(values, pa.string()).cast(kind)
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if pa.types.is_string(kind):
        return pa.array([v if v is None or isinstance(v, str) else orjson.dumps(v).decode() for v in values], kind)
    return pa.array(values, kind)


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_decimal(column.type):
        text = pa.chunked_array([decimals_text(chunk) for chunk in column.chunks], pa.string())
        return text.cast(kind)  # by way of text: a double is then the nearest one
    if pa.types.is_timestamp(column.type) and pa.types.is_string(kind):
        # Bars start at whole seconds.
        return pc.strftime(column.cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%SZ")
    return column.cast(kind)
