"""The figures of requests: how many, how long, by route and status, in the registry of the process.

A part of a service that counts something makes its counter with `registry=figures.registry`. Requests are counted by
hand here: prometheus_client's histogram, with its locks and a check of each bucket, took half of all that is done about
a request. Not here: when a request is counted (`slackwater.http.observed`), what else a service shows
(`serving.status.metrics`).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from slackwater.core.clock import Clock
from slackwater.core.exposition import process_registry

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, float("inf"))
"""Upper bounds, inclusive, in seconds."""


class _Timing:
    """One route and status. `counts` is by bucket, not cumulative."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(BUCKETS)
        self.seconds = 0.0


class RequestFigures(Collector):
    """Counts requests, under names that begin with `prefix`. `in_flight` belongs to the event loop.

    `looked_up` are groups of further figures, which are read when somebody asks.
    """

    def __init__(self, clock: Clock, prefix: str = "slackwater") -> None:
        self.clock = clock
        self.prefix = prefix
        self.registry = process_registry()
        self.in_flight = 0
        self.looked_up: Sequence[Callable[[], Iterator[Metric]]] = ()
        self._found: dict[tuple[str, int], _Timing] = {}
        self.registry.register(self)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` is one of a few, never what a client asked for."""
        timing = self._found.get((route, status))
        if timing is None:
            timing = self._found[route, status] = _Timing()
        timing.counts[bisect_left(BUCKETS, seconds)] += 1
        timing.seconds += seconds

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The requests, then the groups."""
        labels = ["route", "status"]
        requests = CounterMetricFamily(f"{self.prefix}_requests", "Requests by route and status.", labels=labels)
        text = "Time to the first byte of the answer."
        took = HistogramMetricFamily(f"{self.prefix}_request_seconds", text, labels=labels)
        for (route, status), timing in list(self._found.items()):
            values = [route, str(status)]
            cumulative = list(accumulate(timing.counts))
            bounds = [floatToGoString(bound) for bound in BUCKETS]  # type: ignore[no-untyped-call]
            requests.add_metric(values, cumulative[-1])
            took.add_metric(values, list(zip(bounds, cumulative, strict=True)), timing.seconds)
        yield requests
        yield took
        for group in self.looked_up:
            yield from group()

    def not_done(self) -> Metric:
        """How many requests are in flight, for a group of `looked_up`."""
        return GaugeMetricFamily(f"{self.prefix}_requests_in_flight", "Requests not done.", self.in_flight)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
