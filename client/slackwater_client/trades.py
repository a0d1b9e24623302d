"""The trades behind a bar, each with its place in the event log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from slackwater_client.rows import Kinds, decimal
from slackwater_client.times import datetime_of


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade. `time_us` is the event time in microseconds since the epoch, UTC; `side` is the taker's.

    `trade_id` tells it from all others of its instrument, and `sequence` orders them. `time_unit` is the unit in which
    the source measured the time; `appended_us` is when the log took it.

    `index` is its place in the record at `offset` of `partition`. These two and `appended_us` are None for imported
    history, which never was in the log.
    """

    trade_id: str
    sequence: int
    time_us: int
    price: Decimal
    quantity: Decimal
    side: Literal["buy", "sell"]
    time_unit: Literal["us", "ms", "s"]
    appended_us: int | None
    partition: int
    offset: int | None
    index: int | None

    @property
    def time(self) -> datetime:
        """The event time as a datetime in UTC."""
        return datetime_of(self.time_us)

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Trade":
        """From an item of a document."""
        return cls(
            trade_id=item["trade_id"],
            sequence=int(item["sequence"]),
            time_us=int(item["time"]),
            price=decimal(item["price"]),
            quantity=decimal(item["quantity"]),
            side=item["side"],
            time_unit=item["time_unit"],
            appended_us=item["appended"],
            partition=int(item["partition"]),
            offset=item["offset"],
            index=item["index"],
        )


TRADE: Kinds = {
    "trade_id": "text",
    "sequence": "integer",
    "time": "time",
    "price": "price",
    "quantity": "price",
    "side": "text",
    "time_unit": "text",
    "appended": "time",
    "partition": "integer",
    "offset": "integer",
    "index": "integer",
}
"""The columns of a table of trades."""
