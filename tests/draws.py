"""What the property tests draw: events and states that reach the limits of DESIGN section 5.

Not here: what must hold of them (`laws`).
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeVar

import pyarrow as pa
from hypothesis import strategies as st

import tests.profiles  # noqa: F401 - loads the profile before anything is drawn
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Ratio
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.measures import Count, First, Last, Max, Min, Sum
from slackwater.views.merge import State
from slackwater.views.rows import Row
from slackwater.views.view import View
from tests.naive import A_MONDAY_US, DAY_US, SECOND_US, WEEK_US, Event

LARGEST_ID = 2**63 - 1
LARGEST_PRICE = 10**18 - 1  # 9999999999.99999999
LARGEST_NOTIONAL = 10**29 - 1  # the next unit of 1e-16 would be 10^13
YEAR_9999_US = 253_402_300_799_999_999
EARLIEST_US = 1_230_940_800 * SECOND_US  # 2009-01-03T00:00:00Z

INTERVALS: tuple[Interval, ...] = (
    *(parse_interval(f"{n}s") for n in range(1, 86_401) if 86_400 % n == 0),
    parse_interval("1w"),
)

_T = TypeVar("_T")


def _few(name: str, values: st.SearchStrategy[_T], most: int) -> st.SearchStrategy[_T]:
    """Values of which one example uses at most `most`, so that events meet in a bar, and ids and times are equal."""
    return st.shared(st.lists(values, min_size=1, max_size=most), key=name).flatmap(st.sampled_from)


_venues = _few("venues", st.sampled_from(["binance", "0", "z_-" + "9" * 29]), 2)
_symbols = _few("symbols", st.sampled_from(["BTCUSDT", "a./:-_", "Z" * 64]), 2)
_ids = _few(
    "ids", st.integers(0, 3) | st.integers(LARGEST_ID - 2, LARGEST_ID) | st.integers(0, LARGEST_ID), 3
) | st.integers(0, LARGEST_ID)
# One second before and after the edge of a second, an hour, a day and a week; both ends of the range.
_edges = st.builds(
    lambda edge, offset: edge + offset,
    st.sampled_from([A_MONDAY_US + n for n in (0, SECOND_US, 3600 * SECOND_US, DAY_US, 6 * DAY_US, WEEK_US)]),
    st.sampled_from([-SECOND_US - 1, -SECOND_US, -1, 0, 1, SECOND_US - 1]),
)
_ends = st.sampled_from([EARLIEST_US, EARLIEST_US + SECOND_US - 1, YEAR_9999_US, LARGEST_ID - 1, LARGEST_ID])
_times = _few("times", _edges | _edges | _ends, 4)
_prices = (
    st.sampled_from([1, 2, 10**8 - 1, 10**8, 100 * 10**8, LARGEST_PRICE - 1, LARGEST_PRICE])
    | st.integers(1, 10**12)
    | st.integers(1, LARGEST_PRICE)
)
_sums = (
    st.sampled_from([0, 1, -1, 2**53 + 1, 10**16 + 1, 10**37 - 1, 1 - 10**37])
    | st.integers(1 - 10**37, 10**37 - 1)
    | st.integers(-(10**17), 10**17)
)


@st.composite
def _event(draw: st.DrawFn) -> Event:
    price = draw(_prices)
    most = min(LARGEST_PRICE, LARGEST_NOTIONAL // price)
    quantity = draw(st.just(most) | st.integers(max(1, most - 1), most) | st.integers(1, most) | st.just(1))
    if draw(st.booleans()):
        price, quantity = quantity, price
    side = draw(st.sampled_from(["buy", "sell"]))
    return Event(draw(_venues), draw(_symbols), draw(_ids), draw(_times), price, quantity, side)


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """Up to 24 events. Some come again, whole or with another price: what a foreign writer may append."""
    events = draw(st.lists(_event(), max_size=16))
    for at in draw(st.lists(st.integers(0, 15), max_size=8)) if events else ():
        again = events[at % len(events)]
        events.append(again._replace(price=draw(st.sampled_from([again.price, 1]))))
    return events


def states(view: View) -> st.SearchStrategy[State]:
    """Any state whose types hold it; ten of them can be merged without overflow."""
    parts: list[st.SearchStrategy[tuple[int, ...]]] = []
    for measure in view.measures.values():
        if isinstance(measure, Sum):
            parts.append(st.tuples(_sums))
        elif isinstance(measure, Count):
            parts.append(st.tuples(st.integers(0, (2**63 - 1) // 10) | st.integers(0, 3)))
        elif isinstance(measure, Min | Max):
            parts.append(st.tuples(_prices))
        else:
            assert isinstance(measure, First | Last)
            parts.append(st.tuples(_ids, _prices))
    return st.tuples(*parts).map(lambda found: tuple(n for part in found for n in part))


def row_lists(view: View, unique: bool, most: int = 10) -> st.SearchStrategy[list[Row]]:
    """Rows of any states at the base interval; `unique`: at most one a bar."""
    texts = [st.sampled_from(["buy", "sell"]) if k == "side" else _venues | _symbols for k in view.key]
    starts = _times.map(lambda time: time - time % SECOND_US)
    rows = st.builds(Row, st.tuples(*texts), starts, states(view))
    return st.lists(rows, max_size=most, unique_by=(lambda row: (row.key, row.start)) if unique else None)


@st.composite
def finishable_rows(draw: st.DrawFn, view: View) -> list[Row]:
    """Rows whose ratios exist; half of the quotients are a tie or next to one."""
    rows = []
    index = {column.name: i for i, column in enumerate(view.columns)}
    for row in draw(row_lists(view, unique=True)):
        state = list(row.state)
        for ratio in [a for a in view.answers.values() if isinstance(a, Ratio)]:
            under = draw(st.integers(1, 10**29) | st.integers(1, 10**6)) * draw(st.sampled_from([1, -1, 2]))
            state[index[ratio.under]] = under * 10**8
            if draw(st.booleans()):
                quotient = draw(st.integers(0, 10**37 // abs(under)))
                over = quotient * abs(under) + abs(under) // 2 + draw(st.integers(-1, 1))
                state[index[ratio.over]] = draw(st.sampled_from([1, -1])) * over
        rows.append(row._replace(state=tuple(state)))
    return rows


def events_table(events: Iterable[Event]) -> pa.Table:
    """The Arrow table of `events`."""
    columns = list(zip(*events, strict=True)) or [()] * len(TRADES.schema)
    arrays = [
        pa.array([Decimal(n).scaleb(-8) for n in column] if pa.types.is_decimal(field.type) else column, field.type)
        for field, column in zip(TRADES.schema, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=TRADES.schema)
