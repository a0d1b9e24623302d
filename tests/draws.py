"""What the property tests draw: events of a stream and states of a view that reach the limits of their types.

Everything is drawn by the columns of the stream and by the kinds of the state's columns, so a new view needs no line.
Not here: what must hold of them (`laws`).
"""

from collections import namedtuple
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import permutations
from typing import Any, TypeVar

import pyarrow as pa
from hypothesis import strategies as st

import tests.profiles  # noqa: F401 - loads the profile before anything is drawn
from slackwater.streams.stream import Choice, Decimal, Identity, Stream, Time
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Linear, Ratio
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.kinds import COUNT, PRICE, Kind
from slackwater.views.merge import State
from slackwater.views.rows import Row
from slackwater.views.view import View
from tests import naive
from tests.naive import A_MONDAY_US, DAY_US, SECOND_US, WEEK_US

LARGEST_ID = 2**63 - 1
LARGEST_PRICE = 10**18 - 1  # 9999999999.99999999
LARGEST_NOTIONAL = 10**29 - 1  # the next unit of 1e-16 would be 10^13
YEAR_9999_US = 253_402_300_799_999_999
EARLIEST_US = 1_230_940_800 * SECOND_US  # 2009-01-03T00:00:00Z

INTERVALS: tuple[Interval, ...] = (
    *(parse_interval(f"{n}s") for n in range(1, 86_401) if 86_400 % n == 0),
    *map(parse_interval, ("1w", "1M", "1y", "total")),
)

_T = TypeVar("_T")


def intervals(view: View) -> list[Interval]:
    """Those that a view can be read at."""
    return [interval for interval in INTERVALS if view.intervals[0].tiles(interval)]


def _one_of(*branches: Sequence[_T]) -> st.SearchStrategy[_T]:
    """A value of any branch, each as likely, by one choice. `|` takes two, and most of the time is choices."""
    return st.integers(0, len(branches) * max(map(_size, branches)) - 1).map(lambda choice: _value(branches, choice))


def _value(branches: Sequence[Sequence[_T]], choice: int) -> _T:
    choice, at = divmod(choice, len(branches))
    return branches[at][choice % _size(branches[at])]


def _size(values: Sequence[Any]) -> int:  # len() of a range ends at 64 bits
    return values.stop - values.start if isinstance(values, range) else len(values)


def _few(name: str, values: st.SearchStrategy[_T], most: int, *others: Sequence[_T]) -> st.SearchStrategy[_T]:
    """Values of which one example uses at most `most`, so that events meet in a bar, and ids and times are equal.

    Or one of `others`: each of them is as likely as the few together.
    """
    few = st.shared(st.lists(values, min_size=1, max_size=most), key=name)
    choices = st.integers(0, (1 + len(others)) * max(most, *map(_size, others), 0) - 1)
    return st.tuples(few, choices).map(lambda drawn: _value((drawn[0], *others), drawn[1]))


_NAMES = ["binance", "0", "z_-" + "9" * 29, "BTCUSDT", "a./:-_", "Z" * 64, "é\U0001f600"]
_ANY_ID = range(LARGEST_ID + 1)
_ids = _few("ids", _one_of(range(4), range(LARGEST_ID - 2, LARGEST_ID + 1), _ANY_ID), 3, _ANY_ID)
# One second before and after the edge of a second, an hour, a day, a week, months and years; both ends of the range.
_MONTHS_US = [
    n * DAY_US for n in (20_362, 20_454, 20_513, 19_782, 21_184)
]  # 1 Oct 2025, 1 Jan and 1 Mar 2026, 29 Feb 2024, 1 Jan 2028
_EDGES = [
    edge + offset
    for edge in (*(A_MONDAY_US + n for n in (0, SECOND_US, 3600 * SECOND_US, DAY_US, 6 * DAY_US, WEEK_US)), *_MONTHS_US)
    for offset in (-SECOND_US - 1, -SECOND_US, -1, 0, 1, SECOND_US - 1)
]
_ENDS = [EARLIEST_US, EARLIEST_US + SECOND_US - 1, YEAR_9999_US, LARGEST_ID - 1, LARGEST_ID]
_times = _few("times", _one_of(_EDGES, _EDGES, _ENDS), 4)
_prices = _one_of(
    [1, 2, 10**8 - 1, 10**8, 100 * 10**8, LARGEST_PRICE - 1, LARGEST_PRICE],
    range(1, 10**12 + 1),
    range(1, LARGEST_PRICE + 1),
)
_sums = _one_of(
    [0, 1, -1, 2**53 + 1, 10**16 + 1, 10**37 - 1, 1 - 10**37],
    range(1 - 10**37, 10**37),
    range(-(10**17), 10**17 + 1),
)


@cache  # to make a strategy costs more than to draw from it
def _column(stream: Stream, name: str) -> st.SearchStrategy[Any]:
    """Values of one column of a stream but its decimals, which hang together."""
    column = stream.column(name) if name in stream.fields else None
    if isinstance(column, Time):
        return _times
    if isinstance(column, Choice):
        return st.sampled_from(column.values)
    if isinstance(column, Identity):
        return _ids if stream.schema.field(name).type == pa.int64() else _few(name, st.sampled_from(_NAMES), 3)
    low, high = getattr(column, "low", 0), getattr(column, "high", LARGEST_ID)
    if (low, high) != (0, LARGEST_ID):
        return _one_of(range(low, high + 1), [low, high])
    kind = stream.schema.field(name)
    found = _few(name, st.sampled_from(_NAMES), 2) if pa.types.is_string(kind.type) else _ids
    return st.none() | found if kind.nullable else found


@cache
def _event(stream: Stream) -> st.SearchStrategy[Any]:
    decimals = [name for name in stream.fields if isinstance(stream.column(name), Decimal)]
    signed = [getattr(stream.column(name), "signed", False) for name in decimals]
    orders = st.sampled_from([*permutations(range(len(decimals)))])
    others = [name for name in stream.schema.names if name not in decimals]
    limits = st.integers(0, 4 * LARGEST_PRICE - 1)
    event_type = _event_type(stream)

    @st.composite
    def event(draw: st.DrawFn) -> Any:
        values = dict(zip(others, [draw(_column(stream, name)) for name in others], strict=True))
        most = LARGEST_PRICE
        for at in draw(orders):  # their product is below the contract's bound
            if most == LARGEST_PRICE:
                value = draw(_prices)
            else:
                value = _value(([most], range(max(1, most - 1), most + 1), range(1, most + 1), [1]), draw(limits))
            most = min(LARGEST_PRICE, LARGEST_NOTIONAL // value)
            values[decimals[at]] = -value if signed[at] and draw(st.booleans()) else value
        return event_type(**values)

    return event()


@cache
def _event_type(stream: Stream) -> Any:
    return namedtuple("Drawn", stream.schema.names)  # type: ignore[misc]


@st.composite
def event_lists(draw: st.DrawFn, stream: Stream = TRADES) -> list[Any]:
    """Up to 24 events. Some come again, whole or with another decimal: what a foreign writer may append."""
    events = draw(st.lists(_event(stream), max_size=16))
    decimals = [name for name in stream.fields if isinstance(stream.column(name), Decimal)]
    for at in draw(st.lists(st.integers(0, 15), max_size=8)) if events else ():
        again = events[at % len(events)]
        name = draw(st.sampled_from(decimals)) if decimals else None
        other = {} if name is None else {name: draw(st.sampled_from([getattr(again, name), 1]))}
        events.append(again._replace(**other))
    return events


def values(kind: Kind) -> st.SearchStrategy[Any]:
    """Values of a kind; ten of them can be added without overflow where that is what a merge does."""
    if not kind.digits:
        return st.sampled_from(_NAMES)
    if kind == COUNT:
        return _one_of(range((2**63 - 1) // 10 + 1), range(4))
    if kind.scale == 0 and kind.wide:
        return _ids if kind.unsigned else _ids | _ids.map(lambda n: -n)
    if kind.digits == 38:
        return _sums
    if kind == PRICE and kind.unsigned:
        return _prices
    most = 10**kind.digits - 1
    return _one_of(range(0 if kind.unsigned else -most, most + 1), [0, 1, most])


@cache
def states(view: View) -> st.SearchStrategy[State]:
    """Any state whose types hold it; ten of them can be merged without overflow."""
    return st.tuples(*(values(column.kind) for column in view.columns))


@cache
def row_lists(view: View, unique: bool, most: int = 10) -> st.SearchStrategy[list[Row]]:
    """Rows of any states at the base interval; `unique`: at most one a bar."""
    keys = [
        st.integers(-2500, 2500) if name in view.derived and column.kind.digits
        else st.sampled_from(_NAMES) if name in view.derived
        else _column(view.stream, name)
        for name, column in zip(view.key, view.key_columns, strict=True)
    ]  # fmt: skip
    starts = _times.map(lambda time: naive.floor(time, view.intervals[0]))
    rows = st.builds(Row, st.tuples(*keys), starts, states(view))
    return st.lists(rows, max_size=most, unique_by=(lambda row: (row.key, row.start)) if unique else None)


_counts = _one_of(range(10), range(1, (2**63 - 1) // 10 + 1))
_divisors = st.tuples(_one_of(range(1, 10**29 + 1), range(1, 10**6 + 1)), st.sampled_from([1, -1, 2]))
_TIES = [(sign, off) for sign in (1, -1) for off in (0, -1, 1)]
_specials = st.sampled_from([*("none",) * 6, *_TIES, "zero"])


@st.composite
def finishable_rows(draw: st.DrawFn, view: View) -> list[Row]:
    """Rows that can be finished; half of the quotients of two sums are a tie or next to one, some divisors are 0."""
    rows = []
    index = {column.name: i for i, column in enumerate(view.columns)}
    for row in draw(row_lists(view, unique=True)):
        state = list(row.state)
        for ratio in [a for a in view.answers.values() if isinstance(a, Ratio)]:
            if COUNT in (view.columns[index[name]].kind for name in (ratio.over, ratio.under)):
                if view.columns[index[ratio.under]].kind == COUNT:
                    state[index[ratio.under]] = draw(_counts)
                continue
            (under, factor), special = draw(_divisors), draw(_specials)
            under *= factor
            state[index[ratio.under]] = 0 if special == "zero" else under * 10**8
            if isinstance(special, tuple):
                sign, off = special
                quotient = draw(st.integers(0, 10**37 // abs(under)))
                state[index[ratio.over]] = sign * (quotient * abs(under) + abs(under) // 2 + off)
        for linear in [a for a in view.answers.values() if isinstance(a, Linear)]:
            weights = dict(linear.weights)
            if sum(map(abs, weights.values())) > 10:  # else no sum of what is drawn is too large
                for name, weight in weights.items():
                    state[index[name]] = int(state[index[name]]) // (abs(weight) * len(weights))
        rows.append(row._replace(state=tuple(state)))
    return rows


def events_table(events: Iterable[Any], stream: Stream = TRADES) -> pa.Table:
    """The Arrow table of `events`."""
    return naive.events_table(events, stream.schema)
