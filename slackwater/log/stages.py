"""The times of one event in ten thousand on its way, carried in headers: where the latency goes, for anyone to read.

    record of the event    sent                                              header `slackwater-sent`
    its first delta        sent, appended, read, summarised, emitted         header `slackwater-stages`

Microseconds since 1970 by the clock of the machine that wrote each; `appended` is the log's own, in whole milliseconds.
Headers are outside a record's value: no answer is made from them. What follows, in the service, is in
`serving.status.budget`.
"""

from typing import NamedTuple

from slackwater.core.clock import Clock
from slackwater.log.log import Headers, Slice

SENT_HEADER = "slackwater-sent"
STAGES_HEADER = "slackwater-stages"

EVERY = 10_000
"""Of so many events one carries its times."""


class Sampler:
    """Chooses the records that carry the time. The first one does, so that a quiet stream is measured, too."""

    def __init__(self, clock: Clock, every: int = EVERY) -> None:
        self._clock = clock
        self._every = every
        self._left = 0

    def headers(self, events: int) -> Headers:
        """The headers of the next record, which holds so many events."""
        self._left -= events
        if self._left > 0:
            return ()
        self._left = self._every
        return [(SENT_HEADER, b"%d" % self._clock.now_us())]


class Stages(NamedTuple):
    """When a sampled event passed each stage, in microseconds; `offset` is that of its record."""

    offset: int
    sent: int
    appended: int
    read: int
    summarised: int = 0
    emitted: int = 0

    def headers(self) -> Headers:
        """The header of a delta."""
        return [(STAGES_HEADER, ",".join(map(str, self)).encode())]


def sampled(found: Slice, now_us: int) -> Stages | None:
    """The last sampled event of a slice that was read now."""
    for record in reversed(found.records):
        if record.headers and (sent := _numbers(record.headers, SENT_HEADER, 1)):
            return Stages(record.offset, sent[0], record.append_time_ms * 1000, now_us)
    return None


def stages_of(headers: Headers) -> Stages | None:
    """What a delta's headers say; None where they say nothing, or what is no time."""
    found = _numbers(headers, STAGES_HEADER, len(Stages._fields))
    return Stages(*found) if found else None


def _numbers(headers: Headers, name: str, count: int) -> list[int]:
    """The numbers of a header; none where it is not there or holds something else: anybody may write headers."""
    for known, value in headers:
        if known == name and value is not None and len(value) < 200:
            parts = value.split(b",")
            if len(parts) == count and all(part.isdigit() and len(part) < 19 for part in parts):
                return [int(part) for part in parts]
    return []
