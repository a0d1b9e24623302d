"""The figures at `/metrics`, in a registry of the service's own."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from event_log.clock import Clock
from versions.ledger import Entry
from versions.manifest import Manifest
from versions.proof import Proof
from versions.restatement import CAUSES
from views.definitions import names_of

if TYPE_CHECKING:
    from serving.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """Counts requests; the rest is read from the service when asked for."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "slackwater_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "slackwater_request_seconds", "Time to answer.", ["route"], registry=self.registry, buckets=_BUCKETS
        )

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch(self, service: "Service") -> None:
        """Show the figures of `service` too."""
        self.registry.register(_ServiceCollector(service))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _ServiceCollector(Collector):
    def __init__(self, service: "Service") -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        service = self._service
        applied = GaugeMetricFamily("slackwater_applied_offset", "End of the chain.", labels=["view", "partition"])
        lag = GaugeMetricFamily("slackwater_lag_records", "Records of the log not applied.", labels=["view"])
        for name in names_of(service.views):
            ends = service.hot.applied(name)
            for partition, at in sorted(ends.items()):
                applied.add_metric([name, str(partition)], at)
            lag.add_metric([name], service.watch.lag(ends))
        yield applied
        yield lag
        snapshot = service.watch.snapshot
        if snapshot is not None:
            yield GaugeMetricFamily("slackwater_version", "Version that is served.", snapshot.version)
            if snapshot.version:
                age = (service.clock.now_us() - snapshot.manifest.created_us) / 1e6
                yield GaugeMetricFamily("slackwater_batch_age_seconds", "Age of the batch view.", age)
                yield from _proof(service.proofs.proof(snapshot))
            counts = snapshot.manifest.counts
            yield GaugeMetricFamily("slackwater_batch_events", "Trades of the batch view.", counts.get("events", 0))
            told = "Trades of the batch view whose id stands there before."
            yield GaugeMetricFamily("slackwater_batch_duplicates", told, counts.get("duplicates", 0))
            yield _duplicates(snapshot.manifest)
            if snapshot.ledger is not None:
                yield _restatements(snapshot.ledger)
            yield GaugeMetricFamily("slackwater_refusals", "Reasons for not serving in full.", len(snapshot.refusals))
        yield GaugeMetricFamily("slackwater_ready", "1 if ready.", int(service.readiness().ready))
        yield GaugeMetricFamily("slackwater_cells", "Cells in memory.", service.hot.cells())
        yield CounterMetricFamily("slackwater_deltas", "Deltas read.", service.feed.deltas)
        yield CounterMetricFamily("slackwater_bad_deltas", "Deltas that do not decode.", service.feed.bad)
        conflicts = service.hot.conflicts_total
        yield CounterMetricFamily("slackwater_cell_conflicts", "Pairs of cells that differ.", conflicts)


def _proof(proof: Proof) -> Iterator[Metric]:
    outcome = GaugeMetricFamily("slackwater_handoff", "1 at the outcome of the served version.", labels=["outcome"])
    for name in ("equal", "different", "unproven"):
        outcome.add_metric([name], int(proof.outcome == name))
    yield outcome
    yield GaugeMetricFamily("slackwater_handoff_forced", "1 if it was forced.", int(proof.forced is not None))
    yield GaugeMetricFamily("slackwater_handoff_gap_records", "Records between the cuts without a delta.", proof.gap)
    yield GaugeMetricFamily("slackwater_handoff_compared_states", "States that were compared.", proof.compared)
    yield GaugeMetricFamily("slackwater_handoff_differing_states", "States that differ.", proof.differ)


def _restatements(entries: Iterable[Entry]) -> Metric:
    told = "Closed bars that were changed, over the whole ledger."
    found = GaugeMetricFamily("slackwater_restatements", told, labels=["cause"])
    for cause in CAUSES:
        found.add_metric([cause], sum(entry.counts.get(cause, 0) for entry in entries))
    return found


def _duplicates(manifest: Manifest) -> Metric:
    found = GaugeMetricFamily("slackwater_instrument_duplicates", "The same by instrument.", labels=["venue", "symbol"])
    for each in manifest.duplicates:
        found.add_metric([each.venue, each.symbol], each.events)
    return found
