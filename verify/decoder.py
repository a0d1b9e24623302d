"""The decoder of the proof: the bytes of a record of a stream's topic -> its events, and why each other line is none.

Hand-written from the contract (DESIGN.md, section 5), a rule a kind of column; the product's decoders have no part in
it. An event is column -> text or whole number: decimals in units of 1e-8, times in microseconds, UTC.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from json import JSONDecoder
from typing import Any, NoReturn
from zlib import crc32

from verify.definition import Part, StreamData
from verify.errors import NotProvenError
from verify.intervals import SECOND_US

PRICE_SCALE = 8
AHEAD_US = 60 * SECOND_US  # how far an event may be ahead of the log's append time
EARLIEST_US = int(datetime(2009, 1, 3, tzinfo=UTC).timestamp()) * SECOND_US
LARGEST_INTEGER = 2**63 - 1
SLOTS = 1024  # events of one unit of time that a sequence tells apart, by their identities
MOST_LINES = 64
DEEPEST = 200  # how many JSON values may stand open at once

_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,8})?")
_SIGNED = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,8})?")
_UNIT = re.compile("us|ms|s")
_UNIT_US = {"us": 1, "ms": 1_000, "s": SECOND_US}
_CANONICAL = re.compile("0|[1-9][0-9]*")

Event = dict[str, Any]
Fields = Mapping[str, Any]
Read = Callable[[Fields, int], Any]
"""Gives a column's value of a line's fields, the second being the newest time allowed."""


class RefusedError(Exception):
    """A line that does not count; its text is the reason."""


class _Pairs(list[tuple[str, object]]):
    """A JSON object as its pairs in order, so that duplicate keys are seen and an array is not taken for one."""


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(digits: str) -> int | None:
    """The number, or None for one too long to be an id or a time: Python reads 4,300 digits, JSON has no limit."""
    return int(digits) if len(digits) <= 30 else None


_JSON = JSONDecoder(object_pairs_hook=_Pairs, parse_int=_whole, parse_constant=_constant)


class Decoder:
    """Decodes the records of one stream. `scales` maps column -> fraction digits, None for a text.

    Raises:
        NotProvenError: the stream has a kind of column that is not known here.
    """

    def __init__(self, stream: StreamData) -> None:
        self.stream = stream
        self.refused: Counter[str] = Counter()
        self.scales: dict[str, int | None] = {}
        self._reads: dict[str, Read] = {}
        for column in stream.columns:
            if column.kind not in _COLUMNS:
                raise NotProvenError(f"The oracle knows no column {column.kind!r} (of {stream.name}).")
            name = column.args["name"]
            self.scales[name], self._reads[name] = _COLUMNS[column.kind](name, column)
        self.scales |= {"time_unit": None, "appended": 0}
        for each in (*stream.checks, *stream.venues.values()):
            if each.kind not in {"ProductBelow", "Venue"}:
                raise NotProvenError(f"The oracle knows no {each.kind!r} (of {stream.name}).")

    def events(self, value: bytes | None, append_time_ms: int) -> Iterator[tuple[int, Event]]:
        """The events of a record that is no mark, each with its number in the record; what is refused is counted."""
        if not value:
            self.refused["empty value"] += 1
            return
        lines = value.split(b"\n")
        if len(lines) > MOST_LINES:
            self.refused["more than 64 lines"] += 1
            return
        latest = min(append_time_ms * 1000 + AHEAD_US, LARGEST_INTEGER)
        for number, line in enumerate(lines):
            try:
                event = self._event(line, latest)
                event["appended"] = append_time_ms * 1000
            except RefusedError as error:
                self.refused[str(error)] += 1
                continue
            yield number, event

    def _event(self, line: bytes, latest: int) -> Event:
        fields = _fields(line)
        event = {name: read(fields, latest) for name, read in self._reads.items()}
        event["time_unit"] = _matched(fields, "time_unit", _UNIT) if "time_unit" in fields else "us"
        if event[self.stream.order] is None or self._rule(event) == "time":
            event[self.stream.order] = self._sequence(event)
        for check in self.stream.checks:
            if abs(event[check.args["left"]] * event[check.args["right"]]) >= 10 ** (check.args["digits"] + 16):
                raise RefusedError(check.args["reason"])
        return event

    def _rule(self, event: Event) -> str:
        venue = self.stream.venues.get(event[self.stream.entity[0]])
        return str(venue.args["sequence"]) if venue else "id"

    def _sequence(self, event: Event) -> int:
        """The sequence that follows from the rest of an event, which holds no other."""
        rule, identity, given = self._rule(event), event[self.stream.identity], event[self.stream.order]
        found = LARGEST_INTEGER + 1
        if rule == "id" and _CANONICAL.fullmatch(identity):
            found = int(identity)
        elif rule == "time":
            unit = _UNIT_US[self.stream.venues[event[self.stream.entity[0]]].args["unit"]]
            time = event[self.stream.time]
            found = (time - time % unit) * SLOTS + crc32(identity.encode()) % SLOTS
        if found > LARGEST_INTEGER or given not in {None, found}:
            raise RefusedError(self.stream.order)
        return found


def units(amount: str) -> int:
    """A decimal text with at most 8 fraction digits in units of 1e-8."""
    whole, _, fraction = amount.lstrip("-").partition(".")
    found = int(whole + fraction.ljust(PRICE_SCALE, "0"))
    return -found if amount.startswith("-") else found


def _fields(line: bytes) -> Fields:
    """The fields of a line."""
    if _nests_too_deep(line):
        raise RefusedError("too deep")
    try:
        pairs = _JSON.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise RefusedError("not UTF-8") from None
    except ValueError:
        raise RefusedError("not JSON") from None
    if not isinstance(pairs, _Pairs):
        raise RefusedError("not an object")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RefusedError("duplicate key")
    return fields


def _nests_too_deep(line: bytes) -> bool:
    """Whether more than DEEPEST arrays and objects stand open at once, those spelled inside of strings not counted."""
    if sum(map(line.count, (b"[", b"{"))) <= DEEPEST:
        return False
    level = 0
    quoted = escaped = False
    for char in line.decode("latin-1"):
        if escaped:
            escaped = False
        elif quoted:
            quoted, escaped = char != '"', char == "\\"
        elif char == '"':
            quoted = True
        elif char in "[{":
            level += 1
            if level > DEEPEST:
                return True
        elif char in "]}":
            level -= 1
    return False


def _matched(fields: Fields, name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name)
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise RefusedError(name)


def _within(fields: Fields, name: str, low: int, high: int) -> int:
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise RefusedError(name)


def _text(name: str, column: Part) -> tuple[int | None, Read]:
    pattern, without = re.compile(column.args["pattern"]), column.args.get("without", ())

    def read(fields: Fields, _: int) -> str:
        found = _matched(fields, name, pattern)
        if any(each in found for each in without):
            raise RefusedError(name)
        return found

    return None, read


def _choice(name: str, column: Part) -> tuple[int | None, Read]:
    pattern = re.compile("|".join(map(re.escape, column.args["values"])))
    return None, lambda fields, _: _matched(fields, name, pattern)


def _identity(name: str, column: Part) -> tuple[int | None, Read]:
    pattern = re.compile(column.args["pattern"])

    def read(fields: Fields, _: int) -> str:
        if isinstance(fields.get(name), str):
            return _matched(fields, name, pattern)
        return str(_within(fields, name, 0, LARGEST_INTEGER))

    return None, read


def _integer(name: str, column: Part) -> tuple[int | None, Read]:
    low, high = column.args["low"], column.args["high"]
    return 0, lambda fields, _: _within(fields, name, low, high)


def _sequence(name: str, column: Part) -> tuple[int | None, Read]:
    scale, read = _integer(name, column)
    return scale, lambda fields, latest: read(fields, latest) if name in fields else None


def _time(name: str, _: Part) -> tuple[int | None, Read]:
    return 0, lambda fields, latest: _within(fields, name, EARLIEST_US, latest)


def _decimal(name: str, column: Part) -> tuple[int | None, Read]:
    signed = column.args["signed"]

    def read(fields: Fields, _: int) -> int:
        found = units(_matched(fields, name, _SIGNED if signed else _AMOUNT))
        if found > 0 or signed:
            return found
        raise RefusedError(name)

    return PRICE_SCALE, read


_COLUMNS: Mapping[str, Callable[[str, Part], tuple[int | None, Read]]] = {
    "Text": _text,
    "Choice": _choice,
    "Identity": _identity,
    "Integer": _integer,
    "Sequence": _sequence,
    "Time": _time,
    "Decimal": _decimal,
}
