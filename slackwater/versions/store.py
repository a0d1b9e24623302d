"""The store of versions: numbered folders that are never used twice, and one pointer that moves by compare-and-swap.

    <home>/versions/1/manifest.json, views/...
    <home>/versions/2/...
    <home>/versions/1/retired.json   it was retired: nobody may turn to it any more, and it may be removed
    <home>/versions/current          the pointer, `slackwater.versions.pointer`
    <home>/versions/moves/...        rollbacks (`slackwater.versions.moves`)
    <home>/versions/leases/...       what living processes stand on (`slackwater.versions.leases`)
    <home>/archive/<epoch>/...       files that manifests list; a folder's listing means nothing

Nothing is replaced in place but the pointer. A folder without a whole manifest is a run that did not end. Not here:
what is kept and for how long (`slackwater.versions.retention`), and what a rollback checks
(`slackwater.versions.rollback`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slackwater.core.faults import reach
from slackwater.store.files import Files, Hold, LocalFiles
from slackwater.versions.errors import (
    DamagedFileError,
    LostRaceError,
    ManifestError,
    NoSuchVersionError,
    PointerError,
    RecordError,
    RetiredVersionError,
)
from slackwater.versions.leases import Leases
from slackwater.versions.manifest import (
    Manifest,
    Mark,
    StoredFile,
    StreamCut,
    decode_manifest,
    encode_manifest,
    refuse_older,
)
from slackwater.versions.moves import NOTHING_RECORDED, Move, Moves, Recorded, withdrawn
from slackwater.versions.pointer import NOTHING, Pointer, decode_pointer, encode_pointer
from slackwater.versions.record import decode_record, encode_record


class VersionStore:
    """Versions under one home folder."""

    def __init__(self, home: Path, files: Files | None = None) -> None:
        self.home = home
        self.files: Files = files or LocalFiles()
        self.folder = home / "versions"
        self.leases = Leases(self.folder / "leases", self.files)
        self.moves = Moves(self.folder / "moves", self.files)
        self._pointer = self.folder / "current"

    def pointer(self) -> Pointer:
        """The pointer; version 0 when nothing was ever published.

        Raises:
            FormatError: it is an older program's.
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
            refuse_older(data)
            raise PointerError(f"The pointer is damaged, it holds {data[:60]!r}.") from error

    def current(self) -> Manifest | None:
        """The manifest that the pointer names, None for version 0.

        Raises:
            PointerError, ManifestError: either cannot be trusted.
        """
        return self.pointer_and_manifest()[1]

    def pointer_and_manifest(self) -> tuple[Pointer, Manifest | None]:
        """The pointer and what it names, both of one moment; None for version 0.

        Raises:
            PointerError, ManifestError: either cannot be trusted.
        """
        pointer = self.pointer()
        while True:
            try:
                return pointer, self.pointed(pointer)
            except PointerError:
                again = self.pointer()
                if again == pointer:
                    raise
                pointer = again  # it moved, and what it named was retired and removed, between the two looks

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
            RetiredVersionError, NoSuchVersionError, ManifestError
            RecordError: nobody can tell whether it was retired.
        """
        if self.retired(version):
            raise RetiredVersionError(version)
        return self.stored_manifest(version)

    def stored_manifest(self, version: int) -> Manifest:
        """The manifest of a version, retired or not. Raises NoSuchVersionError, ManifestError."""
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

    def retired(self, version: int) -> bool:
        """Whether a version was retired, or is removed altogether.

        Raises:
            RecordError: its record of that cannot be read. It is not to be turned to, and not to be removed.
        """
        path = self.retirement_path(version)
        try:
            body = decode_record(self.files.read(path), path)
        except FileNotFoundError:
            taken = self.numbers()
            return 0 < version < max(taken, default=0) and version not in taken
        if body.get("version") != version:
            raise RecordError(path, "it is another version's")
        return True

    def retirement_path(self, version: int) -> Path:
        """Where it stands that a version was retired."""
        return self.folder / str(version) / "retired.json"

    def retained(self) -> list[Manifest]:
        """What the pointer may name now or later, newest first; what hangs on these manifests is kept.

        Empty while the pointer names version 0, which alone is retained then: the first publication retires it.

        Raises:
            PointerError: the pointer cannot be read.
        """
        return [] if self.pointer() == NOTHING else self.readable()

    def whole(self) -> list[Manifest]:
        """The manifests that can be read and were not retired, newest first, none whose proof failed, no candidate.

        A version that was forced is served through the pointer that names it, and never in another's place.
        """
        readable = self.readable()
        waiting = self.candidates(readable)
        return [m for m in readable if m.proof.outcome != "different" and m.version not in waiting]

    def candidates(self, manifests: Iterable[Manifest]) -> set[int]:
        """Those that were made as candidates and never promoted: nobody turns to one by himself."""
        found = {manifest.version for manifest in manifests if manifest.candidate}
        if not found:
            return found
        try:
            try:
                last = self.pointer().move
            except PointerError:  # every promotion that was begun counts, whether it took place or not
                last = self.moves.last()
            return found - {move.target for move in self.moves.until(last)}
        except RecordError:  # nobody can tell
            return found

    def readable(self) -> list[Manifest]:
        """The manifests that can be read and were not retired, newest first."""
        found = []
        for version in reversed(self.numbers()):
            try:
                manifest = self.manifest(version)
            except (NoSuchVersionError, ManifestError):
                continue
            found.append(manifest)
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
            try:
                version = self.manifest(version).parent
            except (NoSuchVersionError, ManifestError):
                break
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
        """Make a file durable and take its checksums."""
        self.files.sync(path)
        seal = self.files.seal(path)
        return StoredFile(path.relative_to(self.home).as_posix(), seal.size, seal.sha256, rows, seal.sums)

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

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the publish lock: the pointer, the leases and the retirements stand still. Not reentrant."""
        with self.files.lock(self.folder / "lock"):
            yield

    def lease(self, name: str, versions: Iterable[int] = (), epochs: Iterable[str] = ()) -> Hold:
        """Hold versions and epochs: they are not removed before `release`. `name` was never used before.

        Raises:
            RetiredVersionError, NoSuchVersionError, ManifestError, RecordError: it cannot be held.
        """
        with self.locked():
            held = list(versions)
            for version in held:
                if version:
                    self.manifest(version)
            return self.leases.take(name, held, epochs)

    def lease_served(self, name: str, version: int) -> Hold:
        """Hold a version that is to be answered from, without waiting for a lock; see `slackwater.versions.leases`.

        Raises:
            RetiredVersionError, NoSuchVersionError, ManifestError: it cannot be held.
        """
        hold = self.leases.take(name, [version])
        try:
            if version:
                self.manifest(version)
        except BaseException:
            hold.release()
            raise
        return hold

    def lease_current(self, name: str, epochs: Iterable[str]) -> tuple[Manifest | None, Hold]:
        """What the pointer names, held together with epochs of its own for one run; see `current` and `lease`."""
        with self.locked():
            current = self.current()
            return current, self.leases.take(name, [current.version if current else 0], epochs, run=True)

    def retire(self, version: int, at_us: int) -> None:
        """Retire a version, durably. The caller holds the publish lock, and knows that nobody leases it."""
        self.files.sync(self._pointer)  # whoever moved it may have been killed before that; it must not go back
        body = {"version": version, "at_us": at_us}
        self.files.replace(self.retirement_path(version), encode_record(body))

    def publish(self, manifest: Manifest) -> None:
        """Write the manifest and move the pointer from its parent to it.

        Raises:
            LostRaceError: the pointer is not at the parent any more; nothing changed.
            PointerError: it cannot be read; nothing changed.
        """
        data = encode_manifest(manifest)
        with self.locked():
            current = self.pointer()
            if current.version != manifest.parent:
                raise LostRaceError(manifest.parent, current.version)
            reach("publish.manifest")
            if current == NOTHING:  # from now on a pointer that is gone was lost
                self.files.replace(self._pointer, encode_pointer(NOTHING))
            # Only a winner writes a manifest, so that every whole one was published or was about to be.
            self.files.create(self.manifest_path(manifest.version), data)
            reach("publish.pointer")
            self._point(manifest.version, data, current.move)

    def add_candidate(self, manifest: Manifest) -> None:
        """Write the manifest of a candidate; the pointer stays at its parent.

        Raises:
            LostRaceError: the pointer is not at the parent any more; nothing changed.
            PointerError: it cannot be read; nothing changed.
        """
        with self.locked():
            current = self.pointer().version
            if current != manifest.parent:
                raise LostRaceError(manifest.parent, current)
            self.files.create(self.manifest_path(manifest.version), encode_manifest(manifest))

    def move(
        self,
        target: int,
        at_us: int,
        by: str,
        reason: str,
        source: int | None = None,
        recorded: Recorded = NOTHING_RECORDED,
    ) -> Move:
        """Move the pointer to a retained version, and record it first; from `source`, or from wherever it is.

        `recorded` is what that restates, its files durable by now.

        `slackwater.versions.rollback` and `batch_layer.promote` check what this does not.

        Raises:
            LostRaceError: the pointer is not at `source`; nothing changed.
            RetiredVersionError, NoSuchVersionError, ManifestError, RecordError: the pointer did not move.
        """
        reach("move.recorded")
        with self.locked():
            self.manifest(target)
            self.files.sync(self.manifest_path(target))  # whoever wrote it may have been killed before that
            last = self.moves.last()
            try:
                at, _, previous = self.pointer()
                if source not in (None, at):
                    raise LostRaceError(source or 0, at)
            except PointerError:  # a person says where it belongs: this is how it is mended
                if source is not None:
                    raise
                at, previous = None, last
            move = Move(last + 1, previous, at, target, max(self.numbers()), at_us, by, reason, *recorded)
            reach("move.write")
            self.moves.write(move)
            reach("move.pointer")
            self._point(target, self.files.read(self.manifest_path(target)), move.number)
        reach("move.after")
        return move

    def _point(self, version: int, manifest: bytes, move: int) -> None:
        pointer = Pointer(version, hashlib.sha256(manifest).hexdigest(), move)
        self.files.replace(self._pointer, encode_pointer(pointer))


def empty_manifest(streams: Mapping[str, StreamCut]) -> Manifest:
    """Version 0: nothing in batch, each cut at its log's first retained offsets."""
    return Manifest(
        version=0,
        parent=0,
        run_id="",
        created_us=0,
        streams=streams,
        definitions={},
        sources={},
        counts={},
        archive=(),
        ids=(),
        views=(),
        instruments={},
        proofs={},
        timings_ms={},
    )


def first_cut(topic_id: str, deltas_id: str, starts: Mapping[int, int]) -> StreamCut:
    """Where version 0 stands in a stream. `starts` maps partition -> its first retained offset."""
    marks = tuple(Mark(p, at, None) for p, at in sorted(starts.items()))
    return StreamCut(topic_id, deltas_id, marks, dict.fromkeys(starts, 0))
