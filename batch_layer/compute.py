"""Computes parts of archive files: Create(segments) | Reshuffle | MakeParts. Nothing is combined, so nothing is moved.

A segment is all the files of one shard that a view's parts are to be made of: what is new where the parent's parts are
taken over, everything where they are not.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from batch_layer.errors import ComputeError
from batch_layer.sink import MakeParts, Written, read_result
from slackwater.pipeline import coders
from slackwater.pipeline.options import Options
from slackwater.pipeline.segment import Segment, Slot
from slackwater.store.files import Locate
from slackwater.store.instruments import Instrument, Instruments
from slackwater.versions.manifest import ArchiveFile, Part
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import names_of
from slackwater.views.errors import DefinitionError
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.limits import UNLIMITED, Limits
from slackwater.views.session import files_sql
from slackwater.views.sql import bounds_sql, instruments_sql, of_instruments_sql
from slackwater.views.view import View

__all__ = ["coders"]  # importing them registers them

Compute = Callable[[Sequence[Segment], tuple[View, ...], Path, PipelineOptions | None, Limits], None]
"""What makes the parts of segments under a folder."""


def build(
    pipeline: Any, segments: Sequence[Segment], views: tuple[View, ...], folder: Path, limits: Limits = UNLIMITED
) -> None:
    """Add the batch layer to a pipeline; the parts are written under `folder`.

    Raises:
        DefinitionError: two views have one name, and so would have the same files.
    """
    add_parts(pipeline | "Segments of the archive" >> beam.Create(segments), views, folder, limits)


def add_parts(segments: Any, views: tuple[View, ...], folder: Path, limits: Limits, **form: bool) -> None:
    """From a PCollection of segments, one a shard, to files; `form` is that of `MakeParts`. Raises DefinitionError."""
    if len(names_of(views)) < len(views):
        raise DefinitionError(f"Two definitions of one view cannot be written to one folder, {folder}.")
    _ = segments | "Spread" >> beam.Reshuffle() | "Make parts" >> beam.ParDo(MakeParts(views, folder, limits, **form))


def run_pipeline(
    segments: Sequence[Segment],
    views: tuple[View, ...],
    folder: Path,
    options: PipelineOptions | None = None,
    limits: Limits = UNLIMITED,
) -> None:
    """Run it to its end: in process, or on the runner that `options` names. Raises ComputeError.

    `limits` are those of one process, whose tasks share them.
    """
    limits = limits.shared(at_once(options))
    run_to_end(lambda pipeline: build(pipeline, segments, views, folder, limits), options)


def at_once(options: PipelineOptions | None) -> int:
    """How many tasks the in-process runner has at once; on another, a worker of its own has as much memory."""
    if options is None:
        return 1
    workers = options.view_as(DirectOptions).direct_num_workers
    return int(workers) if workers else os.cpu_count() or 1


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


def written(
    segments: Iterable[Segment], views: tuple[View, ...], folder: Path
) -> Iterator[tuple[View, Interval, int, Written]]:
    """Every part that the pipeline made: each segment has events, and so bars.

    Raises:
        ComputeError: it did not make one that it had to.
    """
    for view in views:
        for segment in segments:
            if not segment.is_for(view):
                continue
            shard = segment.slot.shard
            try:
                made = read_result(folder, view.name, shard)
            except FileNotFoundError as error:
                raise ComputeError(f"The pipeline ended without parts of {view.name} in shard {shard}.") from error
            for each in made:
                if not (folder / each.path).exists():
                    raise ComputeError(f"The pipeline ended without writing {folder / each.path}.")
                yield view, parse_interval(each.interval), shard, each


def made_parts(
    store: VersionStore,
    segments: Sequence[Segment],
    views: tuple[View, ...],
    folder: Path,
    version: int,
    whole: Collection[str] = (),
) -> tuple[Part, ...]:
    """Every part that the pipeline made for a version, made durable; `whole` are views that were made of everything."""
    return tuple(
        part_of(store, folder, view, shard, each, (version, version), 0 if view.name in whole else version)
        for view, _, shard, each in written(segments, views, folder)
    )


def part_of(
    store: VersionStore,
    folder: Path,
    view: View,
    shard: int,
    each: Written,
    made: tuple[int, int],
    since: int,
) -> Part:
    """A part that was written, made durable."""
    file = store.stored(folder / each.path, each.rows)
    return Part(file, view.name, each.interval, shard, each.low, each.high, made, since)


def instruments_of(
    fetch: Locate, view: View, parts: Iterable[Part], limits: Limits = UNLIMITED
) -> Iterator[Instrument]:
    """The instruments in the parts of a view, with their bounds; one that is in several parts comes as often."""
    with limits.connect() as con:
        for part in parts:
            if (part.view, part.interval) == (view.name, view.base):
                select = bounds_sql(view.stream, files_sql([part.file.checked(fetch)]))
                for venue, symbol, first, last, _ in con.execute(select).fetchall():
                    yield Instrument(venue, symbol, part.shard, first, last)


def grown(
    fetch: Locate, before: Instruments, view: View, parts: Iterable[Part], limits: Limits = UNLIMITED
) -> Instruments:
    """The instruments of a stream: those that were known, and those in the new parts of one of its views."""
    return before.grown(instruments_of(fetch, view, parts, limits))


def bounded(
    fetch: Locate, before: Instruments, view: View, parts: Iterable[Part], gone: str, limits: Limits = UNLIMITED
) -> Instruments:
    """The instruments of a stream after the events of the relation `gone` were taken out: theirs are found anew in the
    parts of one of its views, all others are as they were.
    """
    with limits.connect() as con:
        con.execute(f"CREATE TEMP TABLE changed AS {instruments_sql(view.stream, gone)}")
        changed = set(con.execute("SELECT * FROM changed").fetchall())
        found = []
        for part in parts:
            if (part.view, part.interval) == (view.name, view.base):
                states = f"({of_instruments_sql(view.stream, files_sql([part.file.checked(fetch)]), 'changed')})"
                for venue, symbol, first, last, _ in con.execute(bounds_sql(view.stream, states)).fetchall():
                    found.append(Instrument(venue, symbol, part.shard, first, last))
    return Instruments(each for each in before if (each.venue, each.symbol) not in changed).grown(found)


def archive_segments(
    fetch: Locate, stream: str, topic_id: str, archive: Iterable[ArchiveFile], only: tuple[str, ...] = ()
) -> list[Segment]:
    """The segments of some archive files of a stream, one a shard: its partition, where its instruments live."""
    segments = []
    by_partition: dict[int, list[ArchiveFile]] = {}
    for entry in archive:
        by_partition.setdefault(entry.partition, []).append(entry)
    for partition, entries in sorted(by_partition.items()):
        start = min((entry.start for entry in entries if entry.start is not None), default=0)
        upto = max((entry.upto for entry in entries if entry.upto is not None), default=0)
        slot = Slot(stream, topic_id, partition, start, upto, sealed=True, shard=partition)
        segments.append(Segment(slot, None, tuple(entry.file.checked(fetch) for entry in entries), only))
    return segments
