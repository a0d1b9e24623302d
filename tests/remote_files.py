"""A second kind of data files, to see that nobody puts a path together: an object store in a folder, and a cache.

    <bucket>/names/archive/<epoch>/trades-2-0.parquet     the SHA-256 of its bytes
    <bucket>/objects/<SHA-256>                            the bytes
    <home>/archive/..., states/..., lists/...             what is being written; what is published is gone from there
    <home>/cache/<SHA-256>                                what was fetched

The small files stay on the disk: a pointer and its locks in an object store are another matter.
"""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from slackwater.store.files import DataFile, DataFiles
from slackwater.store.local_files import LocalData, LocalFiles


class RemoteFiles(LocalFiles):
    """Small files of this machine, and data files in a bucket."""

    def __init__(self, bucket: Path) -> None:
        self._bucket = bucket

    def data(self, home: Path) -> DataFiles:
        return RemoteData(home, LocalData(home, self), self._bucket)


class RemoteData:
    """What each method does is said at `DataFiles`. `fetched` are the names that were downloaded, in order."""

    def __init__(self, home: Path, local: DataFiles, bucket: Path) -> None:
        self.fetched: list[str] = []
        self._local = local
        self._cache = home / "cache"
        self._names = bucket / "names"
        self._objects = bucket / "objects"
        self._name_of: dict[str, str] = {}

    def create(self, name: str) -> Path:
        return self._local.create(name)

    def publish(self, path: Path, sha256: str) -> str:
        name = self._local.name_of(path)
        self._upload(name, path.read_bytes(), sha256)
        path.unlink()
        return name

    def put(self, name: str, data: bytes) -> None:
        if (self._names / name).exists():
            raise FileExistsError(name)
        self._upload(name, data, hashlib.sha256(data).hexdigest())

    def fetch(self, file: DataFile) -> Path:
        path = self.path(file)
        if path.exists():
            return path
        if (self._names / file.path).read_text() != file.sha256:
            raise FileNotFoundError(f"{file.path} of these bytes is not in the bucket")
        data = (self._objects / file.sha256).read_bytes()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise OSError(f"the object {file.sha256} of {file.path} was changed")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(uuid.uuid4().hex)
        beside.write_bytes(data)
        beside.rename(path)
        self.fetched.append(file.path)
        return path

    def path(self, file: DataFile) -> Path:
        self._name_of[file.sha256] = file.path
        return self._cache / file.sha256

    def name_of(self, path: Path) -> str:
        return self._name_of[path.name] if path.parent == self._cache else self._local.name_of(path)

    def names(self, folder: str) -> list[str]:
        root = self._names / folder
        below = (path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file())
        return sorted({*self._local.names(folder), *below})

    def size(self, name: str) -> int:
        return self._local.size(name) + sum((self._objects / sha256).stat().st_size for sha256 in self._of(name))

    def remove(self, name: str) -> None:
        self._local.remove(name)
        gone = {*self._of(name)}
        for path in [*self._below(name)]:
            path.unlink()
        for sha256 in gone - {*self._of("")}:
            (self._objects / sha256).unlink()

    def published(self) -> set[str]:
        """The names in the bucket."""
        return {path.relative_to(self._names).as_posix() for path in self._below("")}

    def objects(self) -> set[str]:
        """The SHA-256 of the objects in the bucket."""
        return {path.name for path in self._objects.iterdir()}

    def damage(self, sha256: str) -> None:
        """Change a byte of an object."""
        path = self._objects / sha256
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def _upload(self, name: str, data: bytes, sha256: str) -> None:
        assert hashlib.sha256(data).hexdigest() == sha256
        taken = self._names / name
        assert not taken.exists() or taken.read_text() == sha256, f"{name} is taken by other bytes"
        for path, content in ((self._objects / sha256, data), (taken, sha256.encode())):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (self._cache / sha256).unlink(missing_ok=True)  # it may be damaged

    def _below(self, name: str) -> Iterator[Path]:
        path = self._names / name
        yield from [path] if path.is_file() else (each for each in path.rglob("*") if each.is_file())

    def _of(self, name: str) -> Iterator[str]:
        return (path.read_text() for path in self._below(name))
