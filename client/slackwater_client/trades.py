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

    `index` is its place in the record at `offset` of `partition`; both are None for imported history, which never was
    in the log.
    """

    trade_id: int
    time_us: int
    price: Decimal
    quantity: Decimal
    side: Literal["buy", "sell"]
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
            trade_id=int(item["trade_id"]),
            time_us=int(item["time"]),
            price=decimal(item["price"]),
            quantity=decimal(item["quantity"]),
            side=item["side"],
            partition=int(item["partition"]),
            offset=item["offset"],
            index=item["index"],
        )


TRADE: Kinds = {
    "trade_id": "integer",
    "time": "time",
    "price": "price",
    "quantity": "price",
    "side": "text",
    "partition": "integer",
    "offset": "integer",
    "index": "integer",
}
"""The columns of a table of trades."""
