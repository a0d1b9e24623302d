"""One event from one line of bytes: the strict decoder, which says what is valid; and the canonical encoder.

Text is matched before anything is cast, since casts are lax (`1e3`, a leading space, a ninth digit rounded away).
Every refusal has a reason of its own and an error text that carries the fact. `slackwater.streams.decode` has the fast
path; it accepts nothing that this file refuses, with equal values, and a property test holds it to that.
"""

import json
import re
from collections import Counter
from enum import StrEnum
from typing import Any, NamedTuple

from slackwater.core.decimals import decimal_text
from slackwater.streams.schema import MAX_LINES, PRICE_SCALE
from slackwater.streams.stream import Stream

EARLIEST_US = 1_230_940_800_000_000  # 2009-01-03, the day of Bitcoin's first block
AHEAD_US = 60_000_000
MAX_ID = 2**63 - 1
NOTIONAL_BOUND = 10**13 * 10**16  # in units of 1e-16
MAX_DEPTH = 200  # far below any interpreter's recursion limit, so that depth is judged alike everywhere

VENUE = "[a-z0-9][a-z0-9_-]{0,31}"
SYMBOL = "[A-Za-z0-9][A-Za-z0-9_./:-]{0,63}"
DECIMAL = r"[0-9]{1,10}(?:\.[0-9]{1,8})?"

_VENUE = re.compile(VENUE)
_SYMBOL = re.compile(SYMBOL)
_DECIMAL = re.compile(DECIMAL)
# A torn string runs to the end and no step goes back: otherwise a line of `\"` would take time with its length squared.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


class Reason(StrEnum):
    """Why a line or a record was refused."""

    EMPTY_VALUE = "empty-value"
    TOO_MANY_LINES = "too-many-lines"
    EMPTY_LINE = "empty-line"
    BYTE_ORDER_MARK = "byte-order-mark"
    NOT_UTF8 = "not-utf8"
    TOO_DEEP = "too-deep"
    NOT_JSON = "not-json"
    TWO_OBJECTS = "two-objects"
    NOT_AN_OBJECT = "not-an-object"
    DUPLICATE_KEY = "duplicate-key"
    MISSING_FIELD = "missing-field"
    WRONG_TYPE = "wrong-type"
    BAD_VENUE = "bad-venue"
    BAD_SYMBOL = "bad-symbol"
    BAD_TRADE_ID = "bad-trade-id"
    BAD_TIME = "bad-time"
    TOO_EARLY = "too-early"
    TOO_LATE = "too-late"
    BAD_PRICE = "bad-price"
    BAD_QUANTITY = "bad-quantity"
    NOT_POSITIVE = "not-positive"
    NOTIONAL_TOO_LARGE = "notional-too-large"
    BAD_SIDE = "bad-side"


class RefusedError(Exception):
    """A line that does not count."""

    def __init__(self, reason: Reason, error: str) -> None:
        super().__init__(f"{reason}: {error}")
        self.reason = reason
        self.error = error


class Event(NamedTuple):
    """One trade. `time` in microseconds since the epoch; `price` and `quantity` in units of 1e-8."""

    venue: str
    symbol: str
    trade_id: int
    time: int
    price: int
    quantity: int
    side: str


class _Object(list[tuple[str, Any]]):
    """The pairs of one JSON object, duplicates kept."""


class _NoInteger(str):
    """A number that is no integer of a sensible length, kept as its text."""

    __slots__ = ()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_float=_NoInteger,
    parse_int=lambda text: int(text) if len(text) <= 20 else _NoInteger(text),
    parse_constant=_refuse_constant,
)


def decode_event(stream: Stream, line: bytes, latest_us: int) -> Event:
    """The event of one line. `latest_us` is the newest event time allowed, in microseconds.

    Raises:
        RefusedError: the line is no valid event.
    """
    fields = _fields(line)
    venue, symbol = _text(fields, "venue"), _text(fields, "symbol")
    if not _VENUE.fullmatch(venue):
        raise RefusedError(Reason.BAD_VENUE, f"venue is {venue[:80]!r}, not {VENUE}")
    if not _SYMBOL.fullmatch(symbol) or ".." in symbol or "//" in symbol:
        raise RefusedError(Reason.BAD_SYMBOL, f"symbol is {symbol[:80]!r}, not {SYMBOL} without .. and //")
    trade_id = _integer(fields, "trade_id", Reason.BAD_TRADE_ID)
    time = _integer(fields, "time", Reason.BAD_TIME)
    if time < EARLIEST_US:
        raise RefusedError(Reason.TOO_EARLY, f"time is {time} us, before 2009-01-03; is it in microseconds?")
    if time > latest_us:
        raise RefusedError(Reason.TOO_LATE, f"time is {time} us, more than one minute after it was appended")
    price = _units(fields, "price", Reason.BAD_PRICE)
    quantity = _units(fields, "quantity", Reason.BAD_QUANTITY)
    if price * quantity >= NOTIONAL_BOUND:
        raise RefusedError(Reason.NOTIONAL_TOO_LARGE, "price x quantity is 10^13 or more")
    side = _text(fields, "side")
    if side not in {"buy", "sell"}:
        raise RefusedError(Reason.BAD_SIDE, f"side is {side[:80]!r}, not buy or sell")
    return Event(venue, symbol, trade_id, time, price, quantity, side)


def count_lines(value: bytes | None) -> int:
    """The number of lines of a record's value.

    Raises:
        RefusedError: the record is refused as a whole.
    """
    if not value:
        raise RefusedError(Reason.EMPTY_VALUE, "the record has no value and is no mark")
    lines = value.count(b"\n") + 1
    if lines > MAX_LINES:
        raise RefusedError(Reason.TOO_MANY_LINES, f"the record has {lines} lines, at most {MAX_LINES} are allowed")
    return lines


def encode_event(stream: Stream, event: Event) -> bytes:
    """The canonical line of an event: what ingest writes and what the fast path of `slackwater.streams.decode`
    reads.
    """
    price, quantity = decimal_text(event.price, PRICE_SCALE), decimal_text(event.quantity, PRICE_SCALE)
    return (
        f'{{"venue":"{event.venue}","symbol":"{event.symbol}","trade_id":{event.trade_id},"time":{event.time},'
        f'"price":"{price}","quantity":"{quantity}","side":"{event.side}"}}'
    ).encode()


def decimal_units(text: str) -> int | None:
    """A price or a quantity in units of 1e-8; None if the text is not in the contract's form."""
    if not _DECIMAL.fullmatch(text):
        return None
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(PRICE_SCALE, "0"))


def _fields(line: bytes) -> dict[str, Any]:
    if not line.strip(b" \t\r"):
        raise RefusedError(Reason.EMPTY_LINE, "the line is empty")
    if line.startswith(b"\xef\xbb\xbf"):
        raise RefusedError(Reason.BYTE_ORDER_MARK, "the line starts with a byte-order mark")
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _depth(line) > MAX_DEPTH:
        raise RefusedError(Reason.TOO_DEEP, f"the line nests deeper than {MAX_DEPTH}")
    try:
        text = line.decode("utf-8").strip(" \t\r")
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.NOT_UTF8, str(error)) from error
    try:
        found, end = _DECODER.raw_decode(text)
    except ValueError as error:
        raise RefusedError(Reason.NOT_JSON, str(error)) from error
    if end != len(text):
        after = Reason.TWO_OBJECTS if text[end:].lstrip(" \t\r").startswith("{") else Reason.NOT_JSON
        raise RefusedError(after, f"there is more after the value, at character {end}")
    if not isinstance(found, _Object):
        raise RefusedError(Reason.NOT_AN_OBJECT, f"the line is {_shown(found)}, no JSON object")
    fields = dict(found)
    if len(fields) != len(found):
        counts = Counter(name for name, _ in found)
        twice = sorted(name[:80] for name, count in counts.items() if count > 1)
        raise RefusedError(Reason.DUPLICATE_KEY, f"{twice[:3]} stand more than once")
    return fields


def _depth(line: bytes) -> int:
    deepest = depth = 0
    for byte in _STRING.sub(b"", line):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _get(fields: dict[str, Any], name: str) -> Any:
    try:
        return fields[name]
    except KeyError:
        raise RefusedError(Reason.MISSING_FIELD, f"{name} is missing") from None


def _text(fields: dict[str, Any], name: str) -> str:
    value = _get(fields, name)
    if type(value) is not str:
        raise RefusedError(Reason.WRONG_TYPE, f"{name} is {_shown(value)}, not a string")
    return value


def _integer(fields: dict[str, Any], name: str, reason: Reason) -> int:
    value = _get(fields, name)
    if type(value) is not int and not (isinstance(value, _NoInteger) and value.lstrip("-").isdigit()):
        raise RefusedError(Reason.WRONG_TYPE, f"{name} is {_shown(value)}, not an integer")
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise RefusedError(reason, f"{name} is {str(value)[:80]}, not from 0 to 2^63-1")
    return value


def _units(fields: dict[str, Any], name: str, reason: Reason) -> int:
    text = _text(fields, name)
    units = decimal_units(text)
    if units is None:
        raise RefusedError(reason, f"{name} is {text[:80]!r}, not {DECIMAL}")
    if units == 0:
        raise RefusedError(Reason.NOT_POSITIVE, f"{name} is {text}, not above 0")
    return units


def _shown(value: Any) -> str:
    if isinstance(value, _NoInteger):
        return f"the number {value[:80]}"
    if isinstance(value, _Object):
        return "an object"
    return json.dumps(value)[:80]
