"""What it costs to check files as they are read, in pairs within one run: the same reads with checksums and without.

    .venv/bin/python -m tests.bench_checks [--trades 1000000] [--pairs 9]

The archive and the views are those of a batch run, made by the real pipeline of random trades; both sides of a pair
find the files in the page cache, and the first of a pair changes. A name without checksums is a plain path.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from batch_layer.compute import archive_segments, instruments_of, made_parts, run_pipeline
from serving.store.batch import BatchReader
from serving.store.request import Keys, Range, RowRequest
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.store.files import Locate
from slackwater.store.instruments import Instruments
from slackwater.store.local_files import LocalFiles
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import ArchiveFile, Manifest, StoredFile, empty_manifest
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.interval import parse_interval

NOON = 1_759_752_000_000_000
SYMBOLS = [f"S{number}USDT" for number in range(6)]
WINDOW_S = 20_000  # of an export: its bars of six instruments
RANGES = 200


class Plain(StoredFile):
    """A file that is read as it is."""

    def checked(self, fetch: Locate) -> str:
        return str(fetch(self))


def plain(file: StoredFile) -> StoredFile:
    return Plain(**vars(file))


def trades(count: int) -> pa.Table:
    """Random trades in the order of their times, some in every second."""
    drawn = np.random.default_rng(1)
    units = {"price": drawn.integers(10**8, 10**13, count), "quantity": drawn.integers(1, 10**10, count)}
    columns = {
        "venue": pa.repeat("x", count),
        "symbol": pa.array(np.array(SYMBOLS)[np.arange(count) % len(SYMBOLS)]),
        "trade_id": pa.array(np.arange(count)),
        "time": pa.array(NOON + np.arange(count) * 200_000),
        "side": pa.array(np.where(drawn.integers(0, 2, count) == 0, "buy", "sell")),
    }
    for name, values in units.items():
        columns[name] = (
            pa.array(values).cast(pa.decimal128(19, 0)).view(pa.decimal128(19, 8)).cast(pa.decimal128(18, 8))
        )
    return pa.Table.from_arrays([columns[f.name].cast(f.type) for f in TRADES.schema], schema=TRADES.schema)


def published(home: Path, count: int) -> tuple[VersionStore, Manifest]:
    """A store with an archive and its views."""
    store = VersionStore(home)
    path, fetch = store.data.create(archive_path("run", TRADES, 0, 0)), store.data.fetch
    with ArchiveWriter(TRADES, path) as writer:
        writer.write(archive_table(TRADES, 0, trades(count)))
    archive = (ArchiveFile(store.stored(path, count), "trades", "run", 0, 0, count, writer.low, writer.high),)
    segments = archive_segments(fetch, "trades", "topic", archive)
    run_pipeline(segments, (BARS,), home / "views")
    parts = made_parts(store, segments, (BARS,), home / "views", 0)
    found = Instruments(instruments_of(fetch, BARS, parts))
    return store, replace(empty_manifest({}), archive=archive, parts=parts, instruments={"trades": found})


def pairs(number: int, checked: Callable[[], float], bare: Callable[[], float]) -> str:
    """Both sides, medians, and the ratio of each pair."""
    checked()
    bare()
    found = []
    for turn in range(number):
        sides = [checked, bare] if turn % 2 else [bare, checked]
        took = {side: side() for side in sides}
        found.append((took[checked], took[bare]))
    ratios = sorted(a / b for a, b in found)
    a, b = (statistics.median(side) for side in zip(*found, strict=True))
    return (
        f"{a * 1e3:9.2f} ms  {b * 1e3:9.2f} ms  {statistics.median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def timed(call: Callable[[], object]) -> float:
    """Seconds of the processor, in all threads: other work on the machine disturbs them least."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_checks")
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, manifest = published(Path(folder), options.trades)
        bare = replace(
            manifest,
            archive=tuple(replace(entry, file=plain(entry.file)) for entry in manifest.archive),
            parts=tuple(replace(f, file=plain(f.file)) for f in manifest.parts),
        )
        measure(store, manifest, bare, options.pairs)


def measure(store: VersionStore, manifest: Manifest, bare: Manifest, number: int) -> None:
    """Each line is a pair."""
    print("what                                     with checks   without      ratio (smallest to largest)")
    readers = [BatchReader(store.data.fetch, each) for each in (manifest, bare)]
    span_s = (manifest.instruments_of("trades")[0].last_start - NOON) // 1_000_000
    nothing = BARS.state_schema.empty_table()

    def read(reader: BatchReader, interval: str, symbols: tuple[str, ...], start_s: int, bars: int) -> int:
        length = parse_interval(interval)
        low = length.floor(NOON + start_s * 1_000_000)
        keys = Keys(tuple(("x", symbol) for symbol in symbols))
        request = RowRequest(BARS, keys, Range(length, low, low + bars * length.us))
        with reader.cursor() as cursor:
            return reader.states(request, nothing, cursor).num_rows

    for interval in ("1s", "1m"):
        drawn = random.Random(1)
        starts = [drawn.randrange(max(1, span_s - 500)) for _ in range(RANGES)]
        took: dict[int, list[float]] = {0: [], 1: []}
        for turn, start in enumerate(starts * 3):
            for side in (0, 1) if turn % 2 else (1, 0):
                call = partial(read, readers[side], interval, (SYMBOLS[turn % 6],), start, 500)
                took[side].append(timed(call))
        for percent in (50, 99):
            a, b = (float(np.percentile(took[side], percent)) * 1e3 for side in (0, 1))
            print(f"cold range of 500 bars at {interval}, p{percent}     {a:9.2f} ms  {b:9.2f} ms  {a / b:5.2f}")

    def export(reader: BatchReader) -> object:
        return [read(reader, "1s", tuple(SYMBOLS), at, WINDOW_S) for at in range(0, span_s, WINDOW_S)]

    line = pairs(number, lambda: timed(lambda: export(readers[0])), lambda: timed(lambda: export(readers[1])))
    print(f"export, the reads of all bars at 1s      {line}")

    def compute(of: Manifest, name: str) -> object:
        segments = archive_segments(store.data.fetch, "trades", "topic", of.archive)
        return run_pipeline(segments, (BARS,), store.home / name)

    line = pairs(number, lambda: timed(lambda: compute(manifest, "a")), lambda: timed(lambda: compute(bare, "b")))
    print(f"batch run: compute                       {line}")
    files, paths = LocalFiles(), [store.data.fetch(entry.file) for entry in (*manifest.archive, *manifest.parts)]
    line = pairs(
        number,
        lambda: timed(lambda: [files.seal(path) for path in paths]),
        lambda: timed(lambda: [files.fingerprint(path) for path in paths]),
    )
    print(f"batch run: publish, the sums of its files{line}")
    size = sum(path.stat().st_size for path in paths)
    sums = sum(len(entry.file.sums) for entry in (*manifest.archive, *manifest.parts))
    print(f"checksums in the manifest: {sums:,} bytes for {size / 1e6:.1f} MB of files")


if __name__ == "__main__":
    main()
