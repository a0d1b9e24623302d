"""The files of this machine: `slackwater.store.files.Files` on a local disk, where a data file lies under its name."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crc32c import crc32c

from slackwater.core.checked_files import shift_for, sums_text
from slackwater.core.faults import reach
from slackwater.store.files import DataFile, DataFiles, Files, FileState, Seal

SETTLED_NS = 100_000_000
"""A file system counts a file's changes in steps of some milliseconds; two changes within one step look like one."""


class LocalFiles:
    """What each method does is said at `Files`."""

    def data(self, home: Path) -> DataFiles:
        return LocalData(home, self)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def create(self, path: Path, data: bytes) -> None:
        with path.open("xb") as file, gone_if_it_fails(path):
            file.write(data)
            reach("publish.write")
            file.flush()
            os.fsync(file.fileno())
            sync_folder(path.parent)

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
        sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            return
        sync_folder(path.parent)

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
        sync_folder(path.parent)

    def sync_folder(self, folder: Path) -> None:
        sync_folder(folder)

    def fingerprint(self, path: Path) -> tuple[int, str]:
        return fingerprint(path)

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


class LocalData:
    """What each method does is said at `DataFiles`."""

    def __init__(self, home: Path, files: Files) -> None:
        self._home = home
        self._files = files
        self._settled: set[Path] = set()  # folders whose entry is durable; a name is never used twice

    def create(self, name: str) -> Path:
        path = self._home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, path: Path, sha256: str) -> str:
        del sha256  # it stays where it is
        self._files.sync(path)
        self._settle(path)
        return self.name_of(path)

    def put(self, name: str, data: bytes) -> None:
        path = self.create(name)
        self._files.create(path, data)
        self._settle(path)

    def fetch(self, file: DataFile) -> Path:
        return self.path(file)

    def path(self, file: DataFile) -> Path:
        return self._home / file.path

    def name_of(self, path: Path) -> str:
        return path.relative_to(self._home).as_posix()

    def names(self, folder: str) -> list[str]:
        return self._files.names(self._home / folder)

    def size(self, name: str) -> int:
        path = self._home / name
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())

    def remove(self, name: str) -> None:
        self._files.remove(self._home / name)

    def _settle(self, path: Path) -> None:
        """Make the folders durable that a file lies in."""
        for folder in path.parents:
            if folder in self._settled or folder == self._home:
                break
            self._files.sync_folder(folder.parent)
            self._settled.add(folder)


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


def fingerprint(path: Path) -> tuple[int, str]:
    """A file's size and SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def sync_folder(folder: Path) -> None:
    """Make what a folder lists durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
