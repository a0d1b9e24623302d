"""The benchmark of the batch layer: one whole run, then its compute step beside plain DuckDB and beside rows.

The ratio is that of pairs: compute and DuckDB run one after the other, in fresh processes over the same files, in turn
which of them comes first; the figure is the median of the pairs' ratios. Both write the same states, which is checked.
"""

import statistics
from typing import Any

from bench.house import BenchError, House
from bench.trades import Trades, fill
from ops.context import CLOCK
from slackwater.streams.schema import MAX_LINES


def measure_batch(house: House, source: Trades, trades: int, pairs: int, row_trades: int) -> dict[str, Any]:
    """Mark, archive, compute and publish `trades` trades; `row_trades` of them row at a time."""
    room = house.room("batch")
    house.say(f"batch: filling the log with {trades:,} trades, {MAX_LINES} a record")
    filled = fill(room.context.log, room.context.names.topic("trades"), source, trades, MAX_LINES, CLOCK)
    house.say("batch: one run")
    run = room.job("batch").finish(tell=False)
    if run["events"] != trades:
        raise BenchError(f"The version holds {run['events']:,} trades, the log {trades:,}.")
    folders = {name: str(house.folder / f"bench-{name}") for name in ("compute", "duckdb", "rows")}
    given = {"archive": run["archive"], "row_group_rows": run["row_group_rows"]}
    timed: list[dict[str, Any]] = []
    for number in range(pairs):
        house.say(f"batch: compute and plain DuckDB, pair {number + 1} of {pairs}")
        names = ("compute", "duckdb") if number % 2 == 0 else ("duckdb", "compute")
        timed.append({name: room.job(name, {**given, "folder": folders[name]}).finish(tell=False) for name in names})
    same = room.job("same", {"folders": [folders["compute"], folders["duckdb"]]}).finish(tell=False)
    house.say(f"batch: {row_trades:,} trades row at a time")
    rows = room.job("rows", {**given, "folder": folders["rows"], "trades": row_trades}).finish(tell=False)
    if not same["equal"] or not rows["equal"]:
        raise BenchError(f"What is compared does not compute the same bars: {same}, {rows}.")
    ratios = [pair["duckdb"]["seconds"] / pair["compute"]["seconds"] for pair in timed]
    by_cpu = [pair["duckdb"]["cpu_s"] / pair["compute"]["cpu_s"] for pair in timed]
    query = [pair["duckdb"]["query_s"] / pair["compute"]["seconds"] for pair in timed]
    return {
        "trades": trades,
        "bars": same["bars"],
        "filled_trades_per_s": round(trades / filled.seconds),
        "seconds": run["seconds"],
        "archive_trades_per_s": round(trades / run["seconds"]["archive"]),
        "pairs": [
            {
                "compute_s": round(pair["compute"]["seconds"], 3),
                "compute_cpu_s": round(pair["compute"]["cpu_s"], 3),
                "duckdb_s": round(pair["duckdb"]["seconds"], 3),
                "duckdb_cpu_s": round(pair["duckdb"]["cpu_s"], 3),
                "duckdb_query_s": round(pair["duckdb"]["query_s"], 3),
                "duckdb_write_s": round(pair["duckdb"]["write_s"], 3),
            }
            for pair in timed
        ],
        "compute_trades_per_s": round(trades / statistics.median(pair["compute"]["seconds"] for pair in timed)),
        "duckdb_trades_per_s": round(trades / statistics.median(pair["duckdb"]["seconds"] for pair in timed)),
        "duckdb_query_trades_per_s": round(trades / statistics.median(pair["duckdb"]["query_s"] for pair in timed)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_by_cpu": round(statistics.median(by_cpu), 3),
        "ratio_to_query_alone": round(statistics.median(query), 3),
        "rows_trades": rows["trades"],
        "rows_trades_per_s": round(rows["trades"] / rows["seconds"]),
    }
