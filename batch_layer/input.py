"""Views of any Parquet files of one stream, without a broker: each row is checked as `slackwater archive import` does.

    files | Check | by bucket of ids | Unite | all files | MakeParts

    Check    a file -> its events, in a file for each bucket; the other rows are refused, with the decoder's reasons
    Unite    a bucket -> its events, each id once: the files in the order of their paths, then the rows, and the first
             wins. The same content again is a duplicate, another content a conflict, which is refused

All rows of an id lie in one bucket, so no worker needs what another one knows, and every runner counts alike. A worker
writes to paths that no other attempt has and hands them on as elements, so a bundle that is run twice counts once.
"""

import glob
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batch_layer.compute import add_parts, at_once, run_to_end
from batch_layer.errors import BatchError
from slackwater.log.dead_letter import CONFLICT, TAKEN
from slackwater.pipeline.segment import Segment, Slot
from slackwater.store.local_files import gone_if_it_fails
from slackwater.streams.content import contents_of, same, words_of
from slackwater.streams.mapping import Layout, resolve
from slackwater.streams.numbers import integers
from slackwater.streams.rows import check_rows
from slackwater.streams.stream import Stream
from slackwater.views.limits import UNLIMITED, Limits
from slackwater.views.view import View

BUCKET_ROWS = 2_000_000
"""Rows of a bucket, about: what Unite holds at once, some 60 bytes a row."""

MAX_BUCKETS = 256
BLOCK_IDS = 65_536
"""Ids that follow each other so far stay in one bucket: their bars lie side by side, too."""

BATCH_ROWS = 65_536

_ROW = pa.field("row", pa.int64(), nullable=False)
_COUNTS = "counts"

EventFile = tuple[int, str]
"""The number of the input file, and the path of its events of one bucket, with the numbers of their rows."""


@dataclass
class Checked:
    """Rows by outcome; `refused` maps reason -> rows, conflicts among them."""

    accepted: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        """One line for a person."""
        reasons = "".join(f", {count:,} {reason}" for reason, count in sorted(self.refused.items()))
        total = self.refused.total()
        return f"{self.accepted:,} accepted, {self.duplicates:,} duplicates, {total:,} refused{reasons}"


class Counts(NamedTuple):
    """What one task counted. `order` sorts files before buckets; `lines` is its file of refused rows, or empty."""

    order: tuple[int, int]
    accepted: int
    duplicates: int
    refused: dict[str, int]
    lines: str


def find_input(stream: Stream, pattern: str) -> list[str]:
    """The Parquet files of a stream's events that match `pattern`, in order.

    Raises:
        BatchError: none matches, one cannot be read, or its columns are not those of the stream; or there is no row.
        MappingError: two columns have one name.
    """
    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not paths:
        raise BatchError(f"No file matches {pattern!r}.")
    for path in paths:
        _check_columns(stream, path)
    if not _rows(paths):
        raise BatchError(f"The files that match {pattern!r} hold no rows.")
    return paths


def views_of_input(
    stream: Stream,
    paths: Sequence[str],
    views: tuple[View, ...],
    folder: Path,
    latest_us: int,
    options: Any = None,
    limits: Limits = UNLIMITED,
) -> Checked:
    """Write the views of the events in `paths` under `folder`, and what was refused to its `refused.jsonl`.

    `latest_us` is the newest time that an event may have. Where nothing was accepted no view is written. What does
    not fit the memory is spilled to a folder there.

    Raises:
        ComputeError: the pipeline failed.
    """
    work = folder / f".checked-{uuid.uuid4().hex[:12]}"
    own = replace(limits, spill=work, tasks=at_once(options))
    buckets = min(MAX_BUCKETS, 1 + _rows(paths) // BUCKET_ROWS)

    def fill(pipeline: Any) -> None:
        files = pipeline | "Files" >> beam.Create(list(enumerate(paths)))
        check = beam.ParDo(Check(stream, work, buckets, latest_us)).with_outputs(_COUNTS, main="events")
        checked = files | "Check" >> check
        unite = beam.ParDo(Unite(stream, work, tuple(paths))).with_outputs(_COUNTS, main="files")
        united = checked.events | "By bucket" >> beam.GroupByKey() | "Unite" >> unite
        counts = (checked[_COUNTS], united[_COUNTS]) | "All counts" >> beam.Flatten()
        _ = counts | beam.combiners.ToList() | "Write counts" >> beam.Map(_write_counts, work)
        segments = united.files | "All files" >> beam.combiners.ToList() | beam.FlatMap(_segment, stream.name)
        add_parts(segments, views, folder, own, sliced=False, finished=True)

    try:
        work.mkdir(parents=True)
        run_to_end(fill, options)
        return _collect(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # an error of the pipeline is the one to raise


class Check(beam.DoFn):
    """(number, path) of a file -> (bucket, file of events) for each that it wrote, and its counts."""

    def __init__(self, stream: Stream, work: Path, buckets: int, latest_us: int) -> None:
        self._stream = stream
        self._work = work
        self._buckets = buckets
        self._latest_us = latest_us

    def process(self, element: tuple[int, str]) -> Iterator[Any]:
        """Check one file, a batch of rows at a time."""
        number, path = element
        row = 1
        with _Output(self._stream, self._work) as out, pq.ParquetFile(path, pre_buffer=False) as file:
            there = [name for name in self._stream.fields if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=there):
                events, rows, bad = check_rows(self._stream, pa.Table.from_batches([batch]), self._latest_us)
                for i, error in sorted(bad.items()):
                    out.refuse(path, row + i, str(error.reason), error.error)
                out.write(events, rows + row, self._buckets)
                row += batch.num_rows
        yield from ((bucket, (number, name)) for bucket, name in sorted(out.paths.items()))
        yield beam.pvalue.TaggedOutput(_COUNTS, Counts((0, number), out.rows, 0, dict(out.refused), out.lines))


class Unite(beam.DoFn):
    """(bucket, its files of events) -> the files of its events, each id once, and its counts."""

    def __init__(self, stream: Stream, work: Path, paths: tuple[str, ...]) -> None:
        self._stream = stream
        self._work = work
        self._paths = paths

    def process(self, element: tuple[int, Iterable[EventFile]]) -> Iterator[Any]:
        """Unite one bucket. Where no id comes again its files stay as they are."""
        bucket, found = element[0], sorted(element[1])
        paths = tuple(path for _, path in found)
        tables = [pq.read_table(path, schema=_with_row(self._stream)) for path in paths]
        events = pa.concat_tables(tables).combine_chunks()
        duplicates, conflicts = again(self._stream, events)
        if again_rows := len(duplicates) + len(conflicts):
            of = np.repeat([number for number, _ in found], [table.num_rows for table in tables])
            accepted = np.ones(events.num_rows, bool)
            accepted[duplicates] = accepted[conflicts] = False
            with _Output(self._stream, self._work) as out:
                for i in conflicts.tolist():
                    out.refuse(self._paths[of[i]], events.column("row")[i].as_py(), CONFLICT, TAKEN)
                united = events.filter(pa.array(accepted))
                out.write(united.select(self._stream.schema.names), united.column("row").to_numpy(), 1)
            paths = tuple(out.paths.values())
            counts = Counts((1, bucket), -again_rows, len(duplicates), dict(out.refused), out.lines)
            yield beam.pvalue.TaggedOutput(_COUNTS, counts)
        yield from paths


def _segment(paths: list[str], stream: str) -> Iterator[Segment]:
    if paths:
        yield Segment(Slot(stream, "input", 0, 0, 0, sealed=True, shard=0), None, tuple(sorted(paths)))


def again(stream: Stream, events: pa.Table) -> tuple[Any, Any]:
    """The rows whose id an earlier row has: with the same content, and with another one."""
    codes = np.zeros(events.num_rows, np.int64)
    for name in stream.entity:
        column = events.column(name).combine_chunks().dictionary_encode()
        codes = codes * len(column.dictionary) + column.indices.to_numpy()
    ids = events.column(stream.identity).combine_chunks().dictionary_encode().indices.to_numpy()
    contents = contents_of(stream, events)
    order = np.lexsort((ids, codes))  # stable: the rows of an id stay in their order
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(codes[order]) != 0) | (np.diff(ids[order]) != 0)
    leader = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    equal = same(contents[order], contents[order][leader])
    return np.sort(order[~first & equal]), np.sort(order[~first & ~equal])


class _Output:
    """The files of one attempt at a task: events by bucket, and the rows that were refused."""

    def __init__(self, stream: Stream, work: Path) -> None:
        self.paths: dict[int, str] = {}
        self.refused = Counter[str]()
        self.lines = ""
        self.rows = 0
        self._stream = stream
        self._attempt = work / uuid.uuid4().hex
        self._exits = ExitStack()
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._refused: Any = None

    def __enter__(self) -> "_Output":
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def write(self, events: pa.Table, rows: Any, buckets: int) -> None:
        """Write events with the numbers of their rows."""
        events = events.append_column(_ROW, pa.array(rows, pa.int64()))
        self.rows += events.num_rows
        numbers, whole = integers(ids := events.column(self._stream.identity).combine_chunks())
        blocks = np.where(whole, numbers.astype(np.uint64) // np.uint64(BLOCK_IDS), words_of(ids))
        of = blocks % np.uint64(buckets)
        for bucket in np.unique(of).tolist():
            if bucket not in self._writers:
                self.paths[bucket] = path = f"{self._attempt}-{bucket}.parquet"
                writer = pq.ParquetWriter(path, _with_row(self._stream), compression="lz4")
                self._writers[bucket] = self._exits.enter_context(writer)
            self._writers[bucket].write_table(events.filter(pa.array(of == bucket)))

    def refuse(self, path: str, row: int, reason: str, error: str) -> None:
        """Note a row that does not count."""
        if self._refused is None:
            lines = self._attempt.with_suffix(".jsonl")
            self._refused = self._exits.enter_context(lines.open("w", encoding="utf-8"))
            self.lines = str(lines)
        self.refused[reason] += 1
        self._refused.write(json.dumps({"source": path, "row": row, "reason": reason, "error": error}) + "\n")


def _write_counts(counts: list[Counts], work: Path) -> None:
    (work / "counts.json").write_text(json.dumps(sorted(counts)), encoding="utf-8")


def _collect(work: Path, folder: Path) -> Checked:
    """Add up what the tasks counted, and put together what they refused."""
    checked, parts = Checked(), []
    for entry in json.loads((work / "counts.json").read_text(encoding="utf-8")):
        counts = Counts(*entry)
        checked.accepted += counts.accepted
        checked.duplicates += counts.duplicates
        checked.refused.update(counts.refused)
        parts += [counts.lines] if counts.lines else []
    refused_lines = folder / "refused.jsonl"
    refused_lines.unlink(missing_ok=True)
    if parts:
        with refused_lines.open("wb") as out, gone_if_it_fails(refused_lines):
            for path in parts:
                with Path(path).open("rb") as file:
                    shutil.copyfileobj(file, out)
    return checked


def _with_row(stream: Stream) -> pa.Schema:
    return stream.schema.append(_ROW)


def _rows(paths: Sequence[str]) -> int:
    return sum(int(pq.read_metadata(path).num_rows) for path in paths)


def _check_columns(stream: Stream, path: str) -> None:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BatchError(f"{path} is no Parquet file: {error}.") from error
    for name in stream.fields:
        if name not in schema.names and name not in stream.optional:
            raise BatchError(f"{path} has no column {name!r}.", f"It has {', '.join(schema.names)}.")
    for name in resolve(stream, path, schema.names, Layout()):
        found, wanted = schema.field(name).type, stream.schema.field(name).type
        if not _fits(found, wanted) and not (name == stream.identity and pa.types.is_integer(found)):
            raise BatchError(
                f"{path}: column {name!r} is {found}, not {wanted}.",
                "`slackwater archive import` maps and reads other files.",
            )


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_string(wanted):
        kind = found.value_type if pa.types.is_dictionary(found) else found
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    return bool(found == wanted)
