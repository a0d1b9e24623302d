"""What the log holds that no answer of the service stands on, for `slackwater verify`.

log        start ------- applied ------- end . . . . high
answers    [------------)                             the answer of the partition that stands on least, if it has one
here                     [events?-------)[hidden)     any event here is one that no answer holds

Marks and refused records are no events. Not here: what the answers say (`verify.run`).
"""

from collections.abc import Callable, Iterable, Mapping

from verify.client import Entity
from verify.definition import StreamData
from verify.errors import EvidenceError
from verify.evidence import Bounds, Evidence, unmarked
from verify.oracle import Oracle

Wanted = Callable[[Entity], bool]


def everything(_: Entity) -> bool:
    """All entities."""
    return True


NAMED = 3
"""Entities that are named; of more there is the number."""


class Standing:
    """Compares answers with where the log ended when this was made: what comes later is another proof's."""

    def __init__(self, evidence: Evidence, streams: Iterable[StreamData], wanted: Wanted) -> None:
        self._evidence = evidence
        self._wanted = wanted
        self._streams = {stream.name: stream for stream in streams}
        self._bounds = {name: evidence.bounds(name) for name in self._streams}
        self._known: dict[tuple[str, int, int], str] = {}

    def tail(self, applied: Mapping[tuple[str, int], int]) -> list[str]:
        """What lies beyond `applied`, (stream, partition) -> the least end of its answers; a sentence for each."""
        found = []
        for name, stream in self._streams.items():
            for p, bounds in sorted(self._bounds[name].items()):
                at = max(applied.get((name, p), 0), bounds.start)
                if at >= bounds.high:
                    continue
                key = name, p, at
                if key not in self._known:
                    self._known[key] = self._tail(stream, p, at, bounds, (name, p) in applied)
                if self._known[key]:
                    found.append(self._known[key])
        return found

    def _tail(self, stream: StreamData, partition: int, start: int, bounds: Bounds, known: bool) -> str:
        oracle, end = Oracle(stream), start
        where = f"{stream.name}[{partition}]"
        try:
            end = min(self._evidence.bounds(stream.name)[partition].end, bounds.high)
            for record in unmarked(self._evidence, stream.name, partition, start, end):
                oracle.record(record.value, record.append_time_ms)
        except EvidenceError as error:
            return error.fact
        missed = [":".join(map(str, entity)) for entity in oracle.entities if self._wanted(entity)]
        if missed:
            whose = "no answer stands on them" if known else "no answer knows the partition"
            named = ", ".join(missed[:NAMED]) + (f" and {len(missed) - NAMED} more" if len(missed) > NAMED else "")
            return f"{where} holds {oracle.events:,} events in [{start}, {end}) of {named}: {whose}."
        hides = f"An open transaction of a foreign writer hides {bounds.high - end} records of {where}"
        return "" if end == bounds.high else f"{hides} from offset {end} on."
