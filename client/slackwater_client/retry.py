"""How often and when a request is sent again: bounded, with exponential backoff, full jitter and `Retry-After`.

Full jitter (a wait drawn from the whole of [0, limit)) spreads clients that failed together; see M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

STATUSES = frozenset({429, 502, 503, 504})
"""What is worth another try."""


@dataclass(frozen=True)
class Retry:
    """At most `attempts` tries in all. Waits grow from `base_s` to `most_s` seconds.

    A `Retry-After` is waited for in full, and with some jitter on top; one longer than `patience_s` is not waited for:
    the error is raised at once and carries it.
    """

    attempts: int = 5
    base_s: float = 0.25
    most_s: float = 8.0
    patience_s: float = 60.0
    draw: Callable[[], float] = field(default=random.random, repr=False)

    def wait_s(self, failures: int, asked_s: float | None = None) -> float | None:
        """How long to wait after so many failures in a row, 1 or more; None: give up."""
        if failures >= self.attempts or (asked_s or 0.0) > self.patience_s:
            return None
        limit = min(self.most_s, self.base_s * 2.0 ** min(failures - 1, 60))
        if asked_s is not None:
            return asked_s + self.draw() * min(limit, self.base_s)
        return self.draw() * limit


def retry_after_s(headers: Mapping[str, str], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """`Retry-After` in seconds: a whole number, or an HTTP date; None without one that can be read."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - now()).total_seconds()) if text else None
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None
