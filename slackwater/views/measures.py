"""The six kinds of measure. Each is a commutative monoid over states, declared once and generated everywhere.

A kind says four things: its state columns with their Arrow and SQL types, the SQL that makes states of events, the
SQL that merges states, and the Python merge of two states. A state is a flat tuple of integers: prices and quantities
in units of 1e-8, sums in units of 1e-16, ids and counts as they are.

`First` and `Last` are ordered by (by, value), so that they commute even when two events share an id. One decimal
holds the pair for the comparison, `by * 10^10 + value` as DECIMAL(38,8): ids have 19 digits, values 10 before the
point and 8 behind it, 37 in all. Measured, this costs what `arg_min` costs, and `arg_min` alone is not deterministic
among equal ids; a struct as the order costs 60 %.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from slackwater.streams.schema import PRICE_SCALE, SUM_SCALE
from slackwater.views.errors import OverflowingStateError

PRICE_TYPE = pa.decimal128(18, PRICE_SCALE)
SUM_TYPE = pa.decimal128(38, SUM_SCALE)

_SUM_BOUND = 10**38
_COUNT_BOUND = 2**63

Merge2 = Callable[[tuple[int, ...], tuple[int, ...]], tuple[int, ...]]


@dataclass(frozen=True)
class StateColumn:
    """One column of a state. `scale` is the number of fraction digits of its integer unit."""

    name: str
    arrow: pa.DataType
    sql: str
    scale: int


@dataclass(frozen=True)
class Measure:
    """What every kind offers; `name` is the view's name for the measure."""

    def columns(self, name: str) -> tuple[StateColumn, ...]:
        """The state's columns."""
        raise NotImplementedError

    def summarise_sql(self, name: str) -> str:
        """SELECT items that make the state's columns from a group of events."""
        raise NotImplementedError

    def merge_sql(self, name: str) -> str:
        """SELECT items that make the state's columns from a group of states, each cast back to its type."""
        raise NotImplementedError

    def merge(self) -> Merge2:
        """The merge of two states of this measure alone."""
        raise NotImplementedError


@dataclass(frozen=True)
class Sum(Measure):
    """The exact sum of `expr`, a DECIMAL with at most 16 fraction digits."""

    expr: str

    def columns(self, name: str) -> tuple[StateColumn, ...]:
        return (StateColumn(name, SUM_TYPE, f"DECIMAL(38,{SUM_SCALE})", SUM_SCALE),)

    def summarise_sql(self, name: str) -> str:
        return f"sum({self.expr})::DECIMAL(38,{SUM_SCALE}) AS {name}"

    def merge_sql(self, name: str) -> str:
        return f"sum({name})::DECIMAL(38,{SUM_SCALE}) AS {name}"

    def merge(self) -> Merge2:
        return _add_sums


@dataclass(frozen=True)
class Count(Measure):
    """The number of events."""

    def columns(self, name: str) -> tuple[StateColumn, ...]:
        return (StateColumn(name, pa.int64(), "BIGINT", 0),)

    def summarise_sql(self, name: str) -> str:
        return f"count(*)::BIGINT AS {name}"

    def merge_sql(self, name: str) -> str:
        return f"sum({name})::BIGINT AS {name}"

    def merge(self) -> Merge2:
        return _add_counts


@dataclass(frozen=True)
class Min(Measure):
    """The smallest `expr`, a DECIMAL(18,8)."""

    expr: str

    def columns(self, name: str) -> tuple[StateColumn, ...]:
        return (_price(name),)

    def summarise_sql(self, name: str) -> str:
        return f"min({self.expr}) AS {name}"

    def merge_sql(self, name: str) -> str:
        return f"min({name}) AS {name}"

    def merge(self) -> Merge2:
        return min


@dataclass(frozen=True)
class Max(Measure):
    """The largest `expr`, a DECIMAL(18,8)."""

    expr: str

    def columns(self, name: str) -> tuple[StateColumn, ...]:
        return (_price(name),)

    def summarise_sql(self, name: str) -> str:
        return f"max({self.expr}) AS {name}"

    def merge_sql(self, name: str) -> str:
        return f"max({name}) AS {name}"

    def merge(self) -> Merge2:
        return max


@dataclass(frozen=True)
class First(Measure):
    """`expr` of the event with the smallest (`by`, `expr`): a DECIMAL(18,8) below 10^10 and a BIGINT, neither < 0."""

    expr: str
    by: str

    def columns(self, name: str) -> tuple[StateColumn, ...]:
        return _ordered(name)

    def summarise_sql(self, name: str) -> str:
        return _pair_sql("min", self.by, self.expr, name)

    def merge_sql(self, name: str) -> str:
        return _pair_sql("min", f"{name}_id", name, name)

    def merge(self) -> Merge2:
        return min


@dataclass(frozen=True)
class Last(Measure):
    """`expr` of the event with the largest (`by`, `expr`); types as for `First`."""

    expr: str
    by: str

    def columns(self, name: str) -> tuple[StateColumn, ...]:
        return _ordered(name)

    def summarise_sql(self, name: str) -> str:
        return _pair_sql("max", self.by, self.expr, name)

    def merge_sql(self, name: str) -> str:
        return _pair_sql("max", f"{name}_id", name, name)

    def merge(self) -> Merge2:
        return max


def _price(name: str) -> StateColumn:
    return StateColumn(name, PRICE_TYPE, f"DECIMAL(18,{PRICE_SCALE})", PRICE_SCALE)


def _ordered(name: str) -> tuple[StateColumn, ...]:
    return (StateColumn(f"{name}_id", pa.int64(), "BIGINT", 0), _price(name))


def _pair_sql(pick: str, by: str, value: str, name: str) -> str:
    pair = f"{pick}(({by}::HUGEINT * 10000000000)::DECIMAL(38,{PRICE_SCALE}) + {value})"
    # A cast to HUGEINT rounds, so floor first; floor of a DECIMAL is exact.
    order = f"(floor({pair})::HUGEINT // 10000000000)"
    rest = f"({pair} - ({order} * 10000000000)::DECIMAL(38,{PRICE_SCALE}))"
    return f"{order}::BIGINT AS {name}_id, {rest}::DECIMAL(18,{PRICE_SCALE}) AS {name}"


def _add_sums(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    total = a[0] + b[0]
    if not -_SUM_BOUND < total < _SUM_BOUND:
        raise OverflowingStateError(f"The sum {total} in units of 1e-{SUM_SCALE} does not fit DECIMAL(38,{SUM_SCALE}).")
    return (total,)


def _add_counts(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    total = a[0] + b[0]
    if total >= _COUNT_BOUND:
        raise OverflowingStateError(f"The count {total} does not fit BIGINT.")
    return (total,)
