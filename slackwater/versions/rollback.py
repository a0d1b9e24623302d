"""Rollback: the pointer goes back to an older version that is kept, or forward again, after a look at all its files.

Nothing else changes: the log, the cells and the archive stay, so answers stand on the older version at once, and the
next batch run starts from it. What was rolled back from stays until it retires, and no server falls back on it. What
that changes of closed bars is written down first (`slackwater.restatements.of_move`).
"""

import uuid
from collections.abc import Callable
from typing import Literal, Protocol

from slackwater.versions.barrier import barrier
from slackwater.versions.errors import DamagedFileError, ManifestError, NoSuchVersionError, PointerError, RollbackError
from slackwater.versions.handoff import refuted
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.versions.moves import Move, Recorded
from slackwater.versions.store import VersionStore


class Restating(Protocol):
    """Writes the ledger of the move from `before` to `after`, durably. Raises RestatingError."""

    def record_move(
        self, epoch: str, cause: Literal["repair"], before: Manifest, after: Manifest, at_us: int
    ) -> Recorded: ...


def rollback(
    store: VersionStore,
    version: int,
    reason: str,
    by: str,
    now_us: Callable[[], int],
    restating: Restating | None = None,
) -> Move:
    """Move the pointer to `version`; what was done, as it was recorded. `now_us` gives microseconds, UTC.

    Without `restating` no closed bar is compared, and the move says so.

    Raises:
        RetiredVersionError, NoSuchVersionError: it is not kept.
        SnapshotError: it is kept as a snapshot alone.
        RollbackError: it is current already, it is version 0 or a candidate, its proof failed, it is damaged, or it
            lies across an import or a correction.
        ManifestError, RecordError: it cannot be read.
        RestatingError: what it changes cannot be written down.
        LostRaceError: the pointer moved meanwhile.
    """
    if version == 0:
        raise RollbackError("Version 0 was retired by the first publication.", "Name a version of `batch list`.")
    at = _pointed(store)
    if at == version:
        raise RollbackError(f"Version {version} is current already; nothing moved.")
    epoch, source = f"rollback-{uuid.uuid4().hex}", _source(store)
    held = [version, source.version] if source else [version]
    hold = store.lease(epoch, held, [epoch])  # it takes a while to read every file
    try:
        manifest = store.manifest(version)
        if store.candidates([manifest]):
            hint = "`slackwater batch promote` looks at its deltas, too."
            raise RollbackError(f"Version {version} is a candidate; the pointer never was at it.", hint)
        if source is not None and (across := barrier(source, manifest)):
            raise RollbackError(
                f"Version {version} cannot take the place of version {source.version}: {across}.",
                f"`slackwater batch rollback {version} --make --reason TEXT` makes a version of it that keeps both.",
            )
        check_whole(store, manifest)
        if restating is None or source is None:
            unread = "The version that the pointer was at cannot be read, so nothing is compared."
            incomplete_reason = "Nothing was compared." if restating is None else unread
            nothing = Recorded(None, (), {}, incomplete_reason)
            return store.move(version, now_us, by, reason, at if source is None else source.version, nothing)
        recorded = restating.record_move(epoch, "repair", source, manifest, now_us())
        return store.move(version, now_us, by, reason, source.version, recorded)
    finally:
        hold.release()


def check_whole(store: VersionStore, manifest: Manifest, refutable: bool = False) -> None:
    """Check that a version can be gone back to: no proof of what it stands on failed (`refutable`: or did), and every
    file is whole. Raises RollbackError.
    """
    wrong = None if refutable else refuted(store, manifest)
    if wrong is not None:
        raise RollbackError(
            f"Version {manifest.version} stands on version {wrong[0]}, whose proof failed: {wrong[1].reason}"
        )
    try:
        store.check(files_of(manifest))
    except DamagedFileError as error:
        raise RollbackError(f"Version {manifest.version} is not whole: {error}") from error


def files_of(manifest: Manifest) -> list[StoredFile]:
    """Every file of a version."""
    return [*(entry.file for entry in manifest.parts), *manifest.dataset]


def snapshot_files(manifest: Manifest) -> list[StoredFile]:
    """What a version needs as a snapshot: parts, to answer, and the archive, to be made again; no ids."""
    kinds = (manifest.parts, manifest.archive, manifest.restatements)
    return [entry.file for entries in kinds for entry in entries]


def _source(store: VersionStore) -> Manifest | None:
    """The version that the pointer leaves; None if it cannot be read or held."""
    try:
        current = store.current()
        return None if current is None else store.manifest(current.version)
    except (PointerError, ManifestError, NoSuchVersionError):
        return None


def _pointed(store: VersionStore) -> int | None:
    try:
        return store.pointer().version
    except PointerError:
        return None
