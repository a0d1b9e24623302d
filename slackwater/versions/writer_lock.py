"""The lock of a stream: one writer of its identities at a time, held by a process and gone with it.

    <home>/ingest-<topic id>.lock       holds the process id of who has it, or had it last

An ingest holds it, an import, and a batch run that frees identities (`slackwater.versions.corrections`). It guards one
home folder: two homes on one topic are two writers, which this cannot see.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slackwater.core.lock import LockTakenError, hold_file, name_holder
from slackwater.versions.errors import WriterRunningError


@dataclass(frozen=True)
class WriterLock:
    """Proof that a topic is held; only `hold` makes one."""

    topic_id: str
    path: Path


@contextmanager
def hold(home: Path, topic_id: str) -> Iterator[WriterLock]:
    """Hold a topic until the block ends.

    Raises:
        WriterRunningError: another process, or another block of this one, holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"ingest-{topic_id}.lock"
    try:
        with hold_file(path) as descriptor:
            name_holder(descriptor, os.getpid())
            yield WriterLock(topic_id, path)
    except LockTakenError as error:
        raise WriterRunningError(int(error.holder) if error.holder.isdigit() else 0, path) from None
