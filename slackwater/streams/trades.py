"""The stream `trades`: single trades of a market, as venues publish them."""

from slackwater.streams.event import SYMBOL, VENUE
from slackwater.streams.stream import Choice, Decimal, Identity, Stream, Text, Time

TRADES = Stream(
    name="trades",
    columns=(
        Text("venue", VENUE),
        Text("symbol", SYMBOL, without=("..", "//")),
        Identity("trade_id"),
        Time("time"),
        Decimal("price"),
        Decimal("quantity"),
        Choice("side", ("buy", "sell")),  # the taker's
    ),
    entity=("venue", "symbol"),
    identity="trade_id",
    time="time",
)
