"""The benchmark of publishing: what a manifest weighs and a publication takes after thousands of runs.

The runs are simulated: what each would have written is made up (10,000 trades of thirty seconds in four partitions, of
three views at five intervals), in sizes alone; nothing is computed. Real are the choice of what is merged and how it is
laid out, the manifest with its lists, the lock, the pointer and every fsync. Older versions are removed as an expiry
would do it, without its looks.
"""

import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from bench.house import House
from ops.context import CLOCK
from slackwater.store.compaction import Sized, amplification, plan_merges
from slackwater.store.layout import Counted, lay_out, slice_of
from slackwater.store.lists import listed
from slackwater.versions.manifest import (
    ArchiveFile,
    IdFile,
    Ledger,
    Manifest,
    Mark,
    Part,
    StoredFile,
    StreamCut,
    empty_manifest,
)
from slackwater.versions.proof import Proof, Span
from slackwater.versions.store import VersionStore
from slackwater.views.interval import DAY_US, Interval, parse_interval

VIEWS = ("bars", "flow", "sizes")
INTERVALS = ("1s", "1m", "1h", "1d", "1M")
SHARDS = 4
RUN_US = 30_000_000
BARS_OF_A_RUN = {"1s": 900, "1m": 60, "1h": 20, "1d": 20, "1M": 20}
BYTES_OF_A_BAR = 40
KEEP = 24
BUDGET = 64 * 1024 * 1024
BEGIN_US = 1_735_689_600_000_000  # 2025-01-01


class VersionsShape(NamedTuple):
    """Runs."""

    runs: int = 10_000


VERSIONS_SHAPE = VersionsShape()

Bars = dict[int, int]
"""Slice of a part -> bars in it."""


def measure_versions(house: House, shape: VersionsShape) -> dict[str, Any]:
    """Publish so many versions; what the last hundred took, and weigh."""
    room = house.room("versions")
    store = room.context.store
    parent, bars, seconds, most = empty_manifest({}), dict[str, Bars](), list[float](), 0
    for number in range(shape.runs):
        if number % 1000 == 0:
            house.say(f"versions: {number:,} of {shape.runs:,} runs")
        version = _run(store, parent, number, bars)
        most = max(most, _amplification(version))
        began = CLOCK.elapsed_s()
        store.publish(version, now_us=CLOCK.now_us)
        seconds.append(CLOCK.elapsed_s() - began)
        current = store.current()
        if current is None:
            raise ValueError("nothing is published")
        parent = current
        if version.version > KEEP:
            store.files.remove(store.folder / str(version.version - KEEP))
    last = seconds[-100:]
    return {
        "runs": shape.runs,
        "parts": len(parent.parts),
        "archive_files": len(parent.archive),
        "read_at_once": most,
        "manifest_kb": round(store.manifest_path(parent.version).stat().st_size / 1e3, 1),
        "publish_ms": round(statistics.median(last) * 1e3, 1),
        "slowest_ms": round(max(last) * 1e3, 1),
        "first_ms": round(statistics.median(seconds[:100]) * 1e3, 1),
    }


def versions_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    return [
        (
            f"publish after {found['runs']:,} simulated runs, median of 100",
            f"{found['publish_ms']} ms, slowest {found['slowest_ms']}; the first 100 {found['first_ms']}",
            "at most 200",
        ),
        (
            "manifest; parts that answer a read",
            f"{found['manifest_kb']} kB of {found['parts']:,} parts and {found['archive_files']:,} archive files; "
            f"{found['read_at_once']}",
            "64 kB; 8",
        ),
    ]


def _run(store: VersionStore, parent: Manifest, number: int, bars: dict[str, Bars]) -> Manifest:
    """What a run would publish."""
    version, run_id = store.reserve(), f"run-{number:06d}"
    at = BEGIN_US + number * RUN_US
    known: dict[tuple[str, str, int], list[Part]] = {}
    for part in parent.parts:
        known.setdefault((part.view, part.interval, part.shard), []).append(part)
    parts = [
        part
        for view, interval, shard in _places()
        for part in _placed(
            known.get((view, interval.text, shard), []), version, run_id, at, bars, view, interval, shard
        )
    ]
    archive = [
        ArchiveFile(
            _file(f"archive/{run_id}/trades-{p}-0.parquet", 2_500),
            "trades",
            run_id,
            p,
            at,
            at + 1,
            at,
            at + RUN_US,
            version,
        )
        for p in range(SHARDS)
    ]
    ids = tuple(IdFile(_file(f"archive/{run_id}/ids-{n}.parquet", 50), "trades") for n in range(12))
    proof = Proof(outcome="equal", reason="", spans=tuple(Span("trades", p, at, at, 0, 0) for p in range(SHARDS)))
    marks = tuple(Mark(p, number * 3_000, run_id) for p in range(SHARDS))
    return replace(
        parent,
        version=version,
        parent=parent.version,
        run_id=run_id,
        created_us=CLOCK.now_us(),
        streams={"trades": StreamCut("t" * 22, "d" * 22, marks, dict.fromkeys(range(SHARDS), number))},
        definitions=dict.fromkeys(VIEWS, "0" * 16),
        sources=dict.fromkeys(VIEWS, "trades"),
        archive=listed(parent.archive).plus(archive),
        ids=ids,
        parts=tuple(parts),
        proofs={"trades": proof},
        restatements=listed(parent.restatements).plus(
            [Ledger(_file(f"archive/{run_id}/restatements.parquet", 3), version, at, {"late_trade": 3})]
        ),
    )


def _places() -> Iterator[tuple[str, Interval, int]]:
    for view in VIEWS:
        for text in INTERVALS:
            for shard in range(SHARDS):
                yield view, parse_interval(text), shard


def _placed(
    known: list[Part],
    version: int,
    run_id: str,
    at: int,
    bars: dict[str, Bars],
    view: str,
    interval: Interval,
    shard: int,
) -> list[Part]:
    """The parts of one view, interval and shard after a run: its own, and those that were known, merged where due."""
    slices = slice_of(interval)
    own = {0 if slices is None else slices.floor(at): BARS_OF_A_RUN[interval.text]}
    if slices is not None and version % 20 == 0:  # a few late trades, at some old time
        own[slices.floor(at - 90 * DAY_US)] = 2
    mine = _laid_out(interval, own, (view, shard), (version, version), f"states/{run_id}", bars)
    parts = [*known, *mine]
    sized = [Sized(n, part.file.rows, part.file.size, part.low, part.high) for n, part in enumerate(parts)]
    left: list[Part | None] = [*parts]
    made: list[Part] = []
    merges = plan_merges(interval, sized, lambda each: each.number < len(known), BUDGET)
    for count, merge in enumerate(merges):
        inputs = [parts[number] for number in merge.parts]
        together: Bars = {}
        for part in inputs:
            for of, rows in bars.pop(part.file.path).items():
                together[of] = together.get(of, 0) + rows
        span = (min(part.made[0] for part in inputs), max(part.made[1] for part in inputs))
        made += _laid_out(interval, together, (view, shard), span, f"states/{run_id}/merged-{count}", bars)
        for number in merge.parts:
            left[number] = None
    return [*(part for part in left[: len(known)] if part is not None), *made, *mine]


def _laid_out(
    interval: Interval,
    rows: Bars,
    of: tuple[str, int],
    made: tuple[int, int],
    folder: str,
    bars: dict[str, Bars],
) -> list[Part]:
    slices, (view, shard) = slice_of(interval), of
    ends = {at: BEGIN_US * 2 if slices is None else slices.end(at) - 1 for at in rows}
    parts = []
    planned = lay_out(Counted(at, count, at, ends[at]) for at, count in rows.items())
    own = {each.slice for each in planned}
    for each in planned:
        path = f"{folder}/{view}/{interval.word}/{shard}-{each.slice}.parquet"
        file = _file(path, each.rows)
        parts.append(Part(file, view, interval.text, shard, each.low, each.high, made, made[0]))
        bars[path] = {at: n for at, n in rows.items() if (at == each.slice) or (each.slice is None and at not in own)}
    return parts


def _file(path: str, rows: int) -> StoredFile:
    return StoredFile(path, rows * BYTES_OF_A_BAR, f"{hash(path) & (1 << 256) - 1:064x}", rows, "16." + "A" * 44)


def _amplification(version: Manifest) -> int:
    found: dict[tuple[str, str, int], list[Sized]] = {}
    for n, part in enumerate(version.parts):
        sized = Sized(n, part.file.rows, part.file.size, part.low, part.high)
        found.setdefault((part.view, part.interval, part.shard), []).append(sized)
    return max(amplification(parts) for parts in found.values())
