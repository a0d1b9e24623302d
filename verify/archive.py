"""The archive as evidence: the events of Parquet files, read by Arrow alone, which is no part of the product."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from verify.decoder import PRICE_SCALE
from verify.definition import StreamData


class ArchivedFile(NamedTuple):
    """A file of events of one partition of a stream. `start`: its first offset; None for imported history."""

    path: Path
    partition: int
    start: int | None


Archived = tuple[ArchivedFile, int | None, int | None, dict[str, Any]]
"""The file of an event, its offset and its index in the record (None for imported history), and the event."""


def read_archive(stream: StreamData, files: Iterable[ArchivedFile], below: int | None = None) -> Iterator[Archived]:
    """The events of files, in order; `below`: those of smaller offsets alone."""
    for file in files:
        parquet = pq.ParquetFile(file.path)
        for batch in parquet.iter_batches(columns=[*stream.fields, "offset", "index"]):
            rows = batch if below is None else batch.filter(pc.less(batch.column("offset"), below))
            for row in rows.to_pylist():
                offset, index = row.pop("offset"), row.pop("index")
                yield file, offset, index, {name: _whole(value) for name, value in row.items()}


def _whole(value: Any) -> Any:
    # An event's decimals have 18 digits, which the default context holds.
    return int(value.scaleb(PRICE_SCALE)) if isinstance(value, Decimal) else value
