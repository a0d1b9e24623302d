"""Replays a source by event time: in order across its instruments, as fast as it happened, ten times that, or at once.

    event time     10:00:00    10:00:01            10:00:05
    speed 1x       0 s         1 s                 5 s
    speed 5x       0 s         0.2 s               1 s

The source is read to its end first, since they may stand one after the other in it; events of one time keep its
order. A line that is no event goes with the line before it. Endless replays of the sample are in `ingest.live`.
"""

import re
from typing import Any

import numpy as np

from ingest.chunk import CHUNK_LINES, Chunk, Source, nothing
from ingest.errors import SpeedError
from slackwater.core.clock import Clock
from slackwater.streams.decode import decode_lines
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.stream import Stream

MAX_LINES = 5_000_000
"""Lines that a replay puts in order; each is held in memory."""

_SPEED = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)x")


def parse_speed(text: str) -> float | None:
    """The factor of `1x`, `10x`, `0.5x`; None for `max`.

    Raises:
        SpeedError: the text is none of these.
    """
    if text == "max":
        return None
    found = _SPEED.fullmatch(text)
    if not found or not float(found[1]):
        raise SpeedError(f"There is no speed {text!r}.", "Use max, 1x, 10x or another factor such as 0.5x.")
    return float(found[1])


class Replay(Source):
    """`speed` is event seconds per second; None gives everything at once."""

    def __init__(self, stream: Stream, source: Source, speed: float | None, clock: Clock) -> None:
        """Read the source to its end and close it.

        Raises:
            SourceError, MappingError
            SpeedError: it is longer than MAX_LINES.
        """
        self.name = source.name
        self._speed = speed
        self._clock = clock
        self._chunks, self._of, self._line, self._times = _in_order(stream, source)
        self.total = len(self._times)
        self._started_s: float | None = None

    def read(self, timeout_s: float) -> Chunk | None:
        """What is due. The first event is due at the first call."""
        if self.done == self.total:
            return None
        if self._speed is None:
            return self._take(min(self.done + CHUNK_LINES, len(self._times)))
        if self._started_s is None:
            self._started_s = self._clock.elapsed_s()
        due_s = self._due_s(self._times[self.done])
        wait_s = due_s - self._clock.elapsed_s()
        if wait_s > 0:
            self._clock.sleep(min(wait_s, timeout_s))
        now_s = self._clock.elapsed_s()
        if now_s < due_s:
            return nothing(self.name)
        passed_us = int((now_s - self._started_s) * self._speed * 1e6)
        upto = int(np.searchsorted(self._times, self._times[0] + passed_us, side="right"))
        # What is due is given, though a rounded product may say that it is not.
        return self._take(min(max(upto, self.done + 1), self.done + CHUNK_LINES))

    def _due_s(self, time_us: Any) -> float:
        after_us = int(time_us - self._times[0])
        return (self._started_s or 0.0) + after_us / 1e6 / (self._speed or 1.0)

    def _take(self, upto: int) -> Chunk:
        of, line = self._of[self.done : upto].tolist(), self._line[self.done : upto].tolist()
        chunks = self._chunks
        self.done = upto
        places = list(zip(of, line, strict=True))
        return Chunk(
            self.name,
            [chunks[c].lines[k] for c, k in places],
            lambda i: chunks[of[i]].position(line[i]),
            lambda i: chunks[of[i]].original(line[i]),
            {i: chunks[c].faults[k] for i, (c, k) in enumerate(places) if k in chunks[c].faults},
            self._speed is None and upto < len(self._times),
        )


def _in_order(stream: Stream, source: Source) -> tuple[list[Chunk], Any, Any, Any]:
    """The chunks, and for each line in order of time: its chunk, its number there, and its time."""
    chunks: list[Chunk] = []
    times: list[Any] = []
    last, lines = 0, 0
    try:
        while (chunk := source.read(1.0)) is not None:
            if not chunk.lines:
                continue
            lines += len(chunk.lines)
            if lines > MAX_LINES:
                raise SpeedError(
                    f"{source.name!r} has more than {MAX_LINES:,} lines, too many to put in order.",
                    "Use --speed max, which takes them as they stand.",
                )
            found = _times(stream, chunk, last)
            last = int(found[-1])
            chunks.append(chunk)
            times.append(found)
    finally:
        source.close()
    if not chunks:
        return [], np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.int64)
    sizes = [len(one) for one in times]
    time = np.concatenate(times)
    of = np.repeat(np.arange(len(chunks)), sizes)
    line = np.concatenate([np.arange(size) for size in sizes])
    # Lines before the first event of all have no time: they go with it.
    time[time == 0] = time[time > 0].min() if (time > 0).any() else 0
    order = np.argsort(time, kind="stable")
    return chunks, of[order], line[order], time[order]


def _times(stream: Stream, chunk: Chunk, last: int) -> Any:
    events, accepted, _ = decode_lines(stream, chunk.lines, np.full(len(chunk.lines), MAX_ID))
    at = np.zeros(len(chunk.lines), np.int64)
    at[accepted] = np.arange(1, len(accepted) + 1)
    before = np.maximum.accumulate(at)  # the number of the last event at or before each line, from 1
    return np.concatenate([[last], events.column(stream.time).to_numpy()])[before]
