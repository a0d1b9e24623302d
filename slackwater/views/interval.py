"""Intervals: the length of a bar, as text and in microseconds, and the floor of a time to it. All of it is UTC.

    1s .. 1d    any that divides a day         start = time - time % length
    1w          from Monday
    1M, 1y      of the calendar
    total       one bar, of everything

One interval *tiles* another where each bar of that is made of whole bars of it: 1d tiles 1w and 1M, 1w tiles neither
1M nor 1y, all tile `total`. Floors are integer arithmetic; there are no time zones. The SQL floor is
`slackwater.views.sql.floor_sql`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from slackwater.views.errors import IntervalError

DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
MONDAY_US = 4 * DAY_US  # 1970-01-05, the first Monday after the epoch
TOTAL_US = 2**62
"""The length of `total`: beyond any event, and a closing time behind its end still fits 64 bits."""

CLOSED_AFTER_US = 2_000_000
"""A bar is closed once an applied event of its instrument lies so far behind its end."""

HINT = "Use 1s, 5s, 1m, 15m, 1h, 1d or any that divides a day, or 1w, 1M, 1y, total."


@dataclass(frozen=True)
class Interval:
    """A bar's length. `us` in microseconds, of a calendar interval that of its longest bar.

    `calendar` says that its bars are of different lengths, `origin_us` is a start: Monday for weeks, the epoch else.
    """

    text: str
    us: int
    calendar: bool = field(init=False, repr=False, compare=False)
    origin_us: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "calendar", self.text in ("1M", "1y"))
        object.__setattr__(self, "origin_us", MONDAY_US if self.us == WEEK_US else 0)

    @property
    def word(self) -> str:
        """Its name where small letters and capitals are one, as in SQL: a month is `1mo`, and no minute."""
        return "1mo" if self.text == "1M" else self.text

    def floor(self, time_us: int) -> int:
        """The start of the bar that holds `time_us`, both microseconds since the epoch."""
        if self.calendar:
            return _calendar_start(time_us // DAY_US, self.text == "1y") * DAY_US
        return time_us - (time_us - self.origin_us) % self.us

    def end(self, start_us: int) -> int:
        """The end of the bar that starts at `start_us`, which is the start of the next one."""
        return self.floor(start_us + self.us) if self.calendar else start_us + self.us

    def starts(self, low_us: int, high_us: int) -> Iterator[int]:
        """The starts in [low, high), both starts."""
        while low_us < high_us:
            yield low_us
            low_us = self.end(low_us)

    def before(self, start_us: int) -> int:
        """The start of the bar before the one that starts at `start_us`."""
        return self.floor(start_us - 1)

    def last_closed(self, newest_us: int) -> int:
        """The start of the last bar that an event of the instrument at `newest_us` closed, or a time below the next."""
        if self.calendar:
            return self.before(self.floor(newest_us - CLOSED_AFTER_US))
        return newest_us - CLOSED_AFTER_US - self.us

    def tiles(self, other: "Interval") -> bool:
        """Whether each bar of `other` is made of whole bars of this interval."""
        if self == other or other.text == "total":
            return True
        if other.calendar:
            return self.text == "1M" or (not self.calendar and DAY_US % self.us == 0)
        return not self.calendar and other.us % self.us == 0


def parse_interval(text: str) -> Interval:
    """The interval that `text` names, such as `1s`, `5m`, `4h`, `1d`, `1w`, `1M`, `total`.

    Raises:
        IntervalError: there is none of that name.
    """
    found = INTERVALS.get(text)
    if found is None:
        raise IntervalError(f"{text!r} is no interval.", HINT)
    return found


_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": DAY_US}
_LENGTHS = {
    f"{n}{u}": n * us for u, us in _UNITS_US.items() for n in range(1, DAY_US // us + 1) if DAY_US % (n * us) == 0
}
_LENGTHS |= {"1w": WEEK_US, "1M": 31 * DAY_US, "1y": 366 * DAY_US, "total": TOTAL_US}

INTERVALS: Mapping[str, Interval] = {text: Interval(text, us) for text, us in _LENGTHS.items()}
"""All that there are, by name: those that divide a day, in each unit, then the calendar's and `total`."""

SECOND = parse_interval("1s")
"""The finest interval that there can be; it tiles all others."""

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
"""What a view publishes if it says nothing else, the base first."""


def _calendar_start(day: int, year: bool) -> int:
    """The first day of the month or year that holds `day`, both counted from 1970-01-01.

    By years that begin in March, so that the leap day is a year's last day and months have a pattern, 153 days for
    five (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
    """
    of_era = (day + 719_468) % 146_097  # 719468 days lie between 0000-03-01 and 1970-01-01, 146097 are 400 years
    of_years = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * of_years + of_years // 4 - of_years // 100)
    month = (5 * of_year + 2) // 153  # 0 is March, 10 is January
    if not year:
        return day - of_year + (153 * month + 2) // 5
    if month >= 10:
        return day - of_year + 306
    leap = of_years % 4 == 0 and (of_years % 100 != 0 or of_years == 0)
    return day - of_year - 59 - leap
