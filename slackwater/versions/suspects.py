"""Files that somebody found damaged, as marks beside the versions: the next batch run reads them whole, and makes again
what is not whole.

    <home>/versions/suspects/<hash of the path>     {"path": "states/.../0.parquet"}

A run takes a file that was not written to for what it was (`slackwater.versions.inspected`); bits that flip in silence
are found by who reads them, and by the service's scrub.
"""

import hashlib
import logging
from contextlib import suppress
from pathlib import Path

from slackwater.core.checked_files import DamagedBytesError
from slackwater.versions.errors import RecordError
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore

logger = logging.getLogger(__name__)


def suspect(store: VersionStore, error: DamagedBytesError) -> None:
    """Mark the file of a read that failed."""
    mark_suspect(store, Path(error.path))


def mark_suspect(store: VersionStore, path: Path) -> None:
    """Have the next run read a file whole. Who found it goes on with its own error, even if no mark can be written."""
    try:
        _write(store, path)
    except OSError as error:
        logger.warning("no run is told of %s: %s", path, error)


def _write(store: VersionStore, path: Path) -> None:
    mark = _mark(store, path)
    with suppress(FileExistsError):
        store.files.make_folder(mark.parent)
    store.files.replace(mark, encode_record({"path": path.relative_to(store.home).as_posix()}))


def suspects(store: VersionStore) -> list[Path]:
    """The files that are marked; a mark that cannot be read is removed."""
    folder, found = store.folder / "suspects", []
    for name in store.files.names(folder):
        try:
            found.append(store.home / str(decode_record(store.files.read(folder / name), folder / name)["path"]))
        except FileNotFoundError:
            continue
        except (RecordError, KeyError):
            store.files.remove(folder / name)
    return found


def clear_suspect(store: VersionStore, path: Path) -> None:
    """It is whole, or nobody needs it any more."""
    store.files.remove(_mark(store, path))


def _mark(store: VersionStore, path: Path) -> Path:
    return store.folder / "suspects" / hashlib.blake2b(str(path).encode(), digest_size=12).hexdigest()
