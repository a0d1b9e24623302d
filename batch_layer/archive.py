"""Archives a slice of the event log: [parent's cut, this run's cut) of every partition into Parquet, in log order.

Refused records go to the dead letters here, keyed by their position, so that a run that is repeated writes the same
letters. The archive of a version is the files that its manifest lists, never a directory's listing.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from batch_layer.errors import TailLostError
from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.log import dead_letter
from slackwater.log.errors import HiddenRecordsError, UnreadableError
from slackwater.log.events import WHOLE_RECORD, Refused, decode
from slackwater.log.log import Ack, Log, Writer, read_range
from slackwater.log.mark import marks_at
from slackwater.log.names import TopicNames
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table, open_writer
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import EpochIds
from slackwater.versions.manifest import ArchiveFile, Manifest, StoredFile
from slackwater.versions.store import VersionStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """What one run adds to the archive. `ids` are the files of its events' ids (`slackwater.versions.epoch_ids`).

    `refused` maps a reason -> how many, `refused_in` a partition -> how many.
    """

    files: tuple[ArchiveFile, ...]
    ids: tuple[StoredFile, ...]
    events: int
    refused: Mapping[str, int]
    refused_in: Mapping[int, int] = field(default_factory=dict)


NOTHING = Epoch((), (), 0, {})


def check_parent(log: Log, topic: str, parent: Manifest) -> None:
    """Check that the log still is the one that `parent` was made of.

    Raises:
        TailLostError: the log starts above its cut, ends below it, or the record at the cut is not its own mark.
    """
    bounds = log.bounds(topic)
    for mark in parent.marks:
        if mark.partition not in bounds:
            raise TailLostError(topic, parent.version, f"partition {mark.partition} is gone")
        start, end, _ = bounds[mark.partition]
        if not start <= mark.offset <= end:
            where = f"partition {mark.partition} holds [{start}, {end}), the cut is {mark.offset}"
            raise TailLostError(topic, parent.version, where)
    expected = {mark.partition: mark.run_id for mark in parent.marks if mark.run_id is not None}
    found = marks_at(log, topic, {p: parent.cut[p] for p in expected})
    for p, run_id in expected.items():
        if found[p] != run_id:
            raise TailLostError(topic, parent.version, f"partition {p} holds no mark of its run at {parent.cut[p]}")


class Archiver:
    """Writes one epoch. `start` and `cut` map partition -> offset; half-open."""

    def __init__(
        self, log: Log, names: TopicNames, store: VersionStore, writer: Writer, clock: Clock, run_id: str
    ) -> None:
        self._log = log
        self._names = names
        self._store = store
        self._letters = writer
        self._clock = clock
        self._run_id = run_id

    def archive(
        self,
        stream: Stream,
        topic: str,
        topic_id: str,
        start: Mapping[int, int],
        cut: Mapping[int, int],
        known: Iterable[StoredFile] = (),
    ) -> Epoch:
        """Read, decode and write the slice; returns when the files and the dead letters are durable.

        `known` are the id files of what the archive holds already.

        Raises:
            HiddenRecordsError, UnreadableError: a partition cannot be read; nothing is left of the slice but letters,
                which are the same when it is read again.
        """
        files: dict[int, ArchiveWriter] = {}
        ids = EpochIds(stream, self._store, self._run_id, known)
        refused, refused_in = Counter[str](), Counter[int]()
        pending: list[Ack] = []
        try:
            for found in read_range(self._log, topic, start, cut):
                reach("archive.read")
                decoded = decode(stream, found.records)
                source = f"{topic}@{topic_id}/{found.partition}"
                for refusal in decoded.refused:
                    refused[refusal.reason] += 1
                    refused_in[found.partition] += 1
                    pending.append(self._refuse(stream, source, refusal))
                while pending:
                    pending.pop().offset()
                if decoded.table.num_rows:
                    if found.partition not in files:
                        path = self._store.home / archive_path(self._run_id, found.partition, 0)
                        files[found.partition] = open_writer(stream, path)
                    ids.add(decoded.table)
                    reach("archive.write")
                    offset, index = decoded.table.column("offset"), decoded.table.column("index")
                    files[found.partition].write(archive_table(stream, found.partition, decoded.table, offset, index))
        except (HiddenRecordsError, UnreadableError):
            for file in files.values():
                file.close()
                file.path.unlink()
            ids.abandon()
            raise
        finally:
            for file in files.values():
                file.close()
        return replace(self._epoch(files, ids, start, cut), refused=dict(refused), refused_in=dict(refused_in))

    def _epoch(
        self,
        files: Mapping[int, ArchiveWriter],
        ids: EpochIds,
        start: Mapping[int, int],
        cut: Mapping[int, int],
    ) -> Epoch:
        if not files:
            return NOTHING
        entries = []
        for p, file in sorted(files.items()):
            reach("archive.sync")
            stored = self._store.stored(file.path, file.rows)
            entries.append(ArchiveFile(stored, self._run_id, p, start[p], cut[p]))
        reach("archive.ids")
        return Epoch(tuple(entries), ids.finish(), sum(file.rows for file in files.values()), {})

    def _refuse(self, stream: Stream, source: str, refusal: Refused) -> Ack:
        reach("archive.letter")
        line = "" if refusal.line == WHOLE_RECORD else f":{refusal.line}"
        letter = dead_letter.DeadLetter(
            stream=stream.name,
            source=source,
            position=f"{refusal.offset}{line}",
            reason=refusal.reason,
            error=refusal.error,
            time_us=self._clock.now_us(),
            value=refusal.value,
        )
        return dead_letter.send(self._letters, self._names.dead_letters, letter)
