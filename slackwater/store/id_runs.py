"""Which trade ids an instrument has, exactly, as sorted runs [first, last]: small where ids are dense.

They feed ingest's duplicate filter. A run file is Parquet: venue, symbol, first, last.
"""

import bisect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slackwater.core.checked_files import open_checked

RUNS_SCHEMA = pa.schema([("venue", pa.string()), ("symbol", pa.string()), ("first", pa.int64()), ("last", pa.int64())])

Instrument = tuple[str, str]


class IdRuns:
    """Runs of ids per instrument. Both ends of a run belong to it."""

    def __init__(self) -> None:
        self._firsts: dict[Instrument, list[int]] = {}
        self._lasts: dict[Instrument, list[int]] = {}

    def __contains__(self, item: tuple[Instrument, int]) -> bool:
        instrument, trade_id = item
        firsts = self._firsts.get(instrument)
        if not firsts:
            return False
        at = bisect.bisect_right(firsts, trade_id) - 1
        return at >= 0 and trade_id <= self._lasts[instrument][at]

    def add(self, instrument: Instrument, first: int, last: int) -> None:
        """Add the ids first..last; runs that touch become one."""
        firsts, lasts = self._firsts.setdefault(instrument, []), self._lasts.setdefault(instrument, [])
        low = bisect.bisect_left(lasts, first - 1)
        high = bisect.bisect_right(firsts, last + 1)
        if low < high:
            first, last = min(first, firsts[low]), max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    def add_events(self, events: pa.Table) -> None:
        """Add the ids of a table of events."""
        if not events.num_rows:
            return
        venues = events.column("venue").combine_chunks().dictionary_encode()
        symbols = events.column("symbol").combine_chunks().dictionary_encode()
        code = venues.indices.to_numpy().astype(np.int64) * len(symbols.dictionary) + symbols.indices.to_numpy()
        ids = events.column("trade_id").to_numpy()
        # One look at each event, however many instruments there are; what fits 16 bits is sorted by radix.
        there, number = np.unique(code, return_inverse=True)
        order = np.argsort(number.astype(np.uint16) if len(there) < 1 << 16 else number, kind="stable")
        ends = np.cumsum(np.bincount(number))
        for value, start, end in zip(there.tolist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            venue, symbol = divmod(value, len(symbols.dictionary))
            instrument = (venues.dictionary[venue].as_py(), symbols.dictionary[symbol].as_py())
            for first, last in zip(*_runs(ids[order[start:end]]), strict=True):
                self.add(instrument, first, last)

    def table(self) -> pa.Table:
        """The runs as a table of RUNS_SCHEMA."""
        rows = [
            (*instrument, first, last)
            for instrument in sorted(self._firsts)
            for first, last in zip(self._firsts[instrument], self._lasts[instrument], strict=True)
        ]
        columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[], [], [], []]
        return pa.Table.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, RUNS_SCHEMA, strict=True)], schema=RUNS_SCHEMA
        )


def write_runs(runs: IdRuns, path: Path) -> int:
    """Write a run file; its number of rows."""
    table = runs.table()
    pq.write_table(table, path, compression="zstd")
    return int(table.num_rows)


def read_runs(names: Iterable[str | Path], into: IdRuns | None = None) -> IdRuns:
    """The union of run files, and of what `into` holds, which grows. `names` are paths, or names with checksums."""
    runs = IdRuns() if into is None else into
    for name in names:
        with open_checked(str(name)) as file:
            table = pq.read_table(file, schema=RUNS_SCHEMA)
        for venue, symbol, first, last in zip(*(table.column(i).to_pylist() for i in range(4)), strict=True):
            runs.add((venue, symbol), first, last)
    return runs


def _runs(ids: Any) -> tuple[list[int], list[int]]:
    if len(ids) == 1:
        return ids.tolist(), ids.tolist()
    if not (np.diff(ids) > 0).all():  # they come in order, mostly, and a sort costs more than all else
        ids = np.unique(ids)
    breaks = np.flatnonzero(np.diff(ids) != 1)
    return ids[np.r_[0, breaks + 1]].tolist(), ids[np.r_[breaks, len(ids) - 1]].tolist()
