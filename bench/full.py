"""The benchmark of a full compute within a named memory: two sizes of history, beside plain DuckDB of the same memory.

    archive   files as an import writes them, a shard for each partition, made here: through a log takes hours
    pairs     compute and DuckDB one after the other, in fresh processes, in turn which comes first

Memory is the largest resident size of the process that computes, as the kernel has it. Not here: a whole batch run
(`bench.batch`), runs over much history (`bench.history`).
"""

import statistics
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bench.house import BenchError, House, Room
from bench.trades import Trades
from ingest.live import pass_at, pass_events
from ops.context import CLOCK
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.streams.trades import TRADES

FILE_ROWS = 4_000_000
EPOCH = "bench"


class FullShape(NamedTuple):
    """The larger of two sizes is `--trades`, the smaller one `part` of it; pairs of each; the memory of a process."""

    part: int = 10
    pairs: int = 3
    memory_bytes: int = 2_000_000_000


FULL_SHAPE = FullShape()


def measure_full(house: House, source: Trades, trades: int, shape: FullShape) -> dict[str, Any]:
    """Of both sizes: seconds, the ratio to plain DuckDB, and memory."""
    sizes = [_measure(house, source, size, shape) for size in (max(1, trades // shape.part), trades)]
    return {"memory_mb": shape.memory_bytes // 1_000_000, "pairs": shape.pairs, "sizes": sizes}


def _measure(house: House, source: Trades, size: int, shape: FullShape) -> dict[str, Any]:
    room = house.room(f"full-{size}")
    house.say(f"full: writing an archive of {size:,} trades")
    files = write_archive(source, size, room)
    timed: list[dict[str, Any]] = []
    folders = {name: str(house.folder / f"{name}-{size}") for name in ("full", "duckdb")}
    given: dict[str, Any] = {"files": files, "archive": [path for of in files.values() for path in of]}
    given |= {"memory_bytes": shape.memory_bytes, "row_group_rows": 16_384, "spill": str(house.folder / "spilled")}
    for number in range(shape.pairs):
        house.say(f"full: {size:,} trades, pair {number + 1} of {shape.pairs}")
        names = ("full", "duckdb") if number % 2 == 0 else ("duckdb", "full")
        timed.append({name: room.job(name, {**given, "folder": folders[name]}).finish(tell=False) for name in names})
    same = room.job("same", {"folders": [folders["full"], folders["duckdb"]]}).finish(tell=False)
    if not same["equal"]:
        raise BenchError(f"What is compared does not compute the same bars: {same}.")
    for path in given["archive"]:
        Path(path).unlink()
    full = statistics.median(pair["full"]["seconds"] for pair in timed)
    return {
        "trades": size,
        "bars": same["bars"],
        "seconds": round(full, 1),
        "duckdb_s": round(statistics.median(pair["duckdb"]["seconds"] for pair in timed), 1),
        "trades_per_s": round(size / full),
        "ratio": round(statistics.median(p["duckdb"]["seconds"] / p["full"]["seconds"] for p in timed), 3),
        "ratio_by_cpu": round(statistics.median(p["duckdb"]["cpu_s"] / p["full"]["cpu_s"] for p in timed), 3),
        "peak_mb": round(max(pair["full"]["peak_mb"] for pair in timed)),
        "duckdb_peak_mb": round(max(pair["duckdb"]["peak_mb"] for pair in timed)),
    }


def write_archive(source: Trades, size: int, room: Room) -> dict[str, list[str]]:
    """Shard -> the files of the newest `size` trades; each holds some FILE_ROWS of them."""
    data, shards = room.context.store.data, room.context.settings.partitions
    of = np.array(source.partitions(room.context.log, shards))[source.instrument_of]
    passes = -(-size // source.loop.events.num_rows)
    last, left = pass_at(source.loop, CLOCK.now_us()) - 2, size
    files: dict[str, list[str]] = {}
    writers: dict[int, ArchiveWriter] = {}
    for number in range(last - passes, last):
        events = pass_events(source.loop, number).slice(0, left)
        left -= events.num_rows
        for shard in range(shards):
            rows = np.flatnonzero(of[: events.num_rows] == shard)
            if not len(rows):
                continue
            if shard not in writers:
                there = files.setdefault(str(shard), [])
                path = data.create(archive_path(EPOCH, TRADES, shard, len(there)))
                there.append(str(path))
                writers[shard] = ArchiveWriter(TRADES, path)
            writers[shard].write(archive_table(TRADES, shard, events.take(pa.array(rows))))
            if writers[shard].rows >= FILE_ROWS:
                writers.pop(shard).close()
    for writer in writers.values():
        writer.close()
    return files


def full_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    lines, sizes, memory = [], found["sizes"], found["memory_mb"]
    for each, wanted in zip(sizes, ("0.8", "0.85"), strict=True):
        lines += [
            (
                f"full compute of {each['trades']:,} trades within {memory:,} MB / plain DuckDB",
                f"{each['ratio']} (by CPU {each['ratio_by_cpu']}): {each['seconds']} s and {each['duckdb_s']} s",
                f"at least {wanted}",
            ),
            ("its memory, and DuckDB's", f"{each['peak_mb']:,} MB, {each['duckdb_peak_mb']:,} MB", f"below {memory:,}"),
        ]
    low, high = sizes
    what = f"memory at {high['trades']:,} / at {low['trades']:,}"
    return [*lines, (what, f"{high['peak_mb'] / low['peak_mb']:.2f}", "at most 1.3")]
