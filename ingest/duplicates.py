"""The duplicate filter of a stream: what is known from the current version and from the log since its cut.

    archive of version v  |  log since the cut of v             |  what the writer takes
    id files              |  read once, when it is opened        |  remembered when it is judged
                          C                                     end

Where a partition cannot be read to its end, because a batch of it is damaged or an open transaction hides it, events of
the entities that live there cannot be judged: they are refused with that error until it can, and all others go on.

What a correction takes out of the log behind the cut is not learned: its identity is free, and the run that archives it
takes it out.

A writer has the venues of its events for itself. What was appended of one before it had it is read then; what an import
has claimed is refused as such.

It follows the pointer. When a version's cut passes everything a generation holds, the version's id files know it, and
the generation is dropped. When the pointer goes back (a rollback), the log is read again from the older cut. Not
here: the verdicts (`ingest.known`).
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from ingest.archived import Archived
from ingest.errors import LogGapError
from ingest.known import Generation, Known
from slackwater.core.clock import Clock
from slackwater.log.errors import HiddenRecordsError, TopicRecreatedError, UnreadableError
from slackwater.log.events import decode
from slackwater.log.log import Log, Slice, read_range
from slackwater.log.names import TopicNames
from slackwater.store.id_keys import KeyFile, KeyIndex
from slackwater.store.id_runs import IdRuns, read_runs
from slackwater.store.identities import Grouped, group_ids
from slackwater.streams.entities import Entity, by_entity, entity_key
from slackwater.streams.stream import Stream
from slackwater.versions.claims import claims
from slackwater.versions.epoch_ids import EpochIds, is_keys, key_file
from slackwater.versions.errors import DamagedFileError, VersionError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import UNKNOWN, Manifest, StoredFile
from slackwater.versions.pointer import Pointer
from slackwater.versions.store import VersionStore
from slackwater.versions.venue_locks import VenueLocks

logger = logging.getLogger(__name__)

Unread = HiddenRecordsError | UnreadableError

POINTER_SECONDS = 1.0
"""How often the pointer is looked at, at most."""

LOOKUP_TRIES = 3


class DuplicateFilter:
    """Exact, as long as this is the only writer of its venues. Not thread safe."""

    def __init__(
        self,
        stream: Stream,
        log: Log,
        names: TopicNames,
        store: VersionStore,
        clock: Clock,
        before_move: Callable[[], None] = lambda: None,
        most_entities: int = 0,
        venues: VenueLocks | None = None,
    ) -> None:
        """Read what is known. `before_move` is called before a generation ends: what it took must be on its way.

        `venues` are those of its writer, who has what is claimed read, too; an import judges for none.

        Raises:
            VersionError, OSError: the current version, or a claim, cannot be trusted.
            TopicRecreatedError, LogGapError: what the log holds is not what the version stood on.
        """
        self._stream = stream
        self._log = log
        self._topic = names.topic(stream)
        self._topic_id = log.topic_id(self._topic)
        self._store = store
        self._clock = clock
        self._before_move = before_move
        self._venues = venues
        self._partitions = len(log.bounds(self._topic))
        self._places: dict[Entity, int] = {}
        self._inspector = Inspector(store)
        self._pointer, manifest = store.pointer_and_manifest()
        self._looked_s = clock.elapsed_s()
        self._runs = IdRuns()
        self._read: set[StoredFile] = set()
        self._keys: dict[StoredFile, KeyFile] = {}
        self._files: list[tuple[int, StoredFile]] = []
        self._cut: dict[int, int] = {}
        self._behind: dict[int, int] = {}
        self._failed: dict[int, Unread] = {}
        self._load(manifest)
        self.known = Known(stream, self._archived(), most_entities)
        self.known.claims = [] if venues is None else claims(store, stream)
        self._upto: dict[int, int] = {}
        self._read_log(self._cut)

    def partition_of(self, entity: Entity) -> int:
        """The partition of an entity."""
        found = self._places.get(entity)
        if found is None:  # Kafka's hash is computed in Python; entities come again with every record
            found = self._places[entity] = self._log.partition_of(entity_key(entity), self._partitions)
        return found

    def judge(self, events: pa.Table, grouped: Grouped | None = None) -> Any:
        """See `Known.judge`. Looks at the pointer first, at most once a second.

        Raises:
            HiddenRecordsError, UnreadableError: what the log holds of an entity cannot be known now.
            VenueTakenError: another writer has one of the venues.
            ClaimedError: an import has one of the identities.
        """
        self.follow()
        self._end_claims()
        if self._venues is not None:
            entities, _ = grouped = grouped or group_ids(self._stream, events)
            if self._venues.take({entity[0] for entity, _ in entities}):
                self._behind = {**self._upto, **self._behind}  # of what the one before appended
        if self._behind:
            self._need(events)
        for _ in range(LOOKUP_TRIES - 1):
            try:
                return self.known.judge(events, grouped)
            except (DamagedFileError, OSError):  # an expired file, perhaps: the pointer has moved on
                self._looked_s = float("-inf")
                self.follow()
        return self.known.judge(events, grouped)

    def judge_standing(self, events: pa.Table, grouped: Grouped | None = None) -> Any:
        """The same on the version that it stands on now, wherever the pointer goes, and on the log as it was read."""
        if self._failed:
            self._refuse(self._partitions_of(events), self._failed)
        return self.known.judge(events, grouped)

    def follow(self) -> None:
        """Stand on the version that the pointer names now. One that cannot be read is passed over until it can."""
        now = self._clock.elapsed_s()
        if now - self._looked_s < POINTER_SECONDS:
            return
        self._looked_s = now
        try:
            pointer = self._store.pointer()
            if pointer == self._pointer:
                return
            manifest = self._store.pointed(pointer)
            self._move(pointer, manifest)
        except VersionError:
            return

    def read_on(self, partitions: set[int], learned: Callable[[pa.Table], None]) -> None:
        """Know what writers appended since the log was read; `learned` is shown it.

        Raises:
            HiddenRecordsError, UnreadableError: one of `partitions` cannot be read.
        """
        self._behind = {**self._upto, **self._behind}
        self._failed = self._read_on(learned)
        self._refuse(partitions, self._failed)

    def absorb(self, ids: EpochIds, files: Iterable[tuple[int, StoredFile]], generation: Generation) -> None:
        """For an import: know the ids of an epoch from its (partition, file) pairs, no longer from the generation.

        What is younger than the generation may be in `ids` already: a generation is asked first.
        """
        ids.flush()
        self._runs.update(ids.runs)
        self._keys |= {file: key_file(self._store, file) for file in ids.keys if file not in self._keys}
        self._files += files
        self.known.stand_on(self._archived())
        self.known.forget(generation)

    def close(self) -> None:
        """Release."""
        self.known.close()

    def _end_claims(self) -> None:
        """Forget the claims that ended, on the version that the pointer names after that."""
        if not any(claim.ended for claim in self.known.claims):
            return
        left = [claim for claim in self.known.claims if not claim.ended]
        try:
            pointer = self._store.pointer()
            if pointer != self._pointer:
                self._move(pointer, self._store.pointed(pointer))
        except VersionError:
            return
        self.known.claims = left

    def _move(self, pointer: Pointer, manifest: Manifest | None) -> None:
        before = dict(self._cut)
        self._load(manifest)
        self.known.stand_on(self._archived())
        self._pointer = pointer
        self._before_move()
        self.known.turn()
        if any(self._cut.get(p, 0) < at for p, at in before.items()):
            self._read_log(self._cut)
            return
        cut = self._cut
        self.known.drop(lambda generation: generation.below(cut))

    def _load(self, manifest: Manifest | None) -> None:
        """Read what a version knows of the stream."""
        own = UNKNOWN if manifest is None else manifest.of(self._stream)
        if manifest is None or not own.topic_id:
            self._runs, self._read, self._keys, self._files = IdRuns(), set(), {}, []
            self._cut = {p: bounds.start for p, bounds in self._log.bounds(self._topic).items()}
            return
        if own.topic_id != self._topic_id:
            raise TopicRecreatedError(self._topic, own.topic_id, self._topic_id)
        ids = manifest.ids_of(self._stream)
        runs = [file for file in ids if not is_keys(file)]
        keys = [file for file in ids if is_keys(file)]
        if not self._read <= set(runs):
            self._runs, self._read = IdRuns(), set()
        self._store.check(file for file in ids if file not in self._read and file not in self._keys)
        fresh = [file for file in runs if file not in self._read]
        read_runs(self._stream, [file.checked(self._store.data.fetch) for file in fresh], into=self._runs)
        self._read |= set(fresh)
        self._keys = {file: self._keys.get(file) or key_file(self._store, file) for file in keys}
        self._cut = own.cut
        self._files = [(file.partition, file.file) for file in manifest.archive_of(self._stream)]

    def _archived(self) -> Archived:
        keys = KeyIndex(self._keys.values())
        return Archived(self._stream, self._runs, keys, self._files, self._inspector, self.partition_of)

    def _read_log(self, cut: dict[int, int]) -> None:
        bounds = self._log.bounds(self._topic)
        starts = {p: cut.get(p, there.start) for p, there in bounds.items()}
        for p, start in starts.items():
            if not bounds[p].start <= start <= bounds[p].end:
                raise LogGapError(self._topic, p, start, bounds[p].start, bounds[p].end)
        self._behind = starts
        self._failed = self._read_on()
        for error in self._failed.values():
            logger.warning("events of entities in partition %d cannot be taken: %s", error.partition, error)

    def _need(self, events: pa.Table) -> None:
        """Know what the log holds in the partitions of these events. Raises HiddenRecordsError, UnreadableError."""
        wanted = self._partitions_of(events)
        if not wanted.isdisjoint(self._behind):
            self._failed = self._read_on()
            self._refuse(wanted, self._failed)

    def _partitions_of(self, events: pa.Table) -> set[int]:
        return {self.partition_of(entity) for entity, _ in by_entity(self._stream, events)}

    @staticmethod
    def _refuse(wanted: set[int], failed: Mapping[int, Unread]) -> None:
        for p in sorted(wanted & failed.keys()):
            raise failed[p]

    def _read_on(self, learned: Callable[[pa.Table], None] = lambda _: None) -> dict[int, Unread]:
        """Learn what the log holds in the partitions that are behind; why some stay so.

        To the high watermark: what an open transaction hides may be this writer's own.
        """
        uptos = {p: there.high for p, there in self._log.bounds(self._topic).items()}
        failed: dict[int, Unread] = {}
        while todo := {p: max(at, self._cut.get(p, 0)) for p, at in self._behind.items() if p not in failed}:
            try:
                for piece in read_range(self._log, self._topic, todo, uptos):
                    learned(self._learn(piece))
            except (HiddenRecordsError, UnreadableError) as error:
                failed[error.partition] = error
                continue
            for p in todo:
                self.known.generation.reach(p, uptos[p] - 1)
                self._upto[p] = uptos[p]
                del self._behind[p]
        return failed

    def _learn(self, piece: Slice) -> pa.Table:
        events = decode(self._stream, piece.records).table
        self.known.learn(events)
        self.known.generation.reach(piece.partition, piece.upto - 1)
        self._behind[piece.partition] = piece.upto
        return events
