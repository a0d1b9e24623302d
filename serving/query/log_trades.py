"""The trades between a version's cut and what is applied, read from the event log itself.

The cells say where to look: only those that hold the instrument in the asked seconds are read, and cells that lie
close together in one go.
"""

from collections.abc import Mapping
from itertools import pairwise

import pyarrow.compute as pc

from serving.query.archive import Trade, TradesWant, trade
from serving.store.ends import Ends
from slackwater.log.events import decode
from slackwater.log.log import Log, Record, read_range
from slackwater.streams.schema import BASE_US
from slackwater.streams.trades import TRADES

MOST_RUNS = 8
"""Ranges that one partition is read in; more are joined where they lie closest."""

Run = tuple[int, int]


def runs_of(ends: Ends, want: TradesWant) -> list[Run]:
    """The offsets [start, upto) that may hold trades of `want`, in order."""
    low, high = want.start - want.start % BASE_US, want.end + -want.end % BASE_US
    instrument = want.venue, want.symbol
    spans = {
        (cell.start, min(cell.upto, ends.upto))
        for key in ends.keys(instrument)
        for cell, _ in ends.parts(key, low, high)
    }
    return join_runs(sorted(spans), MOST_RUNS)


def join_runs(spans: list[Run], most: int) -> list[Run]:
    """At most `most` runs that cover `spans`, which are in order and apart; small holes are read with them."""
    holes = sorted((b[0] - a[1], i) for i, (a, b) in enumerate(pairwise(spans), 1))
    kept = {i for hole, i in holes[max(0, len(holes) - most + 1) :] if hole}
    runs: list[Run] = []
    for i, (start, upto) in enumerate(spans):
        if runs and i not in kept:
            runs[-1] = runs[-1][0], upto
        else:
            runs.append((start, upto))
    return runs


def log_trades(log: Log, topic: str, runs: Mapping[int, list[Run]], want: TradesWant) -> list[Trade]:
    """The first trades of `want` in these runs of each partition, in order.

    Raises:
        LogError: the log cannot be read, or does not hold a run.
    """
    found: list[Trade] = []
    for partition, spans in runs.items():
        for start, upto in spans:
            for piece in read_range(log, topic, {partition: start}, {partition: upto}):
                found += _trades(partition, piece.records, want)
    return sorted(found)[: want.limit]


def _trades(partition: int, records: list[Record], want: TradesWant) -> list[Trade]:
    table = decode(TRADES, records).table
    time = table.column("time")
    mine = pc.and_(pc.equal(table.column("venue"), want.venue), pc.equal(table.column("symbol"), want.symbol))
    then = pc.and_(pc.greater_equal(time, want.start), pc.less(time, want.end))
    table = table.filter(pc.and_(mine, then))
    places = zip(*(table.column(name).to_pylist() for name in ("time", "sequence", "offset", "index")), strict=True)
    values = (table.column(name).to_pylist() for name in Trade._fields[5:])
    # A cast of Arrow says 1E-8.
    trades = [
        trade((at, sequence, partition, offset, line), trade_id, f"{price:f}", f"{quantity:f}", *rest)
        for (at, sequence, offset, line), (trade_id, price, quantity, *rest) in zip(
            places, zip(*values, strict=True), strict=True
        )
    ]
    return [one for one in trades if one.place > want.after]
