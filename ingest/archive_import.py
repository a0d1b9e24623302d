"""Imports history straight into the master dataset: validated and filtered like everything else, past the broker.

It becomes an epoch of its own: Parquet files by partition, without offsets, and files with the epoch's ids. Nothing
is published here; a batch run takes the epoch and publishes it. What the caller does not publish is garbage that no
manifest lists.

    source, columns checked | decode, judge, ids | files           each on a thread of its own, a chunk at a time
    claim                                                          while no writer judges, for a moment

Writers go on meanwhile. What they took by the time of the claim is taken out of the epoch again (`ingest.claiming`);
from then on they take none of its ids, until the import lets go of its lock, published or not.

Memory is bounded: every ROLL_ROWS rows the open files are closed, their ids go to runs and files of keys, and their
contents are read from files when an id comes again. Not here: the files (`ingest.sheaf`).
"""

import uuid
from concurrent.futures import Future

from ingest.chunk import Source
from ingest.claiming import Claiming, ImportedEpoch, corrected_now
from ingest.decoder import Decoder
from ingest.duplicates import DuplicateFilter
from ingest.known import Generation
from ingest.replacing import Replacing
from ingest.sheaf import Sheaf
from ingest.verdicts import Summary, Taken, judge_chunk
from ingest.writer import Look, Progress
from slackwater.core.behind import Behind
from slackwater.core.clock import Clock
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import EpochIds
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import ArchiveFile
from slackwater.versions.store import VersionStore
from slackwater.versions.writer_lock import PATIENCE_S, ImportLock

ROLL_ROWS = 4 * 1024 * 1024
"""Rows after which the open files are closed."""

WAITING_CHUNKS = 2
"""Chunks that wait for the thread that writes them."""


def new_epoch() -> str:
    """A name that no epoch has. Whoever imports leases it first (`VersionStore.lease`), for expiry to pass it over."""
    return f"import-{uuid.uuid4().hex[:12]}"


def import_history(
    stream: Stream,
    source: Source,
    store: VersionStore,
    log: Log,
    names: TopicNames,
    clock: Clock,
    lock: ImportLock,
    on_progress: Progress = lambda done, total: None,
    epoch: str | None = None,
    roll_rows: int = ROLL_ROWS,
    most_entities: int = 0,
    replacing: bool = False,
    look: Look = lambda tally, ended: None,
    patience_s: float = PATIENCE_S,
) -> ImportedEpoch:
    """Validate a source and write what is new into the master dataset of a stream.

    `lock` is held from before this until the epoch is published; the claim of its ids ends with it. An id that the
    archive, the log or this source has already is a duplicate or, with another content, a dead letter; so is an event
    of a new entity where `most_entities` are known (0: never). `replacing`: only events whose ids are known are taken,
    each id once, for a correction that takes the others out (`ingest.replacing`). Writers have `patience_s` to let go.
    `look` is shown the counts after each chunk; if it raises, nothing is left behind but dead letters.

    Raises:
        UnknownIdsError: a file that is to replace events holds others; nothing is left behind.
        CorrectionWaitsError: the identities of some events are about to be free.
        WriterRunningError: a writer did not let go, so the ids cannot be claimed; nothing is left behind.
        SourceError, MappingError, LogError, VersionError: nothing is left behind.
    """
    if lock.topic_id != log.topic_id(names.topic(stream)):
        raise ValueError(f"the lock is that of topic {lock.topic_id}")
    store.refuse_waiting(stream.name)
    epoch = epoch or new_epoch()
    if store.data.names(f"archive/{epoch}"):
        raise FileExistsError(f"The epoch {epoch} has files already.")
    corrected = corrected_now(store)
    filtered = DuplicateFilter(stream, log, names, store, clock, most_entities=most_entities)
    filtered.known.turn()  # what the log holds stays in memory; what is imported gets a generation of its own
    writer = log.writer()
    tally, decoder, reading = Summary(), Decoder(stream, names=True), source.name
    judge = Replacing(stream, filtered, Inspector(store)).judge if replacing else filtered.judge_standing
    source.in_bulk()
    try:
        files = _Files(stream, store, epoch, filtered, roll_rows)
        try:
            while (chunk := source.read(1.0)) is not None:
                if chunk.lines:
                    if chunk.source != reading:  # what has no ids is numbered within its file
                        reading, decoder = chunk.source, Decoder(stream, names=True)
                    taken = judge_chunk(decoder, chunk, judge, writer, names.dead_letters, clock, tally)
                    tally.accepted += taken.events.num_rows
                    files.write(taken)
                on_progress(source.done, source.total)
                look(tally, False)
            look(tally, True)
            done = files.finish(tally)
            if done.archive and not replacing:  # who replaces brings ids that are known, and stay so
                done = Claiming(stream, store, clock, filtered, corrected, names.dead_letters, patience_s).claim(
                    done, lock, writer
                )
            return done
        except BaseException:
            files.abandon()
            store.data.remove(f"archive/{epoch}")
            raise
    finally:
        filtered.close()
        writer.close()


class _Files:
    """The files of an epoch: one open for each partition, all closed together, written by a thread of their own."""

    def __init__(
        self,
        stream: Stream,
        store: VersionStore,
        epoch: str,
        filtered: DuplicateFilter,
        roll_rows: int,
    ) -> None:
        self._stream = stream
        self._filtered = filtered
        self._roll_rows = roll_rows
        self._epoch = epoch
        self._sheaf = Sheaf(stream, store, epoch)
        self._behind = Behind(WAITING_CHUNKS)
        self._ids = EpochIds(stream, store, epoch)  # of what is known the filter lets only replacements through
        self._partitions: dict[Entity, int] = {}
        self._closing: tuple[Future[list[ArchiveFile]], Generation] | None = None
        self._closed: list[ArchiveFile] = []
        self._rows = 0

    def write(self, taken: Taken) -> None:
        """Write new events, each to its entity's partition, in order."""
        events, grouped, _ = taken
        if not events.num_rows:
            return
        parts = []
        for entity, rows in grouped.entities:
            if entity not in self._partitions:
                self._partitions[entity] = self._filtered.partition_of(entity)
            parts.append((self._partitions[entity], rows))
        self._behind.put(lambda: self._sheaf.write(events, parts))
        self._ids.add(events, grouped)
        self._rows += events.num_rows
        # The files of the last roll are durable by now, or what memory holds of them would grow.
        if self._closing is not None and (self._closing[0].done() or self._rows * 8 >= self._roll_rows):
            self._absorb()
        if self._rows >= self._roll_rows:
            known = self._filtered.known
            self._closing = self._behind.put(self._sheaf.close), known.generation
            known.turn()
            self._rows = 0

    def finish(self, tally: Summary) -> ImportedEpoch:
        """Close everything; what the epoch holds."""
        try:
            self._absorb()
            self._closed += self._behind.put(self._sheaf.close).result()
        finally:
            self._behind.end()
        entities = tuple(sorted(self._partitions.items()))
        return ImportedEpoch(self._epoch, tuple(self._closed), self._ids.finish(), entities, tally.copy())

    def abandon(self) -> None:
        """Close what is open, whatever becomes of it."""
        self._behind.end()
        self._sheaf.abandon()

    def _absorb(self) -> None:
        """Let the filter know the ids of closed files from them instead of from memory."""
        if self._closing is None:
            return
        closed = self._closing[0].result()
        self._filtered.absorb(self._ids, [(file.partition, file.file) for file in closed], self._closing[1])
        self._closed += closed
        self._closing = None
