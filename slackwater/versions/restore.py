"""Restores a home from a backup: every file is compared with its SHA-256, and the pointer comes last.

    restoring.json -> manifests -> files -> records -> the pointer -> restoring.json goes

From the first manifest on, and until the pointer is there, every program refuses the home, since a pointer is missing
though versions were published. A restore that dies is run again and goes on.
"""

from pathlib import Path

from slackwater.core.faults import reach
from slackwater.store.copies import CopyDiffersError, Wanted, copy_file, matches
from slackwater.store.files import DataFiles, Files
from slackwater.store.local_files import LocalFiles
from slackwater.versions.backup import BACKUP, FOLDERS, Backup, read_backup
from slackwater.versions.errors import BackupError
from slackwater.versions.reader import MANIFEST
from slackwater.versions.record import encode_record

RESTORING = "restoring.json"
_POINTER = "versions/current"


def check_backup(folder: Path) -> Backup:
    """Read every file of a backup and compare it; what it holds.

    Raises:
        BackupError: there is none, or a file of it is not what was copied.
        RecordError: its list is torn.
    """
    backup = read_backup(folder)
    for file in backup.files:
        if not matches(folder / file.path, file):
            raise _damaged(folder, file.path)
    return backup


def restore(folder: Path, home: Path, files: Files | None = None) -> Backup:
    """Make a home from a backup.

    Raises:
        BackupError: there is no backup, a file of it is damaged, or the home holds versions already.
        RecordError: the backup's list is torn.
    """
    files = files or LocalFiles()
    marker = encode_record({"of": files.fingerprint(folder / BACKUP)[1]}) if (folder / BACKUP).exists() else b""
    backup = check_backup(folder)
    data, begun = files.data(home), (home / RESTORING).exists()
    if begun and (home / RESTORING).read_bytes() != marker:
        raise BackupError(f"{home} is being restored from another backup.", "Restore into an empty folder.")
    held = [name for name in FOLDERS if data.names(name)]
    if held and not begun:
        raise BackupError(f"{home} is not empty: it holds {', '.join(held)}.", "Set SLACKWATER_HOME to a new folder.")
    reach("restore.before")
    home.mkdir(parents=True, exist_ok=True)
    files.replace(home / RESTORING, marker)
    for file in sorted(backup.files, key=lambda file: not file.path.endswith(f"/{MANIFEST}")):
        reach("restore.copy")
        try:
            _restore(folder / file.path, home, data, file)
        except (CopyDiffersError, FileNotFoundError) as error:
            raise _damaged(folder, file.path) from error
    for path, text in sorted(backup.records.items(), key=lambda record: record[0] == _POINTER):
        if path == _POINTER:
            reach("restore.pointer")
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        files.replace(home / path, text.encode())
    files.remove(home / RESTORING)
    reach("restore.after")
    return backup


def _restore(source: Path, home: Path, data: DataFiles, file: Wanted) -> None:
    if file.path.endswith(f"/{MANIFEST}"):
        copy_file(source, home / file.path, file, home)
        return
    path = data.create(file.path)
    copy_file(source, path, file, home)
    data.publish(path, file.sha256)


def _damaged(folder: Path, path: str) -> BackupError:
    return BackupError(f"{folder / path} is damaged, or gone: it is not what was copied.", "Take another backup.")
