"""The view `flow`: how much takers bought and sold, a row a side."""

from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column, Ratio
from slackwater.views.measures import Count, Sum
from slackwater.views.view import View

FLOW = View(
    name="flow",
    stream=TRADES,
    key=("venue", "symbol", "side"),
    measures={
        "trades": Count(),
        "volume": Sum("quantity"),
        "notional": Sum("price::DECIMAL(19,8) * quantity"),
    },
    answers={
        "trades": Column("trades"),
        "volume": Column("volume"),
        "notional": Column("notional"),
        "vwap": Ratio("notional", "volume"),
    },
)
