"""The errors of ingest. A bad event is none of them: it is data, a counted and stored dead letter.

SlackwaterError
  IngestError
    SourceError               what was named as input cannot be read
      FileMissingError        there is no such file
      FormatError             a file is not of the type it is said to be, or of none that is known
      UnreadableFileError     a file is damaged
        ChecksumError         a file is not the one whose checksum lies beside it
      EmptySourceError        a file holds no events
      UnknownIdsError         a file that is to replace events holds some that are nowhere
    UnknownPresetError        there is no preset of that name
    SpeedError                a replay's speed cannot be read, or its input is too long to put in order
    ClaimedError              an import has some identities, and has not published them yet
    HandOverError             the ingest service did not take what it was handed
    OvertakenError            a correction came while an import was read
    ArchiveGapError           an id file names an id that no archive file holds
    LogGapError               the log lost what the filter must know

Columns that cannot be mapped to the fields of an event are a MappingError of `slackwater.log.errors`.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from slackwater.core.errors import SlackwaterError
from slackwater.streams.entities import Entity


class IngestError(SlackwaterError):
    """Events cannot be taken in."""


class SourceError(IngestError):
    """What was named as input cannot be read."""


class FileMissingError(SourceError):
    def __init__(self, name: str, hint: str = "Name a file, or - for standard input.") -> None:
        super().__init__(f"There is no file {name!r}.", hint)


class ClaimedError(IngestError):
    """An import has identities of a chunk, none of which was taken: it can come again as it is."""

    retriable: ClassVar[bool] = True

    def __init__(self, stream: str, events: int) -> None:
        super().__init__(
            f"An import of {stream} has the identities of {events:,} of these events, and has not published them yet.",
            "Send them again in a moment: then they are duplicates, or new if the import failed.",
        )
        self.events = events


class HandOverError(IngestError):
    """The ingest service did not take a chunk. `again`: it may, later."""

    def __init__(self, fact: str, hint: str, again: bool = False) -> None:
        super().__init__(fact, hint)
        self.again = again

    @property
    def retriable(self) -> bool:  # type: ignore[override]
        """Whether the same may go well later."""
        return self.again


class OvertakenError(IngestError):
    """Events of the stream were corrected while an import of it was judged; it left nothing behind."""

    retriable: ClassVar[bool] = True

    def __init__(self, stream: str, numbers: Sequence[int]) -> None:
        of = ", ".join(map(str, numbers))
        super().__init__(
            f"The corrections {of} of {stream} were written down while this import was read, which may bring what they "
            "took out.",
            "Import again.",
        )


class FormatError(SourceError):
    def __init__(self, name: str, fact: str, formats: Iterable[str] = (), hint: str = "") -> None:
        known = ", ".join(formats)
        super().__init__(f"{name!r} {fact}.", f"Formats are {known}; name one with --format." if known else hint)


class UnreadableFileError(SourceError):
    def __init__(self, name: str, place: str, cause: object, hint: str = "") -> None:
        super().__init__(f"{name!r} cannot be read {place}: {cause}.", hint)


class ChecksumError(UnreadableFileError):
    """A file is not the one whose checksum lies beside it, or that checksum cannot be read."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(name, "at all", cause, "Get the file and its .CHECKSUM again; nothing was taken.")


class UnknownIdsError(SourceError):
    """A file that is to replace events holds some that are nowhere."""

    def __init__(self, count: int, first: str) -> None:
        super().__init__(
            f"{count} events of a part of the file replace nothing: neither the archive nor the log holds {first}.",
            "Take them out of the file; `slackwater archive import` and `slackwater ingest` take new events.",
        )


class UnknownPresetError(IngestError):
    def __init__(self, name: str, names: Iterable[str]) -> None:
        super().__init__(f"There is no preset {name!r}.", f"There are {', '.join(names)}; --list-presets shows them.")


class EmptySourceError(SourceError):
    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} holds no events.")


class SpeedError(IngestError):
    """A replay's speed cannot be read, or its input is too long to put in order."""


class ArchiveGapError(IngestError):
    """An id file names an id that no archive file holds: the version is not whole."""

    def __init__(self, entity: Entity, count: int, first: int) -> None:
        super().__init__(
            f"{count} ids of {':'.join(entity)} stand in the id files and in no archive file, the first {first}.",
            "The version's files do not belong together; check it with `slackwater verify`.",
        )


class LogGapError(IngestError):
    """The log lost what the filter must know: ids that were taken could be taken again."""

    def __init__(self, topic: str, partition: int, cut: int, start: int, end: int) -> None:
        super().__init__(
            f"Partition {partition} of {topic!r} holds [{start}, {end}) and the current version's cut is {cut}:"
            " what was taken since cannot be known.",
        )
