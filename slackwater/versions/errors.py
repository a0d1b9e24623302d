"""The errors of versions."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from slackwater.core.errors import SlackwaterError


class VersionError(SlackwaterError):
    """A published version cannot be read or written."""


class NoSuchVersionError(VersionError):
    """There is no version of that number."""

    def __init__(self, version: int) -> None:
        super().__init__(f"There is no version {version}.", "`slackwater batch list` shows those that there are.")
        self.version = version


class RetiredVersionError(NoSuchVersionError):
    """The version was retired: its files are being removed, or is gone."""

    def __init__(self, version: int) -> None:
        VersionError.__init__(
            self, f"Version {version} was retired.", "`slackwater batch list` shows those that are kept."
        )
        self.version = version


class SnapshotError(RetiredVersionError):
    """The version left the rollback set: it answers `as_of`, and nothing else turns to it."""

    def __init__(self, version: int) -> None:
        VersionError.__init__(
            self,
            f"Version {version} left the rollback set and is a snapshot: the deltas and the log behind its cut may be "
            "gone, so nothing goes on from it.",
            f"`as_of={version}` answers from it; `slackwater batch list` shows the versions that are kept.",
        )
        self.version = version


class PinError(VersionError):
    """A pin cannot be set or removed."""


class BackupError(VersionError):
    """A backup cannot be made, or a home not be restored from it."""


class RollbackError(VersionError):
    """The pointer cannot go to that version."""


class ManifestError(VersionError):
    """A manifest is missing or torn."""


class RecordError(ManifestError):
    """A record of a proof, a move, a retirement or a lease is torn or changed."""

    def __init__(self, path: Path, fact: str) -> None:
        super().__init__(f"{path} cannot be read: {fact}.", "Restore it from a copy of the home folder.")
        self.path = path


class PointerError(VersionError):
    """The pointer is empty, torn, or names no version."""


class FormatError(ManifestError, PointerError):
    """A pointer or a manifest of another format: the home was made by an older, or a newer, program."""

    def __init__(self, found: object, needed: int) -> None:
        newer = isinstance(found, int) and found > needed
        super().__init__(
            f"This home holds versions of manifest format {found!r:.20}; this program needs format {needed}.",
            "Run the program that made it, or a later one."
            if newer
            else "Set SLACKWATER_HOME to a new folder, and SLACKWATER_PREFIX to a new one so that it gets topics of "
            "its own; then import the archive again: `slackwater archive import OLD_HOME/archive/*/*-[0-9]*.parquet`.",
        )


class WriterRunningError(VersionError):
    """A writer of the stream did not let go in time, or another import runs. `pid` is its process, 0 if unknown."""

    retriable: ClassVar[bool] = True

    def __init__(self, pid: int, path: object, what: str = "ingest") -> None:
        holder = f"process {pid}" if pid else "another process"
        if what == "import":
            fact, hint = "Another import of this stream is running", "One import at a time: wait until it ends."
        else:
            fact = "An ingest of this stream did not let go"
            hint = "Is it paused, or does the log not answer? It lets go between two chunks; wait for it, or end it."
        super().__init__(f"{fact}: {holder} holds {path}.", hint)
        self.pid = pid


class VenueTakenError(VersionError):
    """Another process writes the events of a venue. `pid` is its process, 0 if it is not known."""

    def __init__(self, stream: str, venue: str, pid: int) -> None:
        holder = f"Process {pid}" if pid else "Another process"
        super().__init__(
            f"{holder} writes the {stream} of {venue}.",
            "One writer of a venue keeps the duplicate filter exact: hand the events to it, or end it.",
        )
        self.venue = venue
        self.pid = pid


class CorrectionWaitsError(VersionError):
    """A correction of the stream was written down, and what is served does not have it yet."""

    retriable: ClassVar[bool] = True

    def __init__(self, stream: str, numbers: Sequence[int], why: str = "") -> None:
        of = ", ".join(map(str, numbers))
        super().__init__(
            f"The corrections {of} of {stream} are written down and not applied yet{why}.",
            "The next `slackwater batch run` applies them; do not repeat them.",
        )
        self.numbers = tuple(numbers)


class RestatingError(VersionError):
    """What a move of the pointer changes cannot be written down, so it did not move."""

    retriable: ClassVar[bool] = True


class DamagedFileError(VersionError):
    """A file is missing, or its size or SHA-256 is not the manifest's."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path} is damaged: the manifest says {expected}, found {found}.",
            "Put it back from a copy; it is taken again as soon as it is whole.",
        )
        self.path = path


class LostRaceError(VersionError):
    """Another publisher moved the pointer first."""

    retriable: ClassVar[bool] = True

    def __init__(self, parent: int, current: int) -> None:
        back = "another and back" if parent == current else f"{current}"
        super().__init__(
            f"Not published: the pointer went from version {parent} to {back} while this run computed.",
            "Run it again; it starts from the new version.",
        )
