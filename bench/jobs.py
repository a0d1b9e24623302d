"""The benchmark's own child processes: `python -m bench.jobs <job>`, settings as always.

Each reads its parameters as a line of JSON and prints what it found as one. Times are taken inside, after everything is
imported: what is compared is the work. `produce`, `poll`, `ask` and `listen` go on until their standard input is
closed. Not here: what a figure means (`bench_batch`, `bench_latency`).
"""

import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pyarrow.parquet as pq

from bench import floor
from bench.trades import Trades
from ingest.writer import LINGER_S
from ops.context import CLOCK, Context
from slackwater.core.logs import set_up_logging
from slackwater.core.settings import from_environ
from slackwater.log.stages import Sampler
from slackwater.pipeline.segment import Segment, Slot
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS
from slackwater.views.levels import finer_published
from slackwater.views.limits import UNLIMITED, Limits
from slackwater.views.rows import rows_of
from slackwater.views.session import Summariser, connect, files_sql
from slackwater.views.sql import merge_sql, summarise_sql

SAMPLED = 97
"""Of so many trades one carries its times: the product's own one in ten thousand would be three in a span. A prime, so
that it meets every instrument of the loop."""

POLL_PAUSE_S = 0.003
"""Between an answer and the next question: the one who asks is on the same cores."""

Parameters = dict[str, Any]


def batch(context: Context, given: Parameters) -> Parameters:
    """One batch run: its steps in seconds, publish among them, what it made, and what it read and wrote for it."""
    import psutil

    from batch_layer.run import BatchRun
    from batch_layer.sink import ROW_GROUP_ROWS

    process = psutil.Process()
    run = BatchRun(context.parts, proof_deadline_s=given.get("proof_deadline_s", 0.0))
    before, began = process.io_counters(), time.perf_counter()
    manifest = run.run()
    after, wall_s = process.io_counters(), time.perf_counter() - began
    return {
        "wall_s": wall_s,
        "read_bytes": after.read_chars - before.read_chars,
        "written_bytes": after.write_chars - before.write_chars,
        "resident_mb": process.memory_info().rss / 1e6,
        "proof": manifest.proof.outcome,
        "parts": len(manifest.parts),
        "manifest_bytes": context.store.manifest_path(manifest.version).stat().st_size,
        "seconds": {step: ms / 1e3 for step, ms in run.timings_ms.items()},
        "events": manifest.count("events"),
        "version": manifest.version,
        "archive": [str(context.store.data.fetch(entry.file)) for entry in manifest.archive],
        "row_group_rows": ROW_GROUP_ROWS,
    }


def compute(context: Context, given: Parameters) -> Parameters:
    """The compute step of a batch run alone, over the archive of the served version."""
    from batch_layer.compute import archive_segments, run_pipeline

    manifest = context.store.current()
    assert manifest is not None  # noqa: S101 - the job `batch` has run
    segments = archive_segments(
        context.store.data.fetch, TRADES.name, manifest.of(TRADES).topic_id, manifest.archive_of(TRADES)
    )
    began, used = time.perf_counter(), time.process_time()
    run_pipeline(segments, context.views, Path(given["folder"]))
    return {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - used}


def full(context: Context, given: Parameters) -> Parameters:
    """A full compute of archive files by shard, within a memory."""
    from batch_layer.compute import run_pipeline

    segments = [
        Segment(Slot(TRADES.name, "", int(shard), 0, 1, sealed=True, shard=int(shard)), None, tuple(files))
        for shard, files in given["files"].items()
    ]
    began, used = time.perf_counter(), time.process_time()
    run_pipeline(segments, context.views, Path(given["folder"]), None, _limits(given))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - used
    return {"seconds": seconds, "cpu_s": cpu_s, "peak_mb": _peak_mb()}


def _limits(given: Parameters) -> Limits:
    return Limits(given["memory_bytes"], spill=Path(given["spill"])) if "memory_bytes" in given else UNLIMITED


def _peak_mb() -> float:
    """The largest resident size of this process so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def duckdb(context: Context, given: Parameters) -> Parameters:
    """Plain DuckDB: the same query over the same files in one go, and the same outputs, one file an interval."""
    memory = f"{limits.session_bytes}B" if (limits := _limits(given)).memory_bytes else None
    with connect(memory_limit=memory, spill=limits.spill) as con:
        used = time.process_time()
        lap = _Laps()
        for view in context.views:
            base = view.intervals[0]
            con.execute(
                f"CREATE TEMP TABLE {view.name}_{base.text} AS {summarise_sql(view, files_sql(given['archive']))}"
            )
            lap("query")
            con.execute("SET preserve_insertion_order = true")
            for interval in view.intervals:
                source = f"{view.name}_{interval.text}"
                if interval != base:
                    finer = f"{view.name}_{finer_published(view, interval).text}"
                    con.execute(f"CREATE TEMP TABLE {source} AS {merge_sql(view, finer, interval)}")
                path = Path(given["folder"]) / view.name / interval.text / "all.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                order = ", ".join([*view.key, "start"])
                con.execute(
                    f"COPY (SELECT * FROM {source} ORDER BY {order}) TO '{path}' "
                    f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {int(given['row_group_rows'])})"
                )
            con.execute("SET preserve_insertion_order = false")
            lap("write")
    laps = {f"{name}_s": seconds for name, seconds in lap.seconds.items()}
    return {"seconds": lap.total(), "cpu_s": time.process_time() - used, "peak_mb": _peak_mb(), **laps}


def same(context: Context, given: Parameters) -> Parameters:
    """Whether two folders of views hold the same states, and how many bars they have at the base interval."""
    bars, equal = 0, True
    with connect() as con:
        for view in context.views:
            for interval in view.intervals:
                left, right = (
                    files_sql(
                        sorted(str(path) for path in (Path(folder) / view.name / interval.text).glob("*.parquet"))
                    )
                    for folder in given["folders"]
                )
                for a, b in ((left, right), (right, left)):
                    more = con.execute(f"SELECT * FROM {a} EXCEPT ALL SELECT * FROM {b} LIMIT 1").fetchone()
                    equal = equal and more is None
        base = Path(given["folders"][0]) / BARS.name / BARS.base
        bars = sum(pq.read_metadata(path).num_rows for path in base.glob("*.parquet"))
    return {"equal": equal, "bars": bars}


def rows(_: Context, given: Parameters) -> Parameters:
    """The row-at-a-time pipeline over the first trades of the archive, and whether it found what the view finds."""
    from bench.row_at_a_time import run_row_at_a_time

    folder = Path(given["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    piece, target = folder / "slice.parquet", folder / "bars.parquet"
    batches = pq.ParquetFile(given["archive"][0]).iter_batches(batch_size=given["trades"])
    found = next(batches)
    with pq.ParquetWriter(piece, found.schema, store_decimal_as_integer=True) as writer:
        writer.write_batch(found)
    began = time.perf_counter()
    run_row_at_a_time(piece, target)
    seconds = time.perf_counter() - began
    summariser = Summariser((BARS,))
    equal = rows_of(BARS, summariser.files(BARS, [str(piece)])) == rows_of(BARS, pq.read_table(target))
    summariser.close()
    return {"trades": found.num_rows, "seconds": seconds, "equal": equal}


def produce(context: Context, given: Parameters) -> Parameters:
    """`rate` trades a second, one a record, as they happen; when each one of the busiest instrument was sent."""
    source, log, topic = Trades(), context.log, context.names.topic("trades")
    partitions = source.partitions(log, context.settings.partitions)
    keys = [source.key(i) for i in range(len(source.instruments))]
    of, ids = source.instrument_of.tolist(), [0] * len(source.instruments)
    watched, sent_ns = source.busiest(), []
    writer, sampler = log.writer(LINGER_S), Sampler(CLOCK, SAMPLED)
    with _until_closed() as closed:
        began, number = time.perf_counter(), 0
        while not closed.is_set():
            due = int((time.perf_counter() - began) * given["rate"])
            for row in range(number, due):
                at = row % len(of)
                instrument = of[at]
                ids[instrument] += 1
                now_ns = time.time_ns()
                value = source.line(at, ids[instrument], now_ns // 1000)
                if instrument == watched:
                    sent_ns.append(now_ns)
                writer.append(topic, partitions[instrument], keys[instrument], value, sampler.headers(1))
            number = max(number, due)
            time.sleep(max(0.0, began + (number + 1) / given["rate"] - time.perf_counter()))
        seconds = time.perf_counter() - began
    writer.close()
    return {"trades": number, "seconds": seconds, "instrument": source.instruments[watched], "sent_ns": sent_ns}


def send(context: Context, given: Parameters) -> Parameters:
    """Of `bench floor`: the first process."""
    with _until_closed() as closed:
        return floor.send(context.log, given, closed)


def echo(context: Context, given: Parameters) -> Parameters:
    """Of `bench floor`: the second process."""
    with _until_closed() as closed:
        return floor.echo(context.log, given, closed)


def arrive(context: Context, given: Parameters) -> Parameters:
    """Of `bench floor`: the third process."""
    with _until_closed() as closed:
        return floor.arrive(context.log, given, closed)


def decoded(context: Context, given: Parameters) -> Parameters:
    """Of `bench speed`: what the drain is measured against."""
    from bench.decoded import decode_alone

    return decode_alone(context.log, given["topic"])


def archive(context: Context, _: Parameters) -> Parameters:
    """Of `bench archive`: the archive step of a run."""
    from bench.archive import archive_log

    return archive_log(context)


def import_file(context: Context, given: Parameters) -> Parameters:
    """Of `bench import`: one file."""
    from bench import bulk

    return bulk.import_file(context, Path(given["path"]))


def poll(context: Context, given: Parameters) -> Parameters:
    """Asks for the last two bars again and again: when each new id and version was there, and how long an answer took.

    `seen` holds (nanoseconds, newest id) where it changed, `versions` (nanoseconds, version), `asked` (nanoseconds,
    milliseconds) of every question.
    """
    query = urlencode({"venue": given["venue"], "symbol": given["symbol"], "interval": "1s", "limit": 2})
    path = f"/v1/{BARS.name}?{query}"
    seen: list[tuple[int, int]] = []
    versions: list[tuple[int, int]] = []
    asked: list[tuple[int, float]] = []
    failed = newest = 0
    service = http.client.HTTPConnection(context.settings.host, context.settings.port, timeout=10)
    with _until_closed() as closed:
        while not closed.is_set():
            began_ns = time.time_ns()
            service.request("GET", path)
            response = service.getresponse()
            body = response.read()
            now_ns = time.time_ns()
            if response.status != http.HTTPStatus.OK:
                failed += 1
                time.sleep(0.05)  # the instrument is not there before its first trade
                continue
            answer = orjson.loads(body)
            asked.append((now_ns, (now_ns - began_ns) / 1e6))
            last = max((bar["last_sequence"] for bar in answer[BARS.name]), default=0)
            if last > newest:
                newest = last
                seen.append((now_ns, last))
            if not versions or versions[-1][1] != answer["meta"]["version"]:
                versions.append((now_ns, answer["meta"]["version"]))
            time.sleep(POLL_PAUSE_S)
    service.close()
    return {"seen": seen, "versions": versions, "asked": asked, "failed": failed}


def ask(context: Context, given: Parameters) -> Parameters:
    """The clients of `slackwater swaps`."""
    from bench.swap_clients import Clients

    settings = context.settings
    shape = given["rate"], given["clients"], given["connections"]
    with _until_closed() as closed:
        return Clients(settings.host, settings.port, given["paths"], *shape).run(closed)


def crowd(context: Context, given: Parameters) -> Parameters:
    """The clients of `bench overload`."""
    from bench.crowd import Crowd, run_crowd

    found = Crowd(context.settings.port, given["path"], given["polite"], given["headers"])
    return run_crowd(found, given["clients"], given["seconds"])


def listen(context: Context, given: Parameters) -> Parameters:
    """The clients of `bench_stream`."""
    from bench.listen import listen as run

    settings = context.settings
    with _until_closed() as closed:
        found: Parameters = run(settings.host, settings.port, given, closed)
        return found


def load(context: Context, given: Parameters) -> Parameters:
    """The clients of `bench_serving`."""
    from bench.load import Target, run_load

    if hasattr(os, "sched_setaffinity"):
        # Linux likes to wake a client on the core of who answered it: both would share one, and the other idles.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    settings = context.settings
    headers = [(name, value) for name, value in given["headers"]]
    target = Target(settings.host, settings.port, given["paths"], headers)
    return run_load(target, given["connections"], given["warm_s"], given["span_s"]).facts()


def export(context: Context, given: Parameters) -> Parameters:
    """One export as an Arrow stream, read and counted as it comes, over a connection that is open."""
    import pyarrow as pa

    service = http.client.HTTPConnection(context.settings.host, context.settings.port, timeout=60)
    service.connect()
    began, used = time.perf_counter(), time.process_time()
    service.request("GET", given["path"], headers=given["headers"])
    response = service.getresponse()
    if response.status != http.HTTPStatus.OK:
        raise SystemExit(f"{response.status}: {response.read()!r}")
    counted = _Counted(response)
    rows = sum(batch.num_rows for batch in pa.ipc.open_stream(counted))
    seconds = time.perf_counter() - began
    service.close()
    cpu_s = time.process_time() - used
    first_s = counted.first_at - began
    return {"rows": rows, "bytes": counted.bytes, "seconds": seconds, "first_s": first_s, "cpu_s": cpu_s}


class _Counted:
    """A file over an answer that knows when its first bytes came, and how many there were."""

    closed = False

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.first_at = 0.0
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        found = self._response.read(size)
        self.first_at = self.first_at or time.perf_counter()
        self.bytes += len(found)
        return found

    def close(self) -> None:
        self.closed = True


class _Laps:
    """A stopwatch with named laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now

    def total(self) -> float:
        """All laps."""
        return sum(self.seconds.values())


@contextmanager
def _until_closed() -> Iterator[threading.Event]:
    """An event that is set when standard input is closed."""
    closed = threading.Event()

    def read() -> None:
        sys.stdin.read()
        closed.set()

    threading.Thread(target=read, daemon=True).start()
    yield closed


_READING = batch, compute, full, duckdb, same, rows, decoded, archive, import_file
_RUNNING = produce, send, echo, arrive, poll, ask, crowd, listen, load, export

JOBS: dict[str, Callable[[Context, Parameters], Parameters]] = {job.__name__: job for job in (*_READING, *_RUNNING)}


if __name__ == "__main__":
    set_up_logging()
    print(json.dumps(JOBS[sys.argv[1]](Context(from_environ(os.environ)), json.loads(sys.stdin.readline()))))
