"""The trades behind a bar, each with its place in the event log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal

from slackwater_client.rows import Item, Kind, Rows, decimal
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


class Trades(Rows[Trade]):
    """Trades in order of time and of trade id."""

    columns: ClassVar[Mapping[str, Kind]] = {
        "trade_id": "integer",
        "time": "time",
        "price": "price",
        "quantity": "price",
        "side": "text",
        "partition": "integer",
        "offset": "integer",
        "index": "integer",
    }

    @classmethod
    def _row(cls, item: Item) -> Trade:
        return Trade(
            trade_id=int(item["trade_id"]),
            time_us=int(item["time"]),
            price=decimal(item["price"]),
            quantity=decimal(item["quantity"]),
            side=item["side"],
            partition=int(item["partition"]),
            offset=item["offset"],
            index=item["index"],
        )
