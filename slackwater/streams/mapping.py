"""Which column holds which field of an event, and what `--map` says about it.

    --map price=p,quantity=q        the field price is in column p, quantity in column q
    --map venue==binance            every row has the venue binance
    --map side=!buyer_is_maker      the column says the opposite: true means that the taker sold
    --map side=taker_buys           a column of true and false; true means that the taker bought
    --map side=!maker_side          buy means that the maker bought, so the taker sold
    --map price=data.p,time=data.2  of JSON: by keys and by positions, from 0; symbol=* is the key of --records

A field without a mapping is in the column of its own name. What is said of its values stands in a `Reading`. Not here:
how values become text (`slackwater.streams.tokens`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Literal, get_args

from slackwater.streams.errors import MappingError, MissingColumnError, TimeUnitError, UnknownFieldError
from slackwater.streams.schema import PRICE_SCALE
from slackwater.streams.stream import Choice, Column, Decimal, Stream, Text

TimeUnit = Literal["s", "ms", "us", "ns", "digits"]
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)


@dataclass(frozen=True)
class Reading:
    """How the values of a column are read that somebody wrote who knows nothing of this program.

    Attributes:
        words: text of the file -> text of the event, for this file.
        digits: of a decimal behind the point, more are rounded half-even; None: more are refused.
        lower: capitals become small letters.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    digits: int | None = None
    lower: bool = False


@dataclass(frozen=True)
class FromColumn:
    """The field is in a column. `negated`: the column says the opposite, such as true where the taker sold.

    Without a `reading` its values are events' values, to be taken as they stand.
    """

    column: str
    negated: bool = False
    reading: Reading | None = None


@dataclass(frozen=True)
class Constant:
    """The field has the same text in every row."""

    text: str


ColumnMap = Mapping[str, FromColumn | Constant]


@dataclass(frozen=True)
class Layout:
    """How the columns of a file are read. `time_unit` is the unit of a time that is a number.

    `names` are those of all columns of CSV, in order, where its first line is a row and no header. `readings` says of
    fields how their values are read, where there is something to say. `records` is where they are in a text of JSON.
    With `names`, a first line that is one of `headers` is passed over. `from_name` is a pattern for a file's name, with
    fields as its groups.
    """

    columns: ColumnMap = field(default_factory=dict)
    time_unit: TimeUnit | None = None
    names: tuple[str, ...] = ()
    readings: Mapping[str, Reading] = field(default_factory=dict)
    records: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    from_name: str = ""

    def of_file(self, *names: str) -> "Layout":
        """With the fields that the first of a file's names says that is of the pattern.

        Raises:
            MappingError: none of them is.
        """
        if not self.from_name:
            return self
        fields = re.compile(self.from_name).groupindex
        for name in names:
            found = re.search(self.from_name, PurePath(name).name)
            if found is not None:
                columns = {field: Constant(found[field]) for field in fields} | dict(self.columns)
                return replace(self, columns=columns, from_name="")
        fact = f"The name {names[0]!r} does not say the {' and the '.join(fields)} of its rows."
        raise MappingError(
            fact, f"Name it as the venue does, or say it: {' '.join(f'--{field} NAME' for field in fields)}"
        )


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
        _field(stream, name)
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
            raise MappingError(f"The mapping {entry!r} negates what has no opposite.", hint)
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


def parse_records(text: str) -> tuple[str, ...]:
    """The path of `--records`: keys with dots between, of which one may be `*`.

    Raises:
        MappingError: a part of it is empty, or more than one is `*`.
    """
    path = tuple(text.split("."))
    if not all(path) or path.count("*") > 1:
        raise MappingError(f"{text!r} is no path of keys.", "Such as: result.list, data, or result.* with one `*`.")
    return path


def parse_words(stream: Stream, texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Field -> text of the file -> text of the event, of `--values` options: `side:0=buy,side:1=sell`.

    Raises:
        UnknownFieldError: an event has no such field.
        MappingError: an entry is not `field:text=value`, its field holds no text, or a text is said twice.
    """
    found: dict[str, dict[str, str]] = {}
    for entry in (part.strip() for text in texts for part in text.split(",")):
        name, colon, rest = entry.partition(":")
        said, equals, value = rest.rpartition("=")
        if not colon or not equals or not said or not value:
            raise MappingError(f"{entry!r} is not field:text=value.", "Such as: --values side:0=buy,side:1=sell")
        if not isinstance(_field(stream, name), Text | Choice):
            raise MappingError(f"The field {name!r} holds no text that could stand for another.")
        words = found.setdefault(name, {})
        if said in words:
            raise MappingError(f"What {said!r} means for the field {name!r} is said twice.")
        words[said] = value
    return found


def readings(
    stream: Stream,
    words: Mapping[str, Mapping[str, str]] | None = None,
    digits: Mapping[str, int] | None = None,
    lower_venue: bool = False,
) -> dict[str, Reading]:
    """Field -> how its values are read; `digits` are those behind the point that a field is rounded to.

    Raises:
        UnknownFieldError: an event has no such field.
        MappingError: a field that is rounded is no decimal, or has fewer digits.
    """
    found = {name: Reading(words=dict(of)) for name, of in (words or {}).items()}
    for name, most in (digits or {}).items():
        if not isinstance(_field(stream, name), Decimal):
            raise MappingError(f"The field {name!r} is no decimal, so nothing of it is rounded.")
        if not 0 <= most <= PRICE_SCALE:
            fact = f"{name} cannot be rounded to {most} digits behind the point."
            raise MappingError(fact, f"It has at most {PRICE_SCALE}.")
        found[name] = Reading(digits=most)
    if lower_venue:
        venue = stream.entity[0]
        found[venue] = replace(found.get(venue, Reading()), lower=True)
    return found


def parse_time_unit(text: str) -> TimeUnit:
    """The unit that `--time-unit` names.

    Raises:
        TimeUnitError: there is no such unit.
    """
    for unit in TIME_UNITS:
        if unit == text:
            return unit
    raise TimeUnitError(f"There is no time unit {text!r}.", f"Units are {', '.join(TIME_UNITS)}.")


def _field(stream: Stream, name: str) -> Column:
    if name not in stream.fields:
        raise UnknownFieldError(name, stream.fields)
    return stream.column(name)


def lackable(stream: Stream, layout: Layout) -> frozenset[str]:
    """The fields that a file may lack: the identity too, unless its venue is said and gives ids."""
    venue = layout.columns.get(stream.entity[0])
    named = isinstance(venue, Constant) and venue.text.lower() not in stream.unnamed
    return stream.optional if named or not stream.unnamed else stream.optional | {stream.identity}


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
    may_lack = lackable(stream, layout)
    for one in stream.fields:
        source = layout.columns.get(one, FromColumn(one))
        if one in may_lack and one not in layout.columns and one not in there:
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
