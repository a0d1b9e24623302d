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

_Place = tuple[str, int]


class Figures(Collector):
    """Counters by name, and where reading stands. May be used by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(_NAMES, 0)
        self._positions: dict[_Place, int] = {}
        self._lags: dict[_Place, int] = {}
        self._unread: dict[_Place, int] = {}
        self._lost: dict[_Place, int] = {}
        self._failed: dict[str, bool] = {}

    def count(self, name: str, more: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += more

    def counts(self) -> Mapping[str, int]:
        """All of them, now."""
        with self._lock:
            return dict(self._counts)

    def read_to(self, stream: str, partition: int, upto: int) -> None:
        """Say that a partition was read up to an offset."""
        with self._lock:
            self._positions[stream, partition] = upto

    def lags(self, stream: str, lags: Mapping[int, int]) -> None:
        """Say how many records of each partition are not read, as of a look at the log's end just now."""
        with self._lock:
            self._lags.update({(stream, p): lag for p, lag in lags.items()})

    def unread(self, stream: str, unread: Mapping[int, bool]) -> None:
        """Say of each partition whether its next batch cannot be read."""
        with self._lock:
            self._unread.update({(stream, p): int(stuck) for p, stuck in unread.items()})

    def tail_lost(self, stream: str, lost: Mapping[int, int]) -> None:
        """Say of each partition by how much cells reach beyond the log's end."""
        with self._lock:
            self._lost.update({(stream, p): offsets for p, offsets in lost.items()})

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
            places = {"position_offset": dict(self._positions), "unreadable": dict(self._unread)}
            places |= {"tail_lost_offsets": dict(self._lost), "lag_records": dict(self._lags)}
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
