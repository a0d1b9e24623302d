"""What the event log holds that no answer of the service stands on, for `slackwater verify`.

log        start ------- applied ------- end . . . . high
answers    [------------)                             the answer of the partition that stands on least, if it has one
here                     [events?-------)[hidden)     any event here is one that no answer holds

Marks and refused records are no events. Not here: what the answers say (`verify.compare`).
"""

from collections.abc import Callable, Mapping

from slackwater.log.errors import HiddenRecordsError, LogError
from slackwater.log.log import Log, read_range
from slackwater.log.mark import mark_of
from verify.oracle import Oracle

Wanted = Callable[[str, str], bool]

TOLD = 3
"""Instruments that are told by name; of more there is the number."""


class Standing:
    """Compares answers with where the log ended when this was made: what comes later is another proof's."""

    def __init__(self, log: Log, topic: str, wanted: Wanted) -> None:
        self._log = log
        self._topic = topic
        self._wanted = wanted
        self._bounds = log.bounds(topic)
        self._known: dict[tuple[int, int], str] = {}

    def beyond(self, applied: Mapping[int, int]) -> list[str]:
        """What lies beyond `applied`, partition -> the least end of its answers, in a sentence for each partition."""
        found = []
        for p, bounds in sorted(self._bounds.items()):
            at = max(applied.get(p, 0), bounds.start)
            if at >= bounds.high:
                continue
            if (p, at) not in self._known:
                self._known[p, at] = self._beyond(p, at, bounds.high, p in applied)
            if self._known[p, at]:
                found.append(self._known[p, at])
        return found

    def _beyond(self, partition: int, start: int, high: int, known: bool) -> str:
        oracle, end = Oracle([]), start
        try:
            end = min(self._log.bounds(self._topic)[partition].end, high)
            for found in read_range(self._log, self._topic, {partition: start}, {partition: end}):
                for record in found.records:
                    if mark_of(record) is None:
                        oracle.record(record.value, record.append_time_ms)
        except LogError as error:
            return error.fact
        missed = [f"{venue}:{symbol}" for venue, symbol in oracle.instruments if self._wanted(venue, symbol)]
        if missed:
            whose = "no answer stands on them" if known else "no answer knows the partition"
            told = ", ".join(missed[:TOLD]) + (f" and {len(missed) - TOLD} more" if len(missed) > TOLD else "")
            where = f"{self._topic}[{partition}] holds {oracle.events:,} events in [{start}, {end})"
            return f"{where} of {told}: {whose}."
        return "" if end == high else HiddenRecordsError(self._topic, partition, end, high - end).fact
