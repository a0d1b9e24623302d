"""The stream `trades`: single trades of a market, as venues publish them.

The order of trades is the sequence, and what it is depends on the venue. A venue that `venues` does not name has the
rule `id`: its ids are integers that increase, so a trade without a sequence has its id for one; a trade whose id is
text has to bring one. For any other venue, one line in `venues` says what is so, and nothing else changes:

    "kraken": Venue(sequence="venue")               every trade brings the venue's own sequence
    "dydx": Venue(sequence="time", unit="ms")       it is made of the time, floored to ms, and of the id: for text ids
    "binance_spot": Venue(ids="dense")              a hole in the ids is a gap in the data
    "old": Venue(sequence="time", ids="none")       no ids: they are made of the content; imported history alone

`columns` names the columns that only files of these venues have. A venue has one space of ids: raw and aggregate trades
of one market are two venues, so a file of aggregates is never read as a file of the trades they are made of. A change
of a venue's `sequence` or `unit` changes the definition of the stream and of its views; `ids` and `columns` do not.
"""

from slackwater.streams.stream import Choice, Decimal, Identity, ProductBelow, Sequence, Stream, Text, Time, Venue

VENUE = "[a-z0-9][a-z0-9_-]{0,31}"
SYMBOL = "[A-Za-z0-9][A-Za-z0-9_./:-]{0,63}"

_WORDS = {"b": "buy", "s": "sell", **dict.fromkeys(("0", "1", "2", "-1", "a", "ask", "bid"))}
"""How files say sides. 1 is a buy to most and a sell at Bitstamp; a trade at the ask was bought, an ask is for sale."""

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
        Choice("side", ("buy", "sell"), _WORDS),  # the taker's
    ),
    entity=("venue", "symbol"),
    identity="trade_id",
    time="time",
    order="sequence",
    venues={
        **{
            f"{venue}_agg": Venue(ids="dense", columns=("agg_trade_id",))
            for venue in ("binance_spot", "binance_usdm", "binance_coinm")
        },
        **dict.fromkeys(("binance_spot", "binance_usdm", "binance_coinm", "coinbase", "kraken"), Venue(ids="dense")),
        # Ids of Bybit's derivatives are no numbers. Its files of spot trades have none, nor have Kraken's of history.
        "bybit_linear": Venue(sequence="time", unit="ms"),
        "bybit_inverse": Venue(sequence="time", unit="ms"),
        # Its ids are numbers without an order.
        "hyperliquid": Venue(sequence="time", unit="ms"),
        # Its trade_seq; ids are text, and of another space.
        "deribit": Venue(sequence="venue"),
        "bybit_spot_history": Venue(sequence="time", ids="none", unit="ms"),
        "kraken_history": Venue(sequence="time", ids="none", unit="s"),
    },
    checks=(ProductBelow("price", "quantity", 13, "notional-too-large", "price x quantity is 10^13 or more"),),
)
