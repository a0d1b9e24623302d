"""The parts of one server, built in order, and the threads that keep them current. Only the app and `run` see it whole.

`step` does what the threads do, once, so that tests and a simulation need no thread.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from prometheus_client.core import Metric

from serving.http.reply import CachedReplies
from serving.options import ServingOptions
from serving.query.answer import ENCODED
from serving.query.as_of import AsOf
from serving.query.bases import Bases
from serving.query.pool import Pool
from serving.query.read import BatchRows
from serving.status import metrics as figures
from serving.status.budget import Budget
from serving.status.layers import Layers, Readiness
from serving.store.archived_ids import ArchivedIds
from serving.store.hot import MAX_OPEN_CELL_BYTES, HotStore
from serving.store.row_cache import RowCache
from serving.stream.hub import Hub
from serving.watch.feed import Feed, Latency
from serving.watch.live import Completeness, Live, named
from serving.watch.log_probe import LogProbe
from serving.watch.log_watch import LogWatch
from serving.watch.proof_watch import ProofWatch
from serving.watch.scrub import Scrub
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock, SystemClock
from slackwater.http.guard.admission import Admission
from slackwater.http.server import Draining
from slackwater.keys.keyring import KeyRing
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Stream
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore
from slackwater.versions.suspects import mark_suspect
from slackwater.views.definitions import names_of, streams_of
from slackwater.views.view import View

_LOG = logging.getLogger("slackwater.serving")


class Steps:
    """Runs `step` until `stop`. After an error it waits `pause_s`; a run of equal errors is logged once."""

    def __init__(self, name: str, step: Callable[[], None], every_s: float = 0.0, pause_s: float = 1.0) -> None:
        self.error: str | None = None
        self._step = step
        self._every_s = every_s
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def reasons(self) -> list[str]:
        """The error that its last step ended with."""
        return [self.error] if self.error else []

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop it and wait for the step in progress."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
                self.error = None
                wait_s = self._every_s
            except Exception as error:  # noqa: BLE001 - the thread outlives every error and shows it in readiness
                text = f"{self._thread.name}: {error}"
                if text != self.error:
                    _LOG.exception("%s failed, and is tried again", self._thread.name)
                self.error = text
                wait_s = self._pause_s
            if wait_s:
                self._stop.wait(wait_s)


class Service:
    """Everything that answers are made from. `views` are all definitions; the version says which are in force.

    `streams` are those that are registered, with a view or without.
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        store: VersionStore,
        views: tuple[View, ...],
        clock: Clock | None = None,
        options: ServingOptions | None = None,
        pool: Pool | None = None,
        streams: tuple[Stream, ...] = (),
    ) -> None:
        self.options = options = options or ServingOptions()
        self.clock = clock = clock or SystemClock()
        self.log = log
        self.names = names
        self.store = store
        self.views = views
        self.streams = streams
        self.metrics = figures.Metrics(clock)
        self.keys = KeyRing(store.home, clock)
        self.admission = Admission(options.limits.requests, self.metrics.registry, lasting=(b"/v1/stream/",))
        self.draining = Draining()
        self._watches()
        self.pool = pool or Pool(options.workers, options.waiting, options.deadline_s)
        self.exports = Pool(2, 2 * options.exports, options.deadline_s)  # each reads while it encodes
        self._answers()
        self._threads: list[Steps] = []
        parts = self.draining, self.watch, self.proofs, self.hot
        self.readiness = Readiness(*(part.reasons for part in parts), self._unread, self._failed)
        self.layers = Layers(
            *(store, self.hot, self.lives, self.watch, self.probes, self.proofs, self.readiness, clock),
        )
        self.metrics.looked_up = self._figures()

    def _watches(self) -> None:
        """What follows the log, the delta topics and the versions."""
        log, store, views, clock = self.log, self.store, self.views, self.clock
        self.inspector = Inspector(store, partial(mark_suspect, store))
        self.hot = HotStore(views)
        self.archived_ids = ArchivedIds(self.inspector, store.data.fetch)
        self.row_cache = RowCache(self.inspector, self.options.cached_row_bytes)
        self.budget = Budget(self.metrics.registry, clock)
        latency = Latency(self.metrics.registry, clock, self.budget.fold)
        self.lives = {stream.name: self._live(stream, latency) for stream in streams_of(views)}
        self.completeness = Completeness(self.lives)
        self.watch = VersionsWatch(log, self.lives, store, views, self.hot, clock, self.row_cache, self.inspector)
        self.probes = {
            name: LogProbe(log, live, self.hot, clock, self.completeness) for name, live in self.lives.items()
        }
        self.scrub = Scrub(self.inspector, self.watch, clock, self.options.scrub_bytes_per_s)
        self.proofs = ProofWatch(store, self.watch, clock)

    def _live(self, stream: Stream, latency: Latency) -> Live:
        feed = Feed(self.log, self.names.deltas(stream), self.hot, self.options.poll_s, latency)
        return Live(stream, LogWatch(self.log, self.names.topic(stream), self.clock), feed)

    def _answers(self) -> None:
        """What finds and reads what is asked for."""
        options = self.options
        self.rows = BatchRows(self.pool, self.row_cache)
        as_of = AsOf(self.store, self.views, self.watch, self.inspector, self.pool, self.clock)
        self.bases = Bases(self.watch, self.hot, self.completeness, as_of, options.incomplete == "refuse")
        self.cached: CachedReplies[Any] = CachedReplies(options.cached_reply_bytes)
        views, clock, streamed = names_of(self.views), self.clock, self.budget.streamed
        self.hub = Hub(views, self.bases, self.rows, clock, options.streams, streamed)
        self.watch.changed = self.hub.wake
        for live in self.lives.values():
            live.feed.changed = self.hub.wake
        self.draining.at_end(self.hub.close)

    def _steps(self) -> list[Steps]:
        every_s, feed_s = self.options.watch_every_s, 0.0 if self.options.poll_s else 0.01
        found = []
        for name, live in self.lives.items():
            found += [
                Steps(f"slackwater-log-{name}", live.log_watch.pulse, every_s),
                Steps(f"slackwater-log-probe-{name}", self.probes[name].step, every_s),
                Steps(f"slackwater-feed-{name}", live.feed.step, feed_s),
            ]
        return [
            *found,
            Steps("slackwater-versions", self.watch.step, every_s),
            Steps("slackwater-proofs", self.proofs.step, every_s),
            Steps("slackwater-layers", self.layers.step, every_s),
            Steps("slackwater-scrub", self.scrub.step, every_s),
        ]

    def _unread(self) -> list[str]:
        """What is not read yet, or cannot be, of each stream."""
        found = []
        for name, live in self.lives.items():
            found += named(self.lives, name, [*live.feed.reasons(), *self.probes[name].reasons()])
        return found

    def _failed(self) -> list[str]:
        return [reason for thread in self._threads for reason in thread.reasons()]

    def _figures(self) -> list[partial[Iterator[Metric]]]:
        """The figures that are read when somebody asks."""
        caches = {
            "rows": figures.Held(lambda: self.row_cache.bytes, self.row_cache.most_bytes),
            "replies": figures.Held(lambda: self.cached.bytes, self.cached.most_bytes),
            "encoded": figures.Held(lambda: ENCODED.size, ENCODED.most_bytes),
            "cursors": figures.Held(lambda: self.hot.open_cell_bytes, MAX_OPEN_CELL_BYTES),
        }
        return [
            partial(figures.positions, self.views, self.hot, self.watch),
            partial(figures.log_ends, self.lives, self.probes, self.clock),
            partial(figures.served, self.watch, self.proofs, self.store, self.clock),
            partial(figures.requests_now, self.readiness, self.metrics, self.hub),
            partial(figures.chains, self.hot, self.lives),
            partial(figures.reads, self.pool, self.row_cache, caches),
        ]

    def step(self) -> None:
        """What the threads do, once."""
        self.scrub.step()
        self.watch.step()
        self.proofs.step()
        for name, live in self.lives.items():
            live.log_watch.pulse()
            live.feed.step()
            self.probes[name].step()
        self.layers.step()

    def start(self) -> None:
        """Start the threads."""
        self._threads = self._steps()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads and release everything."""
        for thread in self._threads:
            thread.stop()
        for live in self.lives.values():
            live.feed.close()
            live.log_watch.close()
        self.watch.close()
        self.pool.close()
        self.exports.close()
