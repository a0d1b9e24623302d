"""The figures that are read when somebody asks: what is served, how far it is, and what is held, a function for each
group of parts that have some.

Not here: what is counted as it happens (`serving.status.metrics`, `serving.watch.feed`). docs/metrics.md says what
each means.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.query.pool import Pool
from serving.status.layers import Readiness
from serving.status.metrics import Metrics
from serving.store.hot import HotStore
from serving.store.row_cache import RowCache
from serving.stream.hub import Hub
from serving.watch.live import Lives
from serving.watch.log_probe import LogProbe
from serving.watch.log_watch import LogFacts
from serving.watch.proof_watch import ProofWatch
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock
from slackwater.restatements.ledger import CAUSES, Entry
from slackwater.versions.idle import last_idle_us
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import defaults
from slackwater.views.view import View

Check = Callable[[], Iterator[Metric]]


class Gauges(Collector):
    """Some of the groups below, with their parts. A scrape that finds a server half started shows what there is."""

    def __init__(self, *checks: Check) -> None:
        self._checks = checks

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        for check in self._checks:
            yield from check()


class Held(NamedTuple):
    """What a cache takes now and at most, in bytes."""

    size: Callable[[], int]
    most: int


def requests_now(readiness: Readiness, metrics: Metrics, hub: Hub) -> Iterator[Metric]:
    """Readiness, requests and streams."""
    yield GaugeMetricFamily("slackwater_ready", "1 if ready.", int(readiness.check().ready))
    yield GaugeMetricFamily("slackwater_requests_in_flight", "Requests not done.", metrics.in_flight)
    yield GaugeMetricFamily("slackwater_streams", "Streams that are open.", hub.streams)
    ended = CounterMetricFamily("slackwater_streams_ended", "Streams that ended.", labels=["reason"])
    for reason, count in sorted(hub.ended.items()):
        ended.add_metric([reason], count)
    yield ended


def chains(hot: HotStore, lives: Lives) -> Iterator[Metric]:
    """Cells and deltas."""
    yield GaugeMetricFamily("slackwater_cells", "Cells in memory.", hot.cells())
    deltas = CounterMetricFamily("slackwater_deltas", "Deltas read.", labels=["stream"])
    bad = CounterMetricFamily("slackwater_bad_deltas", "Deltas that do not decode.", labels=["stream"])
    for name, live in lives.items():
        deltas.add_metric([name], live.feed.deltas)
        bad.add_metric([name], live.feed.bad)
    yield deltas
    yield bad
    yield CounterMetricFamily("slackwater_cell_conflicts", "Pairs of cells that differ.", hot.conflicts_total)


def reads(pool: Pool, rows: RowCache, caches: Mapping[str, Held]) -> Iterator[Metric]:
    """Cold reads, and what every cache holds."""
    yield GaugeMetricFamily("slackwater_cold_reads", "Cold reads that run or wait.", pool.taken)
    asked = CounterMetricFamily("slackwater_row_cache_requests", "Look-ups of batch rows.", labels=["result"])
    asked.add_metric(["hit"], rows.hits)
    asked.add_metric(["miss"], rows.misses)
    yield asked
    yield GaugeMetricFamily("slackwater_row_cache_rows", "Batch rows in the cache.", rows.rows)
    held = GaugeMetricFamily("slackwater_cache_bytes", "Memory of what is cached, about.", labels=["cache"])
    most = GaugeMetricFamily("slackwater_cache_limit_bytes", "The bound on it.", labels=["cache"])
    for name, cache in caches.items():
        held.add_metric([name], cache.size())
        most.add_metric([name], cache.most)
    yield held
    yield most


def positions(views: tuple[View, ...], hot: HotStore, watch: VersionsWatch) -> Iterator[Metric]:
    """How far each stream's batch and each view is."""
    labels = ["stream", "view", "partition"]
    cut = GaugeMetricFamily("slackwater_cut_offset", "Where the served batch view ends.", labels=labels[::2])
    applied = GaugeMetricFamily("slackwater_applied_offset", "End of the chain.", labels=labels)
    lag = GaugeMetricFamily("slackwater_lag_records", "Records of the log not applied.", labels=labels)
    for view in defaults(views):
        stream = view.stream.name
        for partition, at in sorted(hot.applied(view.name).items()):
            where = [stream, view.name, str(partition)]
            applied.add_metric(where, at)
            lag.add_metric(where, watch.lag(stream, {partition: at}))
    for stream, standing in watch.snapshot.streams.items() if watch.snapshot is not None else ():
        for partition, at in sorted(standing.cut.items()):
            cut.add_metric([stream, str(partition)], at)
    yield cut
    yield applied
    yield lag


def log_ends(lives: Lives, probes: Mapping[str, LogProbe], clock: Clock) -> Iterator[Metric]:
    """Where each stream's log ends, and what hides there."""
    now = clock.elapsed_s()
    checks: tuple[tuple[str, str, Callable[[LogFacts, LogProbe, int], float]], ...] = (
        ("stable_offset", "What can be read ends here.", lambda facts, _, p: facts.bounds[p].end),
        ("high_watermark_offset", "The log ends here.", lambda facts, _, p: facts.bounds[p].high),
        ("hidden_records", "Records that an open transaction hides.", lambda facts, _, p: facts.bounds[p].hidden),
        (
            "stable_age_seconds",
            "How long the stable offset has stood below the high watermark.",
            lambda facts, _, p: now - facts.hidden[p].since_s if p in facts.hidden else 0.0,
        ),
        ("unreadable", "1 if a batch cannot be read.", lambda _, probe, p: int(p in probe.unread)),
    )
    seen = {name: facts for name, live in lives.items() if (facts := live.log_watch.facts) is not None}
    for name, text, of in checks if seen else ():
        gauge = GaugeMetricFamily(f"slackwater_log_{name}", text, labels=["stream", "partition"])
        for stream, facts in seen.items():
            for p in sorted(facts.bounds):
                gauge.add_metric([stream, str(p)], of(facts, probes[stream], p))
        yield gauge


def served(watch: VersionsWatch, proofs: ProofWatch, store: VersionStore, clock: Clock) -> Iterator[Metric]:
    """The version that is served."""
    snapshot = watch.snapshot
    if snapshot is None:
        return
    manifest = snapshot.manifest
    yield GaugeMetricFamily("slackwater_version", "Version that is served.", snapshot.version)
    now_us, ended_us = clock.now_us(), last_idle_us(store) or 0
    if snapshot.version:
        ended_us = max(ended_us, manifest.created_us)
        age = (now_us - manifest.created_us) / 1e6
        yield GaugeMetricFamily("slackwater_batch_age_seconds", "Age of the batch view.", age)
        yield from _proof(proofs.proof(snapshot))
        yield _steps(manifest)
    if ended_us:
        text = "Since a batch run ended that published the version, or found nothing new."
        yield GaugeMetricFamily("slackwater_batch_run_age_seconds", text, (now_us - ended_us) / 1e6)
    for name, text, count in (
        ("events", "Trades of the batch view.", "events"),
        ("duplicates", "Events of the batch view whose id was there before.", "duplicates"),
        ("refused", "Records and lines below the cut that batch runs sent to the dead letters.", "refused"),
    ):
        yield GaugeMetricFamily(f"slackwater_batch_{name}", text, manifest.count(count))
    yield _duplicates(manifest)
    if snapshot.ledger is not None:
        yield _restatements(snapshot.ledger)
    yield GaugeMetricFamily("slackwater_refusals", "Reasons for not serving in full.", len(watch.refusals(snapshot)))


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
    text = "Closed bars that were changed, over the whole ledger."
    found = GaugeMetricFamily("slackwater_restatements", text, labels=["cause"])
    for cause in CAUSES:
        found.add_metric([cause], sum(entry.counts.get(cause, 0) for entry in entries))
    return found


def _duplicates(manifest: Manifest) -> Metric:
    found = GaugeMetricFamily("slackwater_entity_duplicates", "The same by entity.", labels=["stream", "entity"])
    for each in manifest.duplicates:
        found.add_metric([each.stream, ":".join(each.entity)], each.events)
    return found
