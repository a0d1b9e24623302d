"""The other streams of the simulation: two toys beside trades, declared like any other, and a view over each.

    prints    like trades, but for its identity: what a view over it would make of trades looks like its own
    fills     another entity, of one column, and text ids; the order is the time at one account, its own at the others

What befalls one of them must change nothing of the others (`World.stall_stream`).
"""

from collections.abc import Mapping
from random import Random

from slackwater.log.errors import LogError, TopicMissingError
from slackwater.streams.stream import Decimal, Identity, Sequence, Stream, Text, Time, Venue
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column
from slackwater.views.measures import Count, Last, Sum
from slackwater.views.view import View

PRINTS = Stream(
    name="prints",
    columns=(
        Text("venue", "[a-z]{1,8}"),
        Text("symbol", "[A-Z0-9]{1,8}"),
        Identity("print_id"),
        Sequence("sequence"),
        Time("time"),
        Decimal("price"),
        Decimal("quantity"),
    ),
    entity=("venue", "symbol"),
    identity="print_id",
    time="time",
    order="sequence",
)

FILLS = Stream(
    name="fills",
    columns=(
        Text("account", "[a-z0-9]{1,8}"),
        Identity("fill_id"),
        Sequence("number"),
        Time("time"),
        Decimal("price"),
        Decimal("amount", signed=True),
    ),
    entity=("account",),
    identity="fill_id",
    time="time",
    order="number",
    venues={"f0": Venue(sequence="time", unit="ms")},
)

PRINTED = View(
    name="printed",
    stream=PRINTS,
    measures={"last": Last("price", by="sequence"), "volume": Sum("quantity"), "prints": Count()},
    answers={"last": Column("last"), "volume": Column("volume"), "prints": Column("prints")},
)
HELD = View(
    name="held",
    stream=FILLS,
    measures={"last": Last("price", by="number"), "held": Sum("amount"), "fills": Count()},
    answers={"last": Column("last"), "held": Column("held"), "fills": Column("fills")},
)
TOYS = (PRINTED, HELD)

STALLS = ("gone", "unreachable", "no deltas", "no worker")
"""What befalls a stream: its topics are gone or not to be reached, those of its deltas alone, no worker reads it."""


def entity_of(stream: Stream, symbol: str) -> tuple[str, ...]:
    """The entity that a short name stands for."""
    return (symbol.lower(),) if stream == FILLS else ("v", symbol)


def line_of(stream: Stream, symbol: str, number: int, time: int, price: str, amount: str, side: str) -> bytes:
    """One event."""
    if stream == TRADES:
        text = f'"venue":"v","symbol":"{symbol}","trade_id":{number},"time":{time},"price":"{price}"'
        return f'{{{text},"quantity":"{amount}","side":"{side}"}}'.encode()
    if stream == PRINTS:
        text = f'"venue":"v","symbol":"{symbol}","print_id":{number},"time":{time},"price":"{price}"'
        return f'{{{text},"quantity":"{amount}"}}'.encode()
    account, sign = symbol.lower(), "-" if side == "sell" else ""
    order = "" if account in FILLS.venues else f'"number":{number},'
    text = f'"account":"{account}","fill_id":"x-{number}",{order}"time":{time},"price":"{price}"'
    return f'{{{text},"amount":"{sign}{amount}"}}'.encode()


def views_drawn(seed: int, views: tuple[View, ...]) -> tuple[View, ...]:
    """With a view over each of three streams in some seeds, drawn apart: the others stay what they were."""
    return (*views[:1], *TOYS) if Random(f"streams {seed}").random() < 0.35 else views


class Away:
    """Topics that no program can reach, and why."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}

    def take(self, topics: Mapping[str, str]) -> None:
        """Topic -> `gone`, or anything else: it cannot be reached."""
        self._why.update(topics)

    def give_back(self) -> None:
        """All can be reached."""
        self._why.clear()

    def __contains__(self, topic: str) -> bool:
        return topic in self._why

    def check(self, topic: str) -> None:
        """Raises LogError if it cannot be reached."""
        if topic in self._why:
            raise TopicMissingError(topic) if self._why[topic] == "gone" else LogError(f"{topic} is not to be reached.")
