"""How a table is asked for: its format, how times are written, how decimals are given."""

from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa

from serving.formats.media import JSON, Format, choose_format

TIME_TYPE = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Look:
    """`format` is None until `Accept` has chosen it. `iso`: times as text; Arrow and Parquet have a type for them.

    `floats`: decimals as the nearest doubles.
    """

    format: Format | None
    iso: bool
    floats: bool

    def chosen(self, accept: str | None) -> "Look":
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
        fields = [pa.field(each.name, self.type_of(each.type), each.nullable) for each in typed]
        return pa.schema(fields, typed.metadata)

    def number(self, text: str) -> str | float:
        """A decimal, as JSON gives it."""
        return float(text) if self.floats else text
