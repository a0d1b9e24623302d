"""A table in the requested form: from items as JSON gives them, or from typed columns a million rows long.

    items   decimals are text (or doubles), times are microseconds (or ISO 8601), objects are objects
    typed   decimals are decimal128, times are timestamps, as `schema` says

Both give the same rows. Not here: the bytes of a table (`serving.http.formats.encoders`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from serving.http.formats.negotiation import JSON, NDJSON, Format, choose_format
from slackwater.core.decimals import decimal_text
from slackwater.views.kinds import decimal_integers

TIME_TYPE = pa.timestamp("us", "UTC")
ID_FIELD = {"slackwater": "id"}
"""Metadata of a column of ids."""


@dataclass(frozen=True)
class OutputForm:
    """`format` is None until `Accept` has chosen it. `iso`: times as text; Arrow and Parquet have a type for them.

    `floats`: decimals as the nearest doubles. `text_ids`: ids as text in JSON; other formats have integers.
    """

    format: Format | None
    iso: bool
    floats: bool
    text_ids: bool = False

    def chosen(self, accept: str | None) -> "OutputForm":
        """The same, with a format. Raises ProblemError, 406."""
        return self if self.format is not None else replace(self, format=choose_format(accept))

    @cached_property
    def of(self) -> Format:
        """The format that was chosen."""
        return self.format or JSON

    def type_of(self, kind: pa.DataType) -> pa.DataType:
        """The type in which a column of `kind` is given."""
        if pa.types.is_decimal(kind):
            return pa.float64() if self.floats else pa.string() if self.of.text else kind
        if pa.types.is_timestamp(kind) and self.of.text:
            return pa.string() if self.iso else pa.int64()
        return kind

    def schema(self, typed: pa.Schema) -> pa.Schema:
        """The schema in which a table of `typed` is given; its metadata stay."""
        fields = [pa.field(each.name, self._type_of_field(each), each.nullable) for each in typed]
        return pa.schema(fields, typed.metadata)

    def _type_of_field(self, field: pa.Field) -> pa.DataType:
        is_id = field.metadata is not None and b"slackwater" in field.metadata
        return pa.string() if is_id and self.text_ids and self.of is NDJSON else self.type_of(field.type)

    def number(self, text: str) -> str | float:
        """A decimal, as JSON gives it."""
        return float(text) if self.floats else text


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
