"""Archives a slice of each stream's log: [parent's cut, this run's cut) of every partition into Parquet, in log order.

Refused records go to the dead letters here, keyed by their position, so that a run that is repeated writes the same
letters. The archive of a version is the files that its manifest lists, never a directory's listing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from batch_layer.spans import Spans, refuse_stalled
from slackwater.context import Context
from slackwater.core.faults import reach
from slackwater.log import dead_letter
from slackwater.log.errors import HiddenRecordsError, LogError, UnreadableError
from slackwater.log.events import WHOLE_RECORD, Refused, decode
from slackwater.log.log import Ack, Writer, read_range
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
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

    def archive(self) -> Epoch:
        """Read, decode and write the slice; returns when the files and the dead letters are durable.

        Raises:
            LogError: a partition cannot be read, or a letter not be written; nothing is left of the slice but letters,
                which are the same when it is read again.
        """
        files: dict[int, ArchiveWriter] = {}
        ids = EpochIds(self.spans.stream, self._context.store, self._run_id, self._known)
        refused, refused_in = Counter[str](), Counter[int]()
        try:
            self._read(files, ids, refused, refused_in)
        except LogError:
            for file in files.values():
                file.close()
                file.path.unlink()
            ids.abandon()
            raise
        finally:
            for file in files.values():
                file.close()
        return replace(self._epoch(files, ids), refused=dict(refused), refused_in=dict(refused_in))

    def _read(
        self, files: dict[int, ArchiveWriter], ids: EpochIds, refused: Counter[str], refused_in: Counter[int]
    ) -> None:
        spans, stream = self.spans, self.spans.stream
        pending: list[Ack] = []
        for found in read_range(self._context.log, spans.topic, spans.start, spans.cut):
            reach("archive.read")
            decoded = decode(stream, found.records)
            source = f"{spans.topic}@{spans.topic_id}/{found.partition}"
            for refusal in decoded.refused:
                refused[refusal.reason] += 1
                refused_in[found.partition] += 1
                pending.append(self._refuse(source, refusal))
            while pending:
                pending.pop().offset()
            if decoded.table.num_rows:
                if found.partition not in files:
                    path = archive_path(self._run_id, stream, found.partition, 0)
                    files[found.partition] = ArchiveWriter(stream, self._context.store.home / path)
                ids.add(decoded.table)
                reach("archive.write")
                offset, index = decoded.table.column("offset"), decoded.table.column("index")
                files[found.partition].write(archive_table(stream, found.partition, decoded.table, offset, index))

    def _epoch(self, files: Mapping[int, ArchiveWriter], ids: EpochIds) -> Epoch:
        spans, stream, store = self.spans, self.spans.stream, self._context.store
        if not files:
            return nothing(stream.name)
        entries = []
        for p, file in sorted(files.items()):
            reach("archive.sync")
            stored = store.stored(file.path, file.rows)
            entries.append(ArchiveFile(stored, stream.name, self._run_id, p, spans.start[p], spans.cut[p]))
        reach("archive.ids")
        return Epoch(stream.name, tuple(entries), ids.finish(), sum(file.rows for file in files.values()), {})

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
