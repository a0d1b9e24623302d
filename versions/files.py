"""The file system as one small protocol, so that a simulation runs the real code on files of its own.

What is durable is said by name: `create` and `replace` return when the bytes and their folder's entry are on disk.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from slackwater.faults import reach


class Files(Protocol):
    """What versions need of a file system."""

    def read(self, path: Path) -> bytes:
        """A file's bytes. Raises OSError."""

    def create(self, path: Path, data: bytes) -> None:
        """Write a new file durably. Raises FileExistsError."""

    def replace(self, path: Path, data: bytes) -> None:
        """Put `data` in the place of a file durably; a reader sees the old bytes or the new, never a part."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, its parents where missing. Raises FileExistsError if it is there."""

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, sorted; none if there is no such folder."""

    def sync(self, path: Path) -> None:
        """Make a file that another writer closed durable, and its folder's entry."""

    def fingerprint(self, path: Path) -> tuple[int, str]:
        """A file's size and SHA-256. Raises OSError."""

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold an exclusive lock, waiting for it; it ends with the process."""
        yield


class LocalFiles:
    """Files of this machine."""

    def read(self, path: Path) -> bytes:
        """See `Files.read`."""
        return path.read_bytes()

    def create(self, path: Path, data: bytes) -> None:
        """See `Files.create`."""
        with path.open("xb") as file:
            file.write(data)
            reach("publish.write")
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)

    def replace(self, path: Path, data: bytes) -> None:
        """See `Files.replace`."""
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        reach("publish.rename")
        temporary.replace(path)
        _sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """See `Files.make_folder`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        _sync_folder(path.parent)

    def names(self, folder: Path) -> list[str]:
        """See `Files.names`."""
        try:
            return sorted(entry.name for entry in folder.iterdir())
        except FileNotFoundError:
            return []

    def sync(self, path: Path) -> None:
        """See `Files.sync`."""
        with path.open("rb") as file:
            os.fsync(file.fileno())
        _sync_folder(path.parent)

    def fingerprint(self, path: Path) -> tuple[int, str]:
        """See `Files.fingerprint`."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """See `Files.lock`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
