"""A second stream with its own entity, as somebody outside the package would declare it: fills of an account."""

from slackwater.streams.stream import Decimal, Identity, Sequence, Stream, Text, Time, Venue

FILLS = Stream(
    name="fills",
    columns=(
        Text("account", "[a-z0-9-]{1,16}"),
        Identity("fill_id"),
        Sequence("sequence"),
        Time("time"),
        Text("symbol", "[A-Z0-9-]{1,16}"),
        Decimal("price"),
        Decimal("quantity", signed=True),
    ),
    entity=("account",),
    identity="fill_id",
    time="time",
    order="sequence",
    venues={
        "ms": Venue(sequence="time", unit="ms"),
        "us": Venue(sequence="time"),
        "unnamed": Venue(sequence="time", ids="none", unit="ms"),
        "sums": Venue(columns=("sum_id",)),
    },
)
"""Accounts `ms` and `us` have text ids, and are ordered by time; the others have integers, but `unnamed` has none.
`sums` has events that are made of several, whose files have a column `sum_id`.
"""
