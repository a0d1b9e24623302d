"""The source: an endless splittable DoFn over the event log, which only ever splits to checkpoint.

One element owns all partitions of a worker, since a worker runs its elements one after the other, each for a whole
slice. Its tracker refuses every split but the checkpoint (f = 0), or two readers would read the same partitions. The
restriction counts turns; where to read is never in it, a worker finds that in the delta topic.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

from slackwater.core.clock import SystemClock
from slackwater.core.errors import SettingError
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.pipeline.segment import Block
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import streams_of
from slackwater.views.view import View
from speed_layer.pace import PACE
from speed_layer.so_far import SO_FAR, as_it_is
from speed_layer.stopping import STOP
from speed_layer.watchdog import STALL_S
from speed_layer.worker import Worker

POLL_S = 0.25

SLICE_S = 600.0
"""In process nobody asks for a checkpoint."""

PIPELINE_S = 3600.0


@dataclass(frozen=True)
class Share:
    """The element: which partitions of each stream this worker reads; None: all there are."""

    partitions: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SourceSettings:
    """Where to read; how long a slice and a pipeline last, and how long a partition may make no progress, in seconds.

    At the end of a slice the next one waits for Beam's sampling thread, which sleeps up to 0.2 s. `open_log` is called
    on the worker.
    """

    open_log: Callable[[], Log]
    names: TopicNames
    home: Path
    views: tuple[View, ...]
    slice_s: float = SLICE_S
    pipeline_s: float = PIPELINE_S
    stall_s: float = STALL_S


def of_streams(views: tuple[View, ...], text: str | None) -> tuple[View, ...]:
    """The views of the streams that are named, such as `trades,fills`; all where none is.

    Raises:
        SettingError: no view is of a stream of that name.
    """
    if text is None:
        return views
    names, there = text.split(","), [stream.name for stream in streams_of(views)]
    if unknown := sorted(set(names) - set(there)):
        raise SettingError(f"--streams names {', '.join(unknown)}.", f"There are {', '.join(there)}.")
    return tuple(view for view in views if view.stream.name in names)


class _Turns(OffsetRestrictionTracker):
    """Counts turns of the loop; unsplittable except for the checkpoint."""

    def try_split(self, fraction_of_remainder: float) -> Any:
        return super().try_split(fraction_of_remainder) if fraction_of_remainder == 0 else None

    def is_bounded(self) -> bool:
        return False


class _TurnsProvider(RestrictionProvider):
    def initial_restriction(self, element: Share) -> OffsetRange:
        return OffsetRange(0, sys.maxsize)

    def create_tracker(self, restriction: OffsetRange) -> _Turns:
        return _Turns(restriction)

    def restriction_size(self, element: Share, restriction: OffsetRange) -> int:
        return 1

    def split(self, element: Share, restriction: OffsetRange) -> Iterator[OffsetRange]:
        yield restriction


TURNS = beam.DoFn.RestrictionParam(_TurnsProvider())


class ReadLog(beam.DoFn):
    """Share -> an endless stream of Block, one for each turn that found something."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        """Workers outlive the slices of this instance, so that a checkpoint costs nothing."""
        self._workers: dict[Share, Worker] = {}
        self._clock = SystemClock()
        self._end_s = self._clock.elapsed_s() + self._settings.pipeline_s

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]  # Beam's classes are Any
    def process(self, share: Share, tracker: Any = TURNS) -> Iterator[Block]:
        """One slice."""
        with as_it_is():
            yield from self._slice(share, tracker)

    def _slice(self, share: Share, tracker: Any) -> Iterator[Block]:
        worker = self._worker(share)
        slice_end_s = self._clock.elapsed_s() + self._settings.slice_s
        turn = int(tracker.current_restriction().start)
        while not STOP.is_set() and self._clock.elapsed_s() < self._end_s:
            if not tracker.try_claim(turn):
                return
            yield from worker.step(POLL_S)
            SO_FAR.read = True
            turn += 1
            if self._clock.elapsed_s() >= slice_end_s:
                tracker.defer_remainder()
                return
        tracker.try_claim(sys.maxsize)  # refused, and marks the restriction as done

    def teardown(self) -> None:
        """Release the readers."""
        for worker in self._workers.values():
            worker.close()

    def _worker(self, share: Share) -> Worker:
        if share in self._workers and self._workers[share].half_done:
            self._workers.pop(share).close()
        if share not in self._workers:
            s = self._settings
            self._workers[share] = Worker(
                s.open_log(), s.names, VersionStore(s.home), s.views, share.partitions, self._clock, s.stall_s, PACE
            )
        return self._workers[share]
