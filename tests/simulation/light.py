"""What stands in for the heavy parts, so that a step takes milliseconds: no runner, one DuckDB session for all.

    BatchRun.compute          the same DoFn (SQL of the view) without a runner, merged by the views' Python merge
    serving's BatchReader     the same Parquet files, read by PyArrow, merged by the views' Python merge
    connect                   one open session instead of a new one a run
    the archive's threads     what they do, at once
    restate, Restating.record_move   left out: the ledger is no part of an answer, and has random logs of its own
                              (tests/test_restatements.py, tests/test_restating.py)

SQL merge == Python merge is a law of every view (tests/laws.py); that the stand-ins give the rows of the real parts is
tested in test_simulation.py. Nothing of cutting, cells, chains, publishing or expiring is replaced.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_layer.sink import Written, shard_path, write_result
from serving.store.batch import BatchReader
from serving.store.request import RowRequest
from serving.store.row_cache import first
from slackwater.core.checked_files import path_of
from slackwater.pipeline.segment import Block, Segment, States
from slackwater.pipeline.summarise import _SummariseSegment
from slackwater.store import compaction, layout
from slackwater.store.files import Locate
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.versions.moves import NOTHING_RECORDED
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS, Interval
from slackwater.views.measures import Count, Last, Max, Min
from slackwater.views.merge import State
from slackwater.views.rows import Row, rows_of, table_of
from slackwater.views.session import Summariser, connect
from slackwater.views.view import View
from speed_layer import tiling

GRID = 4
"""Offsets between grid lines, as in the model of the design; the definition hash keeps the true one."""

SLICE_ROWS = 5
"""Bars from which a slice is a part of its own. Two parts may hold one bar, and no more: they are merged often."""

KEPT_CELLS = 20_000

TAPE = View(
    name="tape",
    measures={"last": Last("price", by="sequence"), "trades": Count()},
    answers={"last": Column("last"), "trades": Column("trades")},
    stream=TRADES,
)
"""A second view: rules about several views need two."""

VIEWS = (BARS, TAPE)

TURNED = replace(BARS, measures={**BARS.measures, "high": Min("price"), "low": Max("price")})
"""Another definition of the first view, in which high and low change places."""


class _Session:
    """A DuckDB session that nobody closes."""

    def __init__(self, con: Any) -> None:
        self._con = con

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self) -> "_Session":
        return self

    def close(self) -> None:
        """It stays open."""


@cache
def _one_session() -> _Session:
    return _Session(connect(1))


def session(**_: object) -> _Session:
    """The one that is open; it takes what `connect` takes."""
    return _one_session()


def own_session(*_: object) -> _Session:
    """One whose tables are its own: merges of several programs go on side by side."""
    return _Session(session()._con.cursor())


class _Remembering(Summariser):
    """Workers make the same cells again and again."""

    def __init__(self, views: tuple[View, ...]) -> None:
        super().__init__(views)
        self._known: dict[Any, list[Row]] = {}

    def rows(self, view: View, events: pa.Table) -> list[Row]:
        name = _name(view, events)
        if name not in self._known:
            self._keep(name, super().rows(view, events))
        return self._known[name]

    def rows_of_each(self, view: View, segments: Sequence[pa.Table]) -> list[list[Row]]:
        names = [_name(view, events) for events in segments]
        new = [number for number, name in enumerate(names) if name not in self._known]
        found = super().rows_of_each(view, [segments[number] for number in new]) if new else []
        known = dict(zip(new, found, strict=True))
        rows = [known[n] if n in known else self._known[name] for n, name in enumerate(names)]
        for number in new:
            self._keep(names[number], known[number])
        return rows

    def _keep(self, name: Any, rows: list[Row]) -> None:
        if len(self._known) > KEPT_CELLS:
            self._known.clear()
        self._known[name] = rows


def _name(view: View, events: pa.Table) -> Any:
    return view.definition, *(tuple(column.to_pylist()) for column in events.columns)


def summariser(views: tuple[View, ...]) -> Summariser:
    """The one of these views; by what they measure, since a test may take that out of their definition."""
    return _summariser(views, repr([view.measures for view in views]))


@cache
def _summariser(views: tuple[View, ...], measures: str) -> Summariser:
    del measures
    return _Remembering(views)


def summarise(views: tuple[View, ...], segment: Segment | Block) -> Iterator[States]:
    """The pipeline's own step, with a session that is open already."""
    step = _SummariseSegment(views, 1)
    step._summariser = summariser(views)
    yield from step.process(segment)


def merged(view: View, rows: Iterable[Row], interval: Interval) -> list[Row]:
    """Rows at an interval, one a bar, sorted by key and start."""
    merge = view.merge
    found: dict[tuple[tuple[str, ...], int], State] = {}
    for key, start, state in rows:
        at = key, interval.floor(start)
        found[at] = merge(found[at], state) if at in found else state
    return sorted(Row(key, start, state) for (key, start), state in found.items())


def compute_with(pause: Callable[[str], None]) -> Any:
    """A `Compute` that is a turn for each file."""

    def compute(segments: Sequence[Segment], views: tuple[View, ...], folder: Path, *more: object) -> None:
        del more
        for view in views:
            shards: dict[int, list[Row]] = {}
            for segment in (each for each in segments if each.is_for(view)):
                pause(f"compute {view.name} {segment.slot.shard}")
                for path in map(path_of, segment.paths):
                    shards.setdefault(segment.slot.shard, []).extend(rows_of_events(path, view, views))
            for shard, rows in shards.items():
                written = []
                for interval in PUBLISHED_INTERVALS:
                    bars = merged(view, rows, interval)
                    for of, those in laid_out(interval, bars):
                        path = shard_path(folder, view.name, interval, shard, of)
                        path.parent.mkdir(parents=True, exist_ok=True)
                        pq.write_table(table_of(view, those), path)
                        starts = [bar.start for bar in those]
                        name = str(path.relative_to(folder))
                        written.append(Written(interval.text, name, len(those), min(starts), max(starts)))
                write_result(folder, view.name, shard, written)

    return compute


def laid_out(interval: Interval, bars: Sequence[Row]) -> Iterator[tuple[int | None, list[Row]]]:
    """The slice of each part that bars become, None for the wide one, and its bars."""
    slices, by_slice = layout.slice_of(interval), dict[int, list[Row]]()
    for bar in bars:
        by_slice.setdefault(0 if slices is None else slices.floor(bar.start), []).append(bar)
    counted = [layout.Counted(of, len(those), those[0].start, those[-1].start) for of, those in by_slice.items()]
    planned = [part.slice for part in layout.lay_out(counted)]
    for of in planned:
        yield (
            of,
            by_slice[of] if of is not None else sorted(b for s in by_slice if s not in planned for b in by_slice[s]),
        )


def parquet(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """A file's table, read in this thread: handing it to another costs more than to read it."""
    data = pa.BufferReader(Path(path).read_bytes())
    return pq.ParquetFile(data, pre_buffer=False).read(columns, use_threads=False)


def rows_of_events(path: Path | str, view: View, views: tuple[View, ...]) -> list[Row]:
    """The states of a view over an archive's file."""
    return _rows_of_events(path, _bytes_of(path), view, views)


def rows_in(path: Path | str, view: View) -> list[Row]:
    """The rows of a view's file."""
    return _rows_in(path, _bytes_of(path), view)


def _bytes_of(path: Path | str) -> tuple[int, int, int]:
    """What tells the bytes of a file from others that had its name: a folder that was removed is made again."""
    found = Path(path).stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(512)
def _rows_of_events(path: Path | str, of: tuple[int, ...], view: View, views: tuple[View, ...]) -> list[Row]:
    del of
    return summariser(views).rows(view, parquet(path, view.stream.schema.names))


@lru_cache(512)
def _rows_in(path: Path | str, of: tuple[int, ...], view: View) -> list[Row]:
    del of
    return rows_of(view, parquet(path))


class LightReader(BatchReader):
    """The batch views of one version, without a database."""

    def __init__(self, path: Locate, manifest: Manifest, *more: Any, **others: Any) -> None:
        super().__init__(path, manifest, *more, **others)
        self._path = path

    def rows(self, request: RowRequest, cursor: object, searched: int = 0) -> list[Row]:
        del searched
        of, wide, rows = request.range, len(request.view.entity), list[Row]()
        for file in self.files(request):
            found = rows_in(self._path(file), request.view)
            rows += [r for r in found if r.key[:wide] in request.keys.entities and request.keys.hold(r.key)]
        bars = merged(request.view, rows, of.interval)
        bars = [b for b in bars if b.start >= of.low and (of.high is None or b.start < of.high)]
        bars = [b for b in bars if not of.after or (b.start, *b.key) > of.after]
        bars.sort(key=lambda row: (row.start, row.key))
        return first(bars, of)


class InlinePool:
    """Runs blocking calls at once."""

    async def run(self, call: Callable[[], Any], interrupt: object = None) -> Any:
        return call()

    def close(self) -> None:
        """Nothing is open."""


class InlineThreads:
    """Threads that do what they are given at once: whatever calls a protocol does so in its program's greenlet."""

    def __init__(self, *_: object) -> None:
        """It has none."""

    def put(self, job: Callable[[], Any]) -> Future[Any]:
        """As `slackwater.core.behind.Behind`."""
        found: Future[Any] = Future()
        found.set_result(job())
        return found

    def submit(self, job: Callable[..., Any], *given: object) -> Future[Any]:
        """As an executor."""
        return self.put(partial(job, *given))

    def shutdown(self, **_: object) -> None:
        """Nothing waits."""

    end = shutdown


class _Name:
    """A name that a replay gives again."""

    def __init__(self, number: int) -> None:
        self.hex = str(number)


@contextmanager
def light() -> Iterator[None]:
    """The stand-ins are in place."""
    from tests.simulation.light_proof import LightComparison

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiling, "GRID", GRID)
        patch.setattr(compaction, "MOST_WIDE", 2)
        patch.setattr(compaction, "MOST_OF_SLICE", 2)
        patch.setattr(compaction, "LEAST", 1)
        patch.setattr(compaction, "SLICE_ROWS", SLICE_ROWS)
        patch.setattr(layout, "SLICE_ROWS", SLICE_ROWS)
        patch.setattr("slackwater.store.lists.INLINE", 3)
        patch.setattr("slackwater.versions.store.INLINE", 3)
        patch.setattr("slackwater.versions.snapshots.HOUR_US", 100_000)  # a seed lasts seconds, not days
        patch.setattr("serving.watch.versions_watch.BatchReader", LightReader)
        patch.setattr("serving.query.as_of.BatchReader", LightReader)
        patch.setattr("serving.store.batch.sandbox", lambda *_: session())
        patch.setattr("slackwater.views.limits.Limits.connect", own_session)
        patch.setattr("batch_layer.prove.Comparison", LightComparison)
        patch.setattr("batch_layer.audit.Comparison", LightComparison)
        patch.setattr("batch_layer.audit_parts.Comparison", LightComparison)
        patch.setattr("batch_layer.publish.restate", lambda *_: ())
        patch.setattr("slackwater.restatements.of_move.Restating.record_move", lambda *_: NOTHING_RECORDED)
        patch.setattr("slackwater.versions.rollback.uuid.uuid4", partial(next, map(_Name, count())))
        patch.setattr("batch_layer.archive.ThreadPoolExecutor", InlineThreads)
        patch.setattr("batch_layer.archive.Behind", InlineThreads)
        patch.setattr("ingest.archived.connect", lambda **_: session())
        patch.setattr("ingest.archive_import.Behind", InlineThreads)
        yield
