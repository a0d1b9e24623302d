"""The oracle of bars over trades, written out by hand: no definition of the product has a part in it either."""

from collections.abc import Sequence
from typing import Any

from verify import oracle
from verify.decoder import LARGEST_INTEGER, units
from verify.definition import Definition, Part, StreamData
from verify.intervals import length_of

TRADES = StreamData(
    name="trades",
    columns=(
        Part("Text", {"name": "venue", "pattern": "[a-z0-9][a-z0-9_-]{0,31}"}),
        Part("Text", {"name": "symbol", "pattern": "[A-Za-z0-9][A-Za-z0-9_./:-]{0,63}", "without": ("..", "//")}),
        Part("Identity", {"name": "trade_id", "pattern": "[A-Za-z0-9_.:-]{1,64}"}),
        Part("Sequence", {"name": "sequence", "low": 0, "high": LARGEST_INTEGER}),
        Part("Time", {"name": "time"}),
        Part("Decimal", {"name": "price", "signed": False}),
        Part("Decimal", {"name": "quantity", "signed": False}),
        Part("Choice", {"name": "side", "values": ("buy", "sell")}),
    ),
    entity=("venue", "symbol"),
    identity="trade_id",
    time="time",
    order="sequence",
    checks=(Part("ProductBelow", {"left": "price", "right": "quantity", "digits": 13, "reason": "notional"}),),
    venues={},
)
BARS = Definition(
    name="bars",
    definition="bars",
    stream=TRADES,
    key=("venue", "symbol"),
    derived={},
    measures={
        "open": Part("First", {"expr": "price", "by": "sequence"}),
        "high": Part("Max", {"expr": "price"}),
        "low": Part("Min", {"expr": "price"}),
        "close": Part("Last", {"expr": "price", "by": "sequence"}),
        "volume": Part("Sum", {"expr": "quantity"}),
        "notional": Part("Sum", {"expr": "price * quantity"}),
        "buy_volume": Part("Sum", {"expr": "CASE WHEN side = 'buy' THEN quantity ELSE 0 END"}),
        "trades": Part("Count", {}),
    },
    answers={
        **{name: Part("Column", {"column": name}) for name in ("open", "high", "low", "close", "volume", "notional")},
        "vwap": Part("Ratio", {"over": "notional", "under": "volume"}),
        "buy_volume": Part("Column", {"column": "buy_volume"}),
        "trades": Part("Column", {"column": "trades"}),
        "first_sequence": Part("Column", {"column": "open_id"}),
        "last_sequence": Part("Column", {"column": "close_id"}),
    },
    quantiles={},
    base="1s",
)

__all__ = ["BARS", "LARGEST_INTEGER", "TRADES", "Oracle"]


class Oracle(oracle.Oracle):
    """Bars at the given intervals (lengths in microseconds, the finest of which divides the others)."""

    def __init__(self, intervals: Sequence[int]) -> None:
        for length in intervals:
            length_of(length)
        self._intervals = intervals
        super().__init__(TRADES, [BARS], min(intervals, default=1))

    def trade(self, venue: str, symbol: str, trade_id: int, time: int, price: str, quantity: str, side: str) -> None:
        """Count a trade that did not come through the log, with an integer as its id, which orders it."""
        event = {"venue": venue, "symbol": symbol, "trade_id": str(trade_id), "sequence": int(trade_id), "time": time}
        self.event({**event, "price": units(price), "quantity": units(quantity), "side": side, "time_unit": "us"})

    @property
    def instruments(self) -> list[tuple[str, str]]:
        """Every (venue, symbol) with a trade, sorted."""
        return [(venue, symbol) for venue, symbol in self.entities]

    def bars(
        self, venue: str, symbol: str, interval: int, start: int | None = None, end: int | None = None
    ) -> list[dict[str, Any]]:
        """The bars of an instrument."""
        if interval not in self._intervals:
            raise ValueError(f"No bars of {interval} microseconds are kept; these are: {self._intervals}.")
        return self.rows("bars", (venue, symbol), interval, start, end)
