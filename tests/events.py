"""Trades as tests write them: seven values, an id that may be an integer, and the order that follows from it."""

from typing import Any

from slackwater.streams.trades import TRADES


class Event(TRADES.event):  # type: ignore[misc]
    """A `TRADES.event`; its sequence is its id where none is given."""

    def __new__(
        cls,
        venue: str,
        symbol: str,
        trade_id: int | str,
        time: int,
        price: int,
        quantity: int,
        side: str,
        sequence: int | None = None,
        time_unit: str = "us",
    ) -> "Event":
        order = int(trade_id) if sequence is None else sequence
        return cls._make((venue, symbol, str(trade_id), order, time, price, quantity, side, time_unit))

    def _replace(self, **fields: Any) -> "Event":
        found = self._asdict() | fields
        if "trade_id" in fields and "sequence" not in fields:
            found["sequence"] = None
        return Event(**found)
