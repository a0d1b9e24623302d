"""What everything that is stored needs of a file system, as one protocol: `Files`, and `DataFiles` below a home.

    small files      pointer, manifests, records, leases: by path, replaced and locked       Files
    data files       archive, parts, ids, lists: by name, written once, never changed        DataFiles

A simulation runs the real code on files of its own; an object store is another `DataFiles`. What is durable is said by
name: `create`, `replace`, `put` and `publish` return when it is. The files of this machine are in
`slackwater.store.local_files`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol


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


class DataFile(Protocol):
    """A data file as a version lists it: its name, its size, and its SHA-256."""

    @property
    def path(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...


Locate = Callable[[DataFile], Path]
"""Where a data file is opened: `DataFiles.fetch`, or `DataFiles.path` where whoever reads it has it fetched first."""


class DataFiles(Protocol):
    """The data files of one home. A name is relative to it, with slashes: `archive/<epoch>/trades-2-0.parquet`.

        write    create(name) -> path, write there, publish(path)         or put(name, data)
        read     fetch(file) -> path, open that

    Readers and writers have local paths, all of them below the home. On a local disk a path is the home and the name.
    An object store uploads in `publish`, and downloads in `fetch` to a cache whose files are named by SHA-256. So only
    an implementation puts a path together.
    """

    def create(self, name: str) -> Path:
        """Where a new file, or a folder of new files, is to be written; the folder that it lies in is there."""

    def publish(self, path: Path, sha256: str) -> str:
        """Take a file that was written at, or below, a path that `create` gave: durable from now on, under the name
        that is returned. Whoever reads it asks `fetch` where it is. Bytes that are there already, under this name or
        another, are written again: those may have been damaged.
        """

    def put(self, name: str, data: bytes) -> None:
        """Write a new small file durably. Raises FileExistsError."""

    def fetch(self, file: DataFile) -> Path:
        """A local path with a file's bytes. Whoever opens it compares them with the checksums of the manifest.

        Raises:
            OSError: it cannot be had; where it costs nothing, the first look at the path says so.
        """

    def path(self, file: DataFile) -> Path:
        """Where `fetch` has it, without a look: it may not be there."""

    def name_of(self, path: Path) -> str:
        """The name of a file by its local path, where it is written or was fetched to. Raises ValueError."""

    def names(self, folder: str) -> list[str]:
        """The names in a folder, sorted, each without the folder's; none if there is no such folder. What was written
        and not published is among them.
        """

    def size(self, name: str) -> int:
        """The bytes of a file, or of all files in a folder; of one that is gone, none."""

    def remove(self, name: str) -> None:
        """Remove what has a name, published or not, durably: a file, or a folder and all that is in it; nothing happens
        where there is none.
        """


class Files(Protocol):
    """The small files, by path, and the way to the data files."""

    def data(self, home: Path) -> DataFiles:
        """The data files of a home."""

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
