"""The watch of versions: follows the pointer and the log, and swaps the snapshot that requests answer from.

    pointer moved, a file, the topic or partitions changed
                  -> choose a version, check it against the log, fold its chains, swap
    every second  -> is the log's start still below the cut, its end above what is applied; are the files as they were

Where something does not fit, it serves the newest version that is whole, or a batch view alone, and says so
(`Snapshot.refusals`).
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

from serving.store.batch import BatchReader
from serving.store.hot import MAX_SNAPSHOTS, HotStore
from serving.store.row_cache import RowCache
from serving.store.snapshot import Snapshot, Standing
from serving.watch.candidates import Candidates, Choice, NothingWholeError
from serving.watch.leases import ServedLeases
from serving.watch.live import Live, Lives, named
from serving.watch.log_watch import CHECK_EVERY_S, LogFacts, LogWatch
from serving.watch.standings import lost_ends, nothing_published, standings
from slackwater.core.clock import Clock
from slackwater.log.errors import LogError
from slackwater.log.log import Log
from slackwater.restatements.ledger import Entry, ledger_of
from slackwater.versions.errors import RecordError, VersionError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest
from slackwater.versions.pointer import Pointer
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import in_force
from slackwater.views.view import View

_LOG = logging.getLogger("slackwater.serving")

RETRY_EVERY_S = 10.0


class VersionsWatch:
    """Keeps `snapshot` current. `step` belongs to one thread, about ten times a second.

    `error` says why a version cannot be had now; None where it can. `changed` is called after a step that put another
    snapshot.
    """

    def __init__(
        self,
        log: Log,
        lives: Lives,
        store: VersionStore,
        views: tuple[View, ...],
        hot: HotStore,
        clock: Clock,
        rows: RowCache,
        inspector: Inspector,
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.error: str | None = None
        self.changed: Callable[[], None] = lambda: None
        self.candidates = Candidates(store, views, inspector)
        self._log = log
        self._lives = lives
        self._store = store
        self._views = views
        self._hot = hot
        self._clock = clock
        self._rows = rows
        self._inspector = inspector
        self._leases = ServedLeases(store)
        self._state: object = None
        self._pointer: Pointer | str | None = None
        self._checked_s = float("-inf")
        self._retry_s = float("inf")
        self._seen: dict[str, LogFacts | None] = {}
        self._lost: dict[str, Mapping[int, int]] = {}
        self._logged: tuple[str, ...] = ()
        self._retained: dict[str, OrderedDict[str, Snapshot]] = {name: OrderedDict() for name in lives}

    def step(self) -> None:
        """Check the pointer, and the log where that is due; swap where something changed."""
        now_s = self._clock.elapsed_s()
        pointer = self._read_pointer()
        moved = pointer != self._pointer  # a new cut must not be held against an end that was read before its marks
        if moved or now_s - self._checked_s >= CHECK_EVERY_S:
            self._checked_s = now_s
            for live in self._lives.values():
                self._check(live)
            self.candidates.refresh()
        state = pointer, self._inspector.revision, [_identity(self._seen.get(name)) for name in self._lives]
        if state == self._state and now_s < self._retry_s:
            return
        served = self.snapshot
        self._load(pointer)
        if self.snapshot is not served:
            self.changed()
        self._state, self._pointer = state, pointer
        whole = self.snapshot is not None and not self.refusals(self.snapshot) and self.error is None
        self._retry_s = float("inf") if whole else now_s + RETRY_EVERY_S

    def close(self) -> None:
        """Release connections and databases."""
        self._leases.retain(())
        if self.snapshot is not None:
            self.snapshot.batch.close()

    def retained(self, key: str) -> Snapshot | None:
        """A snapshot that is or was served lately, for cursors; `key` is that of one of its standings."""
        return next((found for of in self._retained.values() if (found := of.get(key)) is not None), None)

    def reasons(self) -> list[str]:
        """Why what is served is not all that it should be, or is not known to be."""
        snapshot = self.snapshot
        if snapshot is None:
            reasons = [self.error or "No version is loaded yet."]
        else:
            reasons = [*self.refusals(snapshot), *snapshot.refused_views.values()]
        for name, live in self._lives.items():
            if unseen := live.log_watch.unseen():
                error = live.log_watch.error
                known = error is None or any(reason.endswith(error) for reason in reasons)
                reasons += named(self._lives, name, [unseen if known else f"{unseen} {error}"])
        return reasons

    def missing(self) -> str:
        """Why nothing is served."""
        return self.error or " ".join(self._log_errors()[:1]) or "The service is starting."

    def lag(self, stream: str, applied: Mapping[int, int]) -> int:
        """See `LogWatch.lag`, of a stream."""
        return self._lives[stream].log_watch.lag(applied)

    def refusals(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Why a snapshot is not all that it should be, of all streams."""
        of_each = [named(self._lives, name, of.refusals) for name, of in snapshot.streams.items()]
        return (*snapshot.refusals, *(reason for reasons in of_each for reason in reasons))

    def _check(self, live: Live) -> None:
        """Check a stream's log, and have the version loaded again where it does not fit any more."""
        stream, watch = live.stream.name, live.log_watch
        applied = self._hot.furthest(stream)  # before the log's end is read, which can only be later
        facts, seen = watch.check()
        self._seen[stream] = facts
        standing = self.snapshot.streams[stream] if self.snapshot is not None else None
        if seen and facts is not None and standing is not None and standing.topic_id == facts.topic_id:
            self._compare(watch, facts, standing, applied)
        if watch.lost != self._lost.get(stream, {}):
            self._lost[stream] = watch.lost
            self._state = None

    def _compare(self, watch: LogWatch, facts: LogFacts, standing: Standing, applied: Mapping[int, int]) -> None:
        """An end that was read before `applied` would say nothing."""
        if not standing.chain:
            return
        lost = lost_ends(applied, facts.bounds)
        watch.lose(lost)
        if lost or any(facts.bounds[p].start > at for p, at in standing.cut.items() if p in facts.bounds):
            self._state = None

    def _log_errors(self) -> list[str]:
        return [live.log_watch.error for live in self._lives.values() if live.log_watch.error]

    def _read_pointer(self) -> Pointer | str:
        try:
            return self._store.pointer()
        except (VersionError, OSError) as error:
            return str(error)

    def _load(self, pointer: Pointer | str) -> None:
        served = None if self.snapshot is None else self.snapshot.version
        try:
            choice = self.candidates.choose(pointer, served)
        except NothingWholeError as error:
            self._fail(error)
            self.snapshot = None  # as a server that starts now: what is damaged is not read
            return
        try:
            self._leases.take(0 if choice.manifest is None else choice.manifest.version)
            snapshot = self._snapshot(choice, pointer)
        except (VersionError, LogError) as error:
            self._fail(error)
            if self.snapshot is not None and self.error not in self.snapshot.refusals:
                self.snapshot = replace(self.snapshot, refusals=(*self.snapshot.refusals, str(error)))
            return
        self.error = None
        self._log_refusals(self.refusals(snapshot))
        self._warm(snapshot)  # before the swap: after it the old chains do not grow
        for name, live in self._lives.items():
            self._swap(snapshot, live, snapshot.streams[name])
        self.snapshot = snapshot
        self._leases.retain({retained.version for of in self._retained.values() for retained in of.values()})

    def _swap(self, snapshot: Snapshot, live: Live, standing: Standing) -> None:
        """Fold the chains of a stream from its cut on, if they are not."""
        stream = live.stream.name
        before = self.snapshot.streams[stream] if self.snapshot is not None else None
        again = standing.topic_id != self._hot.topic_id(stream) or not standing.cut.keys() <= live.feed.partitions
        if standing.chain and (again or before is None or not before.chain or before.key != standing.key):
            views = [view for view in snapshot.views.values() if view.stream == live.stream]
            whole = self._hot.swap(standing.key, stream, standing.topic_id, standing.cut, views)
            if again or not whole:
                live.feed.restart(snapshot.manifest.of(stream).delta_start)
        retained = self._retained[stream]
        retained[standing.key] = snapshot
        retained.move_to_end(standing.key)
        if len(retained) > MAX_SNAPSHOTS:
            retained.popitem(last=False)

    def _fail(self, error: Exception) -> None:
        self.error = str(error)
        self._log_refusals((self.error,))

    def _snapshot(self, choice: Choice, pointer: Pointer | str) -> Snapshot:
        manifest = choice.manifest or nothing_published(self._seen)
        if manifest is None:
            raise NothingWholeError("Nothing was published, and the log cannot be read.", " ".join(self._log_errors()))
        return Snapshot(
            manifest=manifest,
            streams=standings(self._log, manifest, self._lives, self._seen),
            batch=self._batch(manifest),
            views={view.name: view for view in in_force(self._views, manifest.definitions)},
            refusals=choice.refusals,
            refused_views=choice.refused_views,
            ledger=self._ledger(manifest, pointer),
        )

    def _ledger(self, manifest: Manifest, pointer: Pointer | str) -> tuple[Entry, ...] | None:
        """With a pointer that cannot be read, every move that was begun counts."""
        moves = self._store.moves
        try:
            return ledger_of(manifest, moves.until(moves.last() if isinstance(pointer, str) else pointer.move))
        except RecordError as error:
            _LOG.error("The ledger of restatements is not served: %s", error)
            return None

    def _batch(self, manifest: Manifest) -> BatchReader:
        known = self.snapshot
        if known is not None and known.version == manifest.version and manifest.version:
            return known.batch
        return BatchReader(self._store.data.path, manifest, on_damage=self._inspector.suspect)

    def _warm(self, snapshot: Snapshot) -> None:
        if self.snapshot is None or self.snapshot.version == snapshot.version:
            return
        for recent in self._rows.recent(self.snapshot.version):
            request = recent._replace(view=snapshot.views[recent.view.name])
            if not snapshot.batch.nothing(request):
                with snapshot.batch.cursor() as cursor:
                    self._rows.read(snapshot.batch, request, cursor)

    def _log_refusals(self, refusals: tuple[str, ...]) -> None:
        if refusals and refusals != self._logged:
            _LOG.error("Refused: %s", " ".join(refusals))
        if self._logged and not refusals:
            _LOG.info("Nothing is refused any more.")
        self._logged = refusals


def _identity(facts: LogFacts | None) -> object:
    return facts and (facts.topic_id, sorted(facts.bounds))
