"""Which events came late: an event of their instrument, of an earlier offset, had closed their bar.

An interval's bar [start, end) is closed at the first offset where an event of its instrument has time >= end + 2 s. A
record is applied whole, so nothing in it is late by itself. Here and not in SQL: a window over every event of a run
took ten times as long as computing its views; these few passes over arrays take a fraction of it.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.views.interval import CLOSED_AFTER_US, Interval

Newest = dict[tuple[str, str], tuple[int, int]]
"""(venue, symbol) -> the times of the first and of the newest event so far, microseconds."""

LATE_SCHEMA = pa.schema(
    [
        ("venue", pa.string()),
        ("symbol", pa.string()),
        ("offset", pa.int64()),
        ("time", pa.int64()),
        ("closer", pa.int64()),  # the newest time before this event
    ]
)

_NOTHING = np.iinfo(np.int64).max, np.iinfo(np.int64).min


def find_late(events: pa.Table, newest: Newest, interval: Interval) -> pa.Table:
    """The late ones among the next `events` of a partition, as LATE_SCHEMA; `newest` is moved on over all of them.

    Args:
        events: whole records in the order of their offsets; `venue` and `symbol` are dictionary-encoded.
    """
    instruments, numbers = _instruments(events)
    order = np.argsort(numbers, kind="stable")
    offset, time = (events.column(name).to_numpy()[order] for name in ("offset", "time"))
    ends = np.cumsum(np.bincount(numbers, minlength=len(instruments)))
    closer = np.empty_like(time)
    for instrument, end, count in zip(instruments, ends, np.diff(ends, prepend=0), strict=True):
        mine = slice(end - count, end)
        first, before = newest.get(instrument, _NOTHING)
        closer[mine] = _before(offset[mine], time[mine], before)
        newest[instrument] = min(first, int(time[mine].min())), max(before, int(time[mine].max()))
    late = np.flatnonzero(interval.floor(time) + (interval.us + CLOSED_AFTER_US) <= closer)
    rows = order[late]
    columns = [
        *(events.column(name).take(rows).cast(pa.string()) for name in ("venue", "symbol")),
        *(pa.array(values[late]) for values in (offset, time, closer)),
    ]
    return pa.table(columns, schema=LATE_SCHEMA)


def _before(offset: Any, time: Any, before: int) -> Any:
    """Of each event of one instrument the newest time at an offset before its own; `before` is that of all events."""
    newest = np.maximum.accumulate(np.concatenate(([before], time)))
    first_of_record = np.concatenate(([True], offset[1:] != offset[:-1]))
    return newest[np.maximum.accumulate(np.where(first_of_record, np.arange(len(time)), 0))]


def _instruments(events: pa.Table) -> tuple[list[tuple[str, str]], Any]:
    """The instruments among `events`, and the number of its instrument for each event."""
    venues, symbols = (events.column(name).unify_dictionaries().combine_chunks() for name in ("venue", "symbol"))
    venue, symbol = (column.indices.to_numpy().astype(np.int64) for column in (venues, symbols))
    pairs = venue * len(symbols.dictionary) + symbol
    there = np.flatnonzero(np.bincount(pairs))
    dense = np.zeros(there[-1] + 1, dtype=np.int64)
    dense[there] = np.arange(len(there))
    names = [divmod(int(pair), len(symbols.dictionary)) for pair in there]
    instruments = [(venues.dictionary[v].as_py(), symbols.dictionary[s].as_py()) for v, s in names]
    small = np.uint16 if len(there) < 1 << 16 else np.int64  # what fits 16 bits is sorted by radix
    return instruments, dense[pairs].astype(small)
