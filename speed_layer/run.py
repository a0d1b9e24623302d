"""Runs the speed pipeline: Create(share) | ReadLog | Summarise | PublishDeltas.

In process it ends every hour and starts again, since each self-checkpoint of the in-process runner keeps some memory;
a start costs 0.2 s, and the design restarts anywhere.
"""

import logging
from collections.abc import Callable, Set
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from slackwater.core.clock import SystemClock
from slackwater.log.errors import AccessRefusedError, AppendRefusedError, CredentialsError, LogError, LogRefusedError
from slackwater.pipeline.summarise import Summarise
from speed_layer.figures import FIGURES
from speed_layer.pace import spent
from speed_layer.sink import PublishDeltas
from speed_layer.so_far import SO_FAR, not_summed
from speed_layer.source import ReadLog, Share, SourceSettings
from speed_layer.stopping import STOP

logger = logging.getLogger(__name__)

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)

LEFT_OUT_S = 30.0
"""How long a stream whose deltas were not taken or made is left out, so that it does not end the others' pipelines."""

ALL = Share()


def build(pipeline: Any, settings: SourceSettings, shares: list[Share]) -> None:
    """Add the speed layer to a pipeline. A share is one reader; on a cluster submit one job for each."""
    _ = (
        pipeline
        | "Shares of partitions" >> beam.Create(shares)
        | "Segments of the log" >> beam.ParDo(ReadLog(settings))
        | "Summarise" >> Summarise(settings.views, failed=not_summed, spent=spent)
        | "Deltas" >> beam.ParDo(PublishDeltas(settings.open_log, settings.names, settings.views))
    )


def run_once(settings: SourceSettings, share: Share = ALL) -> None:
    """One in-process pipeline over `share`, until STOP is set or `settings.pipeline_s` are over."""
    options = PipelineOptions([], direct_num_workers=1)
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=options)
    build(pipeline, settings, [share])
    pipeline.run().wait_until_finish()


def run(settings: SourceSettings, share: Share = ALL, on_restart: Callable[[int], None] = lambda _: None) -> None:
    """Pipelines one after the other until STOP is set; one that fails is started again where the chain ends.

    Where it failed again since the deltas of a stream are not taken, or none can be made of its events, the next ones
    leave that stream out for a while.

    Raises:
        LogRefusedError, AccessRefusedError, CredentialsError: by the first, before it has read; a broker that
            lets us in today may be back tomorrow.
        AppendRefusedError: by one before which no delta was taken.
    """
    failures = restarts = 0
    SO_FAR.read = SO_FAR.wrote = False
    left_out = _LeftOut(settings)
    while not STOP.is_set():
        SO_FAR.taken.clear()
        SO_FAR.refused.clear()
        SO_FAR.unmade.clear()
        try:
            run_once(left_out.settings(), share)
            failures = 0
        except Exception as error:  # Beam wraps what a DoFn raises in types of its own, but for errors of the log
            if _is_final(error, restarts):
                raise
            left_out.add(SO_FAR.refused, SO_FAR.taken)
            left_out.add_unmade(SO_FAR.unmade)
            wait = RETRY_S[min(failures, len(RETRY_S) - 1)]
            failures += 1
            FIGURES.count("pipelines_failed")
            trace = not isinstance(error, LogError)
            logger.error("the pipeline ended: %s; next in %.1f s", error, wait, exc_info=error if trace else None)
            if STOP.wait(wait):
                break
        restarts += 1
        on_restart(restarts)


class _LeftOut:
    """The streams whose deltas are not taken or made while others' are."""

    def __init__(self, settings: SourceSettings) -> None:
        self._whole = settings
        self._clock = SystemClock()
        self._refused: set[str] = set()
        self._until_s: dict[str, float] = {}

    def add(self, refused: Set[str], taken: Set[str]) -> None:
        """A pipeline ended since deltas were refused. The second time in which others' were taken, leave those out."""
        if taken <= refused:
            return
        self._leave(refused & self._refused)
        self._refused |= refused

    def add_unmade(self, unmade: Set[str]) -> None:
        """A pipeline ended since no deltas can be made of a stream's events: leave it out, if there are others."""
        if {view.stream.name for view in self._whole.views} > unmade:
            self._leave(unmade)

    def _leave(self, streams: Set[str]) -> None:
        for stream in streams:
            self._until_s[stream] = self._clock.elapsed_s() + LEFT_OUT_S
            FIGURES.failed(stream, True)

    def settings(self) -> SourceSettings:
        """Those of the next pipeline, which ends when a stream may be taken in again."""
        now_s = self._clock.elapsed_s()
        self._until_s = {stream: until_s for stream, until_s in self._until_s.items() if until_s > now_s}
        if not self._until_s:
            return self._whole
        views = tuple(view for view in self._whole.views if view.stream.name not in self._until_s)
        left_s = min(self._until_s.values()) - now_s
        return replace(self._whole, views=views, pipeline_s=min(self._whole.pipeline_s, left_s))


def _is_final(error: Exception, restarts: int) -> bool:
    """Whether we may not do this at all, as far as we know, so that another try will not do."""
    if isinstance(error, AppendRefusedError):
        return not SO_FAR.wrote
    refused = isinstance(error, LogRefusedError | AccessRefusedError | CredentialsError) and not error.retriable
    return refused and not restarts and not SO_FAR.read
