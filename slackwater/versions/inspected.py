"""What was compared with its SHA-256 before, in a note beside the versions, so that a run reads only what is new.

    <home>/versions/inspected.json     {"files": {"states/.../0.parquet": [[device, inode, size, changed], size, sha]}}

A file whose state is the noted one was not written to since. What flips in silence is found where it is read
(`slackwater.core.checked_files`), and by the scrub. A note that is gone or torn costs one reading of everything.
"""

from collections.abc import Iterable

from slackwater.store.copies import Wanted
from slackwater.store.files import FileState
from slackwater.versions.errors import RecordError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import StoredFile
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore


def inspector_of(store: VersionStore) -> Inspector:
    """An inspector that knows what was noted."""
    inspector, path = Inspector(store), store.folder / "inspected.json"
    try:
        found = decode_record(store.files.read(path), path).get("files", {})
        for name, (identity, size, sha256) in found.items():
            inspector.trust(Wanted(name, size, sha256), FileState(tuple(identity), settled=True))
    except (FileNotFoundError, RecordError, ValueError, TypeError, AttributeError):
        return Inspector(store)  # nothing is known: the next run writes it again
    return inspector


def note_inspected(store: VersionStore, inspector: Inspector, files: Iterable[StoredFile]) -> None:
    """Note what is known of files, for the next process."""
    found = {}
    for file in files:
        known = inspector.known(file)
        if known is not None:
            state, (size, sha256) = known
            found[file.path] = [list(state.identity), size, sha256]
    store.files.replace(store.folder / "inspected.json", encode_record({"files": found}))
