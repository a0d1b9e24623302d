"""A file that one process holds: its lock ends with the process, however that ends. The file says who holds it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockTakenError(Exception):
    """Somebody else holds the file: `holder` is the id of that process as text, empty when it is not known."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


@contextmanager
def hold_file(path: Path) -> Iterator[int]:
    """The descriptor of a file, held until the block and every process that inherits it have ended.

    Raises:
        LockTakenError: another process, or another block of this one, holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockTakenError(os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()) from None
        yield descriptor
    finally:
        os.close(descriptor)


def name_holder(descriptor: int, pid: int) -> None:
    """Write down who holds the file, for the message of the next one that wants it."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(pid).encode(), 0)
