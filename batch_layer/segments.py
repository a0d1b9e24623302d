"""The source of the batch pipeline: archive files, or any Parquet files of trades, as segments.

Files of one partition that follow each other are one segment up to a size: DuckDB reads them side by side within it,
and every other runner has several segments to spread.
"""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch_layer.errors import InputError
from pipeline.segment import Segment, Slot
from versions.manifest import ArchiveFile
from views.events import EVENT_SCHEMA

SEGMENT_ROWS = 16_000_000


def archive_segments(home: Path, topic_id: str, archive: Iterable[ArchiveFile]) -> list[Segment]:
    """The segments of a version's archive; a segment's shard is its partition, where its instruments live."""
    segments = []
    by_partition: dict[int, list[ArchiveFile]] = {}
    for entry in archive:
        by_partition.setdefault(entry.partition, []).append(entry)
    for partition, entries in sorted(by_partition.items()):
        for group in _groups(entries):
            start = min((entry.start for entry in group if entry.start is not None), default=0)
            upto = max((entry.upto for entry in group if entry.upto is not None), default=0)
            slot = Slot(topic_id, partition, start, upto, sealed=True, shard=partition)
            segments.append(Segment(slot, None, tuple(entry.file.checked(home) for entry in group)))
    return segments


def input_segments(pattern: str) -> list[Segment]:
    """A segment for each Parquet file of trades that matches `pattern`.

    Raises:
        InputError: none matches, one cannot be read, or its columns are not those of a trade.
    """
    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not paths:
        raise InputError(f"No file matches {pattern!r}.")
    return [_input_segment(number, path) for number, path in enumerate(paths)]


def _input_segment(number: int, path: str) -> Segment:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} is no Parquet file: {error}.") from error
    for field in EVENT_SCHEMA:
        if field.name not in schema.names:
            raise InputError(f"{path} has no column {field.name!r}.", f"It has {', '.join(schema.names)}.")
        found = schema.field(field.name).type
        if not _fits(found, field.type):
            raise InputError(
                f"{path}: column {field.name!r} is {found}, not {field.type}.",
                "`slackwater archive import` maps and validates other files.",
            )
    return Segment(Slot(path, number, 0, 0, sealed=True, shard=0), None, (path,))


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_string(wanted):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_dictionary(found))
    return bool(found == wanted)


def _groups(entries: Sequence[ArchiveFile]) -> Iterator[list[ArchiveFile]]:
    group: list[ArchiveFile] = []
    rows = 0
    for entry in entries:
        if group and rows + entry.file.rows > SEGMENT_ROWS:
            yield group
            group, rows = [], 0
        group.append(entry)
        rows += entry.file.rows
    if group:
        yield group
