"""The sample for ever, as if it happened now: the demonstration's source.

Time is cut into passes of `span` whole seconds, counted from the sample's own first second. Pass P is the sample with
P spans added to its times, and P times the length of its id range added to the ids of each stream: a pure function of
P. So a restart gives the same events again, the filter knows them, and nothing is counted twice.

    sample   |~~~~~~|
    pass     0      1      2  ...         P-1       P       P+1
                                       at once     ^ now: up to here at once, then as time goes on

Every second has the events that it will always have; nothing depends on when the program started. A stream whose
capture ended before the others' (the sample's USD-M futures) is said again within the pass, so that none falls silent.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ingest.chunk import CHUNK_LINES, Chunk, Source, nothing, of_lines
from slackwater.core.clock import Clock
from slackwater.streams.decode import decode_lines
from slackwater.streams.entities import by_entity
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.rows import event_lines
from slackwater.streams.trades import TRADES

SECOND_US = 1_000_000
SOURCE = "sample, live"


class Loop(NamedTuple):
    """A sample that can be repeated: events in order of time, the length of each event's id range, and the span."""

    events: pa.Table
    id_lengths: Any
    start_us: int
    span_us: int


def make_loop(source: Source) -> Loop:
    """The loop of a source's events, which is read to its end and closed.

    Raises:
        SourceError, MappingError
        ValueError: a line of it is no event.
    """
    tables = []
    try:
        while (chunk := source.read(1.0)) is not None:
            table, _, bad = decode_lines(TRADES, chunk.lines, np.full(len(chunk.lines), MAX_ID))
            if bad:
                raise ValueError(f"{chunk.position(min(bad))} of {source.name} is no event")
            tables.append(table)
    finally:
        source.close()
    events = pa.concat_tables(tables).combine_chunks()
    times = events.column("time").to_numpy()
    start = int(times.min()) // SECOND_US * SECOND_US
    span = -(-(int(times.max()) + 1 - start) // SECOND_US) * SECOND_US
    parts, lengths = [], []
    for _, rows in by_entity(TRADES, events):
        stream, length = _filled(events.take(pa.array(rows)), start + span)
        parts.append(stream)
        lengths.append(np.full(stream.num_rows, length, np.int64))
    filled = pa.concat_tables(parts)
    order = np.argsort(filled.column("time").to_numpy(), kind="stable")
    return Loop(filled.take(pa.array(order)).combine_chunks(), np.concatenate(lengths)[order], start, span)


def _filled(stream: pa.Table, end_us: int) -> tuple[pa.Table, int]:
    """One stream, said again until `end_us` where its capture ended sooner; and the length of its range of ids."""
    times, ids = stream.column("time").to_numpy(), stream.column("sequence").to_numpy()
    again_us = -(-(int(times.max()) + 1 - int(times.min())) // SECOND_US) * SECOND_US
    ids_long = int(ids.max() - ids.min()) + 1
    copies = [
        _shifted(stream, ids + number * ids_long, times + number * again_us)
        for number in range(-(-(end_us - int(times.min())) // again_us))
    ]
    whole = pa.concat_tables(copies)
    return whole.filter(pa.array(whole.column("time").to_numpy() < end_us)), ids_long * len(copies)


def _shifted(events: pa.Table, ids: Any, times: Any) -> pa.Table:
    # Ids of a sample are integers, so the order is theirs.
    changed = {"trade_id": pa.array(ids).cast(pa.string()), "sequence": pa.array(ids), "time": pa.array(times)}
    columns = [changed.get(name, events.column(name)) for name in events.schema.names]
    return pa.Table.from_arrays(columns, schema=events.schema)


def pass_at(loop: Loop, time_us: int) -> int:
    """The pass that a time falls in."""
    return (time_us - loop.start_us) // loop.span_us


def pass_events(loop: Loop, number: int) -> pa.Table:
    """The events of a pass, in order of time; the same whoever asks and whenever."""
    ids, times = loop.events.column("sequence").to_numpy(), loop.events.column("time").to_numpy()
    return _shifted(loop.events, ids + number * loop.id_lengths, times + number * loop.span_us)


class Live(Source):
    """Begins with the whole pass before the one that is now, and never ends."""

    name = SOURCE

    def __init__(self, loop: Loop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._next = 0
        self._load(pass_at(loop, clock.now_us()) - 1)

    def read(self, timeout_s: float) -> Chunk:
        """What happened since the last call."""
        if self._next == len(self._times):
            self._load(self._pass + 1)
        wait_us = int(self._times[self._next]) - self._clock.now_us()
        if wait_us > 0:
            self._clock.sleep(min(wait_us / 1e6, timeout_s))
        now_us = self._clock.now_us()
        upto = min(int(np.searchsorted(self._times, now_us, side="right")), self._next + CHUNK_LINES)
        if upto <= self._next:
            return nothing(SOURCE)
        first, self._next = self._next, upto
        self.done += upto - first
        more = upto < len(self._times) and int(self._times[upto]) <= now_us
        lines = event_lines(TRADES, self._events.slice(first, upto - first))
        return of_lines(SOURCE, lines, f"pass {self._pass} row", first + 1, more)

    def _load(self, number: int) -> None:
        self._pass = number
        self._events = pass_events(self._loop, number)
        self._times = self._events.column("time").to_numpy()
        self._next = 0
