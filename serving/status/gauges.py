"""The figures of the service that are read when somebody asks: what it serves, how far it is, and what it holds.

Not here: what is counted as it happens (`serving.status.metrics`, `serving.watch.latency`). docs/metrics.md says what
each means.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.query.answer import ENCODED
from serving.store.hot import KEPT_TIP_BYTES
from serving.store.snapshot import Snapshot
from slackwater.restatements.ledger import Entry
from slackwater.restatements.restatement import CAUSES
from slackwater.versions.idle import last_idle_us
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof
from slackwater.views.definitions import names_of

if TYPE_CHECKING:
    from serving.service import Service


class ServiceGauges(Collector):
    """Reads a service. A scrape that finds it half started shows what there is."""

    def __init__(self, service: "Service") -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        service = self._service
        yield from self._positions()
        snapshot = service.watch.snapshot
        if snapshot is not None:
            yield from self._batch(snapshot)
            yield GaugeMetricFamily("slackwater_refusals", "Reasons for not serving in full.", len(snapshot.refusals))
        yield GaugeMetricFamily("slackwater_ready", "1 if ready.", int(service.readiness().ready))
        yield GaugeMetricFamily("slackwater_requests_in_flight", "Requests not done.", service.metrics.in_flight)
        yield GaugeMetricFamily("slackwater_cells", "Cells in memory.", service.hot.cells())
        yield CounterMetricFamily("slackwater_deltas", "Deltas read.", service.feed.deltas)
        yield CounterMetricFamily("slackwater_bad_deltas", "Deltas that do not decode.", service.feed.bad)
        conflicts = service.hot.conflicts_total
        yield CounterMetricFamily("slackwater_cell_conflicts", "Pairs of cells that differ.", conflicts)
        yield GaugeMetricFamily("slackwater_cold_reads", "Cold reads that run or wait.", service.pool.taken)
        asked = CounterMetricFamily("slackwater_row_cache_requests", "Look-ups of batch rows.", labels=["result"])
        asked.add_metric(["hit"], service.row_cache.hits)
        asked.add_metric(["miss"], service.row_cache.misses)
        yield asked
        yield GaugeMetricFamily("slackwater_row_cache_rows", "Batch rows kept.", service.row_cache.rows)
        yield from self._caches()
        yield GaugeMetricFamily("slackwater_streams", "Streams that are open.", service.hub.streams)
        ended = CounterMetricFamily("slackwater_streams_ended", "Streams that ended.", labels=["reason"])
        for reason, count in sorted(service.hub.ended.items()):
            ended.add_metric([reason], count)
        yield ended

    def _caches(self) -> Iterator[Metric]:
        service = self._service
        held = GaugeMetricFamily("slackwater_cache_bytes", "Memory of what is kept, about.", labels=["cache"])
        most = GaugeMetricFamily("slackwater_cache_limit_bytes", "The bound on it.", labels=["cache"])
        for name, size, bound in (
            ("rows", service.row_cache.bytes, service.row_cache.most_bytes),
            ("replies", sum(kept.bytes for kept in service.kept), service.options.kept_bytes),
            ("encoded", ENCODED.size, ENCODED.most_bytes),
            ("cursors", service.hot.tip_bytes, KEPT_TIP_BYTES),
        ):
            held.add_metric([name], size)
            most.add_metric([name], bound)
        yield held
        yield most

    def _positions(self) -> Iterator[Metric]:
        service, labels = self._service, ["view", "partition"]
        applied = GaugeMetricFamily("slackwater_applied_offset", "End of the chain.", labels=labels)
        lag = GaugeMetricFamily("slackwater_lag_records", "Records of the log not applied.", labels=labels)
        for name in names_of(service.views):
            for partition, at in sorted(service.hot.applied(name).items()):
                applied.add_metric([name, str(partition)], at)
                lag.add_metric([name, str(partition)], service.watch.lag({partition: at}))
        yield applied
        yield lag
        yield from self._log()

    def _log(self) -> Iterator[Metric]:
        service, now = self._service, self._service.clock.elapsed_s()
        facts = service.watch.log_watch.facts
        if facts is None:
            return
        bounds, hidden = facts.bounds, facts.hidden
        looks: tuple[tuple[str, str, Callable[[int], float]], ...] = (
            ("stable_offset", "What can be read ends here.", lambda p: bounds[p].end),
            ("high_watermark_offset", "The log ends here.", lambda p: bounds[p].high),
            ("hidden_records", "Records that an open transaction hides.", lambda p: bounds[p].hidden),
            (
                "stable_age_seconds",
                "How long the stable offset has stood below the high watermark.",
                lambda p: now - hidden[p].since_s if p in hidden else 0.0,
            ),
            ("unreadable", "1 if a batch cannot be read.", lambda p: int(p in service.probe.unread)),
        )
        for name, text, of in looks:
            gauge = GaugeMetricFamily(f"slackwater_log_{name}", text, labels=["partition"])
            for p in sorted(bounds):
                gauge.add_metric([str(p)], of(p))
            yield gauge

    def _batch(self, snapshot: Snapshot) -> Iterator[Metric]:
        service, manifest = self._service, snapshot.manifest
        yield GaugeMetricFamily("slackwater_version", "Version that is served.", snapshot.version)
        now_us, ended_us = service.clock.now_us(), last_idle_us(service.store) or 0
        if snapshot.version:
            ended_us = max(ended_us, manifest.created_us)
            age = (now_us - manifest.created_us) / 1e6
            yield GaugeMetricFamily("slackwater_batch_age_seconds", "Age of the batch view.", age)
        if ended_us:
            text = "Since a batch run ended that published the version, or found nothing new."
            yield GaugeMetricFamily("slackwater_batch_run_age_seconds", text, (now_us - ended_us) / 1e6)
        if snapshot.version:
            yield from _proof(service.proofs.proof(snapshot))
            yield _steps(manifest)
        for name, text, count in (
            ("events", "Trades of the batch view.", "events"),
            ("duplicates", "Trades of the batch view whose id stands there before.", "duplicates"),
            ("refused", "Records and lines below the cut that batch runs sent to the dead letters.", "refused"),
        ):
            yield GaugeMetricFamily(f"slackwater_batch_{name}", text, manifest.counts.get(count, 0))
        yield _duplicates(manifest)
        if snapshot.ledger is not None:
            yield _restatements(snapshot.ledger)


def _proof(proof: Proof) -> Iterator[Metric]:
    outcome = GaugeMetricFamily("slackwater_handoff", "1 at the outcome of the served version.", labels=["outcome"])
    for name in ("equal", "different", "unproven"):
        outcome.add_metric([name], int(proof.outcome == name))
    yield outcome
    yield GaugeMetricFamily("slackwater_handoff_forced", "1 if it was forced.", int(proof.forced is not None))
    yield GaugeMetricFamily("slackwater_handoff_gap_records", "Records between the cuts without a delta.", proof.gap)
    yield GaugeMetricFamily("slackwater_handoff_compared_states", "States that were compared.", proof.compared)
    yield GaugeMetricFamily("slackwater_handoff_differing_states", "States that differ.", proof.differ)


def _steps(manifest: Manifest) -> Metric:
    text = "How long the batch run of the served version took, by step."
    found = GaugeMetricFamily("slackwater_batch_step_seconds", text, labels=["step"])
    for step, took_ms in manifest.timings_ms.items():
        found.add_metric([step], took_ms / 1000)
    return found


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
