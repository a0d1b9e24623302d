"""Computes views of archive files: Create(segments) | Summarise | CombinePerKey(view, shard) | WriteShard.

Archive files of one partition that follow each other are one segment up to a size: DuckDB reads them in parallel within
it, and other runners have several segments to distribute.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from batch_layer.errors import ComputeError
from batch_layer.sink import MergeStates, WriteShard, keyed, shard_path
from slackwater.pipeline.options import Options
from slackwater.pipeline.segment import Segment, Slot
from slackwater.pipeline.summarise import Summarise
from slackwater.store.instruments import Instrument, Instruments
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import ArchiveFile, Manifest, ViewFile
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import names_of, streams_of
from slackwater.views.errors import DefinitionError
from slackwater.views.interval import Interval
from slackwater.views.session import connect, files_sql
from slackwater.views.sql import bounds_sql
from slackwater.views.view import View

SEGMENT_ROWS = 16_000_000

Compute = Callable[[Sequence[Segment], tuple[View, ...], Path, PipelineOptions | None], None]
"""What makes the view files of a version under a folder."""


def build(
    pipeline: Any, segments: Sequence[Segment], views: tuple[View, ...], folder: Path, finished: bool = False
) -> None:
    """Add the batch layer to a pipeline; its views are written under `folder`.

    Raises:
        DefinitionError: two views have one name, and so would have the same files.
    """
    add_views(pipeline | "Segments of the archive" >> beam.Create(segments, reshuffle=False), views, folder, finished)


def add_views(segments: Any, views: tuple[View, ...], folder: Path, finished: bool = False) -> None:
    """From a PCollection of segments to the files of the views. Raises DefinitionError, as `build`."""
    if len(names_of(views)) < len(views):
        raise DefinitionError(f"Two definitions of one view cannot be written to one folder, {folder}.")
    _ = (
        segments
        | "Summarise" >> Summarise(views, threads=0)
        | "By view and shard" >> beam.Map(keyed, views)
        | "Merge" >> beam.CombinePerKey(MergeStates())
        | "Write" >> beam.ParDo(WriteShard(views, folder, finished))
    )


def run_pipeline(
    segments: Sequence[Segment],
    views: tuple[View, ...],
    folder: Path,
    options: PipelineOptions | None = None,
) -> None:
    """Run it to its end: in process, or on the runner that `options` names. Raises ComputeError."""
    run_to_end(lambda pipeline: build(pipeline, segments, views, folder), options)


def run_to_end(fill: Callable[[Any], None], options: PipelineOptions | None = None) -> None:
    """Run what `fill` puts into a pipeline.

    Raises:
        ComputeError: it failed. Runners raise what a step raised in types of their own.
    """
    options = options or Options([])
    # Named explicitly: Beam's default runner would look for another one on the network first.
    runner = options.view_as(StandardOptions).runner or FnApiRunner()
    pipeline = beam.Pipeline(runner=runner, options=options)
    fill(pipeline)
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:
        raise ComputeError(f"The pipeline failed: {error}.", "What is served is whole; run it again.") from error


def written(shards: Iterable[int], views: tuple[View, ...], folder: Path) -> list[tuple[View, Interval, int, Path]]:
    """Every file that the pipeline had to write: each shard has events, and so bars.

    Raises:
        ComputeError: one is missing.
    """
    found, shards = [], sorted(shards)
    for view in views:
        for interval in view.intervals:
            for shard in shards:
                path = shard_path(folder, view.name, interval, shard)
                if not path.exists():
                    raise ComputeError(f"The pipeline ended without writing {path}.")
                found.append((view, interval, shard, path))
    return found


def compute_views(
    store: VersionStore, version: Manifest, views: Sequence[View], compute: Compute, options: Any = None
) -> tuple[ViewFile, ...]:
    """Views of a version's archive, of all streams in one pipeline, their files durable."""
    folder, made = store.folder / str(version.version) / "views", []
    for stream in streams_of(views):
        topic_id, archive = version.of(stream).topic_id, version.archive_of(stream)
        if segments := archive_segments(store.home, stream.name, topic_id, archive):
            made.append((segments, tuple(view for view in views if view.stream == stream)))
    if made:
        compute([s for of, _ in made for s in of], tuple(view for _, of in made for view in of), folder, options)
    return tuple(file for segments, views in made for file in view_files(store, segments, views, folder))


def view_files(
    store: VersionStore, segments: Sequence[Segment], views: tuple[View, ...], folder: Path
) -> tuple[ViewFile, ...]:
    """Every file that the pipeline wrote, made durable."""
    return tuple(
        ViewFile(store.stored(path, pq.read_metadata(path).num_rows), view.name, interval.text, shard)
        for view, interval, shard, path in written({segment.slot.shard for segment in segments}, views, folder)
    )


def instruments_in(home: Path, views: Iterable[View], files: Iterable[ViewFile]) -> dict[str, Instruments]:
    """Stream -> its instruments, in the files of its first view."""
    first: dict[Stream, View] = {}
    for view in views:
        first.setdefault(view.stream, view)
    files = tuple(files)
    return {stream.name: instruments_of(home, view, files) for stream, view in first.items()}


def instruments_of(home: Path, view: View, files: Iterable[ViewFile]) -> Instruments:
    """The instruments in the files of a view, with their bounds."""
    found: list[Instrument] = []
    with connect() as con:
        for file in files:
            if (file.view, file.interval) == (view.name, view.base):
                select = bounds_sql(view.stream, files_sql([file.file.checked(home)]))
                for venue, symbol, first, last, _ in con.execute(select).fetchall():
                    found.append(Instrument(venue, symbol, file.shard, first, last))
    return Instruments(found)


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
