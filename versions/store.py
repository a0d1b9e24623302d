"""The store of versions: numbered folders that are never used twice, and one pointer that moves by compare-and-swap.

    <home>/versions/1/manifest.json, views/...
    <home>/versions/2/...
    <home>/versions/current          the pointer, `versions.pointer`
    <home>/archive/<epoch>/...       files that manifests list; a folder's listing means nothing

Nothing is replaced in place but the pointer. A folder without a whole manifest is a run that did not end.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from slackwater.faults import reach
from versions.errors import DamagedFileError, LostRaceError, ManifestError, NoSuchVersionError, PointerError
from versions.files import Files, LocalFiles
from versions.manifest import Manifest, Mark, StoredFile, decode_manifest, encode_manifest
from versions.pointer import NOTHING, Pointer, decode_pointer, encode_pointer
from versions.proof import Proof


class VersionStore:
    """Versions under one home folder."""

    def __init__(self, home: Path, files: Files | None = None) -> None:
        self.home = home
        self.files: Files = files or LocalFiles()
        self.folder = home / "versions"
        self._pointer = self.folder / "current"

    def pointer(self) -> Pointer:
        """The pointer; version 0 when nothing was ever published.

        Raises:
            PointerError: it is empty, torn, changed, or gone though versions were published.
        """
        try:
            data = self.files.read(self._pointer)
        except FileNotFoundError:
            if not any("manifest.json" in self.files.names(self.folder / str(n)) for n in self.numbers()):
                return NOTHING
            try:
                data = self.files.read(self._pointer)  # the first publication may have come between the two looks
            except FileNotFoundError as error:
                raise PointerError("The pointer is gone, though versions were published.") from error
        try:
            return decode_pointer(data)
        except ValueError as error:
            raise PointerError(f"The pointer is damaged, it holds {data[:60]!r}.") from error

    def current(self) -> Manifest | None:
        """The manifest that the pointer names, None for version 0.

        Raises:
            PointerError, ManifestError: either cannot be trusted.
        """
        return self.pointed(self.pointer())

    def pointed(self, pointer: Pointer) -> Manifest | None:
        """The manifest that a pointer names, None for version 0: for those who read the pointer once.

        Raises:
            PointerError, ManifestError: it is not there, or not the one that was published.
        """
        if pointer == NOTHING:
            return None
        try:
            data = self.files.read(self.manifest_path(pointer.version))
        except FileNotFoundError as error:
            raise PointerError(f"The pointer names version {pointer.version}, which does not exist.") from error
        except OSError as error:
            raise ManifestError(f"The manifest of version {pointer.version} cannot be read: {error}.") from error
        if hashlib.sha256(data).hexdigest() != pointer.sha256:
            raise ManifestError(f"The manifest of version {pointer.version} is not the one that was published.")
        return decode_manifest(data)

    def manifest(self, version: int) -> Manifest:
        """The manifest of a version, published or superseded.

        Raises:
            NoSuchVersionError, ManifestError
        """
        try:
            found = decode_manifest(self.files.read(self.manifest_path(version)))
        except FileNotFoundError as error:
            raise NoSuchVersionError(version) from error
        except OSError as error:
            raise ManifestError(f"The manifest of version {version} cannot be read: {error}.") from error
        if found.version != version:
            raise ManifestError(f"The manifest of version {version} says that it is version {found.version}.")
        return found

    def manifest_path(self, version: int) -> Path:
        """Where a version's manifest is."""
        return self.folder / str(version) / "manifest.json"

    def numbers(self) -> list[int]:
        """Every number that was ever taken, in order."""
        return sorted(int(name) for name in self.files.names(self.folder) if name.isdigit())

    def whole(self) -> list[Manifest]:
        """The manifests that can be read, newest first, none whose proof failed.

        A version that was forced is served through the pointer that names it, and never in another's place.
        """
        return [manifest for manifest in self.readable() if manifest.proof.outcome != "different"]

    def readable(self) -> list[Manifest]:
        """The manifests that can be read, newest first."""
        found = []
        for version in reversed(self.numbers()):
            try:
                manifest = self.manifest(version)
            except (NoSuchVersionError, ManifestError):
                continue
            found.append(manifest)
        return found

    def reserve(self) -> int:
        """Take a number that was never used, and make its folder."""
        number = max(self.numbers(), default=0) + 1
        while True:
            try:
                self.files.make_folder(self.folder / str(number))
            except FileExistsError:
                number += 1
            else:
                return number

    def stored(self, path: Path, rows: int) -> StoredFile:
        """Make a file durable and take its fingerprint."""
        self.files.sync(path)
        size, sha256 = self.files.fingerprint(path)
        return StoredFile(path.relative_to(self.home).as_posix(), size, sha256, rows)

    def check(self, files: Iterable[StoredFile]) -> None:
        """Compare files with what a manifest says of them.

        Raises:
            DamagedFileError: the first that differs.
        """
        for file in files:
            path = self.home / file.path
            try:
                size, sha256 = self.files.fingerprint(path)
            except OSError as error:
                raise DamagedFileError(path, f"{file.size} bytes", str(error)) from error
            if (size, sha256) != (file.size, file.sha256):
                expected, found = f"{file.size} bytes, {file.sha256[:12]}", f"{size} bytes, {sha256[:12]}"
                raise DamagedFileError(path, expected, found)

    def publish(self, manifest: Manifest) -> None:
        """Write the manifest and move the pointer from its parent to it.

        Raises:
            LostRaceError: the pointer is not at the parent any more; nothing changed.
            PointerError: it cannot be read; nothing changed.
        """
        data = encode_manifest(manifest)
        pointer = Pointer(manifest.version, hashlib.sha256(data).hexdigest())
        with self.files.lock(self.folder / "lock"):
            current = self.pointer().version
            if current != manifest.parent:
                raise LostRaceError(manifest.parent, current)
            reach("publish.manifest")
            if current == NOTHING.version:  # from now on a pointer that is gone was lost
                self.files.replace(self._pointer, encode_pointer(NOTHING))
            # Only a winner writes a manifest, so that every whole one was published or was about to be.
            self.files.create(self.manifest_path(manifest.version), data)
            reach("publish.pointer")
            self.files.replace(self._pointer, encode_pointer(pointer))


def empty_manifest(topics: dict[str, str], cut: dict[int, int]) -> Manifest:
    """Version 0: nothing in batch, cut at the first retained offset."""
    return Manifest(
        version=0,
        parent=0,
        run_id="",
        created_us=0,
        topics=topics,
        marks=tuple(Mark(p, at, None) for p, at in sorted(cut.items())),
        delta_start=dict.fromkeys(cut, 0),
        definitions={},
        counts={},
        archive=(),
        ids=(),
        views=(),
        instruments=(),
        proof=Proof("equal", "nothing in batch"),
        timings_ms={},
    )
