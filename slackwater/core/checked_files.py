"""Parquet files whose every byte is compared with a checksum in the same memory that DuckDB or Arrow decodes.

    checked://<size>.<shift>.<checksums>:<path>        the name of a file says what its bytes must be

A file is cut into blocks of 2^shift bytes, and each has a CRC32C. Who asks for some bytes reads the blocks that hold
them, compares, and hands on what was compared: footers, headers and pages alike, so a bit that flipped on the disk, or
in the kernel's copy of it, is found where it is read, and one that flips after that was not read. CRC32C shows every
damage of up to three bits in a block and of any odd number of them; of others one in 4,000,000,000 passes.

DuckDB and Arrow can check the sums that a page carries, but neither checks a footer or a page's header, and DuckDB
writes none. Not here: the SHA-256 of whole files (`slackwater.versions.inspector`).
"""

import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock, local
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from crc32c import crc32c
from fsspec import AbstractFileSystem

PROTOCOL = "checked"
_PREFIX = f"{PROTOCOL}://"

LEAST_SHIFT = 16
"""Blocks of 64 KiB: about what a page of a view takes."""

MOST_BLOCKS = 1_024
"""Of one file; larger files have larger blocks, so that a name stays below 6 kB."""

_FOREVER = datetime(2009, 1, 3, tzinfo=UTC)  # DuckDB keeps a footer while the time is the same; a name never changes
_DAMAGE = re.compile(r"DamagedBytesError: (.+): ([^:\n]+)")


class DamagedBytesError(OSError):
    """Bytes are not what the file's name says."""

    def __init__(self, path: str, fact: str) -> None:
        super().__init__(f"{path}: {fact}")
        self.path = path
        self.fact = fact


class Sums(NamedTuple):
    """What a file's bytes must be: its size, and the CRC32C of each block of 2^shift bytes, an array."""

    size: int
    shift: int
    blocks: Any


OnDamage = Callable[[DamagedBytesError], None]
"""Told of bytes that are not those that were written, by the thread that reads them."""


def shift_for(size: int) -> int:
    """The exponent of the block size for a file of `size` bytes."""
    return max(LEAST_SHIFT, ((size - 1) // MOST_BLOCKS).bit_length()) if size else LEAST_SHIFT


def sums_text(shift: int, blocks: list[int]) -> str:
    """The checksums of a file as they stand in its name."""
    return f"{shift}.{urlsafe_b64encode(np.array(blocks, '<u4').tobytes()).decode().rstrip('=')}"


def checked_name(path: Path | str, size: int, sums: str) -> str:
    """The name of a file with its checksums, for `slackwater.views.session.files_sql` and `open_checked`."""
    return f"{_PREFIX}{size}.{sums}:{path}"


def path_of(name: str) -> str:
    """The path in a name; a name without checksums is a path."""
    return name.partition(":")[2].partition(":")[2] if name.startswith(_PREFIX) else name


def open_checked(name: str) -> "CheckedFile | BinaryIO":
    """A file for Arrow, whose reads raise DamagedBytesError; as it is, if its name has no checksums."""
    if not name.startswith(_PREFIX):
        return Path(name).open("rb")
    return CheckedFile(path_of(name), _sums_in(name), _nobody)


def damage_in(error: Exception) -> tuple[str, str] | None:
    """What a read of DuckDB's failed of, if that is damage: the file and what is wrong with it; else None.

    DuckDB keeps of an exception in a file system of Python's only the text.
    """
    found = _DAMAGE.search(str(error))
    return (found[1], found[2]) if found else None


class CheckedFiles(AbstractFileSystem):
    """The file system behind such names, for `duckdb.DuckDBPyConnection.register_filesystem`; see fsspec. Reads only.

    `on_damage` is told, in the thread that reads; the read fails with DuckDB's error, which `damage_in` understands.
    """

    protocol = (PROTOCOL,)
    cachable = False

    def __init__(self, on_damage: OnDamage | None = None) -> None:
        super().__init__()
        self._on_damage = on_damage or _nobody

    def open(self, path: str, mode: str = "rb", **_: Any) -> "CheckedFile":
        """See fsspec. Raises PermissionError if it is to be written."""
        if mode != "rb":
            raise PermissionError(f"{path_of(path)} is never written.")
        return CheckedFile(path_of(path), _sums_in(path), self._on_damage)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """See fsspec: nothing is looked up."""
        return {"name": path, "size": _sums_in(path).size, "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        """See fsspec: no name is a pattern."""
        return [path]

    def exists(self, path: str, **_: Any) -> bool:
        """See fsspec: a file that is gone is found by its first read."""
        return path.startswith(_PREFIX)

    def modified(self, path: str) -> datetime:
        """See fsspec: bytes of another time have another name."""
        del path
        return _FOREVER


class CheckedFile:
    """One open file, to read, as io.IOBase. Each thread has its position: DuckDB seeks and reads in two calls."""

    closed = False

    def __init__(self, path: str, sums: Sums, on_damage: OnDamage) -> None:
        self._path = path
        self._sums = sums
        self._on_damage = on_damage
        self._fd = -1
        self._lock = Lock()
        self._at = local()

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes from the position on, all to the end if negative.

        Raises:
            DamagedBytesError: they are not those that were written, or cannot be read.
        """
        low = min(self.tell(), self._sums.size)
        high = self._sums.size if size is None or size < 0 else min(self._sums.size, low + size)
        self._at.position = high
        if low == high:
            return b""
        block = 1 << self._sums.shift
        first = low // block
        data = self._blocks(first, -(-high // block))
        return data[low - first * block : high - first * block]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._sums.size}[whence]
        self._at.position = base + offset
        return self.tell()

    def tell(self) -> int:
        position: int = getattr(self._at, "position", 0)
        return position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        """See io.IOBase."""

    def close(self) -> None:
        """Close it."""
        self.closed = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "CheckedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # DuckDB lets go of a file without closing it

    def _blocks(self, first: int, last: int) -> bytes:
        """The blocks [first, last), read once more if they are not what they were: the fault may be the reading's."""
        try:
            data = self._read(first, last)
            if self._wrong(data, first, last):
                data = self._read(first, last)
            wrong = self._wrong(data, first, last)
        except OSError as error:
            data, wrong = b"", error.strerror or repr(error)
        if wrong:
            damage = DamagedBytesError(self._path, wrong)
            self._on_damage(damage)
            raise damage
        return data

    def _read(self, first: int, last: int) -> bytes:
        with self._lock:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        low, high = first << self._sums.shift, min(last << self._sums.shift, self._sums.size)
        parts, at = [], low
        while at < high and (part := os.pread(self._fd, high - at, at)):
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _wrong(self, data: bytes, first: int, last: int) -> str:
        """What is wrong with these blocks, empty if nothing is."""
        block = 1 << self._sums.shift
        view = memoryview(data)
        if len(data) < min(last * block, self._sums.size) - first * block:
            return f"it ends at byte {first * block + len(data)}, it had {self._sums.size}"
        for number, low in enumerate(range(0, len(data), block), first):
            if crc32c(view[low : low + block]) != self._sums.blocks[number]:
                return f"bytes {number * block} to {min(self._sums.size, (number + 1) * block)} were changed"
        return ""


@lru_cache(256)
def _sums_in(name: str) -> Sums:
    """The checksums in a name. Kept: DuckDB asks for them four times a read."""
    facts = name.removeprefix(_PREFIX).partition(":")[0]
    size, shift, text = facts.split(".", 2)
    blocks = np.frombuffer(urlsafe_b64decode(text + "=" * (-len(text) % 4)), "<u4")
    return Sums(int(size), int(shift), blocks)


def _nobody(error: DamagedBytesError) -> None:
    """It is raised, too."""
