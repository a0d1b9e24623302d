"""A worker: reads its partitions of all streams, each from where its chain ends, and gives blocks of segments.

    trades   ----[block]----[block]-[block]-->
    fills    ----[block] x  its tail was lost: said, and tried again after 1, 2, 5, ... s
    quotes   -------------------------------->   idle

A stream that cannot be read (its topic is gone or another one, its log's tail was lost, no access) stops none of the
others. Where none is left, the worker ends with the last one's error. No Beam here.
"""

import logging
from collections.abc import Collection, Iterator
from typing import NamedTuple

from slackwater.core.clock import Clock
from slackwater.log.errors import LogError
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.pipeline.segment import Block, Segment
from slackwater.streams.stream import Stream
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import streams_of
from slackwater.views.view import View
from speed_layer.figures import FIGURES
from speed_layer.pace import Pace
from speed_layer.stream_worker import StreamWorker
from speed_layer.watchdog import STALL_S

logger = logging.getLogger(__name__)

AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between two tries to read a stream; meanwhile the others are read."""

SHARED_WAIT_S = 0.02
"""Of several streams only the one that gave something last is waited for, and no longer than that."""


class _Failed(NamedTuple):
    tries: int
    again_s: float


class Worker:
    """Reads `partitions` of the streams of `views`, all there are if None.

    Raises:
        LogError: no stream can be read. Start again.
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        store: VersionStore,
        views: tuple[View, ...],
        partitions: Collection[int] | None,
        clock: Clock,
        stall_s: float = STALL_S,
        pace: Pace | None = None,
    ) -> None:
        self._made_of = log, names, store
        self._pace = pace or Pace(clock)
        self._views = views
        self._partitions = partitions
        self._clock = clock
        self._stall_s = stall_s
        self._streams = streams_of(views)
        self._reading: dict[Stream, StreamWorker] = {}
        self._failed: dict[Stream, _Failed] = {}
        self._newest = self._streams[0]
        self.half_done = False
        for stream in self._streams:
            self._open(stream)

    def step(self, timeout_s: float) -> Iterator[Block]:
        """What the logs have now: for each stream that has something one block of sealed segments, and the open ones
        that moved.

        Go on after it: a turn that was left halfway (`half_done`) has lost segments, and the worker must go.
        """
        self.half_done = True
        for stream in [each for each, failed in self._failed.items() if failed.again_s <= self._clock.elapsed_s()]:
            self._open(stream)
        alone, newest = len(self._reading) == 1, self._newest
        for stream, worker in list(self._reading.items()):
            wait_s = timeout_s if alone else min(timeout_s, SHARED_WAIT_S) if stream == newest else 0.0
            segments = self._take(stream, worker, wait_s)
            if segments:
                self._newest = stream
                yield Block(segments)
        self.half_done = False

    def close(self) -> None:
        """Release the readers."""
        for worker in self._reading.values():
            worker.close()

    def _take(self, stream: Stream, worker: StreamWorker, wait_s: float) -> tuple[Segment, ...]:
        try:
            segments = tuple(worker.step(wait_s))
        except LogError as error:
            del self._reading[stream]
            worker.close()
            self._fail(stream, error)
            return ()
        self._failed.pop(stream, None)
        return segments

    def _open(self, stream: Stream) -> None:
        log, names, store = self._made_of
        views = tuple(view for view in self._views if view.stream == stream)
        try:
            self._reading[stream] = StreamWorker(
                log, names, store, stream, views, self._partitions, self._clock, self._pace, self._stall_s
            )
        except LogError as error:
            self._fail(stream, error)
            return
        FIGURES.failed(stream.name, False)
        if stream in self._failed:  # its tries are forgotten when it was read
            logger.info("the stream %s is read again", stream.name)
            self._failed[stream] = self._failed[stream]._replace(again_s=float("inf"))

    def _fail(self, stream: Stream, error: LogError) -> None:
        tries = self._failed[stream].tries + 1 if stream in self._failed else 0
        wait_s = AGAIN_S[min(tries, len(AGAIN_S) - 1)]
        self._failed[stream] = _Failed(tries, self._clock.elapsed_s() + wait_s)
        FIGURES.failed(stream.name, True)
        waiting = [each for each in self._streams if each not in self._reading and each not in self._failed]
        if not self._reading and not waiting:
            raise error
        logger.error("the stream %s cannot be read, and is tried again in %.0f s: %s", stream.name, wait_s, error)
