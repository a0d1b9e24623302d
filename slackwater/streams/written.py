"""Texts of files, as people and programs write them -> texts of events: exact, from text to text, never by a double.

    6e-05, 1E3              0.00006, 1000                       an exponent says where the point is, nothing else
    61837.6300000000        61837.63                            zeros behind the eighth digit say nothing
    0.30000000000000004     0.3, where its reading says 8       half-even; without that it stays, and is refused
    1705190401.123456       seconds with microseconds; 10, 13, 16 and 19 digits are s, ms, us and ns

What is none of these stays as it is, for the decoder to refuse. Not here: columns (`slackwater.streams.tokens`).
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from slackwater.core.decimals import plain_text
from slackwater.streams.mapping import TimeUnit
from slackwater.streams.schema import PRICE_SCALE

SCALE = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""Unit -> its microseconds, as a factor and a divisor."""

DIGITS: dict[int, TimeUnit] = {10: "s", 13: "ms", 16: "us", 19: "ns"}
"""Digits before the point -> the unit that a time of so many is of: from 2001 to 2286 there is one alone."""

_NUMBER = re.compile(rb"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_WRITTEN = re.compile(rb"-?[0-9]{1,40}(?:\.([0-9]{1,80}))?([eE][+-]?[0-9]{1,3})?")
_WIDE = Context(prec=2000, rounding=ROUND_HALF_EVEN)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def is_number(text: bytes) -> bool:
    """Whether text is a plain number, so that as a time it needs a unit."""
    return _NUMBER.fullmatch(text) is not None


def decimal_written(text: bytes, digits: int | None) -> bytes:
    """The text of a decimal for the decoder; more than `digits` behind the point are rounded, if that is a number."""
    found = _WRITTEN.fullmatch(text)
    most = PRICE_SCALE if digits is None else digits
    if found is None or (found[2] is None and len(found[1] or b"") <= most):
        return text
    value = Decimal(text.decode())
    if digits is not None and -int(value.as_tuple().exponent) > digits:
        value = value.quantize(Decimal(1).scaleb(-digits), context=_WIDE)
    return plain_text(value).encode()


def unit_by_digits(text: bytes) -> TimeUnit | None:
    """The unit that the digits of a number say, if they do."""
    return DIGITS.get(len(text.partition(b".")[0]))


def time_written(text: bytes, unit: TimeUnit | None) -> int | None:
    """A time in microseconds, rounded down: a number of `unit`, or ISO 8601 where that is None; None if it is neither.

    Of the unit `digits` it may be either. Without a zone it is UTC.
    """
    if unit is None or (unit == "digits" and not is_number(text)):
        return _iso(text)
    found = (unit_by_digits(text) or "us") if unit == "digits" else unit
    if not is_number(text):
        return None
    times, per = SCALE[found]
    whole, _, fraction = text.decode().partition(".")
    found_us: int = int(whole + fraction) * times // (per * 10 ** len(fraction))
    return found_us


def finest(text: bytes, unit: TimeUnit) -> str:
    """The unit of a time that an event says: `s` for 1705190401, `ms` for 1705190401.123 seconds, else `us`."""
    if not is_number(text):
        return "us"
    found = unit_by_digits(text) if unit == "digits" else unit
    fraction = len(text.partition(b".")[2])
    if found == "s" and fraction <= 3:
        return "ms" if fraction else "s"
    return "ms" if found == "ms" and not fraction else "us"


def _iso(text: bytes) -> int | None:
    try:
        found = datetime.fromisoformat(text.decode("ascii"))
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (found - _EPOCH) // _MICROSECOND
