"""The stream `trades`: single trades of a market, as venues publish them."""

from slackwater.streams.stream import Choice, Decimal, Identity, ProductBelow, Sequence, Stream, Text, Time, Venue

VENUE = "[a-z0-9][a-z0-9_-]{0,31}"
SYMBOL = "[A-Za-z0-9][A-Za-z0-9_./:-]{0,63}"

TRADES = Stream(
    name="trades",
    columns=(
        Text("venue", VENUE),
        Text("symbol", SYMBOL, without=("..", "//")),  # never part of a path
        Identity("trade_id"),
        Sequence("sequence"),
        Time("time"),
        Decimal("price"),
        Decimal("quantity"),
        Choice("side", ("buy", "sell")),  # the taker's
    ),
    entity=("venue", "symbol"),
    identity="trade_id",
    time="time",
    order="sequence",
    venues={
        f"{venue}_agg": Venue(ids="dense", columns=("agg_trade_id",))
        for venue in ("binance_spot", "binance_usdm", "binance_coinm")
    },
    checks=(ProductBelow("price", "quantity", 13, "notional-too-large", "price x quantity is 10^13 or more"),),
)
