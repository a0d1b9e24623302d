"""Kinds of values: how a state, a key or an answer stands in SQL, in Arrow, in Python and in JSON.

    SQL, Arrow        Python                         JSON of states      JSON of answers
    DECIMAL(p,s)      int, in units of 10^-s         the integer         text without exponent and trailing zeros
    BIGINT            int                            the integer         the integer
    VARCHAR           str                            the text            the text

Decimals cross as integers of their unit, read from Arrow's own 16-byte little-endian buffers: Python's Decimal would
round at 28 digits without a word. There are no floats.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.core.decimals import decimal_text
from slackwater.streams.schema import PRICE_SCALE, SUM_SCALE
from slackwater.views.errors import DefinitionError, ViewError

Value = int | str

LARGEST_EXACT = 2**53 - 1
"""The largest integer that a double tells from its neighbours, and so every reader of JSON."""

_DECIMAL = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)")

_TEXT_SCHEMA = {"type": "string"}
_DECIMAL_SCHEMA = {
    "type": ["string", "number"],
    "pattern": r"^-?[0-9]+(\.[0-9]*[1-9])?$",
    "description": "Exact, as text, without exponent and without trailing zeros; or, by `numbers=float`, a number.",
}
_WIDE_SCHEMA = {
    "type": ["integer", "string"],
    "minimum": -LARGEST_EXACT,
    "maximum": LARGEST_EXACT,
    "pattern": "^-?[0-9]+$",
    "description": "A number up to 2^53 - 1, text beyond; text always by `ids=text`.",
}


@dataclass(frozen=True)
class Kind:
    """One kind of values. `digits` is 0 for texts; `wide` says that integers may be larger than a double holds.

    `unsigned` says that no value is below 0; it is known of columns alone. `fraction` is how many fraction digits a
    value has at most, where a sum knows that of what it adds. Neither tells kinds apart.
    """

    sql: str
    digits: int
    scale: int = 0
    wide: bool = False
    unsigned: bool = field(default=False, compare=False)
    fraction: int = field(default=0, compare=False)

    @property
    def python(self) -> type[int] | type[str]:
        """The type of a value in Python."""
        return int if self.digits else str

    @property
    def arrow(self) -> pa.DataType:
        """The type of a column in Arrow."""
        if not self.digits:
            return pa.string()
        return pa.int64() if self.sql == "BIGINT" else pa.decimal128(self.digits, self.scale)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of an answer of this kind."""
        if not self.digits:
            return _TEXT_SCHEMA
        if self.scale:
            return _DECIMAL_SCHEMA
        return _WIDE_SCHEMA if self.wide else {"type": "integer"}

    def answer(self, value: Value) -> Value:
        """A value as an answer gives it: decimals as text."""
        return decimal_text(value, self.scale) if self.scale else value  # type: ignore[arg-type]

    def text_sql(self, expression: str) -> str:
        """The same in SQL, of an expression of this kind."""
        return f"rtrim(rtrim(({expression})::VARCHAR, '0'), '.')" if self.scale else expression

    def python_sql(self, expression: str) -> str:
        """An expression of this kind, for `reader`: a decimal as text, which takes half the time of a Decimal."""
        return f"({expression})::VARCHAR" if self.sql.startswith("DECIMAL") else expression

    @property
    def reader(self) -> Callable[[str], int] | None:
        """Makes the value of what DuckDB gives to Python for `python_sql`; None where it is the value already."""
        return _units if self.sql.startswith("DECIMAL") else None

    def values(self, column: pa.ChunkedArray) -> list[Any]:
        """The values of a column.

        Raises:
            ViewError: it holds a null.
        """
        if column.null_count:
            raise ViewError(f"A column of states holds {column.null_count} nulls; no state has any.")
        if not pa.types.is_decimal128(column.type):
            found: list[Any] = column.to_pylist()
            return found
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return [value for chunk in chunks for value in decimal_integers(chunk)]

    def array(self, values: Sequence[Any]) -> pa.Array:
        """The values as a column."""
        return decimal_array(values, self.arrow)

    def nullable_array(self, values: Sequence[Any]) -> pa.Array:
        """The same of values that may be None."""
        return nullable_array(values, self.arrow)


COUNT = Kind("BIGINT", 19)
INTEGER = Kind("BIGINT", 19, wide=True)
TEXT = Kind("VARCHAR", 0)
CONDITION = Kind("BOOLEAN", 0)
"""What a count may be of; no state and no key."""


def decimals(digits: int, scale: int) -> Kind:
    """The kind of a DECIMAL(digits, scale)."""
    return Kind(f"DECIMAL({digits},{scale})", digits, scale)


PRICE = decimals(18, PRICE_SCALE)
SUM = decimals(38, SUM_SCALE)
RATIO = decimals(38, PRICE_SCALE)


def kind_of(sql: str, expression: str) -> Kind:
    """The kind of an expression of that SQL type.

    Raises:
        DefinitionError: no state is of such a type.
    """
    if sql in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return INTEGER
    if sql == "VARCHAR":
        return TEXT
    if sql == "BOOLEAN":
        return CONDITION
    if match := _DECIMAL.fullmatch(sql):
        return decimals(int(match[1]), int(match[2]))
    hint = "States are exact: decimals, integers of 64 bits, and texts; cast it, such as `(...)::BIGINT`."
    raise DefinitionError(f"{expression!r} is of type {sql}.", hint)


def _units(text: str) -> int:
    return int(text.replace(".", ""))  # DuckDB writes all fraction digits


def decimal_integers(column: pa.Array) -> list[int]:
    """The integers of a decimal128 array without nulls, in units of its scale."""
    words = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset)
    low, high = words[0::2], words[1::2]
    if np.array_equal(high, low >> 63):  # all fit in 64 bits
        small: list[int] = low.tolist()
        return small
    return [(above << 64) | below for above, below in zip(high.tolist(), low.view(np.uint64).tolist(), strict=True)]


def decimal_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values as an array of `kind`; integers in units of its scale, where it is a decimal128."""
    if not pa.types.is_decimal128(kind):
        return pa.array(values, kind)
    data = b"".join(value.to_bytes(16, "little", signed=True) for value in values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(data)])


def nullable_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """`decimal_array` of values that may be None."""
    if not pa.types.is_decimal128(kind):
        return pa.array(values, kind)
    present = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
    units = decimal_array([value or 0 for value in values], kind).buffers()[1]
    return pa.Array.from_buffers(kind, len(values), [present, units])
