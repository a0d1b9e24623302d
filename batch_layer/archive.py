"""Archives a slice of each stream's log: [parent's cut, this run's cut) of every partition into Parquet, in log order.

    read, a slice at a time | decode, several at once | ids, dead letters | files, in order     each beside the others

Refused records go to the dead letters here, keyed by their position, so that a run that is repeated writes the same
letters. The archive of a version is the files that its manifest lists, never a directory's listing.
"""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from batch_layer.shelf import Shelf
from batch_layer.spans import Spans, refuse_stalled
from slackwater.context import Context
from slackwater.core.behind import Behind
from slackwater.core.faults import reach
from slackwater.log import dead_letter
from slackwater.log.errors import HiddenRecordsError, LogError, UnreadableError
from slackwater.log.events import WHOLE_RECORD, Decoded, Refused, decode
from slackwater.log.log import Ack, Record, Writer, read_range
from slackwater.store.identities import Grouped, group_ids
from slackwater.versions.epoch_ids import EpochIds
from slackwater.versions.manifest import ArchiveFile, Manifest, StoredFile


@dataclass(frozen=True)
class Epoch:
    """What one run adds to the archive of a stream. `ids` are the files of its ids (`slackwater.versions.epoch_ids`).

    `refused` maps a reason -> how many, `refused_in` a partition -> how many.
    """

    stream: str
    files: tuple[ArchiveFile, ...]
    ids: tuple[StoredFile, ...]
    events: int
    refused: Mapping[str, int]
    refused_in: Mapping[int, int] = field(default_factory=dict)


def nothing(stream: str) -> Epoch:
    """An epoch that adds nothing."""
    return Epoch(stream, (), (), 0, {})


PIECE_BYTES = 4 * 1024 * 1024
"""Bytes of records that are decoded together: larger pieces leave a core's caches, smaller ones cost more calls."""

Stuck = dict[tuple[str, int], int]
"""(stream, partition) -> the offset of a batch that could not be read."""


def archive_all(
    context: Context, parent: Manifest, found: Iterable[Spans], writer: Writer, run_id: str, stuck: Stuck
) -> list[Epoch]:
    """The epoch of each stream, of what can be read; what cannot be read is held, and `stuck` records where.

    Raises:
        LogError: no stream could be read.
    """
    found = list(found)
    epochs = [_archive(Archiver(context, writer, run_id, spans, parent.ids_of(spans.stream)), stuck) for spans in found]
    refuse_stalled(found)
    return epochs


def _archive(archiver: "Archiver", stuck: Stuck) -> Epoch:
    """Where a partition cannot be read the rest begins anew: only faults cost that."""
    spans = archiver.spans
    while spans.stalled is None:
        try:
            return archiver.archive()
        except (HiddenRecordsError, UnreadableError) as error:
            if isinstance(error, UnreadableError):
                stuck[spans.stream.name, error.partition] = error.offset
            spans.hold(error.partition, error)
        except LogError as error:
            spans.stall(error)
    return nothing(spans.stream.name)


class _Judged(NamedTuple):
    """A slice of the log, decoded, and the ids of its events in groups."""

    partition: int
    decoded: Decoded
    grouped: Grouped


class Archiver:
    """Writes one epoch of one stream; `spans` say from where to where. `known` are the id files that there are."""

    def __init__(
        self, context: Context, writer: Writer, run_id: str, spans: Spans, known: Sequence[StoredFile]
    ) -> None:
        self.spans = spans
        self._known = known
        self._context = context
        self._letters = writer
        self._run_id = run_id
        self._threads = context.limits.threads or os.cpu_count() or 1

    def archive(self) -> Epoch:
        """Read, decode and write the slice; returns when the files and the dead letters are durable.

        Raises:
            LogError: a partition cannot be read, or a letter not be written; nothing is left of the slice but letters,
                which are the same when it is read again.
        """
        spans, stream = self.spans, self.spans.stream
        store, cut = self._context.store, spans.cut
        shelves = {p: Shelf(stream, store, self._run_id, p, start, cut[p]) for p, start in spans.start.items()}
        ids = EpochIds(stream, store, self._run_id, self._known)
        refused, refused_in = Counter[str](), Counter[int]()
        decoders, behind = ThreadPoolExecutor(self._threads, "decode"), Behind(self._threads)
        try:
            for judged in self._decoded(decoders):
                self._send(judged, refused, refused_in)
                if judged.decoded.table.num_rows:
                    behind.put(partial(shelves[judged.partition].write, judged.decoded.table))
                    ids.add(judged.decoded.table, judged.grouped)
            closed = [behind.put(shelf.close) for _, shelf in sorted(shelves.items())]
            files = tuple(entry for each in closed for entry in each.result())
        except LogError:
            behind.end()
            for shelf in shelves.values():
                shelf.abandon()
            ids.abandon()
            raise
        finally:
            decoders.shutdown(cancel_futures=True)
            behind.end()
            for shelf in shelves.values():
                shelf.release()
        if not files:
            return replace(nothing(stream.name), refused=dict(refused), refused_in=dict(refused_in))
        reach("archive.ids")
        events = sum(entry.file.rows for entry in files)
        return Epoch(stream.name, files, ids.finish(), events, dict(refused), dict(refused_in))

    def _decoded(self, decoders: ThreadPoolExecutor) -> Iterator[_Judged]:
        """Every slice in the order in which the log gives them, decoded while the next ones are read.

        Few are in memory, whatever the log holds: one for each thread, and one that waits.
        """
        spans, going = self.spans, deque[Future[_Judged]]()
        for found in read_range(self._context.log, spans.topic, spans.start, spans.cut):
            reach("archive.read")
            for records in pieces(found.records):
                while len(going) > self._threads or (going and going[0].done()):
                    yield going.popleft().result()
                going.append(decoders.submit(self._judge, found.partition, records))
        while going:
            yield going.popleft().result()

    def _judge(self, partition: int, records: Sequence[Record]) -> _Judged:
        decoded = decode(self.spans.stream, records, compact=True)
        return _Judged(partition, decoded, group_ids(self.spans.stream, decoded.table))

    def _send(self, judged: _Judged, refused: Counter[str], refused_in: Counter[int]) -> None:
        """Store the dead letters of a slice."""
        source = f"{self.spans.topic}@{self.spans.topic_id}/{judged.partition}"
        pending = []
        for refusal in judged.decoded.refused:
            refused[refusal.reason] += 1
            refused_in[judged.partition] += 1
            pending.append(self._refuse(source, refusal))
        while pending:
            pending.pop().offset()

    def _refuse(self, source: str, refusal: Refused) -> Ack:
        reach("archive.letter")
        line = "" if refusal.line == WHOLE_RECORD else f":{refusal.line}"
        letter = dead_letter.DeadLetter(
            stream=self.spans.stream.name,
            source=source,
            position=f"{refusal.offset}{line}",
            reason=refusal.reason,
            error=refusal.error,
            time_us=self._context.clock.now_us(),
            value=refusal.value,
        )
        return dead_letter.send(self._letters, self._context.names.dead_letters, letter)


def pieces(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Records in their order, in pieces of PIECE_BYTES and the rest of the last one's record."""
    start = size = 0
    for at, record in enumerate(records, 1):
        size += len(record.value or b"")
        if size >= PIECE_BYTES:
            yield records[start:at]
            start, size = at, 0
    if start < len(records):
        yield records[start:]
