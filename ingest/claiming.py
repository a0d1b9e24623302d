"""Claims the identities of an imported epoch, and takes out of it what writers took while it was read.

    import reads and judges     | no writer judges: read on, claim |  epoch without X      | batch run publishes
    writers go on, take X too   |                                  |  writers go on, and leave the epoch's ids alone

The first of an identity wins, and X is in the log: of the epoch it is a duplicate or, with another content, a dead
letter. Mostly there is no X, and no file is written again.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.duplicates import DuplicateFilter
from ingest.errors import OvertakenError
from ingest.verdicts import Summary
from slackwater.core.checked_files import open_checked
from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.log.dead_letter import CONFLICT, TAKEN, DeadLetter, send
from slackwater.log.log import Writer
from slackwater.store.archive_file import ROW_GROUP_ROWS, archive_path, copy_without
from slackwater.store.contents import Contents
from slackwater.store.identities import group_ids
from slackwater.streams.content import CONTENT, contents_of, same
from slackwater.streams.entities import Entity
from slackwater.streams.rows import event_lines
from slackwater.streams.stream import Stream
from slackwater.versions.claims import ClaimedIds, claim
from slackwater.versions.freed_ids import without_ids
from slackwater.versions.manifest import ArchiveFile, StoredFile
from slackwater.versions.store import VersionStore
from slackwater.versions.writer_lock import ImportLock, hold


@dataclass(frozen=True)
class ImportedEpoch:
    """History in the master dataset, durable and not yet published; `entities` maps each to its partition."""

    epoch: str
    archive: tuple[ArchiveFile, ...]
    ids: tuple[StoredFile, ...]
    entities: tuple[tuple[Entity, int], ...]
    summary: Summary


def corrected_now(store: VersionStore) -> int:
    """Up to which number what is served applies the ledger of corrections."""
    current = store.current()
    return 0 if current is None else current.corrected


@dataclass(frozen=True)
class Claiming:
    """Of one import. `filtered` judged it, when the ledger was applied up to `corrected`. Writers have `patience_s` to
    let go. `letters` is the topic of dead letters.
    """

    stream: Stream
    store: VersionStore
    clock: Clock
    filtered: DuplicateFilter
    corrected: int
    letters: str
    patience_s: float

    def claim(self, done: ImportedEpoch, lock: ImportLock, writer: Writer) -> ImportedEpoch:
        """Claim the ids of an epoch until `lock` ends; the epoch without what the log has by then.

        Raises:
            WriterRunningError: a writer did not let go.
            OvertakenError: events of the stream were corrected since it was judged.
            HiddenRecordsError, UnreadableError: the log cannot be read where the epoch has events.
            AppendError: a dead letter was not acknowledged.
        """
        own, taken = ClaimedIds(self.stream, self.store, done.ids), list[pa.Table]()
        partitions = {entry.partition for entry in done.archive}

        def learned(events: pa.Table) -> None:
            rows = [rows[own.holds(entity, ids)] for entity, rows, ids in group_ids(self.stream, events).groups]
            mine = np.sort(np.concatenate(rows)) if rows else np.zeros(0, np.int64)
            if len(mine):
                taken.append(events.select(self.stream.schema.names).take(pa.array(mine)))

        self.filtered.read_on(partitions, learned)  # most of it, while the writers go on
        reach("claim.before")
        with hold(self.store.home, lock.topic_id, self.clock, self.patience_s):
            self.filtered.read_on(partitions, learned)
            if numbers := self.store.corrections.of(self.stream.name, self.corrected):
                raise OvertakenError(self.stream.name, numbers)
            held = claim(self.store, self.stream, done.epoch, done.ids)
            lock.ends.callback(held.release)
            reach("claim.after")
        return self._without(done, pa.concat_tables(taken), writer) if taken else done

    def _without(self, done: ImportedEpoch, taken: pa.Table, writer: Writer) -> ImportedEpoch:
        index = _Index(self.stream, taken)
        archive, gone = list[ArchiveFile](), list[pa.Table]()
        for number, entry in enumerate(done.archive):
            rows, events = self._found(entry, index)
            if not len(rows):
                archive.append(entry)
                continue
            gone.append(events)
            if len(rows) < entry.file.rows:
                archive.append(self._rewritten(entry, rows, len(done.archive) + number))
        lost = pa.concat_tables(gone)
        ids = without_ids(self.stream, self.store, done.epoch, done.ids, [lost])
        return replace(done, archive=tuple(archive), ids=ids, summary=self._counted(done, lost, index, writer))

    def _found(self, entry: ArchiveFile, index: "_Index") -> tuple[Any, pa.Table]:
        """The rows of a file whose ids are in the index, and their events."""
        rows, events, first = [], [], 0
        for table in self._tables(entry):
            hits = np.flatnonzero(index.holds(table))
            rows.append(hits + first)
            events.append(table.take(pa.array(hits)))
            first += table.num_rows
        return np.concatenate(rows), pa.concat_tables(events)

    def _tables(self, entry: ArchiveFile) -> Iterator[pa.Table]:
        schema = self.stream.schema
        with open_checked(entry.file.checked(self.store.data.fetch)) as source, pq.ParquetFile(source) as parquet:
            for batch in parquet.iter_batches(ROW_GROUP_ROWS, columns=schema.names):
                yield pa.Table.from_batches([batch]).cast(schema)

    def _rewritten(self, entry: ArchiveFile, rows: Any, number: int) -> ArchiveFile:
        path = self.store.data.create(archive_path(entry.epoch, self.stream, entry.partition, number))
        file = copy_without(self.stream, entry.file.checked(self.store.data.fetch), rows, path)
        return replace(entry, file=self.store.stored(file.path, file.rows), low=file.low, high=file.high)

    def _counted(self, done: ImportedEpoch, lost: pa.Table, index: "_Index", writer: Writer) -> Summary:
        """The summary with what was taken out as duplicates, or as dead letters."""
        summary, now_us = done.summary.copy(), self.clock.now_us()
        conflicts = np.flatnonzero(~index.has_same(lost))
        lines = event_lines(self.stream, lost.take(pa.array(conflicts)))
        acks = []
        for line in lines:
            letter = DeadLetter(self.stream.name, done.epoch, "imported event", CONFLICT, TAKEN, now_us, line)
            acks.append(send(writer, self.letters, letter))
        for ack in acks:
            ack.offset()
        summary.accepted -= lost.num_rows
        summary.conflicts += len(conflicts)
        summary.duplicates += lost.num_rows - len(conflicts)
        return summary


class _Index:
    """The identities of some events, and the content of the first of each."""

    def __init__(self, stream: Stream, events: pa.Table) -> None:
        self._stream = stream
        self._contents: defaultdict[Entity | None, Contents] = defaultdict(Contents)
        contents = contents_of(stream, events)
        for entity, rows, ids in group_ids(stream, events).groups:
            once, first = np.unique(ids, return_index=True)
            self._contents[entity].add(once, contents[rows[first]])

    def holds(self, events: pa.Table) -> Any:
        """Which events have one of the identities."""
        return self._find(events)[0]

    def has_same(self, events: pa.Table) -> Any:
        """Which events have an identity and its content."""
        found, contents = self._find(events)
        return found & same(contents, contents_of(self._stream, events))

    def _find(self, events: pa.Table) -> tuple[Any, Any]:
        found, contents = np.zeros(events.num_rows, bool), np.zeros(events.num_rows, CONTENT)
        for entity, rows, ids in group_ids(self._stream, events).groups:
            if entity in self._contents:
                here, those = self._contents[entity].find(ids)
                found[rows] = here
                contents[rows] = those
        return found, contents
