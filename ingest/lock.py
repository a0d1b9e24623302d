"""The lock of a stream: one ingest on a topic, held by a process and gone with it.

    <home>/ingest-<topic id>.lock       holds the process id of who has it, or had it last

It guards one home folder: two homes on one topic are two writers, which this cannot see.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import IngestRunningError


@dataclass(frozen=True)
class IngestLock:
    """Proof that a topic is held; only `hold` makes one."""

    topic_id: str
    path: Path


@contextmanager
def hold(home: Path, topic_id: str) -> Iterator[IngestLock]:
    """Hold a topic until the block ends.

    Raises:
        IngestRunningError: another process, or another block of this one, holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"ingest-{topic_id}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20)
            raise IngestRunningError(int(holder) if holder.isdigit() else 0, path) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield IngestLock(topic_id, path)
    finally:
        os.close(descriptor)
