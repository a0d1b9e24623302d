"""The store of versions: numbered folders that are never used twice, and one pointer that moves by compare-and-swap.

    <home>/versions/1/manifest.json, views/...
    <home>/versions/2/...
    <home>/versions/current          {"version": 2, "sha256": "..."} of version 2's manifest
    <home>/archive/<epoch>/...       files that manifests list; a folder's listing means nothing

Nothing is replaced in place but the pointer. A folder without a whole manifest is a run that did not end.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from slackwater.faults import reach
from versions.errors import DamagedFileError, LostRaceError, ManifestError, NoSuchVersionError, PointerError
from versions.files import Files, LocalFiles
from versions.manifest import Manifest, Mark, Proof, StoredFile, decode_manifest, encode_manifest


class Pointer(NamedTuple):
    """What is served: the version, and the SHA-256 of its manifest's file. Version 0 is empty and has none."""

    version: int
    sha256: str


NOTHING = Pointer(0, "")


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
            PointerError: it is empty, torn, or points outside.
        """
        try:
            data = self.files.read(self._pointer)
        except FileNotFoundError:
            return NOTHING
        try:
            found = json.loads(data)
            version, sha256 = found["version"], found["sha256"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise PointerError(f"{self._pointer} holds no pointer: {data[:60]!r}.") from error
        if type(version) is not int or version < 1 or not isinstance(sha256, str):
            raise PointerError(f"{self._pointer} points outside: {data[:60]!r}.")
        return Pointer(version, sha256)

    def current(self) -> Manifest | None:
        """The manifest that the pointer names, None for version 0.

        Raises:
            PointerError, ManifestError: either cannot be trusted.
        """
        pointer = self.pointer()
        if pointer == NOTHING:
            return None
        try:
            data = self.files.read(self.manifest_path(pointer.version))
        except FileNotFoundError as error:
            raise PointerError(f"The pointer names version {pointer.version}, which does not exist.") from error
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
        """The manifests that can be read, newest first, none whose proof failed."""
        found = []
        for version in reversed(self.numbers()):
            try:
                manifest = self.manifest(version)
            except (NoSuchVersionError, ManifestError):
                continue
            if manifest.proof.outcome != "different":
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
        """
        data = encode_manifest(manifest)
        pointer = json.dumps({"version": manifest.version, "sha256": hashlib.sha256(data).hexdigest()})
        with self.files.lock(self.folder / "lock"):
            current = self.pointer().version
            if current != manifest.parent:
                raise LostRaceError(manifest.parent, current)
            reach("publish.manifest")
            # Only a winner writes a manifest, so that every whole one was published or was about to be.
            self.files.create(self.manifest_path(manifest.version), data)
            reach("publish.pointer")
            self.files.replace(self._pointer, pointer.encode() + b"\n")


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
