"""The watch of versions: follows the pointer and the log, and swaps the snapshot that requests answer from.

    pointer moved, a file, the topic or partitions changed
                  -> choose a version, check it against the log, fold its chains, swap
    every second  -> is the log's start still below the cut, its end above what is applied; are the files as they were

It never guesses: where something does not fit, it serves the newest version that is whole, or a batch view alone,
and says so (`Snapshot.refusals`).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from serving.store.batch import BatchReader
from serving.store.hot import KEPT_SNAPSHOTS, HotStore
from serving.store.row_cache import RowCache
from serving.store.snapshot import Snapshot, snapshot_key
from serving.watch.candidates import Candidates, Choice, NothingWholeError
from serving.watch.feed import Feed
from serving.watch.leases import ServedLeases
from serving.watch.log_checks import cut_reasons, lost_ends, mark_reasons
from serving.watch.log_watch import LOOK_EVERY_S, LogFacts, LogWatch, Sight
from slackwater.core.clock import Clock
from slackwater.log.errors import LogError
from slackwater.log.log import Log
from slackwater.restatements.ledger import Entry, ledger_of
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import RecordError, VersionError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest
from slackwater.versions.pointer import Pointer
from slackwater.versions.store import VersionStore, empty_manifest, first_cut
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
        log_watch: LogWatch,
        store: VersionStore,
        views: tuple[View, ...],
        hot: HotStore,
        feed: Feed,
        clock: Clock,
        rows: RowCache,
        inspector: Inspector,
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.error: str | None = None
        self.changed: Callable[[], None] = _nobody
        self.log_watch = log_watch
        self.candidates = Candidates(store, views, inspector)
        self._log = log
        self._topic = log_watch.topic
        self._store = store
        self._views = views
        self._hot = hot
        self._feed = feed
        self._clock = clock
        self._rows = rows
        self._inspector = inspector
        self._leases = ServedLeases(store)
        self._state: object = None
        self._pointed: object = None
        self._looked_at = float("-inf")
        self._retry_at = float("inf")
        self._lost: Mapping[int, int] = {}
        self._said: tuple[str, ...] = ()
        self._kept: dict[str, Snapshot] = {}

    def step(self) -> None:
        """Look at the pointer, and at the log where that is due; swap where something changed."""
        now = self._clock.elapsed_s()
        pointer = self._pointer()
        moved = pointer != self._pointed  # a new cut must not be held against an end that was read before its marks
        due = moved or now - self._looked_at >= LOOK_EVERY_S
        applied = self._hot.furthest()  # before the log's end is read, which can only be later
        facts, seen = self._look(now) if due else (self.log_watch.facts, False)
        if seen and facts is not None:  # an end that was read before `applied` says nothing
            self._compare(facts, applied)
        if due:
            self.candidates.look()
        state = pointer, self._inspector.revision, facts and (facts.topic_id, sorted(facts.bounds))
        if state == self._state and now < self._retry_at:
            return
        served = self.snapshot
        self._load(pointer, facts)
        if self.snapshot is not served:
            self.changed()
        self._state, self._pointed = state, pointer
        well = self.snapshot is not None and not self.snapshot.refusals and self.error is None
        self._retry_at = float("inf") if well else now + RETRY_EVERY_S

    def close(self) -> None:
        """Release connections and databases."""
        self.log_watch.close()
        self._leases.keep(())
        if self.snapshot is not None:
            self.snapshot.batch.close()

    def kept(self, key: str) -> Snapshot | None:
        """A snapshot that is or was served lately, for cursors."""
        return self._kept.get(key)

    def reasons(self) -> list[str]:
        """Why what is served is not all that it should be, or is not known to be."""
        snapshot, log = self.snapshot, self.log_watch
        if snapshot is None:
            reasons = [self.error or "No version is loaded yet."]
        else:
            reasons = [*snapshot.refusals, *snapshot.refused_views.values()]
        if unseen := log.unseen():
            reasons.append(unseen if log.error is None or log.error in reasons else f"{unseen} {log.error}")
        return reasons

    def lag(self, applied: Mapping[int, int]) -> int:
        """Records between what is applied and the log's high watermark at the last look, hidden ones among them."""
        facts = self.log_watch.facts
        bounds = facts.bounds if facts else {}
        return sum(max(0, bounds[p].high - at) for p, at in applied.items() if p in bounds)

    def _look(self, now: float) -> Sight:
        self._looked_at = now
        sight = self.log_watch.look()
        if self.log_watch.lost != self._lost:
            self._lost = self.log_watch.lost
            self._state = None
        return sight

    def _pointer(self) -> Pointer | str:
        try:
            return self._store.pointer()
        except (VersionError, OSError) as error:
            return str(error)

    def _compare(self, facts: LogFacts, applied: Mapping[int, int]) -> None:
        """Have the version loaded again where the log does not fit it any more."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.chain or snapshot.topic_id != facts.topic_id:
            return
        lost = lost_ends(applied, facts.bounds)
        self.log_watch.lose(lost)
        if lost or any(facts.bounds[p].start > at for p, at in snapshot.cut.items() if p in facts.bounds):
            self._state = None

    def _load(self, pointer: Pointer | str, facts: LogFacts | None) -> None:
        served = None if self.snapshot is None else self.snapshot.version
        try:
            choice = self.candidates.choose(pointer, served)
        except NothingWholeError as error:
            self._fail(error)
            self.snapshot = None  # as a server that starts now: what is damaged is not read
            return
        try:
            self._leases.take(0 if choice.manifest is None else choice.manifest.version)
            snapshot = self._snapshot(choice, facts, pointer)
        except (VersionError, LogError) as error:
            self._fail(error)
            if self.snapshot is not None and self.error not in self.snapshot.refusals:
                self.snapshot = replace(self.snapshot, refusals=(*self.snapshot.refusals, str(error)))
            return
        self.error = None
        self._say(snapshot.refusals)
        self._warm(snapshot)  # before the swap: from then on the old chains stand still
        if snapshot.chain:
            again = snapshot.topic_id != self._hot.topic_id or not snapshot.cut.keys() <= self._feed.partitions
            whole = self._hot.swap(snapshot.key, snapshot.topic_id, snapshot.cut, snapshot.views.values())
            if again or not whole:
                self._feed.restart(snapshot.manifest.of(TRADES).delta_start)
        self._kept = {**{key: kept for key, kept in self._kept.items() if key != snapshot.key}, snapshot.key: snapshot}
        while len(self._kept) > KEPT_SNAPSHOTS:
            del self._kept[next(iter(self._kept))]
        self.snapshot = snapshot
        self._leases.keep(kept.version for kept in self._kept.values())

    def _fail(self, error: Exception) -> None:
        self.error = str(error)
        self._say((self.error,))

    def _snapshot(self, choice: Choice, facts: LogFacts | None, pointer: Pointer | str) -> Snapshot:
        manifest = choice.manifest
        if manifest is None:
            if facts is None:
                raise NothingWholeError(
                    "Nothing was published, and the log cannot be read.", self.log_watch.error or ""
                )
            manifest = empty_manifest({TRADES.name: first_cut(facts.topic_id, "", facts.starts)})
        reasons = self._reasons(manifest, facts)
        own = manifest.of(TRADES)
        topic_id = own.topic_id if reasons or facts is None else facts.topic_id
        cut = own.cut if reasons or facts is None else {**facts.starts, **own.cut}
        return Snapshot(
            key=snapshot_key(manifest, topic_id, cut),
            manifest=manifest,
            cut=cut,
            topic_id=topic_id,
            batch=self._batch(manifest),
            views={view.name: view for view in in_force(self._views, manifest.definitions)},
            chain=not reasons,
            refusals=(*choice.refusals, *reasons),
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

    def _reasons(self, manifest: Manifest, facts: LogFacts | None) -> list[str]:
        if facts is None:
            return [self.log_watch.error or "The log was not read yet."]
        reasons = cut_reasons(manifest, TRADES, self._topic, facts) or mark_reasons(
            manifest, TRADES, self._topic, self._log
        )
        cut = manifest.cut(TRADES)
        lost = {p: at for p, at in self.log_watch.lost.items() if cut.get(p, 0) < at}
        return reasons + [f"The log lost its tail below {at} in partition {p}." for p, at in lost.items()]

    def _batch(self, manifest: Manifest) -> BatchReader:
        known = self.snapshot
        if known is not None and known.version == manifest.version and manifest.version:
            return known.batch
        return BatchReader(self._store.home, manifest, on_damage=self._inspector.suspect)

    def _warm(self, snapshot: Snapshot) -> None:
        if self.snapshot is None or self.snapshot.version == snapshot.version:
            return
        for asked in self._rows.recent(self.snapshot.version):
            want = asked._replace(view=snapshot.views[asked.view.name])
            if not snapshot.batch.nothing(want):
                with snapshot.batch.cursor() as cursor:
                    self._rows.read(snapshot.batch, want, cursor)

    def _say(self, refusals: tuple[str, ...]) -> None:
        if refusals and refusals != self._said:
            _LOG.error("Refused: %s", " ".join(refusals))
        if self._said and not refusals:
            _LOG.info("Nothing is refused any more.")
        self._said = refusals


def _nobody() -> None:
    """Nobody waits for it."""
