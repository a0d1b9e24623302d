"""The benchmark of `slackwater archive import`: a Parquet file into the master dataset, in a process of its own.

Timed from the open file to durable files of events and ids: reading, checks, the duplicate filter, Parquet, checksums.
The batch run that publishes them is not in it. The file is that of the history benchmark.
"""

import time
from pathlib import Path
from typing import Any

from bench.history import write_history
from bench.house import BenchError, House
from bench.trades import Trades
from ops.context import CLOCK, Context
from slackwater.streams.trades import TRADES


def measure_import(house: House, source: Trades, trades: int) -> dict[str, Any]:
    """Import `trades` trades; the rate by time, and what of the two cores the process had."""
    room = house.room("import")
    house.say(f"import: writing {trades:,} trades")
    path = write_history(source, trades, house.folder / "import.parquet")
    house.say("import: one import")
    found = room.job("import_file", {"path": str(path)}).finish(tell=False)
    path.unlink()
    if found["accepted"] != trades:
        raise BenchError(f"{found['accepted']:,} trades were accepted, the file holds {trades:,}.")
    return {
        "trades": trades,
        "seconds": round(found["seconds"], 2),
        "trades_per_s": round(trades / found["seconds"]),
        "cpu_ns_per_trade": round(found["cpu_s"] / trades * 1e9),
        "bytes_per_trade": round(found["bytes"] / trades, 2),
    }


def import_file(context: Context, path: Path) -> dict[str, Any]:
    """Import one file as the command does, without publishing it."""
    from ingest.archive_import import import_history
    from ingest.files.sources import open_source
    from slackwater.streams.mapping import Layout
    from slackwater.versions.writer_lock import hold_import

    topic_id = context.log.topic_id(context.names.topic(TRADES))
    source = open_source(TRADES, str(path), Layout({}, "us"))
    try:
        with hold_import(context.settings.home, topic_id) as lock:
            began, used = time.perf_counter(), time.process_time()
            done = import_history(TRADES, source, context.store, context.log, context.names, CLOCK, lock)
            seconds, cpu_s = time.perf_counter() - began, time.process_time() - used
    finally:
        source.close()
    size = sum(file.file.size for file in done.archive)
    return {"accepted": done.summary.accepted, "seconds": seconds, "cpu_s": cpu_s, "bytes": size}


def import_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    return [
        (
            f"`archive import` of {found['trades']:,} trades, Parquet",
            f"{found['trades_per_s'] / 1e6:.2f} M trades/s; {found['cpu_ns_per_trade']:,} ns of CPU and "
            f"{found['bytes_per_trade']} bytes a trade",
            "2 M",
        )
    ]
