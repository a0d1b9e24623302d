"""What is published under a home: the pointer, the manifests, and which versions were retired, rolled back or proposed.

    <home>/versions/1/manifest.json
    <home>/versions/2/...
    <home>/versions/1/retired.json   it was retired: nobody may turn to it any more; as a snapshot it answers `as_of`
                                     until it goes altogether, else it may be removed
    <home>/versions/current          the pointer (`slackwater.versions.pointer`)
    <home>/versions/moves/...        rollbacks and promotions (`slackwater.versions.moves`)
    <home>/versions/left.json        when versions that stay were left (`slackwater.versions.history`)
    <home>/versions/pins/...         names that people gave to versions (`slackwater.versions.pins`)
    <home>/corrections/...           which events are taken out (`slackwater.versions.corrections`)
    <home>/instruments/...           what was declared of instruments (`slackwater.instruments.ledger`)
    <home>/versions/leases/...       what running processes read from (`slackwater.versions.leases`)
    <home>/archive/<epoch>/...       files that manifests list; a folder's listing means nothing
    <home>/states/<run id>/...       the same of parts, which versions share
    <home>/lists/<run id>/...        lists of manifests, which versions share (`slackwater.store.lists`)

A folder without a whole manifest is a run that did not end.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from cachetools import LRUCache

from slackwater.store.files import Files
from slackwater.store.lists import ListFile
from slackwater.store.local_files import LocalFiles
from slackwater.versions.corrections import Corrections
from slackwater.versions.errors import (
    CorrectionWaitsError,
    DamagedFileError,
    ManifestError,
    NoSuchVersionError,
    PointerError,
    RecordError,
    RetiredVersionError,
    SnapshotError,
)
from slackwater.versions.leases import Leases
from slackwater.versions.manifest import Manifest, StoredFile, decode_list, decode_manifest, refuse_older
from slackwater.versions.moves import Moves, withdrawn
from slackwater.versions.pins import Pins
from slackwater.versions.pointer import NOTHING, Pointer, decode_pointer
from slackwater.versions.record import decode_record

KNOWN_LISTS = 256
"""Files of lists whose entries stay in memory."""

MANIFEST, RETIRED = "manifest.json", "retired.json"


class VersionReader:
    """The versions under one home folder, for reading."""

    def __init__(self, home: Path, files: Files | None = None) -> None:
        self.home = home
        self.files: Files = files or LocalFiles()
        self.data = self.files.data(home)
        self.folder = home / "versions"
        self.leases = Leases(self.folder / "leases", self.files)
        self.moves = Moves(self.folder / "moves", self.files)
        self.pins = Pins(self.folder / "pins", self.files)
        self.corrections = Corrections(home / "corrections", self.files)
        self._pointer = self.folder / "current"
        self._lists: LRUCache[tuple[str, str], tuple[Any, ...]] = LRUCache(KNOWN_LISTS)
        self._lock = Lock()

    def load(self, kind: str, file: ListFile) -> tuple[Any, ...]:
        """The entries of a file of a manifest's list; those that were read last are known. Raises ManifestError."""
        with self._lock:
            known = self._lists.get((kind, file.sha256))
        if known is not None:
            return known
        path = self.data.path(file)
        try:
            data = self.files.read(self.data.fetch(file))
        except OSError as error:
            raise ManifestError(f"The list {path} cannot be read: {error}.") from error
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise ManifestError(f"The list {path} is not the one that was published.")
        found = decode_list(kind, data, path)
        with self._lock:
            self._lists[kind, file.sha256] = found
        return found

    def pointer(self) -> Pointer:
        """The pointer; version 0 when nothing was ever published.

        Raises:
            FormatError: it is an older program's.
            PointerError: it is empty, torn, changed, or gone though versions were published.
        """
        try:
            data = self.files.read(self._pointer)
        except FileNotFoundError:
            if not any(MANIFEST in self.folder_names(number) for number in self.numbers()):
                return NOTHING
            try:
                data = self.files.read(self._pointer)  # the first publication may have come in between
            except FileNotFoundError as error:
                raise PointerError("The pointer is gone, though versions were published.") from error
        try:
            return decode_pointer(data)
        except ValueError as error:
            refuse_older(data)
            raise PointerError(f"The pointer is damaged, it holds {data[:60]!r}.") from error

    def current(self) -> Manifest | None:
        """The manifest that the pointer names, None for version 0. Raises PointerError, ManifestError."""
        return self.pointer_and_manifest()[1]

    def pointer_and_manifest(self) -> tuple[Pointer, Manifest | None]:
        """The pointer and what it names, read together; None for version 0. Raises PointerError, ManifestError."""
        pointer = self.pointer()
        while True:
            try:
                return pointer, self.pointed(pointer)
            except PointerError:
                again = self.pointer()
                if again == pointer:
                    raise
                pointer = again  # it moved, and what it named was retired and removed meanwhile

    def pointed(self, pointer: Pointer) -> Manifest | None:
        """The manifest that a pointer names, None for version 0: for those who read the pointer once.

        Raises:
            PointerError, ManifestError: it is not there, or not the one that was published.
        """
        if pointer == NOTHING:
            return None
        try:
            data = self._read(pointer.version)
        except NoSuchVersionError as error:
            raise PointerError(f"The pointer names version {pointer.version}, which does not exist.") from error
        if hashlib.sha256(data).hexdigest() != pointer.sha256:
            raise ManifestError(f"The manifest of version {pointer.version} is not the one that was published.")
        return decode_manifest(data, self.load)

    def manifest(self, version: int) -> Manifest:
        """The manifest of a version, published or superseded.

        Raises:
            RetiredVersionError, NoSuchVersionError, ManifestError
            SnapshotError: it is a snapshot by now.
            RecordError: it is unknown whether it was retired.
        """
        retirement = self.retirement(version)
        if retirement is not None:
            raise (SnapshotError if retirement == "snapshot" else RetiredVersionError)(version)
        return self.stored_manifest(version)

    def answering(self, version: int) -> Manifest:
        """The manifest of a version that answers `as_of`: one that is kept, or a snapshot.

        Raises:
            RetiredVersionError, NoSuchVersionError, ManifestError
            RecordError: it is unknown whether it was retired.
        """
        if self.retirement(version) == "gone":
            raise RetiredVersionError(version)
        return self.stored_manifest(version)

    def stored_manifest(self, version: int) -> Manifest:
        """The manifest of a version, retired or not. Raises NoSuchVersionError, ManifestError."""
        found = decode_manifest(self._read(version), self.load)
        if found.version != version:
            raise ManifestError(f"The manifest of version {version} says that it is version {found.version}.")
        return found

    def manifest_path(self, version: int) -> Path:
        """Where a version's manifest is."""
        return self.folder / str(version) / MANIFEST

    def folder_names(self, version: int) -> list[str]:
        """What lies in the folder of a version."""
        return self.files.names(self.folder / str(version))

    def numbers(self) -> list[int]:
        """Every number that was ever taken, in order."""
        return sorted(int(name) for name in self.files.names(self.folder) if name.isdigit())

    def retired(self, version: int) -> bool:
        """Whether a version was retired, as a snapshot or altogether; see `retirement`."""
        return self.retirement(version) is not None

    def retirement(self, version: int) -> Literal["snapshot", "gone"] | None:
        """What became of a version that was retired; None of one that was not.

        Raises:
            RecordError: its record of that cannot be read; then it is neither served nor removed.
        """
        path = self.retirement_path(version)
        try:
            body = decode_record(self.files.read(path), path)
        except FileNotFoundError:
            taken = self.numbers()
            return "gone" if 0 < version < max(taken, default=0) and version not in taken else None
        if body.get("version") != version:
            raise RecordError(path, "it is another version's")
        return "snapshot" if body.get("snapshot") is True else "gone"

    def retirement_path(self, version: int) -> Path:
        """Where the record is that a version was retired."""
        return self.folder / str(version) / RETIRED

    def retained(self) -> list[Manifest]:
        """What the pointer may name now or later, newest first; none while it names version 0. Raises PointerError."""
        return [] if self.pointer() == NOTHING else self.readable()

    def whole(self) -> list[Manifest]:
        """The manifests that can be read and were not retired, newest first, none whose proof failed, no candidate.

        A version that was forced is served through the pointer that names it, and never in another's place.
        """
        readable = self.readable()
        waiting = self.candidates(readable)
        return [m for m in readable if m.proof.outcome != "different" and m.version not in waiting]

    def candidates(self, manifests: Iterable[Manifest]) -> set[int]:
        """Those that were made as candidates and never promoted: no server falls back on one."""
        found = {manifest.version for manifest in manifests if manifest.candidate}
        if not found:
            return found
        try:
            try:
                last = self.pointer().move
            except PointerError:  # every promotion that was begun counts, whether it took place or not
                last = self.moves.last()
            return found - {move.target for move in self.moves.until(last)}
        except RecordError:  # it is unknown which were promoted
            return found

    def readable(self) -> list[Manifest]:
        """The manifests that can be read and were not retired, newest first."""
        found = []
        for version in reversed(self.numbers()):
            with suppress(NoSuchVersionError, ManifestError):
                found.append(self.manifest(version))
        return found

    def withdrawn(self) -> set[int]:
        """The versions that were rolled back from: no server falls back on one.

        Raises:
            RecordError: a record of a rollback cannot be read.
        """
        try:
            pointer = self.pointer()
        except PointerError:  # every rollback that was begun counts, whether it took place or not
            return withdrawn(self.moves.until(self.moves.last()), self.line)
        found = withdrawn(self.moves.until(pointer.move), self.line)
        return found - set(self.line(pointer.version))

    def line(self, version: int) -> list[int]:
        """A version and its ancestors, as far as their manifests can be read."""
        found: list[int] = []
        while version and version not in found:
            found.append(version)
            with suppress(NoSuchVersionError, ManifestError):
                version = self.manifest(version).parent
        return found

    def refuse_waiting(self, stream: str) -> None:
        """For who judges identities of a stream: those of events that are about to go are not what will be known.

        Raises:
            CorrectionWaitsError: a correction is written down and not applied by what is served.
            PointerError, ManifestError, RecordError: it is unknown.
        """
        current = self.current()
        if current is not None and (waiting := self.corrections.of(stream, current.corrected)):
            raise CorrectionWaitsError(stream, waiting)

    def check(self, files: Iterable[StoredFile]) -> None:
        """Compare files with what a manifest says of them.

        Raises:
            DamagedFileError: the first that differs.
        """
        for file in files:
            path = self.data.path(file)
            try:
                size, sha256 = self.files.fingerprint(self.data.fetch(file))
            except OSError as error:
                raise DamagedFileError(path, f"{file.size} bytes", str(error)) from error
            if (size, sha256) != (file.size, file.sha256):
                expected, found = f"{file.size} bytes, {file.sha256[:12]}", f"{size} bytes, {sha256[:12]}"
                raise DamagedFileError(path, expected, found)

    def _read(self, version: int) -> bytes:
        try:
            return self.files.read(self.manifest_path(version))
        except FileNotFoundError as error:
            raise NoSuchVersionError(version) from error
        except OSError as error:
            raise ManifestError(f"The manifest of version {version} cannot be read: {error}.") from error
