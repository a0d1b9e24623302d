"""The view `sizes`: trades by the size of their quantity, and so the quantiles of sizes."""

from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column, Quantiles
from slackwater.views.keys import Bucket
from slackwater.views.measures import Count, Sum
from slackwater.views.view import View

SIZES = View(
    name="sizes",
    stream=TRADES,
    key=("venue", "symbol", "bucket"),
    derived={"bucket": Bucket("quantity", digits=3)},
    measures={"trades": Count(), "volume": Sum("quantity")},
    answers={"trades": Column("trades"), "volume": Column("volume")},
    quantiles={
        "p50": Quantiles("0.5", of="trades"),
        "p90": Quantiles("0.9", of="trades"),
        "p99": Quantiles("0.99", of="trades"),
    },
)
