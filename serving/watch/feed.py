"""The feed: reads the delta topic into the hot store.

It reads every delta partition from the served version's `delta_start` on. A delta of another view, definition or
topic is skipped; bytes that are no delta are counted, and never stop it. How deltas are read is in
`slackwater.deltas.reader`, which cells join in `slackwater.deltas.chain`.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from threading import Lock

from prometheus_client import CollectorRegistry, Histogram

from serving.store.hot import HotStore
from slackwater.core.clock import Clock
from slackwater.deltas.cell import DeltaKey, appended_ms
from slackwater.deltas.reader import Delta, DeltaReader
from slackwater.log.log import Log, Record, Unread
from slackwater.views.view import View

BUCKETS = (0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Upper bounds in seconds: milliseconds of a stream that flows, and the minutes that follow a standstill."""


class Latency:
    """How long events take on their way: from the log's acceptance to a delta, and to being visible in the hot store.

    Every delta says when the log took its newest event (`slackwater.deltas.cell.APPENDED_HEADER`), so a delta gives one
    observation of its newest event; what came with it waited longer: by the gathering, and while its view rested.
    Deltas that say nothing new (an open cell written again, one that was read before) and those read while the service
    starts are not counted. What would be negative counts as 0.

    Two clocks: times of appending are the broker's; the time of being visible is this machine's. A skew between them is
    in `end_to_end`, and none in `speed`. `folded` is called with the record of each delta that is counted. Belongs to
    the feed's thread.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock, folded: Callable[[Record], None]) -> None:
        self._clock = clock
        self._folded = folded
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
                self._folded(record)

    def forget(self) -> None:
        """The deltas are read again, perhaps those of another topic."""
        self._seen.clear()


CELLS_PER_LOCK = 64
"""Cells that are put while requests wait."""


class Feed:
    """Reads deltas. `step` belongs to one thread; `restart` may be called by any. `stuck` partitions cannot be read on.

    `lacking` are the partitions of which it has not read all that was there when it was started, None: not known yet.
    `deltas` counts the records that were read, `bad` those that are no deltas. `changed` is called after a step that
    read something.
    """

    def __init__(
        self, log: Log, topic: str, hot: HotStore, poll_s: float = 0.2, latency: Latency | None = None
    ) -> None:
        self.topic = topic
        self.deltas = 0
        self.bad = 0
        self.changed: Callable[[], None] = lambda: None
        self.stuck: frozenset[int] = frozenset()
        self._log = log
        self._hot = hot
        self._poll_s = poll_s
        self._latency = latency
        self._reader: DeltaReader | None = None
        self._goal: dict[int, int] | None = None
        self.lacking: frozenset[int] | None = None
        self._lock = Lock()
        self._starts: Mapping[int, int] | None = None

    @property
    def caught_up(self) -> bool:
        """Whether it has read everything that was there when it was started."""
        return self.lacking == frozenset()

    @property
    def behind(self) -> int:
        """Deltas between the positions and where the topic ended at the start."""
        return sum(max(0, end - self._positions.get(p, 0)) for p, end in (self._goal or {}).items())

    def reasons(self) -> list[str]:
        """That it has not read what was there when it was started."""
        return [] if self.caught_up else [f"The delta topic is not read yet: {self.behind} deltas to go."]

    @property
    def unreadable(self) -> dict[int, Unread]:
        """The delta partitions that cannot be read any further."""
        return {} if self._reader is None else dict(self._reader.unread)

    @property
    def partitions(self) -> set[int]:
        """The delta partitions that are read, or are about to be."""
        with self._lock:
            return {*(self._starts or {}), *self._positions}

    def restart(self, starts: Mapping[int, int]) -> None:
        """Read again from `starts`; partitions that are not named, from their first delta."""
        with self._lock:
            self._starts = dict(starts)
            self._goal = self.lacking = None  # not caught up from here on

    def step(self) -> None:
        """Read once and put what was read. Does nothing before the first `restart`."""
        with self._lock:
            starts, self._starts = self._starts, None
        if starts is not None:
            self._open(starts)
        reader = self._reader
        if reader is None:
            return
        before, deltas, bad = dict(reader.positions), reader.deltas, reader.bad
        found = reader.poll(self._poll_s)
        while some := list(islice(found, CELLS_PER_LOCK)):
            self._hot.put([cell for cell, _ in some])
            self._note(some)
        self.deltas += reader.deltas - deltas
        self.bad += reader.bad - bad
        self.stuck = frozenset(reader.unread)
        if self.lacking is None or self.lacking:
            self._check_missing()
        if reader.positions != before or starts is not None:
            self.changed()

    def close(self) -> None:
        """Release the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self.stuck = frozenset()

    @property
    def _positions(self) -> Mapping[int, int]:
        reader = self._reader
        return {} if reader is None else reader.positions

    def _open(self, starts: Mapping[int, int]) -> None:
        try:
            reader = DeltaReader(self._log, self.topic, starts, self._wanted)
        except BaseException:
            with self._lock:
                self._starts = self._starts or starts
            raise
        self.close()
        if self._latency is not None:
            self._latency.forget()
        with self._lock:
            self._reader = reader
            # To the high watermark: what an open transaction hides is there, and is not known.
            again = self._starts is not None  # it was restarted meanwhile, and opens once more
            self._goal, self.lacking = None if again else {p: b.high for p, b in reader.bounds.items()}, None

    def _wanted(self, delta_key: DeltaKey, _start: int | None) -> View | None:
        return self._hot.view_of(delta_key)

    def _check_missing(self) -> None:
        """After the cells are put: whoever sees that nothing is lacking sees all of them."""
        with self._lock:
            if self._goal is not None:
                positions = self._positions
                self.lacking = frozenset(p for p, end in self._goal.items() if positions.get(p, 0) < end)

    def _note(self, delivered: list[Delta]) -> None:
        if self._latency is None:
            return
        views = {cell.delta_key.view for cell, _ in delivered}
        applied = {(view, p): end for view in views for p, end in self._hot.applied(view).items()}
        self._latency.note(delivered, applied, self.caught_up)
