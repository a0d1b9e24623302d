"""Files that somebody found damaged, as marks beside the versions: the next batch run reads them whole, and makes again
what is not whole.

    <home>/versions/suspects/<hash of the name>     {"path": "states/.../0.parquet"}

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
    """Have the next run read the file of a local path whole. Who found it goes on with its own error, even if no mark
    can be written.
    """
    try:
        _write(store, store.data.name_of(path))
    except OSError as error:
        logger.warning("no run is told of %s: %s", path, error)


def _write(store: VersionStore, name: str) -> None:
    folder = store.folder / "suspects"
    with suppress(FileExistsError):
        store.files.make_folder(folder)
    mark = folder / hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
    store.files.replace(mark, encode_record({"path": name}))


def suspects(store: VersionStore) -> dict[str, Path]:
    """The names of the files that are marked, each with its mark, which is removed once the file is whole, or nobody
    needs it any more. A mark that cannot be read is removed here.
    """
    folder, found = store.folder / "suspects", dict[str, Path]()
    for name in store.files.names(folder):
        mark = folder / name
        try:
            found[str(decode_record(store.files.read(mark), mark)["path"])] = mark
        except FileNotFoundError:
            continue
        except (RecordError, KeyError):
            store.files.remove(mark)
    return found
