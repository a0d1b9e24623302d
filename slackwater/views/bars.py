"""The view `bars`: OHLCV, VWAP and taker flow of trades."""

from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column, Ratio
from slackwater.views.measures import Count, First, Last, Max, Min, Sum
from slackwater.views.view import View

BARS = View(
    name="bars",
    stream=TRADES,
    measures={
        "open": First("price", by="sequence"),
        "high": Max("price"),
        "low": Min("price"),
        "close": Last("price", by="sequence"),
        "volume": Sum("quantity"),
        # The plain product of two DECIMAL(18,8) is DECIMAL(18,16), which raises at 100.
        "notional": Sum("price::DECIMAL(19,8) * quantity"),
        "buy_volume": Sum("CASE WHEN side = 'buy' THEN quantity ELSE 0 END"),
        "trades": Count(),
    },
    answers={
        "open": Column("open", gap="close"),
        "high": Column("high", gap="close"),
        "low": Column("low", gap="close"),
        "close": Column("close", gap="close"),
        "volume": Column("volume", gap="0"),
        "notional": Column("notional", gap="0"),
        "vwap": Ratio("notional", "volume"),
        "buy_volume": Column("buy_volume", gap="0"),
        "trades": Column("trades", gap="0"),
        "first_sequence": Column("open_id"),
        "last_sequence": Column("close_id"),
    },
)
