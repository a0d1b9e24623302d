"""Identities that an import has taken and not published yet. A writer neither takes them nor calls them duplicates.

    <home>/claims/<stream>-<epoch>      {"stream", "epoch", "ids": [the epoch's id files]}

A claim is a file that the import's process holds: it ends when the epoch is published and the import lets go, or with
the process. It is made while no writer judges (`slackwater.versions.writer_lock`), so every writer reads it before it
judges again, and it leaves out what the log held by then. Who sees a claim end reads the pointer after that: then the
epoch is published, or never will be.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from slackwater.store.files import Hold
from slackwater.store.id_index import IdIndex
from slackwater.store.id_runs import read_runs
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import is_keys, open_keys
from slackwater.versions.errors import RecordError
from slackwater.versions.manifest import StoredFile
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore


class ClaimedIds(IdIndex):
    """The identities of some id files."""

    def __init__(self, stream: Stream, store: VersionStore, ids: Iterable[StoredFile]) -> None:
        """Read them. Raises DamagedFileError, OSError."""
        ids = list(ids)
        store.check(ids)
        runs = [file.checked(store.data.fetch) for file in ids if not is_keys(file)]
        super().__init__(read_runs(stream, runs), open_keys(store, ids))


class Claim(ClaimedIds):
    """One claim, as a writer reads it."""

    def __init__(self, stream: Stream, store: VersionStore, path: Path, ids: Iterable[StoredFile]) -> None:
        super().__init__(stream, store, ids)
        self._path = path
        self._files = store.files

    @property
    def ended(self) -> bool:
        """Whether nobody holds it any more."""
        return not self._files.held(self._path)


def claim(store: VersionStore, stream: Stream, epoch: str, ids: Iterable[StoredFile]) -> Hold:
    """Claim the identities of an epoch, durably. No writer may judge until this returns."""
    folder = _folder(store)
    for path in (folder / name for name in store.files.names(folder)):
        if path.name.startswith(f"{stream.name}-") and not store.files.held(path):
            store.files.remove(path)  # of an import that died
    body = {"stream": stream.name, "epoch": epoch, "ids": [asdict(file) for file in ids]}
    return store.files.hold(folder / f"{stream.name}-{epoch}", encode_record(body))


def claims(store: VersionStore, stream: Stream) -> list[Claim]:
    """The claims of a stream that are held, for one who judges from now on.

    Raises:
        RecordError, DamagedFileError, OSError: one cannot be read, so nobody knows what it claims.
    """
    files, folder = store.files, _folder(store)
    found = []
    for path in [folder / name for name in files.names(folder)]:
        if not files.held(path):
            continue
        try:
            data = files.read(path)
        except FileNotFoundError:  # it ended just now
            continue
        body = decode_record(data, path)
        try:
            if body["stream"] == stream.name:
                found.append(Claim(stream, store, path, [StoredFile(**each) for each in body["ids"]]))
        except (KeyError, TypeError) as error:
            raise RecordError(path, repr(error)) from error
    return found


def _folder(store: VersionStore) -> Path:
    return store.home / "claims"
