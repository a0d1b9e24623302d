"""Bars, whose columns are known beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from slackwater_client.rows import EXACT, Kinds, decimal
from slackwater_client.times import datetime_of

_DECIMALS = ("open", "high", "low", "close", "volume", "notional", "buy_volume")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, exact. `start` is in microseconds since the epoch, UTC; it is half-open: [start, start + interval).

    `vwap` and the trade ids are None in a bar that holds no trade, which is given with `fill="previous"` alone.
    `revision` grows with each change of the bar; it and `correction` (a closed bar changed) come with streams alone.
    """

    symbol: str
    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    notional: Decimal
    vwap: Decimal | None
    buy_volume: Decimal
    trades: int
    first_sequence: int | None
    last_sequence: int | None
    closed: bool
    revision: int | None = None
    correction: bool = False

    @property
    def time(self) -> datetime:
        """The start as a datetime in UTC."""
        return datetime_of(self.start)

    @property
    def sell_volume(self) -> Decimal:
        """What takers sold."""
        return decimal(EXACT.subtract(self.volume, self.buy_volume))

    @classmethod
    def of(cls, item: Mapping[str, Any], symbol: str = "") -> "Bar":
        """From an item of a document; `symbol` stands where the item names none, since one was asked for."""
        return cls(
            symbol=str(item.get("symbol", symbol)),
            start=int(item["start"]),
            **{name: decimal(item[name]) for name in _DECIMALS},
            vwap=None if item["vwap"] is None else decimal(item["vwap"]),
            trades=int(item["trades"]),
            first_sequence=None if item["first_sequence"] is None else int(item["first_sequence"]),
            last_sequence=None if item["last_sequence"] is None else int(item["last_sequence"]),
            closed=bool(item["closed"]),
            revision=item.get("revision"),
            correction=bool(item.get("correction", False)),
        )


BAR: Kinds = {
    "symbol": "text",
    "start": "time",
    "open": "price",
    "high": "price",
    "low": "price",
    "close": "price",
    "volume": "sum",
    "notional": "sum",
    "vwap": "ratio",
    "buy_volume": "sum",
    "trades": "integer",
    "first_sequence": "integer",
    "last_sequence": "integer",
    "closed": "flag",
}
"""The columns of a table of bars."""
