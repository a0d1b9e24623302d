"""The slow obvious oracle of the views: events in a list, groups in a dict, plain integers; no SQL sum, no merge.

It shares with `views` the declaration of a view and nothing else. What an expression is worth for one event is asked
of DuckDB, one event a row, without an aggregate; what becomes of these values is said here again, in Python, of each
kind of measure and of answer that the package has. A kind from elsewhere is held by the laws that compare its own four
things with each other: its state of many events is its merge of the states of each.

Not here: the oracle of the whole service, which reads the log's bytes (`verify.oracle`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from threading import get_ident
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from slackwater.views.answers import Column, Difference, Linear, Ratio
from slackwater.views.interval import Interval
from slackwater.views.keys import Bucket
from slackwater.views.measures import Count, First, Last, Max, Measure, Min, Sum
from slackwater.views.view import View
from tests.prepared import Prepared

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
WEEK_US = 7 * DAY_US
A_MONDAY_US = 1_759_708_800 * SECOND_US  # 2025-10-06T00:00:00Z; it starts a bar of every interval

_WIDE = Context(prec=100)
_ERA_US = 146_097 * DAY_US  # 400 years

Value = int | str
State = tuple[Value, ...]


class Event(NamedTuple):
    """One trade. Price and quantity are in units of 1e-8, time is in microseconds."""

    venue: str
    symbol: str
    sequence: int
    time: int
    price: int
    quantity: int
    side: str


class Bar(NamedTuple):
    """One bar's state, comparable with `slackwater.views.rows.Row`."""

    key: tuple[Value, ...]
    start: int
    state: State


def events_table(events: Iterable[Any], schema: pa.Schema) -> pa.Table:
    """The Arrow table of events, which have a stream's columns as attributes; a decimal is in units of its scale.

    A column that they do not have gets what the decoder gives it where a line does not say it.
    """
    events = list(events)
    arrays = []
    for field in schema:
        column = [getattr(event, field.name, _defaults(event).get(field.name)) for event in events]
        if pa.types.is_decimal(field.type):
            column = [Decimal(units).scaleb(-field.type.scale, _WIDE) for units in column]
        arrays.append(pa.array(column, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _defaults(event: Any) -> dict[str, Value]:
    return {"trade_id": str(getattr(event, "sequence", 0)), "sequence": 0, "time_unit": "us"}


def floor(time: int, interval: int | Interval) -> int:
    """The start of the bar that holds `time`, counted from a Monday, whole days or a part of one day at a time."""
    if not isinstance(interval, int):
        if interval.text == "total":
            return 0 if time < interval.us else interval.us
        if interval.text in ("1M", "1y"):
            eras, rest = divmod(time, _ERA_US)
            day = datetime.fromtimestamp(rest // SECOND_US, UTC)
            first = datetime(day.year, day.month if interval.text == "1M" else 1, 1, tzinfo=UTC)
            return eras * _ERA_US + int(first.timestamp()) * SECOND_US
        interval = interval.us
    return time - (time - A_MONDAY_US) % interval


def summarise(view: View, events: Iterable[Any], interval: int | Interval = SECOND_US) -> list[Bar]:
    """Every bar of `view`, computed from all of its events at once; sorted."""
    events = list(events)
    given = _given(view, events)
    keys = list(zip(*(_key(view, name, events, given) for name in view.key), strict=True))
    columns = [_values(view, name, measure, events, given) for name, measure in view.measures.items()]
    bars: dict[tuple[tuple[Value, ...], int], list[int]] = defaultdict(list)
    for number, (key, event) in enumerate(zip(keys, events, strict=True)):
        bars[key, floor(getattr(event, view.stream.time), interval)].append(number)
    found = []
    for (key, start), numbers in bars.items():
        parts = [fold([values[n] for n in numbers]) for values, fold in columns]
        found.append(Bar(key, start, tuple(value for part in parts for value in part)))
    return sorted(found)


def finish(view: View, state: State) -> dict[str, Value | None]:
    """The answer of one state."""
    units: dict[str, Any] = dict(zip((c.name for c in view.columns), state, strict=True))
    digits = {c.name: c.scale for c in view.columns}
    sums = {name: Fraction(value, 10 ** digits[name]) for name, value in units.items() if isinstance(value, int)}
    found: dict[str, Value | None] = {}
    for name, answer in view.answers.items():
        if type(answer) is Ratio:
            # round() of a Fraction goes to the nearest integer, a tie to the even one
            over, under = sums[answer.over], sums[answer.under]
            found[name] = text(round(over / under * 10**8), 8) if under else None
        elif type(answer) in (Linear, Difference):
            total = sum(sums[column] * weight for column, weight in answer.weights)  # type: ignore[attr-defined]
            scale = digits[answer.weights[0][0]]  # type: ignore[attr-defined]
            found[name] = text(int(total * 10**scale), scale) if scale else int(total)
        elif type(answer) is Column:
            found[name] = (
                text(units[answer.column], digits[answer.column]) if digits[answer.column] else units[answer.column]
            )
        else:
            value = answer.value(view.columns)(state)
            found[name] = None if value is None else answer.kind(view.columns).answer(value)
    return found


def text(units: int, digits: int) -> str:
    """A number of units of 10^-digits in plain notation without trailing zeros."""
    return format(Decimal(units).scaleb(-digits, _WIDE).normalize(_WIDE), "f")


def bucket(units: int, digits: int) -> int:
    """The bucket of a number of units, by its digits as text."""
    figures = str(abs(units))
    cut = max(0, len(figures) - digits)
    found = cut * 10**digits + int(figures[: len(figures) - cut])
    return found if units >= 0 else -found


# ------------------------------------------------------------------------------------- values, one event at a time


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _evaluate(
    view: View, expressions: Sequence[str], events: Sequence[Any], group: bool = False
) -> list[tuple[Any, ...]]:
    """The values of expressions for each event, in order: decimals as Decimal."""
    table = events_table(events, view.stream.schema)
    numbered = table.append_column("event_number", pa.array(range(len(events)), pa.int64()))
    many = " GROUP BY event_number" if group else ""
    select = f"SELECT {', '.join(expressions)} FROM events{many} ORDER BY event_number"
    cursor, statement = _over(numbered.schema, get_ident()).of(select, numbered)
    return cursor.execute(statement).fetchall()


@cache
def _over(schema: pa.Schema, thread: int) -> Prepared:  # a cursor is of one thread
    return Prepared(_connection(), "events", schema)


Given = Mapping[str, list[Any]]
"""Expression -> its value for each event."""


def _given(view: View, events: Sequence[Any]) -> Given:
    """What the measures and the derived keys of a view need, in one statement, which costs as much as each alone."""
    needed = [
        *(f"({each.where or 'true'}) IS TRUE" for each in view.measures.values() if isinstance(each, Count)),
        *(each.expr for each in view.measures.values() if isinstance(each, Sum | Min | Max | First | Last)),
        *(each.by for each in view.measures.values() if isinstance(each, First | Last)),
        *(each.expr for each in view.derived.values() if isinstance(each, Bucket)),
        *(key.sql for key in view.key_columns if not isinstance(view.derived.get(key.name), Bucket | None)),
    ]
    expressions = list(dict.fromkeys(needed))
    lines = _evaluate(view, expressions, events) if expressions else []
    return {name: [line[n] for line in lines] for n, name in enumerate(expressions)}


def _units(value: Any, digits: int) -> Any:
    return int(value.scaleb(digits, _WIDE)) if isinstance(value, Decimal) else value


def _digits(view: View, expression: str) -> int:
    return view.kind_of(expression).scale


def _key(view: View, name: str, events: Sequence[Any], given: Given) -> list[Value]:
    derived = view.derived.get(name)
    if isinstance(derived, Bucket):
        digits = _digits(view, derived.expr)
        return [bucket(_units(value, digits), derived.digits) for value in given[derived.expr]]
    if derived is not None:
        (sql,) = [column.sql for column in view.key_columns if column.name == name]
        return given[sql]
    return [getattr(event, name) for event in events]


def _values(
    view: View, name: str, measure: Measure, events: Sequence[Any], given: Given
) -> tuple[list[Any], Callable[[list[Any]], State]]:
    """What each event gives to a measure, and how these values make its part of a state."""
    kind = type(measure)
    if isinstance(measure, Count):
        return [bool(value) for value in given[f"({measure.where or 'true'}) IS TRUE"]], lambda v: (sum(v),)
    if isinstance(measure, Sum) and kind is Sum:
        digits = _digits(view, measure.expr)
        values = [_units(value, digits) * 10 ** (16 - digits) for value in given[measure.expr]]
        return values, lambda v: (sum(v),)
    if isinstance(measure, Min | Max):
        digits = _digits(view, measure.expr)
        values = [_units(value, digits) for value in given[measure.expr]]
        return values, lambda v: (min(v) if kind is Min else max(v),)
    if isinstance(measure, First | Last):
        digits = _digits(view, measure.expr)
        pairs = [(by, _units(v, digits)) for by, v in zip(given[measure.by], given[measure.expr], strict=True)]
        return pairs, lambda v: min(v) if kind is First else max(v)
    return _of_each(view, name, events)


def _of_each(view: View, name: str, events: Sequence[Any]) -> tuple[list[Any], Callable[[list[Any]], State]]:
    """A kind that this file does not know: the state of each event alone, and its own merge."""
    part = view.parts[list(view.measures).index(name)]
    found = _evaluate(view, part.summarise, events, group=True)
    scales = [column.scale for column in part.columns]
    states = [tuple(_units(v, scale) for v, scale in zip(line, scales, strict=True)) for line in found]

    def fold(values: list[Any]) -> State:
        total = values[0]
        for value in values[1:]:
            total = part.add(total, value)
        return tuple(total)

    return states, fold
