"""The store of versions: numbered folders that are never used twice, and one pointer that moves by compare-and-swap.

Nothing is replaced in place but the pointer. Where everything lies says `slackwater.versions.reader`; what is retained
and for how long says `slackwater.versions.retention`.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from slackwater.core.faults import reach
from slackwater.store.files import Hold
from slackwater.store.lists import INLINE, Listed, ListFile, listed
from slackwater.versions.errors import LostRaceError, ManifestError, NoSuchVersionError, PointerError
from slackwater.versions.manifest import Manifest, Part, StoredFile, encode_list, encode_manifest, month_of
from slackwater.versions.moves import NOTHING_RECORDED, Move, Recorded
from slackwater.versions.pointer import NOTHING, Pointer, encode_pointer
from slackwater.versions.reader import VersionReader
from slackwater.versions.record import encode_record

T = TypeVar("T")


class VersionStore(VersionReader):
    """The versions under one home folder, and every change of them."""

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
        """Take the checksums of a file that was written where `data.create` said, and publish it. From then on the path
        is not to be used: `data.fetch` says where it is.
        """
        seal = self.files.seal(path)
        name = self.data.publish(path, seal.sha256)
        return StoredFile(name, seal.size, seal.sha256, rows, seal.sums)

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

    def lease_current(self, name: str, epochs: Iterable[str]) -> tuple[Pointer, Manifest | None, Hold]:
        """The pointer and what it names, held together with epochs of its own for one run; see `current`, `lease`."""
        with self.locked():
            pointer, current = self.pointer_and_manifest()
            return pointer, current, self.leases.take(name, [pointer.version], epochs, run=True)

    def retire(self, version: int, at_us: int, snapshot: bool = False) -> None:
        """Retire a version, durably: as a snapshot, or altogether, also one that was a snapshot until now. The caller
        holds the publish lock, and knows that nobody leases it.
        """
        self.files.sync(
            self._pointer
        )  # the process that moved it may have been killed before that; it must not go back
        body = {"version": version, "at_us": at_us, "snapshot": snapshot}
        self.files.replace(self.retirement_path(version), encode_record(body))

    def publish(
        self, manifest: Manifest, began: Pointer | None = None, now_us: Callable[[], int] | None = None
    ) -> Manifest:
        """Write the manifest and move the pointer from its parent to it; the manifest as it was published.

        `now_us` gives the time of the publication, in microseconds, UTC; without, it is when the manifest was made.
        `began` is the pointer when the run did. Where it is back at the parent by a rollback, the number of the
        manifest may have been another version's that was published and removed meanwhile.

        Raises:
            LostRaceError: the pointer is not at the parent any more, or was moved since; nothing changed.
            PointerError: it cannot be read; nothing changed.
        """
        made = self._with_lists(manifest)
        with self.locked():
            current = self._pointer_at(manifest.parent, began)
            at_us = self._later(current, now_us() if now_us is not None else manifest.created_us)
            made = replace(made, published_us=at_us)
            data = encode_manifest(made)
            reach("publish.manifest")
            if current == NOTHING:  # from now on a pointer that is gone was lost
                self.files.replace(self._pointer, encode_pointer(NOTHING))
            # Only a winner writes a manifest, so that every whole one was published or was about to be.
            self.files.create(self.manifest_path(manifest.version), data)
            reach("publish.pointer")
            self._point(manifest.version, data, current.move)
        return made

    def add_candidate(self, manifest: Manifest, began: Pointer | None = None) -> None:
        """Write the manifest of a candidate; the pointer stays at its parent. Raises what `publish` raises."""
        data = encode_manifest(replace(self._with_lists(manifest), published_us=manifest.created_us))
        with self.locked():
            self._pointer_at(manifest.parent, began)
            self.files.create(self.manifest_path(manifest.version), data)

    def add(self, manifest: Manifest) -> None:
        """Write a manifest that the pointer is moved to later, wherever it is now."""
        data = encode_manifest(replace(self._with_lists(manifest), published_us=manifest.created_us))
        with self.locked():
            self.files.create(self.manifest_path(manifest.version), data)

    def move(
        self,
        target: int,
        now_us: Callable[[], int],
        by: str,
        reason: str,
        source: int | None = None,
        recorded: Recorded = NOTHING_RECORDED,
    ) -> Move:
        """Move the pointer to a retained version, and record it first; from `source`, or from wherever it is.

        It is timed under the lock, in microseconds, UTC. `recorded` is what it restates, its files durable by now. The
        callers check everything else of the target.

        Raises:
            LostRaceError: the pointer is not at `source`; nothing changed.
            RetiredVersionError, NoSuchVersionError, ManifestError, RecordError: the pointer did not move.
        """
        reach("move.recorded")
        with self.locked():
            self.manifest(target)
            self.files.sync(self.manifest_path(target))  # the process that wrote it may have been killed before that
            last = self.moves.last()
            at_us = now_us()
            try:
                at, _, previous = pointer = self.pointer()
                at_us = self._later(pointer, at_us)
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

    def _with_lists(self, manifest: Manifest) -> Manifest:
        """The manifest, with files for those of its lists that are long; those that its parent has are not written."""
        return replace(
            manifest,
            archive=self._grown_list(manifest, "archive", manifest.archive),
            parts=self._parts_list(manifest) if len(manifest.parts) > INLINE else manifest.parts,
            restatements=self._grown_list(manifest, "restatements", manifest.restatements),
        )

    def _grown_list(self, manifest: Manifest, kind: str, entries: Sequence[T]) -> Sequence[T]:
        """A list that only grows: a file more, if what is new is much."""
        files, new = listed(entries).split()
        if not new:
            return entries
        file = self._list_file(manifest, kind, 0, encode_list(new), len(new))
        return Listed((*files, file), (), partial(self.load, kind))

    def _parts_list(self, manifest: Manifest) -> Listed[Part]:
        """A file for the parts of each month, and one for the wide ones, which every run changes."""
        groups: dict[int | None, list[Part]] = {}
        for part in manifest.parts:
            groups.setdefault(month_of(part), []).append(part)
        try:
            parent = self.stored_manifest(manifest.parent) if manifest.parent else None
        except NoSuchVersionError:
            parent = None
        known = {file.sha256: file for file in (listed(parent.parts).files if parent is not None else ())}
        files = []
        for number, (_, parts) in enumerate(sorted(groups.items(), key=lambda group: group[0] or 0)):
            data = encode_list(parts)
            found = known.get(hashlib.sha256(data).hexdigest())
            files.append(found or self._list_file(manifest, "parts", number, data, len(parts)))
        return Listed(files, (), partial(self.load, "parts"))

    def _list_file(self, manifest: Manifest, kind: str, number: int, data: bytes, entries: int) -> ListFile:
        name = f"lists/{manifest.run_id}/{kind}-{number}.json"
        self.data.put(name, data)
        return ListFile(name, len(data), hashlib.sha256(data).hexdigest(), entries)

    def _pointer_at(self, parent: int, began: Pointer | None) -> Pointer:
        pointer = self.pointer()
        if pointer.version != parent or (began is not None and pointer.move != began.move):
            raise LostRaceError(parent, pointer.version)
        return pointer

    def _later(self, pointer: Pointer, at_us: int) -> int:
        """A time, but later than the pointer's last move: whatever a clock says, times are in the order of moves."""
        last = [0]
        with suppress(NoSuchVersionError, ManifestError):
            last.append(self.stored_manifest(pointer.version).published_us if pointer.version else 0)
            last.append(self.moves.read(pointer.move).at_us if pointer.move else 0)
        return max(at_us, max(last) + 1)

    def _point(self, version: int, manifest: bytes, move: int) -> None:
        pointer = Pointer(version, hashlib.sha256(manifest).hexdigest(), move)
        self.files.replace(self._pointer, encode_pointer(pointer))
