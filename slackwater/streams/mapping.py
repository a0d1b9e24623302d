"""Which column holds which field of an event, and what `--map` says about it.

    --map price=p,quantity=q        the field price is in column p, quantity in column q
    --map venue==binance            every row has the venue binance
    --map side=!buyer_is_maker      a column of true and false; true means that the taker sold (not buy)
    --map side=taker_buys           the same without `!`: true means that the taker bought

A field without a mapping is in the column of its own name. Not here: how values become text
(`slackwater.streams.columns`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from slackwater.streams.errors import MappingError, MissingColumnError, TimeUnitError, UnknownFieldError
from slackwater.streams.stream import Choice, Stream

TimeUnit = Literal["s", "ms", "us", "ns"]
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)


@dataclass(frozen=True)
class FromColumn:
    """The field is in a column. `negated`: the column says true where the taker sold."""

    column: str
    negated: bool = False


@dataclass(frozen=True)
class Constant:
    """The field has the same text in every row."""

    text: str


ColumnMap = Mapping[str, FromColumn | Constant]


@dataclass(frozen=True)
class Layout:
    """How the columns of a file are read. `time_unit` is the unit of a time that is a number.

    `names` are those of all columns of CSV, in order, where its first line is a row and no header.
    """

    columns: ColumnMap = field(default_factory=dict)
    time_unit: TimeUnit | None = None
    names: tuple[str, ...] = ()


SAMPLE_LAYOUT = Layout(
    {
        "time": FromColumn("trade_time_ms"),
        "quantity": FromColumn("qty"),
        "side": FromColumn("buyer_is_maker", negated=True),
        "time_unit": Constant("us"),  # nothing finer tells of these trades, and their lines stay the shortest
    },
    "ms",
)


def parse_map(stream: Stream, texts: Iterable[str]) -> dict[str, FromColumn | Constant]:
    """The column map of `--map` options, each of which may hold several, joined by commas.

    Raises:
        UnknownFieldError: an event has no such field.
        MappingError: an entry is not `field=column`, or a field is mapped twice.
    """
    found: dict[str, FromColumn | Constant] = {}
    flags = [column.name for column in stream.columns if isinstance(column, Choice) and len(column.values) == 2]
    for entry in (part.strip() for text in texts for part in text.split(",")):
        name, equals, source = entry.partition("=")
        if not equals or not source:
            raise MappingError(f"The mapping {entry!r} is not field=column.", "Such as: price=p,side=!buyer_is_maker")
        if name not in stream.fields:
            raise UnknownFieldError(name, stream.fields)
        if name in found:
            raise MappingError(f"The field {name!r} is mapped twice.")
        if source.startswith("="):
            found[name] = Constant(source[1:])
        elif not source.startswith("!"):
            found[name] = FromColumn(source)
        elif name in flags:
            found[name] = FromColumn(source[1:], negated=True)
        else:
            hint = f"Only {', '.join(flags) or 'a choice of two'} takes a `!`."
            raise MappingError(f"The mapping {entry!r} negates what is not true or false.", hint)
    return found


def parse_names(text: str) -> tuple[str, ...]:
    """The names of `--columns`, in order.

    Raises:
        MappingError: one is empty.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        fact = f"The column {names.index('') + 1} of {text!r} has no name."
        raise MappingError(fact, "Name every column of the file, also those that no field is in: id,price,qty,unused.")
    return names


def parse_time_unit(text: str) -> TimeUnit:
    """The unit that `--time-unit` names.

    Raises:
        TimeUnitError: there is no such unit.
    """
    for unit in TIME_UNITS:
        if unit == text:
            return unit
    raise TimeUnitError(f"There is no time unit {text!r}.", f"Units are {', '.join(TIME_UNITS)}.")


def resolve(stream: Stream, name: str, columns: Iterable[str], layout: Layout) -> dict[str, FromColumn | Constant]:
    """Field -> its source, for every field that the file must have or has, checked against its columns.

    Raises:
        MissingColumnError: the file has no such column.
        MappingError: two columns have one name.
    """
    there = list(columns)
    twice = sorted({column for column in there if there.count(column) > 1})
    if twice:
        raise MappingError(f"{name!r} has more than one column {twice[0]!r}.")
    found: dict[str, FromColumn | Constant] = {}
    for one in stream.fields:
        source = layout.columns.get(one, FromColumn(one))
        may_lack = one in stream.optional or (one == stream.identity and stream.unnamed)
        if may_lack and one not in layout.columns and one not in there:
            continue
        if isinstance(source, FromColumn) and source.column not in there:
            raise MissingColumnError(name, one, source.column, there)
        found[one] = source
    return found


def unit_missing(column: str) -> TimeUnitError:
    """The error of a time that is a number of nobody knows what."""
    return TimeUnitError(f"Column {column!r} holds times as numbers.", f"Name their unit: --time-unit {_CHOICES}.")


def unit_useless(column: str, found: object) -> TimeUnitError:
    """The error of a unit for times that are no numbers."""
    return TimeUnitError(f"Column {column!r} is of type {found}, not a number.", "Leave --time-unit out.")


_CHOICES = "|".join(TIME_UNITS)
