"""The benchmark of a batch run over much history: what 10,000 new trades cost over 3 million, over 30 million, or more.

History is imported as a Parquet file, since through the log it would take a hundred times as long. Then come runs of as
many new trades each, with the speed layer beside them, so that they are proven. Bytes are those that the run's process
asked for and wrote, whether a disk was needed or not; its imports are not among them.
"""

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from bench.house import BenchError, House, Room
from bench.latency import READY_S
from bench.trades import Trades, fill
from ingest.live import pass_at, pass_events
from ops.context import CLOCK
from ops.services import services
from slackwater.streams.schema import MAX_LINES


class HistoryShape(NamedTuple):
    """Trades of history for each part, new trades of a run, and runs."""

    sizes: tuple[int, ...] = (3_000_000, 30_000_000)
    new: int = 10_000
    runs: int = 24


HISTORY_SHAPE = HistoryShape()


def measure_history(house: House, source: Trades, shape: HistoryShape) -> dict[str, Any]:
    """Of each size: the seconds of the import and of the run that takes it, and the median of the runs after it."""
    found = []
    for size in shape.sizes:
        room = house.room(f"history-{size}")
        house.say(f"history: importing {size:,} trades")
        path = write_history(source, size, house.folder / f"history-{size}.parquet")
        began = CLOCK.elapsed_s()
        import_file(room, path)
        imported_s = CLOCK.elapsed_s() - began
        path.unlink()
        room.start(next(service for service in services(room.context.settings) if service.name == "speed"))
        runs = []
        for number in range(shape.runs):
            house.say(f"history: run {number + 1} of {shape.runs}")
            topic = room.context.names.topic("trades")
            fill(room.context.log, topic, source, shape.new, MAX_LINES, CLOCK)
            runs.append(room.job("batch", {"proof_deadline_s": READY_S}, f"batch-{size}").finish(tell=False))
        room.stop()
        found.append({**_figures(size, imported_s, runs), **_storage(room)})
    return {"new": shape.new, "runs": shape.runs, "sizes": found}


def write_history(source: Trades, size: int, path: Path) -> Path:
    """The newest `size` trades whose times lie before all that is appended later."""
    length = source.loop.events.num_rows
    passes = -(-size // length)
    last, left = pass_at(source.loop, CLOCK.now_us()) - 2, size
    with pq.ParquetWriter(path, source.loop.events.schema, compression="zstd") as writer:
        for number in range(last - passes, last):
            writer.write_table(pass_events(source.loop, number).slice(0, left))
            left -= min(left, length)
    return path


def import_file(room: Room, path: Path) -> None:
    """Import a file as a user does, and publish it. Raises BenchError."""
    command = [sys.executable, "-m", "ops", "archive", "import", str(path), "--time-unit", "us"]
    # No speed layer runs here, so there is nothing for a proof to wait for.
    environ = {**room.environ, "SLACKWATER_PROOF_SECONDS": "0"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"The import ended with code {done.returncode}.", done.stdout + done.stderr)


def _figures(size: int, imported_s: float, runs: list[dict[str, Any]]) -> dict[str, Any]:
    if any(run["proof"] != "equal" for run in runs):
        raise BenchError(f"Not every run is proven: {[run['proof'] for run in runs]}.")
    steps = {step: statistics.median(run["seconds"][step] for run in runs) for step in runs[0]["seconds"]}
    return {
        "trades": size,
        "import_s": round(imported_s, 1),
        "events": runs[-1]["events"],
        "wall_s": round(statistics.median(run["wall_s"] for run in runs), 2),
        "slowest_s": round(max(run["wall_s"] for run in runs), 2),
        "steps_s": {step: round(seconds, 3) for step, seconds in steps.items()},
        "read_mb": round(statistics.median(run["read_bytes"] for run in runs) / 1e6, 2),
        "written_mb": round(statistics.median(run["written_bytes"] for run in runs) / 1e6, 2),
        "resident_mb": round(statistics.median(run["resident_mb"] for run in runs)),
        "parts": runs[-1]["parts"],
        "manifest_kb": round(runs[-1]["manifest_bytes"] / 1e3, 1),
    }


def _storage(room: Room) -> dict[str, Any]:
    """What the views of all kept versions take on the disk, for each byte of the newest one's; and after a merge of all
    that the newest is made of.
    """
    store = room.context.store
    found = {}
    for name in ("storage", "storage_after_merge"):
        manifests = store.readable()
        listed = {part.file.path: part.file.size for manifest in manifests for part in manifest.parts}
        own = sum(part.file.size for part in manifests[0].parts)
        found[name] = round(sum(listed.values()) / own, 2)
        found[f"{name}_versions"] = len(manifests)
        if name == "storage":
            command = [sys.executable, "-m", "ops", "batch", "compact", "--all"]
            done = subprocess.run(command, env=room.environ, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchError(f"The merge ended with code {done.returncode}.", done.stdout + done.stderr)
    return found


def history_lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as lines of the benchmark's table."""
    lines, sizes = [], found["sizes"]
    for each in sizes:
        steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in each["steps_s"].items())
        lines += [
            (
                f"a run of {found['new']:,} new trades over {each['trades']:,}, median of {found['runs']}",
                f"{each['wall_s']} s (slowest {each['slowest_s']}); {steps}",
                "at most 2 s",
            ),
            (
                "what it reads, writes, is",
                f"{each['read_mb']:,} MB read, {each['written_mb']:,} MB written, {each['resident_mb']:,} MB resident; "
                f"{each['parts']:,} parts, manifest {each['manifest_kb']:,} kB",
                "",
            ),
            (
                f"views of {each['storage_versions']} versions : the newest's; after a merge of all",
                f"{each['storage']}; {each['storage_after_merge']}",
                "1.3; 2.1",
            ),
        ]
    if len(sizes) > 1:
        low, high = sizes[0], sizes[-1]
        ratios = ", ".join(f"{name} {high[key] / low[key]:.2f}" for name, key in _RATIOS if low[key])
        lines.append((f"{high['trades']:,} : {low['trades']:,}", ratios, "wall 1.3, bytes 1.1, resident 1.2"))
    return lines


_RATIOS = (("wall", "wall_s"), ("read", "read_mb"), ("written", "written_mb"), ("resident", "resident_mb"))
