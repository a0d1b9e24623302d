"""Which versions stay as snapshots when they leave the rollback set: by their times alone, tested without files.

    times      11:10  11:40  11:55 | 12:05  12:30 | 13:02        schedule: hours 2, days 30
    stay                     11:55 |        12:30 | 13:02

The newest version of each hour and of each day stays, for so many hours and days before the one of now; in UTC. A
snapshot answers `as_of` and is never rolled back to, so it needs its archive and its parts, and neither log nor deltas.

Whether a version is asked at each publication or once at the end, the same ones stay: while an hour lasts, its newest
version is the newest of all, which the rollback set keeps; afterwards it stays the newest of that hour.
"""

from collections.abc import Mapping
from typing import NamedTuple

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


class Schedule(NamedTuple):
    """For how many hours the newest version of each stays, and for how many days."""

    hours: int = 0
    days: int = 0


NO_SNAPSHOTS = Schedule()
"""Nothing but what is pinned stays."""


def scheduled(times: Mapping[int, int], now_us: int, schedule: Schedule) -> frozenset[int]:
    """The versions that stay. `times` maps a version's number -> when it was published; microseconds, UTC.

    Of two versions of one time, the higher number is the newer one.
    """
    found: set[int] = set()
    for length_us, count in ((HOUR_US, schedule.hours), (DAY_US, schedule.days)):
        newest: dict[int, tuple[int, int]] = {}
        for version, at_us in times.items():
            slot = at_us // length_us
            if count and slot >= now_us // length_us - count:
                newest[slot] = max(newest.get(slot, (0, 0)), (at_us, version))
        found |= {version for _, version in newest.values()}
    return frozenset(found)
