"""The ledger of corrections: which events are taken out of the archive, by whom and why. It only grows.

    <home>/corrections/3.json                    what was asked, and of how many events
    <home>/archive/correct-1f2e.../gone.parquet  these events, each with its place

It stands outside the versions: a version says up to which number it applies it, and every run applies what its parent
does not. A place is a position in the log or, of imported history, its epoch and identity: so it means the same events
whatever file holds them. `added` is an imported epoch that takes their place in the same version.

    select (`slackwater.corrections`) -> record -> the next batch run applies it (`batch_layer.correct`)
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from slackwater.core.faults import reach
from slackwater.store.archive_file import archive_schema
from slackwater.store.files import Files
from slackwater.streams.stream import Stream
from slackwater.versions.errors import RecordError
from slackwater.versions.manifest import ArchiveFile, StoredFile, archive_file_from
from slackwater.versions.record import decode_record, encode_record

Kind = Literal["remove", "replace", "duplicates"]

EPOCH = "epoch"
"""The column of an event's epoch, where it was imported; null where the log held it."""


def gone_schema(stream: Stream) -> pa.Schema:
    """Of a file of events that are taken out."""
    return pa.schema([*archive_schema(stream), pa.field(EPOCH, pa.string())])


@dataclass(frozen=True)
class Added:
    """An imported epoch that a correction brings, and how many events it holds. Its ids are those of the run that
    applies it: others may have become known since.
    """

    epoch: str
    archive: tuple[ArchiveFile, ...]
    events: int


@dataclass(frozen=True)
class Correction:
    """One correction of one stream. Times in microseconds since the epoch, UTC.

    `asked` says how the events were chosen, as it was written; `file` holds them, `file.rows` of them. `ends` maps a
    partition -> the offset behind the last of them that the log held.
    """

    number: int
    kind: Kind
    stream: str
    topic_id: str
    asked: str
    at_us: int
    by: str
    reason: str
    file: StoredFile
    ends: Mapping[int, int]
    added: Added | None = None

    @property
    def files(self) -> Iterator[StoredFile]:
        """Every file that it needs."""
        yield self.file
        if self.added is not None:
            yield from (entry.file for entry in self.added.archive)


class Corrections:
    """The ledger under one folder."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    def last(self) -> int:
        """The highest number, 0 where there is none."""
        return max(self._numbers(), default=0)

    def all(self) -> list[Correction]:
        """All, in order. Raises RecordError: one is missing or cannot be read."""
        return self.after(0)

    def after(self, number: int) -> list[Correction]:
        """Those behind a number, in order. Raises RecordError."""
        return [self._read(each) for each in range(number + 1, self.last() + 1)]

    def of(self, stream: str, after: int) -> list[int]:
        """The numbers of those of a stream behind a number, in order. Raises RecordError."""
        return [each.number for each in self.after(after) if each.stream == stream]

    def record(self, correction: Correction) -> None:
        """Write it durably under its number: whole or not at all, since every run reads the ledger. Under the lock.

        Raises FileExistsError: another one took the number.
        """
        with suppress(FileExistsError):
            self._files.make_folder(self._folder)
        if correction.number <= self.last():
            raise FileExistsError(self._path(correction.number))
        reach("correct.record")
        self._files.replace(self._path(correction.number), encode_record(asdict(correction)))
        reach("correct.recorded")

    def sync(self, correction: Correction) -> None:
        """Make one durable that somebody else wrote, who may have been killed before it was."""
        self._files.sync(self._path(correction.number))

    def _numbers(self) -> list[int]:
        names = (name.removesuffix(".json") for name in self._files.names(self._folder))
        return [int(name) for name in names if name.isdigit()]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"

    def _read(self, number: int) -> Correction:
        path = self._path(number)
        try:
            found = _from(decode_record(self._files.read(path), path))
        except (OSError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise RecordError(path, str(error)) from error
        if found.number != number:
            raise RecordError(path, "it is another correction's")
        return found


def _from(body: dict[str, Any]) -> Correction:
    added = body["added"]
    if added is not None:
        archive = tuple(archive_file_from(entry) for entry in added["archive"])
        added = Added(**{**added, "archive": archive})
    ends = {int(p): at for p, at in body["ends"].items()}
    return Correction(**{**body, "file": StoredFile(**body["file"]), "ends": ends, "added": added})
