"""Bars of time: the start and the end of the bar that holds a time. All in microseconds since the epoch, UTC."""

import re
from datetime import UTC, datetime

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
WEEK_US = 7 * DAY_US
MONDAY_US = 4 * DAY_US  # 1970-01-01 was a Thursday
TOTAL_US = 2**62
CALENDAR = frozenset({"1w", "1M", "1y", "total"})  # what every base that divides a day can be merged to
CLOSED_AFTER_US = 2 * SECOND_US

_UNITS = {"s": SECOND_US, "m": 60 * SECOND_US, "h": 3600 * SECOND_US, "d": DAY_US}

Interval = str | int
"""A name such as `5m`, `1w`, `1M`, `total`; or a length in microseconds that divides a day, or a week."""


def span(interval: Interval, time: int) -> tuple[int, int]:
    """The bar [start, end) that holds a time.

    Raises:
        ValueError: there is no such interval.
    """
    if interval in {"1M", "1y"}:
        at = datetime.fromtimestamp(time // SECOND_US, UTC)
        year, month = (at.year, at.month) if interval == "1M" else (at.year, 1)
        end = (year + 1, 1) if interval == "1y" or month == 12 else (year, month + 1)
        return _at(year, month), _at(*end)
    if interval == "total":
        return 0, TOTAL_US
    length = length_of(interval)
    start = time - (time - MONDAY_US) % length  # a Monday starts a bar of every other interval, too
    return start, start + length


def length_of(interval: Interval) -> int:
    """The length of an interval whose bars all have one.

    Raises:
        ValueError: it neither divides a day nor is a week.
    """
    found = re.fullmatch(r"([1-9][0-9]*)([smhd])", str(interval))
    length = WEEK_US if interval == "1w" else int(found[1]) * _UNITS[found[2]] if found else interval
    if isinstance(length, str) or (length != WEEK_US and (length <= 0 or DAY_US % length)):
        raise ValueError(f"An interval of {interval!r} neither divides a day nor is a week.")
    return length


def _at(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * SECOND_US
