"""The benchmark of cold reads of a batch view that lies in several parts, each of which holds bars of every time.

History is imported in as many runs as parts are asked for, each with every n-th trade: no two runs are apart in time,
so that a read must merge all that is left unmerged. What runs merge by themselves they merge here, too; how many parts
are left is given.

    cold       different questions by several connections, as the benchmark of the service asks them
    emptied    one question after the other; before each, the pages of all parts are dropped from the kernel's memory
"""

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from bench.history import import_file
from bench.house import BenchError, House
from bench.latency import start_layers
from bench.serving import Loads, ServingSpans, cold_paths, reads
from bench.trades import Trades
from ingest.live import pass_at, pass_events
from ops.context import CLOCK
from ops.rest import session
from slackwater.keys.keys import KeyStore
from slackwater.store.compaction import Sized, amplification
from slackwater.versions.manifest import Manifest
from slackwater.views.interval import parse_interval


class ColdShape(NamedTuple):
    """Runs, and questions with emptied caches."""

    runs: int = 8
    emptied: int = 300


COLD_SHAPE = ColdShape()


def measure_cold(house: House, source: Trades, trades: int, shape: ColdShape, spans: ServingSpans) -> dict[str, Any]:
    """The figures; times in milliseconds."""
    room = house.room("cold")
    house.say(f"cold: importing {trades:,} trades in {shape.runs} runs")
    paths = _write(source, trades, shape.runs, house.folder)
    for path in paths:
        import_file(room, path)
        path.unlink()
    serving = start_layers(room)
    manifest = room.context.store.current()
    if manifest is None or serving.pid is None:
        raise BenchError("Nothing is served.")
    _, key = KeyStore(room.context.settings.home).create("bench", "read", CLOCK.now_us())
    headers = [("Authorization", f"Bearer {key}")]
    asked = cold_paths(manifest, parse_interval("1m"), spans.cold_paths)
    read = reads(room.context)
    cold = Loads(house, room, spans, headers)("cold 1m", asked, spans.cold_connections)
    cold["read_files"] = reads(room.context) - read
    found = {"trades": trades, "runs": shape.runs, "read_at_once": _at_once(manifest), "cold": cold}
    house.say("cold: with emptied caches")
    files = [room.context.store.data.fetch(part.file) for part in manifest.parts]
    times = []
    with session(room.context) as client:
        for question in asked[-shape.emptied :]:
            _drop(files)
            began = time.perf_counter()
            response = client.get(question, headers=dict(headers))
            times.append((time.perf_counter() - began) * 1e3)
            if response.status_code != 200:
                raise BenchError(f"An answer is {response.status_code}.", response.text[:300])
    room.stop()
    p50, p99 = np.percentile(times, [50, 99]).round(1).tolist()
    return {**found, "emptied": {"questions": len(times), "p50": p50, "p99": p99}}


def cold_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    cold, emptied = found["cold"], found["emptied"]
    what = f"cold 500 bars of 1m from {found['trades']:,} trades of {found['runs']} runs"
    return [
        (
            f"{what}, {cold['connections']} connections",
            f"{cold['per_s']:,}/s, p50 {cold['p50']}, p99 {cold['p99']} ms; {cold['read_files']:,} read files; "
            f"{found['read_at_once']} parts at once",
            "p99 at most 50 ms",
        ),
        (
            f"the same, caches emptied before each of {emptied['questions']}",
            f"p50 {emptied['p50']}, p99 {emptied['p99']} ms",
            "p99 at most 120 ms",
        ),
    ]


def _write(source: Trades, trades: int, runs: int, folder: Path) -> list[Path]:
    """Files of history, each with every n-th trade."""
    schema, length = source.loop.events.schema, source.loop.events.num_rows
    passes = -(-trades // length)
    last, left = pass_at(source.loop, CLOCK.now_us()) - 2, trades
    paths = [folder / f"cold-{n}.parquet" for n in range(runs)]
    writers = [pq.ParquetWriter(path, schema, compression="zstd") for path in paths]
    try:
        for number in range(last - passes, last):
            events = pass_events(source.loop, number).slice(0, left)
            left -= events.num_rows
            for n, writer in enumerate(writers):
                writer.write_table(events.take(np.arange(n, events.num_rows, runs)))
    finally:
        for writer in writers:
            writer.close()
    return paths


def _at_once(manifest: Manifest) -> int:
    places: dict[tuple[str, int], list[Sized]] = {}
    for n, part in enumerate(manifest.parts):
        if part.interval == "1m":
            sized = Sized(n, part.file.rows, part.file.size, part.low, part.high)
            places.setdefault((part.view, part.shard), []).append(sized)
    return max(map(amplification, places.values()))


def _drop(files: list[Path]) -> None:
    """Let the kernel forget the pages of files."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
