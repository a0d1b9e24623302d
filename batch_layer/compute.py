"""Computes views: Create(segments) | Summarise | CombinePerKey(view, shard) | WriteShard, on any Beam runner."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from batch_layer.errors import ComputeError
from batch_layer.sink import MergeStates, WriteShard, keyed, shard_path
from slackwater.pipeline.segment import Segment
from slackwater.pipeline.summarise import Summarise
from slackwater.views.definitions import names_of
from slackwater.views.errors import DefinitionError
from slackwater.views.interval import Interval
from slackwater.views.view import View

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
    options = options or PipelineOptions([])
    # Named by hand: Beam's default runner would look for another one on the network first.
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
