"""The benchmark of the archive: a filled log into the master dataset, in a process of its own.

Timed is the archive step of a batch run alone, over marks that are set, from the first question to durable
files of events and ids, so reading, decoding, ids, Parquet and checksums. Mark, views and publication are not in it.
"""

import time
from typing import Any

from bench.house import BenchError, House
from bench.trades import Trades, fill
from ops.context import CLOCK, Context
from slackwater.streams.schema import MAX_LINES
from slackwater.streams.trades import TRADES

RUN = "bench"
"""The run whose marks end the archive."""


def measure_archive(house: House, source: Trades, trades: int) -> dict[str, Any]:
    """Archive `trades` trades; the rate by time, and what of the two cores the process and the broker had."""
    room = house.room("archive")
    house.say(f"archive: filling the log with {trades:,} trades, {MAX_LINES} a record")
    filled = fill(room.context.log, room.context.names.topic(TRADES), source, trades, MAX_LINES, CLOCK)
    house.say("archive: one archive step")
    broker_s = house.watch.cpu_s("broker")
    found = room.job("archive").finish(tell=False)
    broker_s = house.watch.cpu_s("broker") - broker_s
    if (found["events"], found["refused"]) != (trades, 0):
        raise BenchError(f"{found['events']:,} trades were archived and {found['refused']} refused, of {trades:,}.")
    return {
        "trades": trades,
        "filled_trades_per_s": round(trades / filled.seconds),
        "seconds": round(found["seconds"], 2),
        "trades_per_s": round(trades / found["seconds"]),
        "cpu_ns_per_trade": round(found["cpu_s"] / trades * 1e9),
        "broker_cpu_ns_per_trade": round(broker_s / trades * 1e9),
        "bytes_per_trade": round(found["bytes"] / trades, 2),
        "load": found["load"],
    }


def archive_log(context: Context) -> dict[str, Any]:
    """Mark the log, and archive it as the first run does, without publishing it."""
    import psutil

    from batch_layer.archive import archive_all
    from batch_layer.spans import mark_all, open_spans
    from slackwater.versions.manifest import empty_manifest

    parts, parent = context.parts, empty_manifest({})
    writer = context.log.writer()
    try:
        found = open_spans(parts, parent, 0.0)
        mark_all(found, writer, RUN)
        began, used = time.perf_counter(), time.process_time()
        (epoch,) = archive_all(parts, parent, found, writer, RUN, {})
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - used
    finally:
        writer.close()
    size = sum(entry.file.size for entry in epoch.files)
    refused, load = sum(epoch.refused.values()), round(psutil.getloadavg()[0], 2)
    return {"events": epoch.events, "refused": refused, "seconds": seconds, "cpu_s": cpu_s, "bytes": size, "load": load}


def archive_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    return [
        (
            f"archive of {found['trades']:,} trades from the log, {MAX_LINES} a record",
            f"{found['trades_per_s'] / 1e6:.2f} M trades/s; {found['cpu_ns_per_trade']:,} ns of CPU, "
            f"{found['broker_cpu_ns_per_trade']:,} of the broker's and {found['bytes_per_trade']} bytes a trade; "
            f"load average {found['load']} at the end",
            "1.3 M",
        )
    ]
