"""Views of any Parquet files of trades, without a broker: each row is checked as `slackwater archive import` checks it.

    files | Check | by bucket of ids | Unite | Summarise | ...

    Check    a file -> its events, in a file for each bucket; the other rows are refused, with the decoder's reasons
    Unite    a bucket -> its events, each id once: the files in the order of their paths, then the rows, and the first
             wins. The same content again is a duplicate, another content a conflict, which is refused

All rows of an id lie in one bucket, so no worker needs what another one knows, and every runner counts alike. What a
worker writes gets its name when it is whole, so a bundle that is run twice writes the same bytes. A worker tells what
it counted and refused in files beside, never by counters of the runner, which count a repeated bundle twice.
"""

import glob
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batch_layer.compute import add_views, run_to_end
from batch_layer.errors import InputError
from slackwater.log.dead_letter import CONFLICT, TAKEN
from slackwater.pipeline.segment import Segment, Slot
from slackwater.store.files import gone_if_it_fails
from slackwater.store.identities import integer_ids
from slackwater.streams.content import contents_of, same, words_of
from slackwater.streams.judged_rows import check_rows
from slackwater.streams.mapping import Layout, resolve
from slackwater.streams.trades import TRADES
from slackwater.views.view import View

BUCKET_ROWS = 2_000_000
"""Rows of a bucket, about: what Unite holds at once, some 60 bytes a row."""

MAX_BUCKETS = 256
BLOCK_IDS = 65_536
"""Ids that follow each other so far stay in one bucket: their bars lie side by side, too."""

BATCH_ROWS = 65_536

_ROW = pa.field("row", pa.int64(), nullable=False)
_CHECKED = TRADES.schema.append(_ROW)


@dataclass(frozen=True)
class Checked:
    """Rows by fate; `refused` maps reason -> rows, conflicts among them."""

    accepted: int
    duplicates: int
    refused: dict[str, int]

    @property
    def text(self) -> str:
        """One line for a person."""
        reasons = "".join(f", {count:,} {reason}" for reason, count in sorted(self.refused.items()))
        total = sum(self.refused.values())
        return f"{self.accepted:,} accepted, {self.duplicates:,} duplicates, {total:,} refused{reasons}"


def find_input(pattern: str) -> list[str]:
    """The Parquet files of trades that match `pattern`, in order.

    Raises:
        InputError: none matches, one cannot be read, or its columns are not those of a trade; or there is no row.
        MappingError: a column's name stands twice.
    """
    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not paths:
        raise InputError(f"No file matches {pattern!r}.")
    for path in paths:
        _check_columns(path)
    if not _rows(paths):
        raise InputError(f"The files that match {pattern!r} hold no rows.")
    return paths


def views_of_input(
    paths: Sequence[str], views: tuple[View, ...], folder: Path, latest_us: int, options: Any = None
) -> Checked:
    """Write the views of the trades in `paths` under `folder`, and what was refused to its `refused.jsonl`.

    `latest_us` is the newest time that a trade may have. Where nothing was accepted no view is written.

    Raises:
        ComputeError: the pipeline failed.
    """
    work = folder / f".checked-{uuid.uuid4().hex[:12]}"
    buckets = min(MAX_BUCKETS, 1 + _rows(paths) // BUCKET_ROWS)
    try:
        work.mkdir(parents=True)
        run_to_end(partial(_fill, paths, views, folder, work, buckets, latest_us), options)
        return _tell(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # what failed before is what is told


def _fill(
    paths: Sequence[str],
    views: tuple[View, ...],
    folder: Path,
    work: Path,
    buckets: int,
    latest_us: int,
    pipeline: Any,
) -> None:
    segments = (
        pipeline
        | "Files" >> beam.Create(list(enumerate(paths)))
        | "Check" >> beam.ParDo(Check(work, buckets, latest_us))
        | "By bucket" >> beam.GroupByKey()
        | "Unite" >> beam.ParDo(Unite(work, tuple(paths)))
    )
    add_views(segments, views, folder, finished=True)


@beam.typehints.with_input_types(tuple[int, str])
@beam.typehints.with_output_types(tuple[int, int])
class Check(beam.DoFn):
    """(number, path) of a file -> (bucket, number) of each file of events that it wrote."""

    def __init__(self, work: Path, buckets: int, latest_us: int) -> None:
        self._work = work
        self._buckets = buckets
        self._latest_us = latest_us

    def process(self, element: tuple[int, str]) -> Iterator[tuple[int, int]]:
        """Check one file, a batch of rows at a time."""
        number, path = element
        counts, row = Counter[str](), 1
        with _Writers(self._work, number) as out, pq.ParquetFile(path) as file:
            there = [name for name in TRADES.fields if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=there):
                events, rows, bad = check_rows(TRADES, pa.Table.from_batches([batch]), self._latest_us)
                for i, error in sorted(bad.items()):
                    out.refuse(path, row + i, str(error.reason), error.error)
                counts.update(str(error.reason) for error in bad.values())
                out.write(events, rows + row, self._buckets)
                row += batch.num_rows
        _write_counts(self._work, f"file-{number}", accepted=out.rows, refused=counts)
        yield from ((bucket, number) for bucket in out.buckets)


@beam.typehints.with_input_types(tuple[int, Iterable[int]])
@beam.typehints.with_output_types(Segment)
class Unite(beam.DoFn):
    """(bucket, numbers of files) -> the segment of its events, each id once."""

    def __init__(self, work: Path, paths: tuple[str, ...]) -> None:
        self._work = work
        self._paths = paths

    def process(self, element: tuple[int, Iterable[int]]) -> Iterator[Segment]:
        """Unite one bucket. Where no id comes again its files stay as they are."""
        bucket, numbers = element[0], sorted(element[1])
        files = [_checked_path(self._work, number, bucket) for number in numbers]
        tables = [pq.read_table(path, schema=_CHECKED) for path in files]
        events = pa.concat_tables(tables).combine_chunks()
        duplicates, conflicts = again(events)
        if len(duplicates) or len(conflicts):
            of = np.repeat(numbers, [table.num_rows for table in tables])
            accepted = np.ones(events.num_rows, bool)
            accepted[duplicates] = accepted[conflicts] = False
            with _Writers(self._work, f"bucket-{bucket}") as out:
                for i in conflicts.tolist():
                    out.refuse(self._paths[of[i]], events.column("row")[i].as_py(), CONFLICT, TAKEN)
                united = events.filter(pa.array(accepted))
                out.write(united.select(TRADES.schema.names), united.column("row").to_numpy(), 1)
            files = [_checked_path(self._work, f"bucket-{bucket}", 0)]
        _write_counts(
            self._work,
            f"bucket-{bucket}",
            accepted=-len(duplicates) - len(conflicts),
            duplicates=len(duplicates),
            refused={CONFLICT: len(conflicts)} if len(conflicts) else {},
        )
        slot = Slot(TRADES.name, "input", bucket, 0, 0, sealed=True, shard=0)
        yield Segment(slot, None, tuple(map(str, files)))


def again(events: pa.Table) -> tuple[Any, Any]:
    """The rows whose id an earlier row has: with the same content, and with another one."""
    codes = np.zeros(events.num_rows, np.int64)
    for name in TRADES.entity:
        column = events.column(name).combine_chunks().dictionary_encode()
        codes = codes * len(column.dictionary) + column.indices.to_numpy()
    ids = events.column(TRADES.identity).combine_chunks().dictionary_encode().indices.to_numpy()
    contents = contents_of(TRADES, events)
    order = np.lexsort((ids, codes))  # stable: the rows of an id stay in their order
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(codes[order]) != 0) | (np.diff(ids[order]) != 0)
    leader = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    equal = same(contents[order], contents[order][leader])
    return np.sort(order[~first & equal]), np.sort(order[~first & ~equal])


class _Writers:
    """The files of one worker's task, under one name: events by bucket, and the rows that were refused."""

    def __init__(self, work: Path, name: int | str) -> None:
        self._work = work
        self._name = name
        self._open: dict[int, tuple[Path, Path, pq.ParquetWriter]] = {}
        self._exits = ExitStack()
        self._refused: Any = None
        self.rows = 0

    @property
    def buckets(self) -> list[int]:
        """Those that got events."""
        return sorted(self._open)

    def __enter__(self) -> "_Writers":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._exits.close()
        if kind is None:
            for path, temporary, _writer in self._open.values():
                temporary.replace(path)

    def write(self, events: pa.Table, rows: Any, buckets: int) -> None:
        """Write events with the numbers of their rows."""
        events = events.append_column(_ROW, pa.array(rows, pa.int64()))
        self.rows += events.num_rows
        of = _blocks(events.column(TRADES.identity).combine_chunks()) % np.uint64(buckets)
        for bucket in np.unique(of).tolist():
            self._writer(bucket).write_table(events.filter(pa.array(of == bucket)))

    def refuse(self, path: str, row: int, reason: str, error: str) -> None:
        """Note a row that does not count."""
        if self._refused is None:
            place = self._work / f"refused-{self._name}.jsonl"
            self._refused = self._exits.enter_context(place.open("w", encoding="utf-8"))
        line = {"source": path, "row": row, "reason": reason, "error": error}
        self._refused.write(json.dumps(line) + "\n")

    def _writer(self, bucket: int) -> pq.ParquetWriter:
        if bucket not in self._open:
            path = _checked_path(self._work, self._name, bucket)
            temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
            writer = self._exits.enter_context(pq.ParquetWriter(temporary, _CHECKED, compression="lz4"))
            self._open[bucket] = (path, temporary, writer)
        return self._open[bucket][2]


def _blocks(ids: pa.Array) -> Any:
    """A number for each id, the same for integers that follow each other; a uint64 array."""
    integers, numbers = integer_ids(ids)
    return np.where(integers, numbers.astype(np.uint64) // np.uint64(BLOCK_IDS), words_of(ids))


def _tell(work: Path, folder: Path) -> Checked:
    """Add up what the workers counted, and put together what they refused."""
    accepted, duplicates, refused = 0, 0, Counter[str]()
    for path in work.glob("counts-*.json"):
        counts = json.loads(path.read_text(encoding="utf-8"))
        accepted += counts["accepted"]
        duplicates += counts["duplicates"]
        refused.update(counts["refused"])
    refused_lines = folder / "refused.jsonl"
    refused_lines.unlink(missing_ok=True)
    parts = sorted(work.glob("refused-*.jsonl"), key=_natural)
    if parts:
        with refused_lines.open("wb") as out, gone_if_it_fails(refused_lines):
            for path in parts:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, out)
    return Checked(accepted, duplicates, dict(refused))


def _natural(path: Path) -> tuple[bool, int]:
    """Files by their number, then buckets by theirs."""
    kind, _, number = path.stem.removeprefix("refused-").rpartition("-")
    return kind == "bucket", int(number)


def _write_counts(
    work: Path, name: str, accepted: int, duplicates: int = 0, refused: dict[str, int] | Counter[str] | None = None
) -> None:
    text = json.dumps({"accepted": accepted, "duplicates": duplicates, "refused": dict(refused or {})})
    path = work / f"counts-{name}.json"
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _checked_path(work: Path, name: int | str, bucket: int) -> Path:
    return work / f"events-{name}-{bucket}.parquet"


def _rows(paths: Sequence[str]) -> int:
    return sum(int(pq.read_metadata(path).num_rows) for path in paths)


def _check_columns(path: str) -> None:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} is no Parquet file: {error}.") from error
    for name in TRADES.fields:
        if name not in schema.names and name not in TRADES.optional:
            raise InputError(f"{path} has no column {name!r}.", f"It has {', '.join(schema.names)}.")
    for name in resolve(TRADES, path, schema.names, Layout()):
        found, wanted = schema.field(name).type, TRADES.column(name).arrow
        if not _fits(found, wanted) and not (name == TRADES.identity and pa.types.is_integer(found)):
            raise InputError(
                f"{path}: column {name!r} is {found}, not {wanted}.",
                "`slackwater archive import` maps and reads other files.",
            )


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_string(wanted):
        kind = found.value_type if pa.types.is_dictionary(found) else found
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    return bool(found == wanted)
