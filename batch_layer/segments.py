"""The source of the batch pipeline: archive files as segments.

Files of one partition that follow each other are one segment up to a size: DuckDB reads them side by side within it,
and every other runner has several segments to spread. Not here: any Parquet files of trades (`batch_layer.input`).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from slackwater.pipeline.segment import Segment, Slot
from slackwater.versions.manifest import ArchiveFile

SEGMENT_ROWS = 16_000_000


def archive_segments(home: Path, stream: str, topic_id: str, archive: Iterable[ArchiveFile]) -> list[Segment]:
    """The segments of one stream's archive; a segment's shard is its partition, where its instruments live."""
    segments = []
    by_partition: dict[int, list[ArchiveFile]] = {}
    for entry in archive:
        by_partition.setdefault(entry.partition, []).append(entry)
    for partition, entries in sorted(by_partition.items()):
        for group in _groups(entries):
            start = min((entry.start for entry in group if entry.start is not None), default=0)
            upto = max((entry.upto for entry in group if entry.upto is not None), default=0)
            slot = Slot(stream, topic_id, partition, start, upto, sealed=True, shard=partition)
            segments.append(Segment(slot, None, tuple(entry.file.checked(home) for entry in group)))
    return segments


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
