"""The figures at `/metrics`, in a registry of the service's own, and what counts requests.

A part of the service that counts something makes its counter with `registry=metrics.registry`; what can be looked up
when somebody asks belongs in `serving.status.gauges`; requests are counted in `serving.status.timings`. docs/metrics.md
lists every figure, and a test holds it to that.
"""

from prometheus_client import Counter, generate_latest

from serving.status.timings import Timings
from slackwater.core.clock import Clock
from slackwater.core.exposition import CONTENT_TYPE, process_registry

__all__ = ["CONTENT_TYPE", "Metrics"]


class Metrics:
    """Counts requests; the app registers what is read when asked for. `in_flight` belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.registry = process_registry()
        self.in_flight = 0
        self._timings = Timings()
        self.registry.register(self._timings)
        told = "SQL queries by outcome: answered, or the kind of the problem."
        self.sql_queries = Counter("slackwater_sql_queries", told, ["outcome"], registry=self.registry)
        self.sql_queries.labels("answered")  # shown from the first moment, as 0

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` is one of a few, never what a client asked for."""
        self._timings.observe(route, status, seconds)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
