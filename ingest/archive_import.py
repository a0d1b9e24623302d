"""Imports history straight into the master dataset: validated and filtered like everything else, past the broker.

It becomes an epoch of its own: Parquet files by partition, without offsets, and one file with the epoch's ids. Nothing
is published here; a batch run takes the epoch and publishes it, under the same lock, since until then a door would
not know its ids. What the caller does not publish is garbage that no manifest lists.

Memory is bounded: every ROLL_ROWS rows the open files are closed, their ids become runs, their contents are read from
the closed files when an id comes again.
"""

import shutil
import uuid
from dataclasses import dataclass

import pyarrow as pa

from ingest.duplicates import DuplicateFilter
from ingest.groups import by_instrument
from ingest.lock import IngestLock
from ingest.run import Progress
from ingest.sources import Source
from ingest.summary import Summary, Tally
from ingest.verdicts import judge_chunk
from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table, open_writer
from slackwater.store.id_runs import IdRuns, Instrument, write_runs
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import ArchiveFile, StoredFile
from slackwater.versions.store import VersionStore

ROLL_ROWS = 4 * 1024 * 1024
"""Rows after which the open files are closed."""


@dataclass(frozen=True)
class ImportedEpoch:
    """History in the master dataset, durable and not yet published. `ids` is None when nothing was new."""

    epoch: str
    archive: tuple[ArchiveFile, ...]
    ids: StoredFile | None
    instruments: tuple[tuple[Instrument, int], ...]
    summary: Summary


def new_epoch() -> str:
    """A name that no epoch has. Whoever imports leases it first (`VersionStore.lease`), for expiry to pass it over."""
    return f"import-{uuid.uuid4().hex[:12]}"


def import_history(
    source: Source,
    store: VersionStore,
    log: Log,
    names: TopicNames,
    clock: Clock,
    lock: IngestLock,
    on_progress: Progress = lambda done, total: None,
    epoch: str | None = None,
    roll_rows: int = ROLL_ROWS,
    most_instruments: int = 0,
) -> ImportedEpoch:
    """Validate a source and write what is new into the master dataset; `instruments` maps each to its partition.

    `lock` is held from before this until the epoch is published. An id that the archive, the log or this source has
    already is a duplicate or, with another content, a dead letter; so is an event of a new instrument where
    `most_instruments` are known (0: never).

    Raises:
        SourceError, MappingError, LogError, VersionError: nothing is left behind.
    """
    if lock.topic_id != log.topic_id(names.topic("trades")):
        raise ValueError(f"the lock is that of topic {lock.topic_id}")
    epoch = epoch or new_epoch()
    folder = store.home / "archive" / epoch
    filtered = DuplicateFilter(log, names.topic("trades"), store, clock, most_instruments=most_instruments)
    filtered.known.turn()  # what the log holds stays in memory; what is imported gets a generation of its own
    writer = log.writer()
    tally = Tally()
    try:
        store.files.make_folder(folder)
        files = _Files(store, epoch, filtered, roll_rows)
        try:
            while (chunk := source.read(1.0)) is not None:
                if chunk.lines:
                    events = judge_chunk(chunk, filtered.judge_standing, writer, names.dead_letters, clock, tally)
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

    def __init__(self, store: VersionStore, epoch: str, filtered: DuplicateFilter, roll_rows: int) -> None:
        self._store = store
        self._epoch = epoch
        self._filtered = filtered
        self._roll_rows = roll_rows
        self._open: dict[int, ArchiveWriter] = {}
        self._closed: list[ArchiveFile] = []
        self._runs = IdRuns()
        self._instruments: dict[Instrument, int] = {}
        self._rows = 0
        self._number = 0

    def write(self, events: pa.Table) -> None:
        """Write new events, each to its instrument's partition, in order."""
        by_partition: dict[int, list[int]] = {}
        for instrument, rows in by_instrument(events):
            if instrument not in self._instruments:
                self._instruments[instrument] = self._filtered.partition_of(instrument)
            by_partition.setdefault(self._instruments[instrument], []).extend(rows.tolist())
        for partition, rows in sorted(by_partition.items()):
            if partition not in self._open:
                path = self._store.home / archive_path(self._epoch, partition, self._number)
                self._open[partition] = open_writer(TRADES, path)
            part = events.take(pa.array(sorted(rows)))
            self._open[partition].write(archive_table(TRADES, partition, part))
        self._runs.add_events(events)
        self._rows += events.num_rows
        if self._rows >= self._roll_rows:
            self._roll()

    def finish(self, tally: Tally) -> ImportedEpoch:
        """Close everything; what the epoch holds."""
        self._close()
        ids = None
        if self._closed:
            path = self._store.home / "archive" / self._epoch / "ids.parquet"
            ids = self._store.stored(path, write_runs(self._runs, path))
        instruments = tuple(sorted(self._instruments.items()))
        return ImportedEpoch(self._epoch, tuple(self._closed), ids, instruments, tally.summary())

    def abandon(self) -> None:
        """Close what is open, whatever becomes of it."""
        for writer in self._open.values():
            writer.close()

    def _roll(self) -> None:
        """Close the files, and let the filter know their ids from them instead of from memory."""
        known = len(self._closed)
        self._close()
        own = [(file.partition, file.file) for file in self._closed[known:]]
        self._filtered.absorb(self._runs, own)
        self._rows = 0
        self._number += 1

    def _close(self) -> None:
        for partition, writer in sorted(self._open.items()):
            writer.close()
            reach("archive.import")
            stored = self._store.stored(writer.path, writer.rows)
            self._closed.append(ArchiveFile(stored, self._epoch, partition, None, None))
        self._open = {}
