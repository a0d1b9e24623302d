"""Summarise: segments -> states, one element for each view and segment. The same object in both layers.

No source, no sink, no runner and no mode are in it, no windows, no Beam state, no timers.
"""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

from slackwater.pipeline import coders
from slackwater.pipeline.segment import Block, Segment, States
from slackwater.views.session import LARGE_SEGMENT, Summariser
from slackwater.views.view import View

__all__ = ["Summarise", "coders"]  # importing the coders registers them


class Summarise(beam.PTransform):
    """PCollection[Segment | Block] -> PCollection[States], the states of a block's segments in their order.

    A view gets the segments of its own stream.
    """

    def __init__(self, views: tuple[View, ...], threads: int = 1) -> None:
        super().__init__()
        self._views = views
        self._threads = threads

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        """See beam.PTransform.expand."""
        return segments | "States of segments" >> beam.ParDo(_SummariseSegment(self._views, self._threads))


class _SummariseSegment(beam.DoFn):
    def __init__(self, views: tuple[View, ...], threads: int) -> None:
        self._views = views
        self._threads = threads

    def setup(self) -> None:
        self._summariser = Summariser(self._views, self._threads)

    def process(self, element: Segment | Block) -> Iterator[States]:
        segments = element.segments if isinstance(element, Block) else (element,)
        for view in self._views:
            own = tuple(segment for segment in segments if segment.slot.stream == view.stream.name)
            yield from self._states(view, own)

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
