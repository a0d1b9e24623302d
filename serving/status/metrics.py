"""The figures at `/metrics`, in a registry of the service's own: what counts requests, and what is read when somebody
asks (what is served, how far it is, what is held), a function for each group of parts that have some.

A part of the service that counts something makes its counter with `registry=metrics.registry`. docs/metrics.md lists
every figure, and a test holds it to that. Not here: how requests are counted (`slackwater.http.figures`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serving.query.pool import Pool
from serving.status.layers import Readiness
from serving.store.hot import HotStore
from serving.store.row_cache import RowCache
from serving.stream.hub import Hub
from serving.watch.live import Lives
from serving.watch.log_probe import LogProbe
from serving.watch.log_watch import LogFacts
from serving.watch.proof_watch import ProofWatch
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock
from slackwater.core.exposition import CONTENT_TYPE
from slackwater.http.figures import RequestFigures
from slackwater.restatements.ledger import CAUSES
from slackwater.versions.audited import AuditState, read_audit
from slackwater.versions.idle import last_idle_us
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Proof
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import defaults
from slackwater.views.view import View

__all__ = ["CONTENT_TYPE", "Metrics"]


class Metrics(RequestFigures):
    """`looked_up` are the groups below, with their parts."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        text = "SQL queries by outcome: answered, or the kind of the problem."
        self.sql_queries = Counter("slackwater_sql_queries", text, ["outcome"], registry=self.registry)
        self.sql_queries.labels("answered")  # shown from the start, as 0


Values = Iterable[tuple[Sequence[str], float]]


class Held(NamedTuple):
    """What a cache takes now and at most, in bytes."""

    size: Callable[[], int]
    most: int


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"slackwater_{name}", text, value)


def _gauges(name: str, text: str, labels: Sequence[str], values: Values) -> Metric:
    """A gauge with labels: their values -> its own."""
    found = GaugeMetricFamily(f"slackwater_{name}", text, labels=labels)
    for of, value in values:
        found.add_metric(of, value)
    return found


def _counters(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    found = CounterMetricFamily(f"slackwater_{name}", text, labels=[label])
    for of, value in values:
        found.add_metric([of], value)
    return found


def requests_now(readiness: Readiness, metrics: Metrics, hub: Hub) -> Iterator[Metric]:
    """Readiness, requests and streams."""
    yield _gauge("ready", "1 if ready.", int(readiness.check().ready))
    yield metrics.not_done()
    yield _gauge("streams", "Streams that are open.", hub.streams)
    yield _counters("streams_ended", "Streams that ended.", "reason", sorted(hub.ended.items()))


def chains(hot: HotStore, lives: Lives) -> Iterator[Metric]:
    """Cells and deltas."""
    feeds = {name: live.feed for name, live in lives.items()}
    yield _gauge("cells", "Cells in memory.", hot.cells())
    yield _counters("deltas", "Deltas read.", "stream", [(name, feed.deltas) for name, feed in feeds.items()])
    bad = [(name, feed.bad) for name, feed in feeds.items()]
    yield _counters("bad_deltas", "Deltas that do not decode.", "stream", bad)
    yield CounterMetricFamily("slackwater_cell_conflicts", "Pairs of cells that differ.", hot.conflicts_total)


def reads(pool: Pool, rows: RowCache, caches: Mapping[str, Held]) -> Iterator[Metric]:
    """Cold reads, and what every cache holds."""
    yield _gauge("cold_reads", "Cold reads that run or wait.", pool.taken)
    asked = (("hit", rows.hits), ("miss", rows.misses))
    yield _counters("row_cache_requests", "Look-ups of batch rows.", "result", asked)
    yield _gauge("row_cache_rows", "Batch rows in the cache.", rows.rows)
    sizes = [([name], cache.size()) for name, cache in caches.items()]
    yield _gauges("cache_bytes", "Memory of what is cached, about.", ["cache"], sizes)
    most = [([name], cache.most) for name, cache in caches.items()]
    yield _gauges("cache_limit_bytes", "The bound on it.", ["cache"], most)


def positions(views: tuple[View, ...], hot: HotStore, watch: VersionsWatch) -> Iterator[Metric]:
    """How far each stream's batch and each view is."""
    labels = ["stream", "view", "partition"]
    applied = [(view, p, at) for view in defaults(views) for p, at in sorted(hot.applied(view.name).items())]
    streams = watch.snapshot.streams if watch.snapshot is not None else {}
    cuts = [([name, str(p)], at) for name, of in streams.items() for p, at in sorted(of.cut.items())]
    yield _gauges("cut_offset", "Where the served batch view ends.", labels[::2], cuts)
    ends = [([view.stream.name, view.name, str(p)], at) for view, p, at in applied]
    yield _gauges("applied_offset", "End of the chain.", labels, ends)
    lags = [([view.stream.name, view.name, str(p)], watch.lag(view.stream.name, {p: at})) for view, p, at in applied]
    yield _gauges("lag_records", "Records of the log not applied.", labels, lags)


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
    places = [(stream, facts, p) for stream, facts in seen.items() for p in sorted(facts.bounds)]
    for name, text, of in checks if seen else ():
        values = [([stream, str(p)], of(facts, probes[stream], p)) for stream, facts, p in places]
        yield _gauges(f"log_{name}", text, ["stream", "partition"], values)


def served(watch: VersionsWatch, proofs: ProofWatch, store: VersionStore, clock: Clock) -> Iterator[Metric]:
    """The version that is served."""
    snapshot = watch.snapshot
    if snapshot is None:
        return
    manifest = snapshot.manifest
    yield _gauge("version", "Version that is served.", snapshot.version)
    now_us, ended_us = clock.now_us(), last_idle_us(store) or 0
    if snapshot.version:
        ended_us = max(ended_us, manifest.created_us)
        yield _gauge("batch_age_seconds", "Age of the batch view.", (now_us - manifest.created_us) / 1e6)
        yield from _proof(proofs.proof(snapshot))
        steps = [([step], took_ms / 1000) for step, took_ms in manifest.timings_ms.items()]
        text = "How long the batch run of the served version took, by step."
        yield _gauges("batch_step_seconds", text, ["step"], steps)
    if ended_us:
        text = "Since a batch run ended that published the version, or found nothing new."
        yield _gauge("batch_run_age_seconds", text, (now_us - ended_us) / 1e6)
    for count, text in (
        ("events", "Trades of the batch view."),
        ("duplicates", "Events of the batch view whose id was there before."),
        ("refused", "Records and lines below the cut that batch runs sent to the dead letters."),
    ):
        yield _gauge(f"batch_{count}", text, manifest.count(count))
    text = "Versions that made some of its parts and whose hand-off nobody has proven yet."
    yield _gauge("batch_open_versions", text, len(manifest.open))
    yield _gauge("batch_corrected", "Events that corrections took out of the batch view.", manifest.count("corrected"))
    text = "Corrections that the batch view does not have yet."
    yield _gauge("corrections_waiting", text, store.corrections.last() - manifest.corrected)
    yield _gauge("batch_parts", "Parts of the batch view.", len(manifest.parts))
    if snapshot.version:
        yield from _audit(read_audit(store), manifest, now_us)
    duplicates = [([each.stream, ":".join(each.entity)], each.events) for each in manifest.duplicates]
    yield _gauges("entity_duplicates", "The same by entity.", ["stream", "entity"], duplicates)
    if snapshot.ledger is not None:
        causes = [([cause], sum(entry.counts.get(cause, 0) for entry in snapshot.ledger)) for cause in CAUSES]
        yield _gauges("restatements", "Closed bars that were changed, over the whole ledger.", ["cause"], causes)
    yield _gauge("refusals", "Reasons for not serving in full.", len(watch.refusals(snapshot)))


def _audit(state: AuditState, manifest: Manifest, now_us: int) -> Iterator[Metric]:
    yield _gauge("audit_parts_never", "Parts that were never found right.", state.never(manifest.parts))
    text = "Since the part that was longest not found right was, or was there."
    yield _gauge("audit_age_seconds", text, (now_us - state.longest_us(manifest)) / 1e6)
    yield _gauge("audit_wrong_views", "Views that an audit found wrong.", len(state.wrong_views(manifest)))
    yield CounterMetricFamily("slackwater_audit_rows", "Rows that audits read.", state.rows)


def _proof(proof: Proof) -> Iterator[Metric]:
    outcomes = [([name], int(proof.outcome == name)) for name in ("equal", "different", "unproven")]
    yield _gauges("handoff", "1 at the outcome of the served version.", ["outcome"], outcomes)
    yield _gauge("handoff_forced", "1 if it was forced.", int(proof.forced is not None))
    yield _gauge("handoff_gap_records", "Records between the cuts without a delta.", proof.gap)
    yield _gauge("handoff_compared_states", "States that were compared.", proof.compared)
    yield _gauge("handoff_differing_states", "States that differ.", proof.differ)
