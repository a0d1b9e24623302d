"""Checks over several columns of an event, each in three forms: for one event, for an Arrow table, and as SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from slackwater.streams.numbers import units_of
from slackwater.streams.schema import PRICE_SCALE, SUM_SCALE
from slackwater.streams.texts import array_of


@dataclass(frozen=True)
class ProductBelow:
    """The product of two decimal columns is below 10^`digits`; `reason` and `error` say that it is not."""

    left: str
    right: str
    digits: int
    reason: str
    error: str

    @cached_property
    def _bound(self) -> int:
        bound: int = 10 ** (self.digits + 2 * PRICE_SCALE)
        return bound

    def holds(self, left: int, right: int) -> bool:
        """Whether it holds for two values of an event, in units of 1e-8."""
        return -self._bound < left * right < self._bound

    def within(self, columns: Mapping[str, Any]) -> Any:
        """For which events it holds, True if for all; `columns` maps names to Arrow arrays without nulls."""
        left, right = (units_of(array_of(columns[name])) for name in (self.left, self.right))
        if _farthest(left) * _farthest(right) < self._bound:
            return True
        bound = pa.scalar(Decimal(10**self.digits), pa.decimal128(38, SUM_SCALE))
        product = pc.abs(pc.multiply(columns[self.left], columns[self.right]))
        return pc.less(product, bound).to_numpy(zero_copy_only=False)

    @property
    def sql(self) -> str:
        """A condition over the columns."""
        # The plain product of two DECIMAL(18,8) is DECIMAL(18,16), which raises at 100.
        return f"abs({self.left}::DECIMAL(19,{PRICE_SCALE}) * {self.right}) < {10**self.digits}"


def _farthest(units: Any) -> int:
    """How far from zero the farthest is."""
    return max(int(units.max(initial=0)), -int(units.min(initial=0)))
