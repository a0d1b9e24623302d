"""The watch of the log: the id of the topic of events and its retained offsets, checked about once a second.

Both are read over connections that stay open. The id is read less often, and at once where the log's end went back.
It remembers when the log was seen last, and which ends were lost: cells over what is gone may still come out of the
delta topic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import NamedTuple

from slackwater.core.clock import Clock, iso_text
from slackwater.log.errors import LogError, TopicMissingError
from slackwater.log.log import Bounds, Log, Reader, TopicWatch

CHECK_EVERY_S = 1.0

UNSEEN_S = 3.0
"""A log that was not seen for so long does not answer: checks are a second apart, and each takes milliseconds."""

ID_EVERY_S = 5.0


class Hidden(NamedTuple):
    """Records that an open transaction hides from `offset` on. `since_s` is when that was first seen, elapsed time."""

    offset: int
    records: int
    since_s: float


@dataclass(frozen=True)
class LogFacts:
    """The log as it was at one check. `hidden` has the partitions whose stable offset is below their high watermark."""

    topic_id: str
    bounds: Mapping[int, Bounds]
    hidden: Mapping[int, Hidden] = field(default_factory=dict)

    @property
    def starts(self) -> dict[int, int]:
        """Partition -> its first retained offset."""
        return {p: bounds.start for p, bounds in self.bounds.items()}

    @cached_property
    def highs(self) -> dict[int, int]:
        """Partition -> its high watermark, hidden records included."""
        return {p: bounds.high for p, bounds in self.bounds.items()}


class Checked(NamedTuple):
    """What one check gave: facts, and whether they are of this check or of one before it."""

    facts: LogFacts | None
    seen: bool


class LogWatch:
    """Checks one topic. Any thread may, one at a time; the attributes may be read by all.

    `facts` are those of the last check that saw the log, `error` is why a check after it did not, and `lost` is
    partition -> an end that the log had, and lost.
    """

    def __init__(self, log: Log, topic: str, clock: Clock) -> None:
        self.facts: LogFacts | None = None
        self.error: str | None = None
        self.lost: Mapping[int, int] = {}
        self.topic = topic
        self._log = log
        self._clock = clock
        self._lock = Lock()
        self._reader: Reader | None = None
        self._watch: TopicWatch | None = None
        self._id_at = float("-inf")
        self._checked_s = float("-inf")
        self._seen_s = clock.elapsed_s()
        self._seen_us = clock.now_us()

    def check(self) -> Checked:
        """The facts now; those known before if the log does not answer, none if the topic is missing.

        Waits for a check by another thread. `error` says why there is no answer.
        """
        with self._lock:
            return self._check()

    def lose(self, lost: Mapping[int, int]) -> None:
        """Remember ends that the log must have had."""
        if lost:
            with self._lock:
                self.lost = {**self.lost, **lost}

    def pulse(self) -> None:
        """Check if no thread does, and none did for a while: the watch of versions may be busy with files."""
        if self._clock.elapsed_s() - self._checked_s < 1.5 * CHECK_EVERY_S or not self._lock.acquire(blocking=False):
            return
        try:
            self._check()
        finally:
            self._lock.release()

    def unseen(self) -> str | None:
        """Since when the log has not been seen, for people; None while it is seen. The text stays until it is again."""
        if self.error is None and self._clock.elapsed_s() - self._seen_s <= UNSEEN_S:
            return None
        return f"The log has not been seen since {iso_text(self._seen_us)}."

    def lag(self, applied: Mapping[int, int]) -> int:
        """Records between `applied` and the high watermarks at the last look, hidden ones among them."""
        highs = self.facts.highs if self.facts is not None else {}
        return sum([max(0, highs[p] - at) for p, at in applied.items() if p in highs])

    def close(self) -> None:
        """Release the connections."""
        for held in (self._reader, self._watch):
            if held is not None:
                held.close()
        self._reader = self._watch = None

    def _check(self) -> Checked:
        now_s, now_us, known = self._clock.elapsed_s(), self._clock.now_us(), self.facts
        self._checked_s = now_s
        try:
            found = self._ask(now_s)
        except LogError as error:
            self.error = str(error)
            return Checked(None if isinstance(error, TopicMissingError) else known, False)
        if known is None or known.topic_id != found.topic_id:
            self.lost = {}
        else:
            lost = {p: at.end for p, at in known.bounds.items() if p in found.bounds and found.bounds[p].end < at.end}
            self.lost = {**self.lost, **lost}  # a new one: others read it without the lock
        self._seen_s, self._seen_us, self.error = now_s, now_us, None
        return Checked(found, True)

    def _ask(self, now_s: float) -> LogFacts:
        try:
            if self._reader is None or self.facts is None or now_s - self._id_at >= ID_EVERY_S:
                return self._ask_whole(now_s)
            bounds = self._reader.bounds()
            if any(bounds[p].end < known.end for p, known in self.facts.bounds.items()):
                return self._ask_whole(now_s)
        except Exception:
            self.close()
            raise
        return self._found(self.facts.topic_id, bounds, now_s)

    def _ask_whole(self, now_s: float) -> LogFacts:
        if self._watch is None:
            self._watch = self._log.watch(self.topic)
        identity = self._watch.check()
        if self._reader is None or self.facts is None or len(self.facts.bounds) != identity.partitions:
            bounds = self._log.bounds(self.topic)
            if self._reader is not None:
                self._reader.close()
            self._reader = self._log.reader(self.topic, {p: b.end for p, b in bounds.items()})
        else:
            bounds = self._reader.bounds()
        self._id_at = now_s
        return self._found(identity.topic_id, bounds, now_s)

    def _found(self, topic_id: str, bounds: Mapping[int, Bounds], now_s: float) -> LogFacts:
        known = self.facts.hidden if self.facts is not None and self.facts.topic_id == topic_id else {}
        hidden = {}
        for p, at in bounds.items():
            if at.hidden:
                since_s = known[p].since_s if p in known and known[p].offset == at.end else now_s
                hidden[p] = Hidden(at.end, at.hidden, since_s)
        self.facts = LogFacts(topic_id, bounds, hidden)
        return self.facts
