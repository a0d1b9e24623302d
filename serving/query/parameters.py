"""How the texts of query parameters are read: each reader gives the value, or says what can be used.

Texts are matched before anything is cast: `int` takes `1_0`, ` 1` and other scripts' digits, and `float` takes `nan`.
Not here: the models that are made of them (`serving.query.fields`).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from slackwater.streams.columns import EARLIEST_US
from slackwater.versions.pins import NAME_PATTERN
from slackwater.views.interval import HINT, INTERVALS, Interval
from slackwater.views.kinds import Value

FIRST_US = INTERVALS["1w"].floor(EARLIEST_US)
"""The first time that a number can mean: where the longest bar of the first possible trade starts, 2008-12-29."""
LATEST_US = 253_402_300_800_000_000  # the year 10000, behind which ISO 8601 has no text
MOST_SYMBOLS = 64
MOST_WORDS_TEXT = 100
MOST_VERSIONS = FIRST_US // 1_000_000
"""Numbers of versions are below; so no time in seconds is taken for one."""

_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
# A plus sign in a query string is a space.
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+ ]00:00))?")
_TAKES = "give microseconds since 1970 or ISO 8601 in UTC, such as 2025-01-31T09:30:00Z"


class Point(NamedTuple):
    """A point in the history of versions: a version's number, or a time in microseconds."""

    value: int
    is_version: bool

    def before(self, version: int, created_us: int) -> bool:
        """Whether a version lies behind a version's number; whether it was made at or after a time."""
        return version > self.value if self.is_version else created_us >= self.value


class ValueRefusedError(ValueError):
    """A value that cannot be used; its text says what can."""


def whole(low: int, high: int) -> Callable[[str], int]:
    """Reads an integer of [low, high]."""

    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise ValueRefusedError(f"give a whole number from {low} to {high}")
        return int(text)

    return read


def time_us(text: str) -> int:
    """Reads a time: whole microseconds since the epoch, from FIRST_US on, or ISO 8601 in UTC, from 1970 on.

    A number in another unit would name a time that nobody means, and be answered with all of history, or nothing.
    """
    if _WHOLE.fullmatch(text):
        if FIRST_US <= int(text) < LATEST_US:
            return int(text)
        raise ValueRefusedError(_other_unit(int(text)))
    if _ISO.fullmatch(text):
        try:
            at = datetime.fromisoformat(text[:10] + "T00:00Z" if len(text) == 10 else text.replace(" ", "+"))
        except ValueError as error:
            raise ValueRefusedError(str(error)) from error
        since = at - datetime.fromisoformat("1970-01-01T00:00Z")
        if since.days >= 0:
            return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    raise ValueRefusedError(_TAKES)


def _other_unit(value: int) -> str:
    """What a number that is no time in microseconds looks like: the ranges of the units lie apart."""
    meant = {"seconds": value * 1_000_000, "milliseconds": value * 1_000, "nanoseconds": value // 1_000}
    for unit, us in meant.items():
        if FIRST_US <= us < LATEST_US:
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
            return f"it looks like {unit}; in microseconds it is {us}, {at:%Y-%m-%dT%H:%M:%SZ}"
    where = "before 2009, when there were no trades" if value < FIRST_US else "behind the year 9999"
    return f"as microseconds since 1970 it is {where}; {_TAKES}"


def point(text: str) -> Point:
    """Reads a version's number, or a time."""
    if _WHOLE.fullmatch(text) and int(text) < MOST_VERSIONS:
        return Point(int(text), True)
    try:
        return Point(time_us(text), False)
    except ValueRefusedError as error:
        raise ValueRefusedError(f"give a version's number, or a time: {error}") from error


def as_of(text: str) -> Point | str:
    """Reads a version's number, a time, or the name of a pin."""
    if re.fullmatch(NAME_PATTERN, text):
        return text
    try:
        return point(text)
    except ValueRefusedError as error:
        raise ValueRefusedError(f"{error}; or the name of a pin") from error


def interval(text: str) -> Interval:
    """Reads an interval."""
    if text not in INTERVALS:
        raise ValueRefusedError(HINT)
    return INTERVALS[text]


def interval_of(base: Interval, like: str) -> Callable[[str], Interval]:
    """Reads an interval that the bars of `base` make up, such as `like`."""

    def read(text: str) -> Interval:
        found = interval(text)
        if not base.tiles(found):
            raise ValueRefusedError(f"give one that {base.text} makes up, such as {like}")
        return found

    return read


def matching(pattern: str, hint: str) -> Callable[[str], str]:
    """Reads a text that the pattern matches as a whole; `hint` says what can be given."""
    known = re.compile(pattern)

    def read(text: str) -> str:
        if not known.fullmatch(text):
            raise ValueRefusedError(hint)
        return text

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """Reads one of these words."""
    return matching("|".join(map(re.escape, words)), f"give {' or '.join(words)}")


def several(name: str, read: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """Reads one value, or several with commas between, each once; sorted."""

    def reads(text: str) -> tuple[Value, ...]:
        try:
            found = [read(each) for each in text.split(",")]
        except ValueRefusedError as error:
            raise ValueRefusedError(f"{error}; put commas between several") from error
        if len(set(found)) != len(found) or len(found) > MOST_SYMBOLS:
            raise ValueRefusedError(f"give each {name} once, at most {MOST_SYMBOLS}")
        return tuple(sorted(found))

    return reads


def integer(text: str) -> Value:
    """Reads an integer of 64 bits."""
    if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise ValueRefusedError("give a whole number")
    return int(text)


def words(text: str) -> tuple[str, ...]:
    """Reads words with spaces between, as small letters."""
    if len(text) > MOST_WORDS_TEXT:
        raise ValueRefusedError(f"give at most {MOST_WORDS_TEXT} letters")
    return tuple(text.lower().split())
