"""The figures at `/metrics`, in a registry of the service's own, and what counts requests.

A part of the service that counts something makes its counter with `registry=metrics.registry`; what can be looked up
when somebody asks belongs in `serving.status.gauges`. Requests are counted by hand here: prometheus_client's histogram,
with its locks and a check of each bucket, took half of all that is done about a request. docs/metrics.md lists every
figure, and a test holds it to that.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from slackwater.core.clock import Clock
from slackwater.core.exposition import CONTENT_TYPE, process_registry

__all__ = ["CONTENT_TYPE", "Metrics"]


BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, float("inf"))
"""Upper bounds, inclusive, in seconds."""


class _Timing:
    """One route and status. `counts` is by bucket, not cumulative."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(BUCKETS)
        self.seconds = 0.0


class Metrics(Collector):
    """Counts requests; the app registers what is read when asked for. `in_flight` belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.registry = process_registry()
        self.in_flight = 0
        self._found: dict[tuple[str, int], _Timing] = {}
        self.registry.register(self)
        text = "SQL queries by outcome: answered, or the kind of the problem."
        self.sql_queries = Counter("slackwater_sql_queries", text, ["outcome"], registry=self.registry)
        self.sql_queries.labels("answered")  # shown from the start, as 0

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
        """See `prometheus_client.registry.Collector`."""
        labels = ["route", "status"]
        requests = CounterMetricFamily("slackwater_requests", "Requests by route and status.", labels=labels)
        text = "Time to the first byte of the answer."
        took = HistogramMetricFamily("slackwater_request_seconds", text, labels=labels)
        for (route, status), timing in list(self._found.items()):
            values = [route, str(status)]
            cumulative = list(accumulate(timing.counts))
            bounds = [floatToGoString(bound) for bound in BUCKETS]  # type: ignore[no-untyped-call]
            requests.add_metric(values, cumulative[-1])
            took.add_metric(values, list(zip(bounds, cumulative, strict=True)), timing.seconds)
        yield requests
        yield took

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
