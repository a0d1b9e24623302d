"""Runs the pipeline over what a run computes, and makes durable what comes of it."""

from collections.abc import Sequence
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
    folder: str = "",
) -> tuple[Part, ...]:
    """The parts of some segments, their files durable, in the run's folder, or one in it. Raises ComputeError."""
    if not work.segments:
        return ()
    path = context.store.data.create("/".join(filter(None, ("states", version.run_id, folder))))
    compute(work.segments, tuple(views), path, options, context.limits)
    return made_parts(context.store, work.segments, tuple(views), path, version.version, work.whole)
