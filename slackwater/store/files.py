"""The file system as one small protocol, so that a simulation runs the real code on files of its own.

What is durable is said by name: `create` and `replace` return when the bytes and their folder's entry are on disk.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from crc32c import crc32c

from slackwater.core.checked_files import shift_for, sums_text
from slackwater.core.faults import reach

SETTLED_NS = 100_000_000
"""A file system counts a file's changes in steps of some milliseconds; two changes within one step look like one."""


class FileState(NamedTuple):
    """Which bytes a path names: it differs once they were written to, or replaced.

    `settled` is false so shortly after a change that another one may not show.
    """

    identity: tuple[int, ...]
    settled: bool


class Seal(NamedTuple):
    """What a file's bytes are: its size, the SHA-256 of all of them, and the checksums of its blocks."""

    size: int
    sha256: str
    sums: str


class Hold(Protocol):
    """A file that is held by this process."""

    def release(self) -> None:
        """Remove the file and let go. Once."""


@contextmanager
def holding(hold: Hold) -> Iterator[None]:
    """Release at the end of the block."""
    try:
        yield
    finally:
        hold.release()


class Files(Protocol):
    """What versions need of a file system."""

    def read(self, path: Path) -> bytes:
        """A file's bytes. Raises OSError."""

    def create(self, path: Path, data: bytes) -> None:
        """Write a new file durably. Raises FileExistsError."""

    def replace(self, path: Path, data: bytes, private: bool = False) -> None:
        """Put `data` in the place of a file durably; a reader sees the old bytes or the new, never a part.

        `private`: nobody but the owner may read it.
        """

    def make_folder(self, path: Path) -> None:
        """Make a folder, its parents where missing. Raises FileExistsError if it is there."""

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder and all that is in it, durably; nothing happens where there is none."""

    def hold(self, path: Path, data: bytes) -> Hold:
        """Write a new file, which is held from the moment it is there until it is released or the process ends."""

    def held(self, path: Path) -> bool:
        """Whether a living process holds a file."""

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, sorted; none if there is no such folder."""

    def sync(self, path: Path) -> None:
        """Make a file that another writer closed durable, and its folder's entry."""

    def sync_folder(self, folder: Path) -> None:
        """Make the entries of a folder durable."""

    def fingerprint(self, path: Path) -> tuple[int, str]:
        """A file's size and SHA-256. Raises OSError."""

    def seal(self, path: Path) -> Seal:
        """What a file is known by from now on, all of one reading. Raises OSError."""

    def state(self, path: Path) -> FileState:
        """A file's state, without reading it. Raises OSError."""

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold an exclusive lock, waiting for it; it ends with the process."""
        yield


class LocalFiles:
    """Files of this machine; what each method does is said at `Files`."""

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def create(self, path: Path, data: bytes) -> None:
        with path.open("xb") as file, gone_if_it_fails(path):
            file.write(data)
            reach("publish.write")
            file.flush()
            os.fsync(file.fileno())
            _sync_folder(path.parent)

    def replace(self, path: Path, data: bytes, private: bool = False) -> None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as file, gone_if_it_fails(temporary):
            if private:
                os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            reach("publish.rename")
            temporary.replace(path)
        _sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        _sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            return
        _sync_folder(path.parent)

    def hold(self, path: Path, data: bytes) -> "LocalHold":
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent.with_name(f"{path.name}.tmp")  # beside the folder: in it, every file is held or dead
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with gone_if_it_fails(temporary):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _write_all(descriptor, data)
                os.fsync(descriptor)
                temporary.rename(path)
        except BaseException:
            os.close(descriptor)
            raise
        return LocalHold(path, descriptor)

    def held(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def names(self, folder: Path) -> list[str]:
        try:
            return sorted(entry.name for entry in folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def sync(self, path: Path) -> None:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        _sync_folder(path.parent)

    def sync_folder(self, folder: Path) -> None:
        _sync_folder(folder)

    def fingerprint(self, path: Path) -> tuple[int, str]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest

    def seal(self, path: Path) -> Seal:
        digest, blocks = hashlib.sha256(), []
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            shift = shift_for(size)
            while block := file.read(1 << shift):
                digest.update(block)
                blocks.append(crc32c(block))
        return Seal(size, digest.hexdigest(), sums_text(shift, blocks))

    def state(self, path: Path) -> FileState:
        """By the time of change, not that of writing: nobody can set it back."""
        found = path.stat()
        settled = abs(time.time_ns() - found.st_ctime_ns) > SETTLED_NS
        return FileState((found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns), settled)

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class LocalHold:
    """See `Hold`. The lock belongs to the open file, so it ends with the process, however that ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


@contextmanager
def gone_if_it_fails(path: Path) -> Iterator[None]:
    """A file that could not be written whole, on a full disk or a bad one, does not stay."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # what failed before is what is told
            path.unlink(missing_ok=True)
        raise


def _write_all(descriptor: int, data: bytes) -> None:
    while data:  # a disk that has room for a part takes that part
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
