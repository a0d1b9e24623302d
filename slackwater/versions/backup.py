"""A backup of a home: everything that its versions stand on, consistent while processes publish and expire.

    DIR/backup.json                 what it is: the records, and each file with its SHA-256; replaced at the end
    DIR/archive/..., states/..., lists/..., versions/<n>/manifest.json      files that never change, at the same paths

Under the publish lock it notes the pointer, moves, pins, retirements, later proofs, corrections and what was declared
of instruments, which are small and change, and leases every version that answers: from then on no expiry removes what
they list. Then it copies, without the lock. A file that is there with the right SHA-256 is not copied again.
`backup.json` is replaced when all of it is there; so a backup that dies leaves the one before whole, and what it copied
spares the next one that work.

Not in it: the log and its deltas, which are the cluster's; keys, which are made anew; notes of runs for themselves.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slackwater.core.faults import reach
from slackwater.store.copies import CopyDiffersError, Wanted, copy_file
from slackwater.store.files import Hold, holding
from slackwater.versions.errors import BackupError, DamagedFileError, RecordError
from slackwater.versions.history import LEFT
from slackwater.versions.manifest import Manifest
from slackwater.versions.pointer import NOTHING, Pointer
from slackwater.versions.reader import MANIFEST
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.retention import answering, states
from slackwater.versions.rollback import files_of, snapshot_files
from slackwater.versions.store import VersionStore

BACKUP, LOCK = "backup.json", "backup.lock"
FOLDERS = ("archive", "states", "lists", "versions", "corrections", "instruments")
"""What a backup may hold beside its own two files."""


@dataclass(frozen=True)
class Backup:
    """What a backup holds: `records` are small files by path, as text, `files` the others. Time in microseconds, UTC.

    `version` was served. `unreadable` are versions of the home that could not be read, and are not in it.
    """

    made_us: int
    version: int
    versions: tuple[int, ...]
    unreadable: tuple[int, ...]
    records: Mapping[str, str]
    files: tuple[Wanted, ...]

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Made:
    """What a backup did: the files and bytes that it copied, the others were there."""

    backup: Backup
    copied: int
    copied_bytes: int


def back_up(store: VersionStore, target: Path, now_us: int) -> Made:
    """Make a backup, or bring one up to date.

    Raises:
        BackupError: the folder holds something else, lies in the home or holds it, or nothing was published.
        DamagedFileError: a file of the home is not what was published; the backup before stays as it was.
        PointerError, RecordError, ManifestError: it is unknown what to copy.
    """
    home, target = store.home.resolve(), target.resolve()
    if target == home or home in target.parents or target in home.parents:
        raise BackupError(f"{target} and the home {home} lie in one another.", "Name a folder of its own.")
    names = {path.name for path in target.iterdir()} if target.exists() else set()
    if names - {BACKUP, LOCK, *FOLDERS} or (names - {LOCK} and LOCK not in names):
        raise BackupError(f"{target} holds something else: {', '.join(sorted(names))}.", "Name an empty folder.")
    target.mkdir(parents=True, exist_ok=True)
    with store.files.lock(target / LOCK):
        before = read_backup(target) if BACKUP in names else None
        backup, hold = _noted(store, now_us)
        with holding(hold):
            _refuse_another(target, before, backup)
            reach("backup.before")
            copied = [file for file in backup.files if _copy(store, target, file)]
            reach("backup.list")
            store.files.replace(target / BACKUP, _encode(backup))
        _remove_others(store, target, backup)
        reach("backup.after")
    return Made(backup, len(copied), sum(file.size for file in copied))


def read_backup(folder: Path) -> Backup:
    """What a backup holds.

    Raises:
        BackupError: there is none.
        RecordError: it is torn or changed.
    """
    path = folder / BACKUP
    try:
        body = decode_record(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise BackupError(f"{folder} holds no backup.", "`slackwater backup DIR` makes one.") from error
    try:
        files = tuple(Wanted(*file) for file in body["files"])
        return Backup(
            body["made_us"], body["version"], tuple(body["versions"]), tuple(body["unreadable"]), body["records"], files
        )
    except (KeyError, TypeError) as error:
        raise RecordError(path, repr(error)) from error


def _noted(store: VersionStore, now_us: int) -> tuple[Backup, Hold]:
    """What is to be copied, and the lease that holds it."""
    with store.locked():
        pointer = store.pointer()
        if pointer == NOTHING:
            raise BackupError("Nothing is published, so there is nothing to copy.", "`slackwater batch run` is first.")
        manifests = answering(store)
        _refuse_unreadable(pointer, manifests)
        records = {path: store.files.read(store.home / path).decode() for path in _records(store, manifests)}
        files = dict(_files(store, manifests))
        epochs = {path.split("/")[1] for path in files if path.startswith("archive/")}
        versions = [manifest.version for manifest in manifests]
        unreadable = tuple(number for number, state in states(store).items() if state == "unreadable")
        hold = store.leases.take(f"backup-{uuid.uuid4().hex}", versions, epochs)
    return Backup(now_us, pointer.version, tuple(versions), unreadable, records, tuple(files.values())), hold


def _refuse_unreadable(pointer: Pointer, manifests: Iterable[Manifest]) -> None:
    if pointer.version not in {manifest.version for manifest in manifests}:
        raise BackupError(
            f"Version {pointer.version}, which is served, cannot be read; a backup of it would be of no use.",
            "Restore it, or `slackwater batch rollback`.",
        )


def _records(store: VersionStore, manifests: Iterable[Manifest]) -> Iterator[str]:
    """The paths of small files that change, or that are no version's."""
    yield "versions/current"
    if LEFT in store.files.names(store.folder):
        yield f"versions/{LEFT}"
    for folder in ("versions/moves", "versions/pins", "corrections", "instruments"):
        yield from (f"{folder}/{name}" for name in store.files.names(store.home / folder) if name.endswith(".json"))
    for manifest in manifests:
        names = store.folder_names(manifest.version)
        yield from (
            f"versions/{manifest.version}/{name}" for name in names if name != MANIFEST and name.endswith(".json")
        )


def _files(store: VersionStore, manifests: Iterable[Manifest]) -> Iterator[tuple[str, Wanted]]:
    """The files that never change, by path."""
    for manifest in manifests:
        name = f"versions/{manifest.version}/{MANIFEST}"
        yield name, Wanted(name, *store.files.fingerprint(store.manifest_path(manifest.version)))
        for of_list in manifest.lists:
            yield of_list.path, Wanted(of_list.path, of_list.size, of_list.sha256)
        whole = store.retirement(manifest.version) is None
        for file in files_of(manifest) if whole else snapshot_files(manifest):
            yield file.path, Wanted(file.path, file.size, file.sha256)
    of_moves = [ledger.file for ledger in store.moves.ledgers()]
    of_corrections = [file for correction in store.corrections.all() for file in correction.files]
    for stored in (*of_moves, *of_corrections):
        folder, _, name = stored.path.rpartition("/")
        if name in store.data.names(folder):  # of a correction that every version has, its epoch may be gone
            yield stored.path, Wanted(stored.path, stored.size, stored.sha256)


def _copy(store: VersionStore, target: Path, file: Wanted) -> bool:
    reach("backup.copy")
    small = file.path.endswith(f"/{MANIFEST}")
    path = store.manifest_path(int(file.path.split("/")[1])) if small else store.data.path(file)
    try:
        return copy_file(path if small else store.data.fetch(file), target / file.path, file, target)
    except FileNotFoundError as error:
        raise DamagedFileError(path, f"{file.size} bytes", "nothing") from error
    except CopyDiffersError as error:
        raise DamagedFileError(error.path, f"{file.size} bytes, {file.sha256[:12]}", error.found) from error


def _refuse_another(target: Path, before: Backup | None, backup: Backup) -> None:
    """What never changes has changed: the folder is another home's."""
    known = {} if before is None else {file.path: file for file in before.files}
    other = [file.path for file in backup.files if known.get(file.path, file) != file]
    if other:
        raise BackupError(f"{target} is the backup of another home: its {other[0]} differs.", "Name another folder.")


def _remove_others(store: VersionStore, target: Path, backup: Backup) -> None:
    """Remove what only a backup before held."""
    listed = {target / file.path for file in backup.files}
    for path in sorted(path for root in FOLDERS for path in (target / root).rglob("*") if path.is_file()):
        if path not in listed:
            store.files.remove(path)


def _encode(backup: Backup) -> bytes:
    body: dict[str, Any] = {"made_us": backup.made_us, "version": backup.version, "versions": backup.versions}
    body |= {"unreadable": backup.unreadable, "records": backup.records}
    return encode_record({**body, "files": [list(file) for file in backup.files]})
