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


class Figures(Collector):
    """Counters by name, and where reading stands. May be used by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(_NAMES, 0)
        self._positions: dict[int, int] = {}
        self._lags: dict[int, int] = {}
        self._unread: dict[int, bool] = {}

    def count(self, name: str, more: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += more

    def counts(self) -> Mapping[str, int]:
        """All of them, now."""
        with self._lock:
            return dict(self._counts)

    def read_to(self, partition: int, upto: int) -> None:
        """Say that a partition was read up to an offset."""
        with self._lock:
            self._positions[partition] = upto

    def lags(self, lags: Mapping[int, int]) -> None:
        """Say how many records of each partition are not read, as of a look at the log's end just now."""
        with self._lock:
            self._lags.update(lags)

    def unread(self, unread: Mapping[int, bool]) -> None:
        """Say of each partition whether its next batch cannot be read."""
        with self._lock:
            self._unread.update(unread)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        for name, count in self.counts().items():
            yield CounterMetricFamily(f"slackwater_speed_{name}", _NAMES[name], count)
        with self._lock:
            positions, lags, unread = dict(self._positions), dict(self._lags), dict(self._unread)
        position = GaugeMetricFamily("slackwater_speed_position_offset", "Read up to here.", labels=["partition"])
        for partition, upto in sorted(positions.items()):
            position.add_metric([str(partition)], upto)
        yield position
        stuck = GaugeMetricFamily("slackwater_speed_unreadable", "1 if it cannot be read on.", labels=["partition"])
        for partition, is_stuck in sorted(unread.items()):
            stuck.add_metric([str(partition)], int(is_stuck))
        yield stuck
        text = "Records of the event log not read, at the last look at its end."
        lag = GaugeMetricFamily("slackwater_speed_lag_records", text, labels=["partition"])
        for partition, records in sorted(lags.items()):
            lag.add_metric([str(partition)], records)
        yield lag


FIGURES = Figures()
