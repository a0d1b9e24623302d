"""Imports history straight into the master dataset: validated and filtered like everything else, past the broker.

It becomes an epoch of its own: Parquet files by partition, without offsets, and files with the epoch's ids. Nothing
is published here; a batch run takes the epoch and publishes it, under the same lock, since until then a writer would
not know its ids. What the caller does not publish is garbage that no manifest lists.

Memory is bounded: every ROLL_ROWS rows the open files are closed, their ids go to runs and files of keys, and their
contents are read from files when an id comes again.
"""

import shutil
import uuid
from dataclasses import dataclass

import pyarrow as pa

from ingest.chunk import Source
from ingest.decoder import Decoder
from ingest.duplicates import DuplicateFilter
from ingest.verdicts import Summary, judge_chunk
from ingest.writer import Progress
from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.streams.entities import Entity, by_entity
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import EpochIds
from slackwater.versions.manifest import ArchiveFile, StoredFile
from slackwater.versions.store import VersionStore
from slackwater.versions.writer_lock import WriterLock

ROLL_ROWS = 4 * 1024 * 1024
"""Rows after which the open files are closed."""


@dataclass(frozen=True)
class ImportedEpoch:
    """History in the master dataset, durable and not yet published; `entities` maps each to its partition."""

    epoch: str
    archive: tuple[ArchiveFile, ...]
    ids: tuple[StoredFile, ...]
    entities: tuple[tuple[Entity, int], ...]
    summary: Summary


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
    lock: WriterLock,
    on_progress: Progress = lambda done, total: None,
    epoch: str | None = None,
    roll_rows: int = ROLL_ROWS,
    most_entities: int = 0,
) -> ImportedEpoch:
    """Validate a source and write what is new into the master dataset of a stream.

    `lock` is held from before this until the epoch is published. An id that the archive, the log or this source has
    already is a duplicate or, with another content, a dead letter; so is an event of a new entity where
    `most_entities` are known (0: never).

    Raises:
        SourceError, MappingError, LogError, VersionError: nothing is left behind.
    """
    if lock.topic_id != log.topic_id(names.topic(stream)):
        raise ValueError(f"the lock is that of topic {lock.topic_id}")
    epoch = epoch or new_epoch()
    folder = store.home / "archive" / epoch
    filtered = DuplicateFilter(stream, log, names, store, clock, most_entities=most_entities)
    filtered.known.turn()  # what the log holds stays in memory; what is imported gets a generation of its own
    writer = log.writer()
    tally, decoder = Summary(), Decoder(stream, names=True)
    try:
        store.files.make_folder(folder)
        files = _Files(stream, store, epoch, filtered, roll_rows)
        try:
            while (chunk := source.read(1.0)) is not None:
                if chunk.lines:
                    events = judge_chunk(
                        decoder, chunk, filtered.judge_standing, writer, names.dead_letters, clock, tally
                    )
                    tally.accepted += events.num_rows
                    files.write(events)
                on_progress(source.done, source.total)
            return files.finish(tally)
        except BaseException:
            files.abandon()
            shutil.rmtree(folder)
            raise
    finally:
        filtered.close()
        writer.close()


class _Files:
    """The files of an epoch: one open for each partition, all closed together."""

    def __init__(
        self, stream: Stream, store: VersionStore, epoch: str, filtered: DuplicateFilter, roll_rows: int
    ) -> None:
        self._stream = stream
        self._store = store
        self._epoch = epoch
        self._filtered = filtered
        self._roll_rows = roll_rows
        self._open: dict[int, ArchiveWriter] = {}
        self._closed: list[ArchiveFile] = []
        self._ids = EpochIds(stream, store, epoch)  # the filter let nothing through that is known
        self._partitions: dict[Entity, int] = {}
        self._rows = 0
        self._number = 0

    def write(self, events: pa.Table) -> None:
        """Write new events, each to its entity's partition, in order."""
        by_partition: dict[int, list[int]] = {}
        for entity, rows in by_entity(self._stream, events):
            if entity not in self._partitions:
                self._partitions[entity] = self._filtered.partition_of(entity)
            by_partition.setdefault(self._partitions[entity], []).extend(rows.tolist())
        for partition, rows in sorted(by_partition.items()):
            if partition not in self._open:
                path = self._store.home / archive_path(self._epoch, self._stream, partition, self._number)
                self._open[partition] = ArchiveWriter(self._stream, path)
            part = events.take(pa.array(sorted(rows)))
            self._open[partition].write(archive_table(self._stream, partition, part))
        self._ids.add(events)
        self._rows += events.num_rows
        if self._rows >= self._roll_rows:
            self._roll()

    def finish(self, tally: Summary) -> ImportedEpoch:
        """Close everything; what the epoch holds."""
        self._close()
        entities = tuple(sorted(self._partitions.items()))
        return ImportedEpoch(self._epoch, tuple(self._closed), self._ids.finish(), entities, tally.copy())

    def abandon(self) -> None:
        """Close what is open, whatever becomes of it."""
        for writer in self._open.values():
            writer.close()

    def _roll(self) -> None:
        """Close the files, and let the filter know their ids from them instead of from memory."""
        known = len(self._closed)
        self._close()
        own = [(file.partition, file.file) for file in self._closed[known:]]
        self._filtered.absorb(self._ids, own)
        self._rows = 0
        self._number += 1

    def _close(self) -> None:
        for partition, writer in sorted(self._open.items()):
            writer.close()
            reach("archive.import")
            stored = self._store.stored(writer.path, writer.rows)
            self._closed.append(ArchiveFile(stored, self._stream.name, self._epoch, partition, None, None))
        self._open = {}
