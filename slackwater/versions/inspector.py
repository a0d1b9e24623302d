"""The inspector of files: what it found in them, kept as long as they were not written to since.

A file whose state is the known one is not read again; one that was written or replaced is. What changes in silence,
bits on a disk, shows when `reread` reads the file whatever its state says.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock

from slackwater.core.checked_files import DamagedBytesError
from slackwater.store.files import DataFile, FileState
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.manifest import StoredFile
from slackwater.versions.store import VersionStore

Fingerprint = tuple[int, str]


class Inspector:
    """Fingerprints by path. Thread safe.

    `revision` grows whenever a file is not what it was, or is found damaged for the first time; `found` is told of the
    latter.
    """

    def __init__(self, store: VersionStore, found: Callable[[Path], None] = lambda _: None) -> None:
        self.revision = 0
        self._tell = found
        self._store = store
        self._found: dict[Path, tuple[FileState | None, Fingerprint | OSError]] = {}
        self._damaged: set[Path] = set()
        self._lock = Lock()

    def check(self, files: Iterable[StoredFile]) -> None:
        """Compare files with what a manifest says of them.

        Raises:
            DamagedFileError: the first that differs, or cannot be read.
        """
        for file in files:
            path = self.path(file)
            self._judge(path, file, self._check(path, file))

    def suspect(self, error: DamagedBytesError) -> None:
        """Doubt a file: a read of it failed. The next look reads all of it, and its SHA-256 says what it is."""
        path = Path(error.path)
        with self._lock:
            known = self._found.get(path)
            self._found[path] = None, error  # with a state, one bad read would condemn a whole file for good
            if known is None or not isinstance(known[1], OSError):
                self.revision += 1

    def reread(self, file: StoredFile) -> None:
        """Read a file again, whatever is known of it. Raises DamagedFileError."""
        path = self.path(file)
        self._judge(path, file, self._check(path, file, anyway=True))

    def read_again(self, path: Path) -> int:
        """Read a file again, whatever is known of it, and whether it changed: its size, 0 if it cannot be read."""
        found = self._check(path, None, anyway=True)
        return 0 if isinstance(found, OSError) else found[0]

    def refresh(self, paths: Iterable[Path]) -> None:
        """See whether files changed: those whose state did are read again."""
        for path in paths:
            self._check(path, None)

    def doubt(self, files: Iterable[StoredFile]) -> None:
        """The next look reads these files, whatever is known of them."""
        for file in files:
            self._found.pop(self.path(file), None)

    def known(self, file: StoredFile) -> tuple[FileState, Fingerprint] | None:
        """What a file was when it was read, and its state then; None where that is not known, or may have changed."""
        state, found = self._found.get(self.path(file), (None, OSError()))
        return None if state is None or isinstance(found, OSError) else (state, found)

    def trust(self, file: DataFile, state: FileState) -> None:
        """Take it as read: with this state a file was what it is to be."""
        self._found[self._store.data.path(file)] = state, (file.size, file.sha256)

    def known_damage(self, files: Iterable[StoredFile]) -> list[StoredFile]:
        """The files that were found damaged and did not change since; nothing is read."""
        return [file for file in files if self.path(file) in self._damaged]

    def path(self, file: StoredFile) -> Path:
        """Where a file is, once it was checked."""
        return self._store.data.path(file)

    def name(self, file: StoredFile) -> str:
        """The name by which a file is read, once it was checked."""
        return file.checked(self._store.data.path)

    def _check(self, path: Path, file: StoredFile | None, anyway: bool = False) -> Fingerprint | OSError:
        known = self._found.get(path)
        found: Fingerprint | OSError
        try:
            state = self._state(path, file)  # before the bytes: a write in between makes it an old one
            if known is not None and known[0] == state and state.settled and not anyway:
                return known[1]
            found = self._store.files.fingerprint(path)
        except OSError as error:
            state, found = None, error
        with self._lock:
            self._found[path] = (state if state is not None and state.settled else None, found)
            if known is not None and _facts(known[1]) != _facts(found):
                self.revision += 1
                self._damaged.discard(path)
        return found

    def _state(self, path: Path, file: StoredFile | None) -> FileState:
        """The state of what is at a path; a data file that is not there is fetched."""
        try:
            return self._store.files.state(path)
        except FileNotFoundError:
            if file is None:
                raise
            return self._store.files.state(self._store.data.fetch(file))

    def _judge(self, path: Path, file: StoredFile, found: Fingerprint | OSError) -> None:
        if found == (file.size, file.sha256):
            return
        with self._lock:
            new = path not in self._damaged
            if new:
                self._damaged.add(path)
                self.revision += 1
        if new:
            self._tell(path)
        expected = f"{file.size} bytes, {file.sha256[:12]}"
        if isinstance(found, OSError):
            raise DamagedFileError(path, expected, str(found)) from found
        raise DamagedFileError(path, expected, f"{found[0]} bytes, {found[1][:12]}")


def _facts(found: Fingerprint | OSError) -> object:
    return str(found) if isinstance(found, OSError) else found
