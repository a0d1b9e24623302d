"""Intervals: the length of a bar, as text and in microseconds, and the floor of a time to it.

An interval divides a day, or is one week from Monday. Floors are integer division; there are no time zones.
"""

import re
from dataclasses import dataclass

from slackwater.streams.schema import BASE_US
from slackwater.views.errors import IntervalError

DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
MONDAY_US = 4 * DAY_US  # 1970-01-05, the first Monday after the epoch

CLOSED_AFTER_US = 2_000_000
"""A bar is closed once an applied event of its instrument lies so far behind its end."""

_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": DAY_US, "w": WEEK_US}
_TEXT = re.compile(r"([1-9][0-9]{0,5})([smhdw])")


@dataclass(frozen=True)
class Interval:
    """A bar's length. `us` in microseconds; `origin_us` is a time at which a bar starts."""

    text: str
    us: int

    @property
    def origin_us(self) -> int:
        """A start of this interval: Monday for weeks, the epoch else."""
        return MONDAY_US if self.us == WEEK_US else 0

    def floor(self, time_us: int) -> int:
        """The start of the bar that holds `time_us`, both microseconds since the epoch."""
        return time_us - (time_us - self.origin_us) % self.us


def parse_interval(text: str) -> Interval:
    """The interval that `text` names, such as `1s`, `5m`, `4h`, `1d`, `1w`.

    Raises:
        IntervalError: it is no such text, does not divide a day, or is a week count other than one.
    """
    match = _TEXT.fullmatch(text)
    length = int(match[1]) * _UNITS_US[match[2]] if match else 0
    if not length or length % BASE_US or (DAY_US % length and text != "1w"):
        raise IntervalError(
            f"{text!r} is no interval.", "Use 1s, 5s, 1m, 15m, 1h, 1d or any that divides a day, or 1w."
        )
    return Interval(text, length)


NAMED_INTERVALS: tuple[Interval, ...] = tuple(
    parse_interval(f"{length}{unit}")
    for unit, lengths in {
        "s": (1, 5, 10, 15, 30),
        "m": (1, 3, 5, 15, 30),
        "h": (1, 2, 4, 6, 8, 12),
        "d": (1,),
        "w": (1,),
    }.items()
    for length in lengths
)
"""Those that the page offers and `slackwater verify` compares."""

PUBLISHED_INTERVALS: tuple[Interval, ...] = tuple(parse_interval(text) for text in ("1s", "1m", "1h"))
"""Those that batch writes; a query reads the coarsest that divides its own."""


def coarsest_published(interval: Interval) -> Interval:
    """The coarsest published interval whose bars tile the bars of `interval`."""
    return max((i for i in PUBLISHED_INTERVALS if interval.us % i.us == 0), key=lambda i: i.us)
