"""Summarise: segments -> states, one element for each view and segment. The same object in both layers.

No source, no sink, no runner and no mode are in it, no windows, no Beam state, no timers.
"""

import time
from collections.abc import Callable, Iterator, Mapping

import apache_beam as beam
import duckdb
import pyarrow as pa

from slackwater.pipeline import coders
from slackwater.pipeline.segment import Block, Segment, States
from slackwater.views.errors import ViewError
from slackwater.views.session import LARGE_SEGMENT, Summariser
from slackwater.views.view import View

__all__ = ["Summarise", "coders"]  # importing the coders registers them

Failed = Callable[[View], None]
Spent = Callable[[Mapping[View, float]], None]


class Summarise(beam.PTransform):
    """PCollection[Segment | Block] -> PCollection[States], the states of a block's segments in their order.

    A view gets the segments of its own stream. `failed` is called, in the process that computes, with a view that
    can make no states of some events, before that ends the pipeline: with a sum beyond its type, for example.
    `spent` is called there with the CPU, in seconds, that each view's states of an element took to make and to send,
    if segments are among them that may still grow.
    """

    def __init__(
        self, views: tuple[View, ...], threads: int = 1, failed: Failed | None = None, spent: Spent | None = None
    ) -> None:
        super().__init__()
        self._views = views
        self._threads = threads
        self._failed = failed
        self._spent = spent

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        """See beam.PTransform.expand."""
        step = _SummariseSegment(self._views, self._threads, self._failed, self._spent)
        return segments | "States of segments" >> beam.ParDo(step)


class _SummariseSegment(beam.DoFn):
    def __init__(
        self, views: tuple[View, ...], threads: int, failed: Failed | None = None, spent: Spent | None = None
    ) -> None:
        self._views = views
        self._threads = threads
        self._failed = failed
        self._spent = spent

    def setup(self) -> None:
        self._summariser = Summariser(self._views, self._threads)

    def process(self, element: Segment | Block) -> Iterator[States]:
        segments = element.segments if isinstance(element, Block) else (element,)
        spent_s: dict[View, float] = {}
        for view in self._views:
            own = tuple(segment for segment in segments if segment.is_for(view))
            if not own:
                continue
            began_s = time.thread_time()
            try:
                yield from self._states(view, own)
            except (duckdb.Error, ViewError) as error:
                if self._failed is not None:
                    self._failed(view)
                slots = [segment.slot for segment in own]
                where = ", ".join(f"[{slot.start}, {slot.upto}) of partition {slot.partition}" for slot in slots[:3])
                stream = view.stream.name
                raise ViewError(f"The view {view.name} makes no states of {stream}, {where}: {error}") from error
            if not all(segment.slot.sealed for segment in own):
                spent_s[view] = time.thread_time() - began_s
        if self._spent is not None and spent_s:
            self._spent(spent_s)

    def teardown(self) -> None:
        self._summariser.close()

    def _states(self, view: View, segments: tuple[Segment, ...]) -> Iterator[States]:
        small = [segment.table for segment in segments if _is_small(segment.table)]
        rows = iter(self._summariser.rows_of_each(view, small) if small else ())
        for segment in segments:
            if segment.table is None:
                yield States(view.definition, segment.slot, self._summariser.files(view, segment.paths))
            elif _is_small(segment.table):
                yield States(view.definition, segment.slot, None, tuple(next(rows)))
            else:
                yield States(view.definition, segment.slot, self._summariser.table(view, segment.table))


def _is_small(table: pa.Table | None) -> bool:
    return table is not None and table.num_rows < LARGE_SEGMENT
