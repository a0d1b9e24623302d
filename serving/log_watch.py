"""The watch of the log: the id of the topic of events and its retained offsets, looked at about once a second.

Both are asked over connections that stay open. The id is asked less often, and at once where the log's end went back.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from event_log.clock import Clock
from event_log.log import Bounds, Log, Reader, TopicWatch

ID_EVERY_S = 5.0


@dataclass(frozen=True)
class LogFacts:
    """The log as it was at one look."""

    topic_id: str
    bounds: Mapping[int, Bounds]

    @property
    def starts(self) -> dict[int, int]:
        """Partition -> its first retained offset."""
        return {p: bounds.start for p, bounds in self.bounds.items()}


class LogWatch:
    """Looks at one topic. Belongs to one thread; `facts` may be read by any."""

    def __init__(self, log: Log, topic: str, clock: Clock) -> None:
        self.facts: LogFacts | None = None
        self.topic = topic
        self._log = log
        self._clock = clock
        self._reader: Reader | None = None
        self._watch: TopicWatch | None = None
        self._id_at = float("-inf")

    def look(self) -> LogFacts:
        """The facts now.

        Raises:
            LogUnreachableError, TopicMissingError
        """
        try:
            now = self._clock.elapsed_s()
            if self._reader is None or self.facts is None or now - self._id_at >= ID_EVERY_S:
                return self._look_whole(now)
            bounds = self._reader.bounds()
            if any(bounds[p].end < known.end for p, known in self.facts.bounds.items()):
                return self._look_whole(now)
        except Exception:
            self.close()
            raise
        self.facts = LogFacts(self.facts.topic_id, bounds)
        return self.facts

    def close(self) -> None:
        """Release the connections."""
        for held in (self._reader, self._watch):
            if held is not None:
                held.close()
        self._reader = self._watch = None

    def _look_whole(self, now: float) -> LogFacts:
        if self._watch is None:
            self._watch = self._log.watch(self.topic)
        identity = self._watch.look()
        if self._reader is None or self.facts is None or len(self.facts.bounds) != identity.partitions:
            bounds = self._log.bounds(self.topic)
            if self._reader is not None:
                self._reader.close()
            self._reader = self._log.reader(self.topic, {p: b.end for p, b in bounds.items()})
        else:
            bounds = self._reader.bounds()
        self._id_at = now
        self.facts = LogFacts(identity.topic_id, bounds)
        return self.facts
