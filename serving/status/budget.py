"""The latency budget: how long each stage of a sampled event took, as one histogram with a label.

    sent --append--> log --read--> worker --summarise--> states --emit--> delta sent --append_delta--> log
         --fold--> in the hot store --answer--> first REST answer after it
                                    --stream--> first events to streams after it

The stages before the delta come in its header (`slackwater.log.stages`). Clocks of several machines are compared, and
the log's is in milliseconds: a stage that would be negative counts as 0.
"""

from prometheus_client import CollectorRegistry, Histogram

from slackwater.core.clock import Clock
from slackwater.log.log import Record
from slackwater.log.stages import stages_of

STAGES = ("append", "read", "summarise", "emit", "append_delta", "fold", "answer", "stream")

BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1, 10)
"""Upper bounds in seconds."""


class Budget:
    """`fold` belongs to the feed's thread, `answered` and `streamed` to the event loop."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._unanswered_us = self._unstreamed_us = 0
        self._seconds = Histogram(
            "slackwater_stage_seconds",
            "How long a stage took of the way of a sampled event, one in ten thousand.",
            ["stage"],
            registry=registry,
            buckets=BUCKETS,
        )
        for stage in STAGES:
            self._seconds.labels(stage)  # shown from the start, as 0

    def fold(self, record: Record) -> None:
        """A delta was just folded into the hot store."""
        found = stages_of(record.headers)
        if found is None:
            return
        now_us, delta_us = self._clock.now_us(), record.append_time_ms * 1000
        times = (found.sent, found.appended, found.read, found.summarised, found.emitted, delta_us, now_us)
        for stage, before, after in zip(STAGES, times, times[1:], strict=False):
            self._observe(stage, before, after)
        self._unanswered_us = self._unstreamed_us = now_us

    def answered(self) -> None:
        """A view was answered."""
        if self._unanswered_us:
            since_us, self._unanswered_us = self._unanswered_us, 0
            self._observe("answer", since_us, self._clock.now_us())

    def streamed(self) -> None:
        """Streams were given what is new."""
        if self._unstreamed_us:
            since_us, self._unstreamed_us = self._unstreamed_us, 0
            self._observe("stream", since_us, self._clock.now_us())

    def _observe(self, stage: str, before_us: int, after_us: int) -> None:
        self._seconds.labels(stage).observe(max(0, after_us - before_us) / 1e6)
