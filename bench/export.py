"""The benchmark of an export: every bar of a venue at 1 s as one Arrow stream, read whole by a client that parses it.

The sample's trades are spread out, one of an instrument a second, so that each is a bar: a million bars are a week
then, and thirty million trades as they were have a quarter of that. All bars lie in the batch view of one version.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from bench.house import House
from bench.latency import start_layers
from bench.trades import Trades, fill
from ingest.live import SECOND_US, Loop
from ops.context import CLOCK
from slackwater.keys.keys import KeyStore
from slackwater.streams.entities import by_entity
from slackwater.streams.schema import MAX_LINES
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS

EXPORT_BARS = 1_000_000
RUNS = 5


def thinned(loop: Loop) -> Loop:
    """A loop of the same trades, one of an instrument a second."""
    rank = np.zeros(loop.events.num_rows, np.int64)
    for _, rows in by_entity(TRADES, loop.events):
        rank[rows] = np.arange(len(rows))
    order = np.argsort(rank, kind="stable")
    times = pa.array(loop.start_us + rank[order] * SECOND_US)
    events = loop.events.take(pa.array(order))
    events = events.set_column(events.schema.get_field_index("time"), loop.events.schema.field("time"), times)
    span_us = (int(rank.max()) + 1) * SECOND_US
    return Loop(events.combine_chunks(), loop.id_lengths[order], loop.start_us, span_us)


def measure_export(house: House, source: Trades, bars: int) -> dict[str, Any]:
    """Exports of the venue with most trades, at least `bars` bars: the first, and the best and the median after it."""
    thin = Trades(thinned(source.loop))
    venues = np.array([venue for venue, _ in thin.instruments])[thin.instrument_of]
    counts = {str(venue): int(count) for venue, count in zip(*np.unique(venues, return_counts=True), strict=True)}
    venue = max(counts, key=counts.__getitem__)
    trades = -(-bars // counts[venue]) * len(venues)
    room = house.room("export")
    context = room.context
    house.say(f"export: filling the log with {trades:,} trades, each a bar, and one batch run")
    fill(context.log, context.names.topic("trades"), thin, trades, MAX_LINES, CLOCK)
    room.job("batch").finish(tell=False)
    start_layers(room)
    _, key = KeyStore(context.settings.home).create("bench", "read", CLOCK.now_us())
    symbols = sorted({symbol for each, symbol in thin.instruments if each == venue})
    query = f"venue={venue}&symbol={','.join(symbols)}&interval=1s&limit=all&format=arrow"
    given = {"path": f"/v1/{BARS.name}?{query}", "headers": {"Authorization": f"Bearer {key}"}}
    house.say(f"export: the bars of {venue}, {RUNS} times")
    before_mb = house.watch.now_mb("serving")
    first = room.job("export", given).finish(tell=False)
    used = house.watch.cpu_s("serving")
    runs = [room.job("export", given).finish(tell=False) for _ in range(RUNS)]
    used = house.watch.cpu_s("serving") - used
    room.stop()
    runs.sort(key=lambda run: float(run["seconds"]))
    best, median = runs[0], runs[RUNS // 2]
    return {
        "bars": median["rows"],
        "mb": round(median["bytes"] / 1e6),
        "rows_per_s": round(median["rows"] / median["seconds"]),
        "best_rows_per_s": round(best["rows"] / best["seconds"]),
        "cold_rows_per_s": round(first["rows"] / first["seconds"]),
        "first_ms": round(median["first_s"] * 1e3, 1),
        "serving_cpu_s": round(used / RUNS, 2),
        "client_cpu_s": round(median["cpu_s"], 2),
        "before_mb": round(before_mb),
        "peak_mb": {},
    }


def export_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figure as a line of the benchmark's table."""
    others = f"best of {RUNS} {found['best_rows_per_s']:,}, the first {found['cold_rows_per_s']:,}"
    rate = f"{found['rows_per_s']:,} rows/s, {others}"
    cpu = f"CPU: service {found['serving_cpu_s']}, client {found['client_cpu_s']} s"
    memory = f"service {found['before_mb']} MB before, {found['peak_mb'].get('serving', 0)} MB at most"
    return [
        (
            f"Arrow export of {found['bars']:,} bars, {found['mb']:,} MB",
            f"{rate}; first bytes in {found['first_ms']:.0f} ms; {cpu}; {memory}",
            "at least 1,000,000 rows/s, first bytes in 50 ms",
        )
    ]
