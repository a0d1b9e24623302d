"""The stream of one case: which trades reach the log, and when. From a seed, and from the real trades of the sample.

What happens in each case is said in `cases.py`. Time is short: a batch run each 40 s stands for one an hour. What
matters is how much happens between two runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ingest.sample_data import open_sample
from lesson.cases import Case
from lesson.memory_log import MemoryLog
from slackwater.streams.decode import decode_lines
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.rows import event_lines
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.merge import State
from slackwater.views.session import Summariser

Instrument = tuple[str, str]

PARTITIONS = 4
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
INTERVAL: Interval = parse_interval("10s")

INSTRUMENTS: tuple[Instrument, ...] = (
    ("binance_spot", "BTCUSDT"),
    ("binance_spot", "ETHUSDT"),
    ("binance_coinm", "BTCUSD_PERP"),
    ("binance_coinm", "ETHUSD_PERP"),
)
"""Those of the sample that trade from its beginning to its end."""

LATE_SHARE = AGAIN_SHARE = 0.02
RECONNECTS = 4


class Trade(NamedTuple):
    """One trade. `line` is its event's bytes; `state` the view's state of it alone; `start` its bar's."""

    instrument: Instrument
    partition: int
    trade_id: int
    time_us: int
    start: int
    line: bytes
    state: State


class Arrival(NamedTuple):
    """A trade that reaches the log at `at_us`; `place` is how many did so in its partition before it."""

    at_us: int
    place: int
    trade: Trade


@dataclass(frozen=True)
class Stream:
    """Arrivals in order, over [start_us, end_us) of the clock."""

    case: Case
    start_us: int
    end_us: int
    arrivals: list[Arrival]


def make_stream(case: Case, seed: int, minutes: int, count: int) -> Stream:
    """The stream of a case: about `count` trades of some `minutes` minutes of the sample, 9 at most."""
    start, trades = _kept(seed, minutes, count)
    end = start + minutes * MINUTE_US
    random = Random(f"{case} {seed}")  # noqa: S311 - it has to be repeatable
    arrivals: list[Arrival] = []
    counts = dict.fromkeys(range(PARTITIONS), 0)
    for at, trade in sorted(_moved(case, trades, random, start, end), key=lambda found: found[0]):
        if at < end:
            arrivals.append(Arrival(at, counts[trade.partition], trade))
            counts[trade.partition] += 1
    return Stream(case, start, end, arrivals)


def _moved(case: Case, trades: list[Trade], random: Random, start: int, end: int) -> list[tuple[int, Trade]]:
    """Each trade with the time at which it reaches the log, copies among them."""
    found = [(trade.time_us + random.randrange(20_000, 300_000), trade) for trade in trades]
    if case == "late":
        found = [(at + _held(random) if random.random() < LATE_SHARE else at, trade) for at, trade in found]
    elif case == "duplicates":
        found += [(at + _held(random), trade) for at, trade in found if random.random() < AGAIN_SHARE]
        found += list(_reconnects(found, random, start, end))
    elif case == "empty":
        counts = {p: sum(trade.partition == p for trade in trades) for p in {trade.partition for trade in trades}}
        silent = min(counts, key=lambda p: counts[p])
        wakes = start + (end - start) // 2 + random.randrange(20 * SECOND_US)
        found = [(max(at, wakes) if trade.partition == silent else at, trade) for at, trade in found]
    return found


def _held(random: Random) -> int:
    """3 s to 150 s, most of them short."""
    return int(3 * SECOND_US * 50 ** random.random())


def _reconnects(found: list[tuple[int, Trade]], random: Random, start: int, end: int) -> Iterable[tuple[int, Trade]]:
    for _ in range(RECONNECTS):
        instrument, at = random.choice(INSTRUMENTS), random.randrange(start + MINUTE_US, end)
        for came, trade in found:
            if trade.instrument == instrument and at - 20 * SECOND_US <= came < at:
                yield at, trade


@cache
def _kept(seed: int, minutes: int, count: int) -> tuple[int, list[Trade]]:
    """A second from which on there are `minutes` of all instruments, and the trades that are kept, in order of time."""
    events, times, names = _sample()
    begun = max(next(at for at, name in zip(times, names, strict=True) if name == wanted) for wanted in INSTRUMENTS)
    random = Random(f"stream {seed}")  # noqa: S311 - it has to be repeatable
    spare_s = (times[-1] - begun) // SECOND_US - minutes * 60 - 1
    start = (begun // SECOND_US + 1 + random.randrange(spare_s)) * SECOND_US
    end = start + minutes * MINUTE_US
    rows = [row for row, name in enumerate(names) if name in INSTRUMENTS and start <= times[row] < end]
    rows = [row for row in rows if random.random() < count / len(rows)]
    return start, _with_states(events.take(pa.array(rows)).combine_chunks())


@cache
def _sample() -> tuple[pa.Table, list[int], list[Instrument]]:
    """The sample's events in order of time, their times and their instruments."""
    source, tables = open_sample(), []
    try:
        while (chunk := source.read(1.0)) is not None:
            tables.append(decode_lines(TRADES, chunk.lines, np.full(len(chunk.lines), MAX_ID))[0])
    finally:
        source.close()
    events = pa.concat_tables(tables).combine_chunks()
    events = events.take(pa.array(np.argsort(events.column("time").to_numpy(), kind="stable"))).combine_chunks()
    names = list(zip(events.column("venue").to_pylist(), events.column("symbol").to_pylist(), strict=True))
    return events, events.column("time").to_pylist(), names


def _with_states(events: pa.Table) -> list[Trade]:
    """Each event as a trade; its state is what the view's own SQL makes of a segment that holds it alone."""
    summariser = Summariser((BARS,))
    try:
        states = summariser.rows_of_each(BARS, [events.slice(row, 1) for row in range(events.num_rows)])
    finally:
        summariser.close()
    log = MemoryLog()
    partitions = {name: log.partition_of(":".join(name).encode(), PARTITIONS) for name in INSTRUMENTS}
    columns = (events.column(name).to_pylist() for name in ("venue", "symbol", "trade_id", "time"))
    return [
        Trade((venue, symbol), partitions[venue, symbol], trade_id, time, INTERVAL.floor(time), line, state)
        for venue, symbol, trade_id, time, line, [(_, _, state)] in zip(
            *columns, event_lines(TRADES, events), states, strict=True
        )
    ]
