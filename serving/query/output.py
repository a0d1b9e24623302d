"""The form of a table: its format, how times are written, how decimals and ids are given."""

from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa

from serving.http.formats.media import JSON, NDJSON, Format, choose_format

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
