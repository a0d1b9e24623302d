"""The service without the web: the parts that live as long as the process, and the threads that keep them current.

`step` does what the threads do, once, so that tests and a simulation need no thread.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from serving.http.draining import Draining
from serving.http.guard.admission import Admission
from serving.http.guard.guard import GuardOptions
from serving.http.guard.limits import Limits
from serving.http.kept import KEPT_BYTES, KeptReplies
from serving.http.observed import ObservedOptions
from serving.http.problems import not_serving
from serving.query.as_of import AsOf
from serving.query.pool import Pool
from serving.sql.options import SqlOptions
from serving.status.layers import Layers
from serving.status.metrics import Metrics
from serving.store.hot import HotStore
from serving.store.row_cache import KEPT_ROW_BYTES, RowCache
from serving.store.snapshot import Snapshot
from serving.store.source import BatchRows
from serving.stream.hub import Hub, StreamOptions
from serving.watch.completeness import Completeness
from serving.watch.feed import Feed
from serving.watch.latency import Latency
from serving.watch.log_probe import LogProbe
from serving.watch.log_watch import LogWatch
from serving.watch.proof_watch import ProofWatch
from serving.watch.scrub import Scrub
from serving.watch.thread import Steps
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock, SystemClock
from slackwater.core.request import REQUEST
from slackwater.keys.keyring import KeyRing
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import names_of
from slackwater.views.view import View

Incomplete = Literal["answer", "refuse"]


@dataclass(frozen=True)
class ServingOptions:
    """How much the service takes for itself. Times in seconds; a scrub of 0 bytes a second reads nothing again.

    Without `sql` there is no `POST /v1/sql`. `incomplete` says what becomes of an answer that may miss deltas: it is
    given and says so, or it is refused with 503.
    """

    workers: int = 2
    waiting: int = 64
    deadline_s: float = 10.0
    kept_row_bytes: int = KEPT_ROW_BYTES
    kept_bytes: int = KEPT_BYTES
    exports: int = 4
    poll_s: float = 0.2
    watch_every_s: float = 0.1
    scrub_bytes_per_s: int = 16_000_000
    guard: GuardOptions = field(default_factory=GuardOptions)
    streams: StreamOptions = field(default_factory=StreamOptions)
    observed: ObservedOptions = field(default_factory=ObservedOptions)
    limits: Limits = field(default_factory=Limits)
    sql: SqlOptions | None = None
    incomplete: Incomplete = "answer"


class Readiness(NamedTuple):
    """Whether the full promise is kept now; each reason says what is missing."""

    ready: bool
    reasons: list[str]


class Service:
    """Everything that answers are made from. `views` are all definitions; the version says which are in force.

    Raises:
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        store: VersionStore,
        views: tuple[View, ...],
        clock: Clock | None = None,
        options: ServingOptions | None = None,
    ) -> None:
        self.options = options or ServingOptions()
        self.clock = clock or SystemClock()
        self.log = log
        self.names = names
        self.store = store
        self.views = views
        self.hot = HotStore(views)
        self.metrics = Metrics(self.clock)
        latency = Latency(self.metrics.registry, self.clock)
        self.feed = Feed(log, names.deltas("trades"), self.hot, self.options.poll_s, latency)
        self.inspector = Inspector(store)
        self.row_cache = RowCache(self.inspector, self.options.kept_row_bytes)
        self.kept: list[KeptReplies[Any]] = []  # of each route that keeps some
        self.log_watch = LogWatch(log, names.topic("trades"), self.clock)
        self.completeness = Completeness(self.feed, self.log_watch)
        self.watch = VersionsWatch(
            log, self.log_watch, store, views, self.hot, self.feed, self.clock, self.row_cache, self.inspector
        )
        self.probe = LogProbe(
            log, self.watch, self.hot, self.feed, names.deltas("trades"), self.clock, self.completeness
        )
        self.scrub = Scrub(self.inspector, self.watch, self.clock, self.options.scrub_bytes_per_s)
        self.proofs = ProofWatch(store, self.watch, self.clock)
        self.pool = Pool(self.options.workers, self.options.waiting, self.options.deadline_s)
        self.exports = Pool(2, 2 * self.options.exports, self.options.deadline_s)  # each reads while it encodes
        self.rows = BatchRows(self.pool, self.row_cache)
        self.hub = Hub(
            *(names_of(views), self.hot, self.watch, self.feed, self.completeness, self.rows, self.clock),
            self.options.streams,
        )
        self.feed.changed = self.watch.changed = self.hub.wake
        self.as_of = AsOf(store, views, self.watch, names.topic("trades"), self.inspector)
        self.layers = Layers(self)
        self.keys = KeyRing(store.home, self.clock)
        self.admission = Admission(self.options.limits.requests, self.metrics.registry)
        self.draining = Draining()
        self.draining.at_end(self.hub.close)
        self._threads: list[Steps] = []

    def step(self) -> None:
        """What the threads do, once."""
        self.scrub.step()
        self.watch.step()
        self.log_watch.pulse()
        self.proofs.step()
        self.feed.step()
        self.probe.step()
        self.layers.step()

    def start(self) -> None:
        """Start the threads."""
        self._threads = [
            Steps("slackwater-versions", self.watch.step, self.options.watch_every_s),
            Steps("slackwater-log", self.log_watch.pulse, self.options.watch_every_s),
            Steps("slackwater-proofs", self.proofs.step, self.options.watch_every_s),
            Steps("slackwater-layers", self.layers.step, self.options.watch_every_s),
            Steps("slackwater-log-probe", self.probe.step, self.options.watch_every_s),
            Steps("slackwater-scrub", self.scrub.step, self.options.watch_every_s),
            Steps("slackwater-feed", self.feed.step, 0.0 if self.options.poll_s else 0.01),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads and release everything."""
        for thread in self._threads:
            thread.stop()
        self.feed.close()
        self.watch.close()
        self.pool.close()
        self.exports.close()

    def snapshot(self) -> Snapshot:
        """What is served now.

        Raises:
            ProblemError: 503 if there is nothing yet.
        """
        found = self.watch.snapshot
        if found is None:
            raise not_serving(self.watch.error or self.log_watch.error or "The service is starting.")
        request = REQUEST.get()
        if request is not None:
            request.version = found.version
        return found

    def readiness(self) -> Readiness:
        """Whether the full promise is kept now."""
        snapshot = self.watch.snapshot
        reasons = [Draining.REASON] if self.draining.began else []
        reasons += snapshot.refusals if snapshot else ()
        if snapshot is None:
            reasons.append(self.watch.error or "No version is loaded yet.")
        else:
            reasons += snapshot.refused_views.values()
        if unseen := self.log_watch.unseen():
            error = self.log_watch.error
            reasons.append(unseen if error is None or error in reasons else f"{unseen} {error}")
        if not self.feed.caught_up:
            reasons.append(f"The delta topic is not read yet: {self.feed.behind} deltas to go.")
        reasons += self.probe.reasons()
        if self.proofs.alarm:
            reasons.append(self.proofs.alarm)
        reasons += [thread.error for thread in self._threads if thread.error]
        if self.hot.conflicts:
            first = self.hot.conflicts[0].text
            reasons.append(f"Alarm: {len(self.hot.conflicts)} pairs of cells over one slice differ. {first}")
        return Readiness(not reasons, reasons)
