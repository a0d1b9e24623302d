"""The clock as one small protocol, so that a simulation can turn its hands."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the project needs of time."""

    def now_us(self) -> int:
        """Wall clock: microseconds since the epoch, UTC."""

    def elapsed_s(self) -> float:
        """A clock that never goes back, in seconds from some start."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """See `Clock`: this machine's."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def elapsed_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def iso_text(time_us: int) -> str:
    """A time of the wall clock, microseconds since the epoch, as ISO 8601 in UTC."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().removesuffix("+00:00") + "Z"
