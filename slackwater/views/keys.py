"""Key columns: those of the entity, further text and integer columns of the stream, and derived ones.

A `Bucket` is a decimal log-linear bucket of a number: exact, mergeable, and in the order of the numbers.

    x in units of the expression      bucket, digits = 3       bounds: low <= x < high
              7                            7                        7        8
            999                          999                      999     1000
           1234                         1123 = 1 * 1000 + 123    1230     1240
          98765                         2987 = 2 * 1000 + 987   98700    98800
          -1234                        -1123                    -1239    -1229         mirrored

Up to 10^digits each value is a bucket of its own; beyond, a bucket is at most 1 / 10^(digits - 1) of its values wide.
So a quantile is a `Count` by bucket (`slackwater.views.answers.quantiles`); sketches are inexact or depend on an order.
"""

from dataclasses import dataclass
from typing import Protocol

from slackwater.views.errors import DefinitionError
from slackwater.views.kinds import COUNT, Kind
from slackwater.views.measures.measure import TypeOf

_MOST_DIGITS = 6


@dataclass(frozen=True)
class KeyColumn:
    """A key column: a text or an integer, as `sql` over the stream's columns."""

    name: str
    kind: Kind
    sql: str


class Derived(Protocol):
    """A key column that is made of others. Its `repr` is part of a view's definition."""

    def column(self, name: str, type_of: TypeOf) -> KeyColumn:
        """The key column of that name.

        Raises:
            DefinitionError: it cannot be made of the stream's columns.
        """
        ...


@dataclass(frozen=True)
class Given:
    """An integer that tables of states already have, in a column of its name."""

    def column(self, name: str, type_of: TypeOf) -> KeyColumn:
        """See Derived."""
        del type_of
        return KeyColumn(name, COUNT, name)


@dataclass(frozen=True)
class Bucket:
    """The bucket of `expr`, an integer or a decimal, counted in units of its last fraction digit."""

    expr: str
    digits: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.digits <= _MOST_DIGITS:
            raise DefinitionError(f"{self}: {self.digits} digits.", f"A bucket has 1 to {_MOST_DIGITS} digits.")

    def column(self, name: str, type_of: TypeOf) -> KeyColumn:
        """See Derived."""
        kind = self.unit(type_of)
        units, digits = _units_sql(self.expr, kind)
        if kind.unsigned:
            return KeyColumn(name, COUNT, f"({self._tree(units, 1, digits)})::BIGINT")
        below = f"-({self._tree(f'(-{units})', 1, digits)})"
        sql = f"CASE WHEN {units} < 0 THEN {below} ELSE {self._tree(units, 1, digits)} END"
        return KeyColumn(name, COUNT, f"({sql})::BIGINT")

    def unit(self, type_of: TypeOf) -> Kind:
        """The kind of what is in the buckets.

        Raises:
            DefinitionError: it is no number.
        """
        kind = type_of(self.expr)
        if not kind.digits:
            raise DefinitionError(f"{self}: {self.expr!r} is {kind.sql}.", "A bucket is of an integer or a decimal.")
        return kind

    def of(self, units: int) -> int:
        """The bucket of a number of units."""
        exponent = max(0, len(str(abs(units))) - self.digits)
        bucket: int = exponent * 10**self.digits + abs(units) // 10**exponent
        return bucket if units >= 0 else -bucket

    def bounds(self, bucket: int) -> tuple[int, int]:
        """[low, high) in units: the numbers that have that bucket."""
        exponent, first = divmod(abs(bucket), 10**self.digits)
        low, high = first * 10**exponent, (first + 1) * 10**exponent
        return (low, high) if bucket >= 0 else (1 - high, 1 - low)

    def bounds_sql(self, bucket: str, digits: int) -> tuple[str, str]:
        """The same in SQL, as HUGEINT. `digits` are those of the units."""
        size = 10**self.digits
        powers = ", ".join(f"{10**e}::HUGEINT" for e in range(max(1, digits - self.digits + 1)))
        power = f"[{powers}][abs({bucket}) // {size} + 1]"
        low, high = f"(abs({bucket}) % {size}) * {power}", f"(abs({bucket}) % {size} + 1) * {power}"
        return tuple(  # type: ignore[return-value]
            f"CASE WHEN {bucket} < 0 THEN 1 - ({below}) ELSE {above} END" for below, above in ((high, low), (low, high))
        )

    def _tree(self, units: str, least: int, most: int) -> str:
        """The bucket of a number that is not below 0 and has `least` to `most` digits: a search by halves."""
        if most <= self.digits:
            return units
        if least == most:
            exponent = least - self.digits
            return f"{exponent * 10**self.digits} + {units} // {10**exponent}"
        middle = max(self.digits, (least + most) // 2)
        low, high = self._tree(units, least, middle), self._tree(units, middle + 1, most)
        return f"CASE WHEN {units} < {10**middle} THEN {low} ELSE {high} END"


def _units_sql(expr: str, kind: Kind) -> tuple[str, int]:
    """A number in units of its last fraction digit, as an integer, and how many digits that may have."""
    if not kind.scale:  # of 64 bits, the least has no opposite
        return (f"({expr})" if kind.unsigned else f"({expr})::HUGEINT"), min(kind.digits, 19)
    if kind.digits <= 18 and kind.scale <= 9:
        # Ten times as fast as by way of text: no number has more than 64 bits.
        whole = f"trunc({expr})::{kind.sql}"
        rest = f"(({expr}) - {whole})::DECIMAL(18,{kind.scale}) * {10**kind.scale}::DECIMAL(10,0)"
        return f"(trunc({expr})::BIGINT * {10**kind.scale} + ({rest})::BIGINT)", 18
    return f"replace(({expr})::VARCHAR, '.', '')::HUGEINT", kind.digits
