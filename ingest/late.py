"""Counts late events as they come in: the bar of one second that they belong to was closed by then.

A bar [start, end) is closed by an event of its entity with time >= end + 2 s. By the order of arrival, and from
this process' first event on: what is exact, by the log and for every interval, is a restatement
(`slackwater.restatements.places`).
"""

from typing import Any

import numpy as np

from slackwater.streams.entities import Entity
from slackwater.views.interval import CLOSED_AFTER_US, SECOND

_BEFORE = np.iinfo(np.int64).min


class LateCount:
    """Remembers the newest time of each entity."""

    def __init__(self) -> None:
        self.events = 0
        self._newest: dict[Entity, int] = {}

    def take(self, entity: Entity, times: Any) -> None:
        """The next events of an entity: their times in the order of arrival, microseconds, an int64 array."""
        newest = np.maximum.accumulate(np.concatenate(([self._newest.get(entity, _BEFORE)], times)))
        self._newest[entity] = int(newest[-1])
        closed_at = SECOND.floor(times) + (SECOND.us + CLOSED_AFTER_US)
        self.events += int(np.count_nonzero(closed_at <= newest[:-1]))
