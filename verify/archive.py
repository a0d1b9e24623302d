"""The archive as evidence: the events of Parquet files, read by Arrow alone, which is no part of the product."""

import heapq
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from verify.decoder import PRICE_SCALE
from verify.definition import StreamData


class ArchivedFile(NamedTuple):
    """A file of events of one partition of a stream. `start`: its first offset; None for imported history.

    A `late` one is not in the order of offsets.
    """

    path: Path
    partition: int
    start: int | None
    late: bool = False


Archived = tuple[ArchivedFile, int | None, int | None, dict[str, Any]]
"""The file of an event, its offset and its index in the record (None for imported history), and the event."""


def read_archive(stream: StreamData, files: Iterable[ArchivedFile], below: int | None = None) -> Iterator[Archived]:
    """The events of files, in order; `below`: those of smaller offsets alone."""
    for file in files:
        for batch in _batches(file, [*stream.fields, "offset", "index"]):
            rows = batch if below is None else batch.filter(pc.less(batch.column("offset"), below))
            for row in rows.to_pylist():
                offset, index = row.pop("offset"), row.pop("index")
                yield file, offset, index, {name: _whole(value) for name, value in row.items()}


class Corrected(NamedTuple):
    """What a version is without: the files of its corrections, and where each partition's cut is: (partition, offset).

    What they name at or behind the cut is there still: the next version is without it.
    """

    files: tuple[Path, ...] = ()
    cut: tuple[tuple[int, int], ...] = ()


def read_gone(corrected: Corrected) -> dict[tuple[int, int], set[int]]:
    """(partition, offset) -> the indexes of the events in that record that a version is without."""
    cut, found = dict(corrected.cut), dict[tuple[int, int], set[int]]()
    for path in corrected.files:
        for batch in pq.ParquetFile(path).iter_batches(columns=["partition", "offset", "index"]):
            for row in batch.to_pylist():
                if row["offset"] is not None and row["offset"] < cut.get(row["partition"], 0):
                    found.setdefault((row["partition"], row["offset"]), set()).add(row["index"])
    return found


def in_log_order(stream: StreamData, files: Iterable[ArchivedFile], below: int) -> Iterator[Archived]:
    """The events of one partition's files at offsets below one, in the order of their places."""
    files = list(files)
    in_order = read_archive(stream, [file for file in files if not file.late], below)
    late = [read_archive(stream, [file], below) for file in files if file.late]
    return heapq.merge(in_order, *late, key=lambda one: (one[1] or 0, one[2] or 0))


def _batches(file: ArchivedFile, columns: list[str]) -> Iterator[Any]:
    parquet = pq.ParquetFile(file.path)
    if not file.late:
        yield from parquet.iter_batches(columns=columns)
        return
    table = parquet.read(columns).sort_by([("offset", "ascending"), ("index", "ascending")])
    yield from table.to_batches(65_536)


def _whole(value: Any) -> Any:
    # An event's decimals have 18 digits, which the default context holds.
    return int(value.scaleb(PRICE_SCALE)) if isinstance(value, Decimal) else value
