"""What this process of the speed layer did since it began, in numbers, for `/metrics` and for its last line.

One object a process: workers and sinks are made again with each pipeline, and the counts go on. A `+=` under one
lock, since a pipeline that ends and the next one may overlap. Not here: the page (`slackwater.core.exposition`).
"""

import threading
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_NAMES = {
    "records": "Records read from the event log, again where a cell is read again after a restart.",
    "readers_rebuilt": "Readers made again, since a partition with lag made no progress.",
    "pipelines_failed": "Pipelines that ended with an error and were started again.",
    "deltas": "Deltas sent.",
    "waits": "Times that the sink waited for the log, with too much unacknowledged.",
}


_PLACES = {
    "position_offset": "Read up to here.",
    "unreadable": "1 if it cannot be read on.",
    "tail_lost_offsets": "Offsets that cells reach beyond the log's end, when reading began: its tail was lost.",
    "lag_records": "Records of the event log not read, at the last look at its end.",
}


class Figures(Collector):
    """Counters by name, and where reading stands. May be used by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(_NAMES, 0)
        self._places: dict[str, dict[tuple[str, int], int]] = {name: {} for name in _PLACES}
        self._failed: dict[str, bool] = {}

    def count(self, name: str, more: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += more

    def counts(self) -> Mapping[str, int]:
        """All of them, now."""
        with self._lock:
            return dict(self._counts)

    def of_partitions(self, name: str, stream: str, values: Mapping[int, int]) -> None:
        """Say a figure of some partitions of a stream, as it is now."""
        with self._lock:
            self._places[name].update({(stream, p): value for p, value in values.items()})

    def failed(self, stream: str, failed: bool) -> None:
        """Say whether a stream is left alone, since it cannot be read or its deltas are not taken."""
        with self._lock:
            self._failed[stream] = failed

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        for name, count in self.counts().items():
            yield CounterMetricFamily(f"slackwater_speed_{name}", _NAMES[name], count)
        with self._lock:
            failed = dict(self._failed)
            places = {name: dict(of) for name, of in self._places.items()}
        for name, of in places.items():
            gauge = GaugeMetricFamily(f"slackwater_speed_{name}", _PLACES[name], labels=["stream", "partition"])
            for (stream, partition), value in sorted(of.items()):
                gauge.add_metric([stream, str(partition)], value)
            yield gauge
        text = "1 if the stream is left alone for a while: it cannot be read, or its deltas are not taken."
        gauge = GaugeMetricFamily("slackwater_speed_stream_failed", text, labels=["stream"])
        for stream, is_failed in sorted(failed.items()):
            gauge.add_metric([stream], int(is_failed))
        yield gauge


FIGURES = Figures()
