"""Summarise: segments -> states, one element for each view and segment. The same object in both layers.

No source, no sink, no runner and no mode are in it, no windows, no Beam state, no timers.
"""

from collections.abc import Iterator

import apache_beam as beam

from pipeline import coders
from pipeline.segment import Segment, States
from views.session import LARGE_SEGMENT, Summariser
from views.view import View

__all__ = ["Summarise", "coders"]  # importing the coders registers them


class Summarise(beam.PTransform):
    """PCollection[Segment] -> PCollection[States]."""

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

    def process(self, segment: Segment) -> Iterator[States]:
        for view in self._views:
            if segment.table is None:
                yield States(view.name, segment.slot, self._summariser.files(view, segment.paths))
            elif segment.table.num_rows < LARGE_SEGMENT:
                yield States(view.name, segment.slot, None, tuple(self._summariser.rows(view, segment.table)))
            else:
                yield States(view.name, segment.slot, self._summariser.table(view, segment.table))

    def teardown(self) -> None:
        self._summariser.close()
