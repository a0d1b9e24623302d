"""The slow obvious oracle of the views: events in a Python list, groups in a dict, plain integers; no SQL, no merge.

It shares with `views` the declaration of a view and nothing else. What an expression means is said here once more, in
Python (`VALUES`); a view with another expression needs another line, and the oracle says so.

Not here: the oracle of the whole service, which reads the log's bytes (`verify.oracle`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from fractions import Fraction
from typing import NamedTuple

from slackwater.views.answers import Column
from slackwater.views.measures import Count, First, Last, Max, Measure, Min, Sum
from slackwater.views.view import View

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
WEEK_US = 7 * DAY_US
A_MONDAY_US = 1_759_708_800 * SECOND_US  # 2025-10-06T00:00:00Z; it starts a bar of every interval

_WIDE = Context(prec=100)


class Event(NamedTuple):
    """One event. Price and quantity are in units of 1e-8, time is in microseconds."""

    venue: str
    symbol: str
    trade_id: int
    time: int
    price: int
    quantity: int
    side: str


class Bar(NamedTuple):
    """One bar's state, comparable with `slackwater.views.rows.Row`."""

    key: tuple[str, ...]
    start: int
    state: tuple[int, ...]


# expression -> its value in units of 10^-digits, and the digits
VALUES: dict[str, tuple[Callable[[Event], int], int]] = {
    "price": (lambda e: e.price, 8),
    "quantity": (lambda e: e.quantity, 8),
    "price::DECIMAL(19,8) * quantity": (lambda e: e.price * e.quantity, 16),
    "CASE WHEN side = 'buy' THEN quantity ELSE 0 END": (lambda e: e.quantity if e.side == "buy" else 0, 8),
    "CASE WHEN trade_id % 2 = 0 THEN quantity ELSE -quantity END": (
        lambda e: e.quantity if e.trade_id % 2 == 0 else -e.quantity,
        8,
    ),
}


def floor(time: int, interval_us: int) -> int:
    """The start of the bar that holds `time`, counted from a Monday, whole days or a part of one day at a time."""
    return time - (time - A_MONDAY_US) % interval_us


def summarise(view: View, events: Iterable[Event], interval_us: int = SECOND_US) -> list[Bar]:
    """Every bar of `view`, computed from all of its events at once; sorted."""
    bars: dict[tuple[tuple[str, ...], int], list[Event]] = defaultdict(list)
    for event in events:
        bars[tuple(getattr(event, k) for k in view.key), floor(event.time, interval_us)].append(event)
    return sorted(
        Bar(key, start, tuple(n for measure in view.measures.values() for n in _measure(measure, of)))
        for (key, start), of in bars.items()
    )


def finish(view: View, state: tuple[int, ...]) -> dict[str, str | int]:
    """The answer of one state."""
    found: dict[str, str | int] = {}
    units = dict(zip((c.name for c in view.columns), state, strict=True))
    digits = {c.name: c.scale for c in view.columns}
    for name, answer in view.answers.items():
        if not isinstance(answer, Column):
            # round() of a Fraction goes to the nearest integer, a tie to the even one
            found[name] = text(round(Fraction(units[answer.over], units[answer.under]) * 10**8), 8)
        elif digits[answer.column]:
            found[name] = text(units[answer.column], digits[answer.column])
        else:
            found[name] = units[answer.column]
    return found


def text(units: int, digits: int) -> str:
    """A number of units of 10^-digits in plain notation without trailing zeros."""
    return format(Decimal(units).scaleb(-digits, _WIDE).normalize(_WIDE), "f")


def _measure(measure: Measure, events: list[Event]) -> tuple[int, ...]:
    if isinstance(measure, Count):
        return (len(events),)
    assert isinstance(measure, Sum | Min | Max | First | Last), f"the oracle does not know {measure}"
    assert measure.expr in VALUES, f"say in naive.VALUES what {measure.expr!r} means"
    value, digits = VALUES[measure.expr]
    if isinstance(measure, Sum):
        return (sum(value(e) for e in events) * 10 ** (16 - digits),)
    assert digits == 8, f"{measure} is no price"
    if isinstance(measure, First):
        return min((getattr(e, measure.by), value(e)) for e in events)
    if isinstance(measure, Last):
        return max((getattr(e, measure.by), value(e)) for e in events)
    pick = min if isinstance(measure, Min) else max
    return (pick(value(e) for e in events),)
