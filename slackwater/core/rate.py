"""A rate: so many requests in so many seconds, as settings and keys write it: `100/second`, `6000/minute`.

Not here: who is counted, and how (`slackwater.http.guard.rate_limit`).
"""

import re
from typing import NamedTuple

UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_RATE = re.compile(rf"([1-9][0-9]{{0,8}})/({'|'.join(UNITS)})")


class Rate(NamedTuple):
    """`requests` in `window_s` seconds."""

    requests: int
    window_s: int

    def __str__(self) -> str:
        """As it is written."""
        unit = next(name for name, seconds in UNITS.items() if seconds == self.window_s)
        return f"{self.requests}/{unit}"


def parse_rate(text: str) -> Rate:
    """Read a rate.

    Raises:
        ValueError: it is none; the message says what is one.
    """
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError(f"Use a whole number and a unit ({', '.join(UNITS)}), such as 6000/minute.")
    return Rate(int(found[1]), UNITS[found[2]])
