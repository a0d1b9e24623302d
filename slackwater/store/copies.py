"""Copies of files that are known by size and SHA-256: made once, compared while they are written, and read again after.

Not here: which files a copy needs (`slackwater.versions.backup`).
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from slackwater.store.local_files import fingerprint, gone_if_it_fails, sync_folder

_BLOCK = 1 << 20


class Wanted(NamedTuple):
    """A file by its path below a folder, with what it must be."""

    path: str
    size: int
    sha256: str


class CopyDiffersError(Exception):
    """A file is not what it must be: its path, and what was found."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(f"{path}: {found}")
        self.path = path
        self.found = found


def matches(path: Path, wanted: Wanted) -> bool:
    """Whether a file is there and its bytes are the wanted ones; all of it is read."""
    try:
        return fingerprint(path) == (wanted.size, wanted.sha256)
    except FileNotFoundError:
        return False


def copy_file(source: Path, path: Path, wanted: Wanted, root: Path) -> bool:
    """Copy a file durably, unless the right one is there; whether it was copied. `path` lies below `root`, and never
    holds half a file.

    Raises:
        CopyDiffersError: the source is not what it must be, or what was written reads back as something else.
        OSError: one cannot be read or written.
    """
    if matches(path, wanted):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as read, temporary.open("wb") as write, gone_if_it_fails(temporary):
        while block := read.read(_BLOCK):
            digest.update(block)
            size += len(block)
            write.write(block)
        if (size, digest.hexdigest()) != (wanted.size, wanted.sha256):
            raise CopyDiffersError(source, _text(size, digest.hexdigest()))
        write.flush()
        os.fsync(write.fileno())
        temporary.rename(path)
    for folder in (path.parent, *path.parent.parents):
        sync_folder(folder)
        if folder == root:
            break
    found = fingerprint(path)
    if found != (wanted.size, wanted.sha256):
        raise CopyDiffersError(path, _text(*found))
    return True


def _text(size: int, sha256: str) -> str:
    return f"{size} bytes, {sha256[:12]}"
