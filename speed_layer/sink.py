"""The sink: states -> deltas in partition p of the delta topic of their stream, in order.

Group offsets are committed after the acknowledgement, for the lag that standard tools show; nothing is read from
them. A delta that is not acknowledged raises, the pipeline ends, and the next one begins where the chain ends.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import apache_beam as beam

from slackwater.core.clock import Clock, SystemClock
from slackwater.core.faults import reach
from slackwater.deltas.cell import Cell, appended_headers, delta_key_of, encode_key, encode_value
from slackwater.log.log import Ack, Log
from slackwater.log.names import SPEED_GROUP, TopicNames
from slackwater.log.stages import Stages
from slackwater.pipeline.segment import States
from slackwater.streams.stream import Stream
from slackwater.views.definitions import view_of
from slackwater.views.view import View
from speed_layer.figures import FIGURES
from speed_layer.so_far import SO_FAR, as_it_is

MAX_IN_FLIGHT = 2000
MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""Deltas on their way, by number and by size; beyond that the sink waits, and nobody reads the log meanwhile."""

COMMIT_S = 1.0


class _Sent(NamedTuple):
    partition: int
    upto: int
    ack: Ack
    size: int


class PublishDeltas(beam.DoFn):
    """States -> nothing. Bounded in memory: with too much unacknowledged it waits for the oldest."""

    def __init__(
        self, open_log: Callable[[], Log], names: TopicNames, views: tuple[View, ...], clock: Clock | None = None
    ) -> None:
        self._open_log = open_log
        self._clock = clock or SystemClock()
        self._names = names
        self._views = views

    def setup(self) -> None:
        """A stream's own sink is opened for its first delta."""
        with as_it_is():
            self._log = self._open_log()
        self._sinks: dict[Stream, _StreamSink] = {}

    def process(self, states: States) -> None:
        """Send one delta."""
        view = view_of(states.definition, self._views)
        with as_it_is(view.stream.name):
            sink = self._sinks.get(view.stream)
            if sink is None:
                sink = self._sinks[view.stream] = _StreamSink(self._log, self._names, view.stream, self._clock)
            sink.send(view, states)

    def teardown(self) -> None:
        """Wait for what is under way."""
        for stream, sink in self._sinks.items():
            with as_it_is(stream.name):
                sink.close()


class _StreamSink:
    """The deltas of one stream: a producer of its own, since one that failed is of no use, and a consumer of the group
    whose offsets are committed."""

    def __init__(self, log: Log, names: TopicNames, stream: Stream, clock: Clock) -> None:
        self._clock = clock
        self._stream = stream.name
        self._topic = names.deltas(stream)
        self._writer = log.writer()
        self._group = log.reader(names.topic(stream), {}, SPEED_GROUP)
        self._sent: deque[_Sent] = deque()
        self._sent_bytes = 0
        self._acknowledged: dict[int, int] = {}
        self._committed_s = clock.elapsed_s()

    def send(self, view: View, states: States) -> None:
        """Send one delta."""
        slot = states.slot
        summarised_us = self._clock.now_us() if slot.stages else 0
        delta_key = delta_key_of(view, slot.topic_id, slot.partition)
        cell = Cell(delta_key, slot.start, slot.upto, states.as_rows(view))
        reach("emit.before")
        value = encode_value(cell)
        key, headers = encode_key(cell, slot.sealed), appended_headers(slot.appended_ms)
        if slot.stages:
            stages = Stages(*slot.stages)._replace(summarised=summarised_us, emitted=self._clock.now_us())
            headers = [*headers, *stages.headers()]
        ack = self._writer.append(self._topic, slot.partition, key, value, headers)
        reach("emit.after")
        FIGURES.count("deltas")
        self._sent.append(_Sent(slot.partition, slot.upto, ack, len(value)))
        self._sent_bytes += len(value)
        while self._sent and (self._sent[0].ack.done() or self._too_much()):
            self._settle(self._sent.popleft())
        if self._clock.elapsed_s() - self._committed_s >= COMMIT_S:
            self._commit()

    def close(self) -> None:
        """Wait for what is under way."""
        try:
            while self._sent:
                self._settle(self._sent.popleft())
            self._commit(wait=True)
        finally:
            try:
                self._writer.close()
            finally:
                self._group.close()

    def _too_much(self) -> bool:
        return len(self._sent) > MAX_IN_FLIGHT or self._sent_bytes > MAX_IN_FLIGHT_BYTES

    def _settle(self, sent: _Sent) -> None:
        if not sent.ack.done():
            FIGURES.count("waits")
        sent.ack.offset()
        SO_FAR.wrote = True
        SO_FAR.taken.add(self._stream)
        self._sent_bytes -= sent.size
        reach("emit.landed")
        self._acknowledged[sent.partition] = sent.upto

    def _commit(self, wait: bool = False) -> None:
        self._committed_s = self._clock.elapsed_s()
        reach("commit.before")
        self._group.commit(self._acknowledged, wait)
        reach("commit.after")
