"""Runs the speed pipeline: Create(share) | ReadLog | Summarise | PublishDeltas.

In process it ends every hour and starts again, since each self-checkpoint of the in-process runner keeps some memory;
a start costs 0.2 s, and the design restarts anywhere.
"""

import logging
from collections.abc import Callable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from slackwater.log.errors import AccessRefusedError, AppendRefusedError, CredentialsError, LogError, LogRefusedError
from slackwater.log.log import Log
from slackwater.pipeline.summarise import Summarise
from slackwater.views.definitions import streams_of
from speed_layer.figures import FIGURES
from speed_layer.sink import PublishDeltas
from speed_layer.so_far import SO_FAR
from speed_layer.source import ReadLog, Share, SourceSettings
from speed_layer.stopping import STOP

logger = logging.getLogger(__name__)

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)


def build(pipeline: Any, settings: SourceSettings, shares: list[Share]) -> None:
    """Add the speed layer to a pipeline. A share is one reader; on a cluster submit one job for each."""
    _ = (
        pipeline
        | "Shares of partitions" >> beam.Create(shares)
        | "Segments of the log" >> beam.ParDo(ReadLog(settings))
        | "Summarise" >> Summarise(settings.views)
        | "Deltas" >> beam.ParDo(PublishDeltas(settings.open_log, settings.names, settings.views))
    )


def all_partitions(log: Log, settings: SourceSettings) -> Share:
    """One share that owns every partition there is now."""
    (stream,) = streams_of(settings.views)
    return Share(tuple(sorted(log.bounds(settings.names.topic(stream)))))


def run_once(settings: SourceSettings, share: Share | None = None) -> None:
    """One in-process pipeline over `share`, until STOP is set or `settings.pipeline_s` are over."""
    options = PipelineOptions([], direct_num_workers=1)
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=options)
    build(pipeline, settings, [share or all_partitions(settings.open_log(), settings)])
    pipeline.run().wait_until_finish()


def run(
    settings: SourceSettings, share: Share | None = None, on_restart: Callable[[int], None] = lambda _: None
) -> None:
    """Pipelines one after the other until STOP is set; one that fails is started again where the chain ends.

    Raises:
        LogRefusedError, AccessRefusedError, CredentialsError: by the first, before it has read; a broker that
            lets us in today may be back tomorrow.
        AppendRefusedError: by one before which no delta was taken.
    """
    failures = restarts = 0
    SO_FAR.read = SO_FAR.wrote = False
    while not STOP.is_set():
        try:
            run_once(settings, share)
            failures = 0
        except Exception as error:  # Beam wraps what a DoFn raises in types of its own, but for errors of the log
            if _is_final(error, restarts):
                raise
            wait = RETRY_S[min(failures, len(RETRY_S) - 1)]
            failures += 1
            FIGURES.count("pipelines_failed")
            trace = not isinstance(error, LogError)
            logger.error("the pipeline ended: %s; next in %.1f s", error, wait, exc_info=error if trace else None)
            if STOP.wait(wait):
                break
        restarts += 1
        on_restart(restarts)


def _is_final(error: Exception, restarts: int) -> bool:
    """Whether we may not do this at all, as far as we know, so that another try will not do."""
    if isinstance(error, AppendRefusedError):
        return not SO_FAR.wrote
    refused = isinstance(error, LogRefusedError | AccessRefusedError | CredentialsError) and not error.retriable
    return refused and not restarts and not SO_FAR.read
