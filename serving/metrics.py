"""The figures at `/metrics`, in a registry of the service's own, and those that are counted request by request.

A part of the service that counts something makes its counter with `registry=metrics.registry`; what can be looked up
when somebody asks belongs in `serving.gauges`. docs/metrics.md lists every figure, and a test holds it to that.
"""

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Counter, Histogram, generate_latest

from event_log.clock import Clock
from serving.gauges import ServiceGauges
from slackwater.exposition import CONTENT_TYPE, process_registry

if TYPE_CHECKING:
    from serving.service import Service

__all__ = ["CONTENT_TYPE", "Metrics"]

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class _Answered(NamedTuple):
    """The figures of one route and status: to look them up by their labels takes longer than to count."""

    requests: Counter
    seconds: Histogram


class Metrics:
    """Counts requests; the rest is read from the service when asked for. `in_flight` belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.registry = process_registry()
        self.in_flight = 0
        self._answered: dict[tuple[str, int], _Answered] = {}
        self._requests = Counter(
            "slackwater_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "slackwater_request_seconds",
            "Time to the first byte of the answer.",
            ["route", "status"],
            registry=self.registry,
            buckets=BUCKETS,
        )

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` is one of a few, never what a client asked for."""
        found = self._answered.get((route, status))
        if found is None:
            labels = route, str(status)
            found = _Answered(self._requests.labels(*labels), self._seconds.labels(*labels))
            self._answered[route, status] = found
        found.requests.inc()
        found.seconds.observe(seconds)

    def watch(self, service: "Service") -> None:
        """Show the figures of `service` too."""
        self.registry.register(ServiceGauges(service))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
