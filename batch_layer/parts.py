"""Runs the pipeline over what a run computes, and makes durable what comes of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batch_layer.compute import Compute, made_parts
from batch_layer.work import Work
from slackwater.context import Context
from slackwater.versions.manifest import Manifest, Part
from slackwater.views.view import View


def compute_work(
    context: Context,
    version: Manifest,
    work: Work,
    views: Sequence[View],
    compute: Compute,
    options: Any,
    folder: Path | None = None,
) -> tuple[Part, ...]:
    """The parts of some segments, their files durable, below a folder, by default the run's. Raises ComputeError."""
    if not work.segments:
        return ()
    folder = folder or context.store.home / "states" / version.run_id
    compute(work.segments, tuple(views), folder, options, context.limits)
    return made_parts(context.store, work.segments, tuple(views), folder, version.version, work.whole)
