"""A speed worker with its sink on a log in memory: the real tiling, summary, codec and sink, without a pipeline."""

from lesson.memory_log import MemoryLog
from slackwater.core.clock import Clock
from slackwater.log.names import TopicNames
from slackwater.pipeline.segment import States
from slackwater.versions.store import VersionStore
from slackwater.views.session import Summariser
from slackwater.views.view import View
from speed_layer.sink import PublishDeltas
from speed_layer.worker import Worker
from tests.hand import HandClock


class Speed:
    """One process of the speed layer; `step` does one turn, to the log's end."""

    def __init__(
        self,
        log: MemoryLog,
        names: TopicNames,
        store: VersionStore,
        views: tuple[View, ...],
        clock: Clock | None = None,
    ) -> None:
        self._views = views
        self._summariser = Summariser(views)
        clock = clock or HandClock()
        self._worker = Worker(log, names, store, views, None, clock)
        self._sink = PublishDeltas(lambda: log, names, views, clock)
        self._sink.setup()

    def step(self) -> None:
        for segment in (segment for block in self._worker.step(0) for segment in block.segments):
            for view in filter(segment.is_for, self._views):
                rows = tuple(self._summariser.rows(view, segment.table))
                self._sink.process(States(view.definition, segment.slot, None, rows))

    def close(self) -> None:
        self._worker.close()
        self._sink.teardown()
        self._summariser.close()
