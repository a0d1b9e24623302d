"""How long events take on their way: from the log's acceptance to a delta, and to being visible in the hot store.

Every delta says when the log took its newest event (`slackwater.deltas.cell.APPENDED_HEADER`), so a delta gives one
observation of its newest event; what was gathered with it waited longer by the gathering, some milliseconds. Deltas
that say nothing new (an open cell written again, one that was read before) and those read while the service starts
are not counted.

Two clocks: times of appending are the broker's; the time of being visible is this machine's. A skew between them is
in `end_to_end`, and none in `speed`. What would be negative counts as 0.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Histogram

from slackwater.core.clock import Clock
from slackwater.deltas.cell import appended_ms
from slackwater.deltas.reader import Delta

BUCKETS = (0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Upper bounds in seconds: milliseconds of a stream that flows, and the minutes that follow a standstill."""


class Latency:
    """Two histograms. Belongs to the feed's thread."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, int], int] = {}
        self._speed = Histogram(
            "slackwater_speed_latency_seconds",
            "From the log's acceptance of an event to that of its delta, by the log's clock.",
            registry=registry,
            buckets=BUCKETS,
        )
        self._end_to_end = Histogram(
            "slackwater_end_to_end_latency_seconds",
            "From the log's acceptance of an event (its clock) to being visible in the hot store (this clock).",
            registry=registry,
            buckets=BUCKETS,
        )

    def note(self, delivered: Iterable[Delta], applied: Mapping[tuple[str, int], int], live: bool) -> None:
        """Take what was just put. `applied` maps (view, partition) to the chain's end: what is visible.

        Not `live`: it is only remembered how far the deltas went.
        """
        now_ms = self._clock.now_us() / 1000
        for cell, record in delivered:
            where = cell.delta_key.view, cell.delta_key.partition
            if cell.upto <= self._seen.get(where, -1) or cell.upto > applied.get(where, -1):
                continue
            self._seen[where] = cell.upto
            appended = appended_ms(record.headers)
            if live and appended is not None:
                self._speed.observe(max(0.0, record.append_time_ms - appended) / 1000)
                self._end_to_end.observe(max(0.0, now_ms - appended) / 1000)

    def forget(self) -> None:
        """The deltas are read again, perhaps those of another topic."""
        self._seen.clear()
