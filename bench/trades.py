"""The benchmark's trades: the sample repeated with shifted ids and times, as records of the event log.

Pass P of the sample is what `ingest.live` makes of it; passes end at the last whole one before now, so no event lies
in the future. A stream looks as it did on the exchange: events in order of time, an instrument's in one partition.

    per record 1    the event log of a quiet market: each trade a record
    per record 64   that of a replay: each record is 64 trades of one instrument, records in order of their last trade

These records go straight to the log. Ingest's rate is not what is measured here, and nothing is validated: lines are
the canonical encoder's, cut once around id and time. Memory is bounded by one pass.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.live import Loop, make_loop, pass_at
from ingest.sample_data import open_sample
from slackwater.log.log import Log
from slackwater.streams.entities import Entity, by_entity
from slackwater.streams.rows import event_lines
from slackwater.streams.trades import TRADES

FLUSH_BYTES = 16 * 1024 * 1024
"""Bytes on their way to the broker at most."""

_LINE = re.compile(rb'(.*"trade_id":)[0-9]+(,"time":)[0-9]+(,"price".*)')


class Load(NamedTuple):
    """One record to append."""

    instrument: int
    value: bytes


class Filled(NamedTuple):
    """What was appended, and how long that took."""

    trades: int
    records: int
    seconds: float


class _Packing(NamedTuple):
    """How the first rows of a pass become records: rows by instrument, bounds of records among them, their order."""

    rows: Any
    bounds: Any
    order: Any
    instrument_of: list[int]


class Trades:
    """The sample, ready to be repeated."""

    def __init__(self, loop: Loop | None = None) -> None:
        self.loop = loop or make_loop(open_sample())
        events = self.loop.events
        self.instruments: list[Entity] = []
        self.instrument_of = np.zeros(events.num_rows, np.int64)
        for number, (instrument, rows) in enumerate(by_entity(TRADES, events)):
            self.instruments.append(instrument)
            self.instrument_of[rows] = number
        parts = [found.groups() for line in event_lines(TRADES, events) if (found := _LINE.fullmatch(line))]
        self.before, self.between, self.after = (list(column) for column in zip(*parts, strict=True))
        self._arrays = [pa.array(column, pa.binary()) for column in (self.before, self.between, self.after)]
        self._ids = events.column("sequence").to_numpy()  # the sample's ids are integers
        self._times = events.column("time").to_numpy()

    def busiest(self) -> int:
        """The instrument with most trades."""
        return int(np.bincount(self.instrument_of).argmax())

    def line(self, row: int, number: int, time_us: int) -> bytes:
        """The trade of a row of the sample, with another id and time."""
        parts = self.before[row], b"%d" % number, self.between[row], b"%d" % time_us, self.after[row]
        return b"".join(parts)

    def key(self, instrument: int) -> bytes:
        """The key of an instrument's records."""
        return ":".join(self.instruments[instrument]).encode()

    def partitions(self, log: Log, count: int) -> list[int]:
        """The partition of each instrument."""
        return [log.partition_of(self.key(i), count) for i in range(len(self.instruments))]

    def records(self, trades: int, per_record: int, now_us: int) -> Iterator[Load]:
        """`trades` trades, the newest pass ending before `now_us`."""
        size = len(self._ids)
        whole, rest = divmod(trades, size)
        passes = [size] * whole + ([rest] if rest else [])
        first = pass_at(self.loop, now_us) - len(passes)
        packings: dict[int, _Packing] = {}
        for number, rows in enumerate(passes, first):
            if rows not in packings:
                packings[rows] = self._packing(rows, per_record)
            yield from self._pass(number, packings[rows])

    def _pass(self, number: int, packing: _Packing) -> Iterator[Load]:
        rows = packing.rows
        ids, times = (
            pa.array(values[rows]).cast(pa.string()).cast(pa.binary())
            for values in (self._ids + number * self.loop.id_lengths, self._times + number * self.loop.span_us)
        )
        before, between, after = (array.take(pa.array(rows)) for array in self._arrays)
        lines = pc.binary_join_element_wise(before, ids, between, times, after, b"")
        values = pc.binary_join(pa.ListArray.from_arrays(packing.bounds, lines), b"\n").take(packing.order)
        for instrument, value in zip(packing.instrument_of, values.to_pylist(), strict=True):
            yield Load(instrument, value)

    def _packing(self, rows: int, per_record: int) -> _Packing:
        of = self.instrument_of[:rows]
        by = np.argsort(of, kind="stable")
        starts = np.searchsorted(of[by], np.arange(len(self.instruments) + 1))
        firsts = np.concatenate([np.arange(a, b, per_record) for a, b in itertools.pairwise(starts)])
        bounds = np.append(firsts, rows)
        order = np.argsort(by[bounds[1:] - 1], kind="stable")  # rows of a pass are in order of time
        return _Packing(by, pa.array(bounds.astype(np.int32)), pa.array(order), of[by[firsts[order]]].tolist())


def fill(log: Log, topic: str, source: Trades, trades: int, per_record: int, clock: Any) -> Filled:
    """Append `trades` trades to `topic`; all are acknowledged when this returns."""
    partitions = source.partitions(log, len(log.bounds(topic)))
    keys = [source.key(i) for i in range(len(source.instruments))]
    began, records, flying = clock.elapsed_s(), 0, 0
    writer = log.writer()
    try:
        for instrument, value in source.records(trades, per_record, clock.now_us()):
            writer.append(topic, partitions[instrument], keys[instrument], value)
            records += 1
            flying += len(value)
            if flying > FLUSH_BYTES:
                writer.flush()
                flying = 0
    finally:
        writer.close()
    return Filled(trades, records, clock.elapsed_s() - began)
