"""Which writer has which venue of a stream, so that several writers share the venues.

    <home>/writers/<topic id>/<venue>.lock      holds the process id of who has it, or had it last

A venue is what the first column of an entity names. A writer takes one when its first event comes and keeps it until
its process ends: the filter of another one would not know what this one appends.
"""

import hashlib
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

from slackwater.core.lock import LockTakenError, hold_file, name_holder
from slackwater.versions.errors import VenueTakenError

MOST_NAME = 100
"""Characters of a file's name; a longer venue is named by its SHA-256."""


class VenueLocks:
    """The venues of one writer. Not thread safe."""

    def __init__(self, home: Path, topic_id: str, stream: str) -> None:
        self._folder = home / "writers" / topic_id
        self._stream = stream
        self._held: set[str] = set()
        self._files = ExitStack()

    def take(self, venues: Iterable[str]) -> bool:
        """Have these venues: whether one of them is new. Raises VenueTakenError: then none is that was not before."""
        fresh = sorted({*venues} - self._held)
        if not fresh:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as taken:
            for venue in fresh:
                try:
                    descriptor = taken.enter_context(hold_file(self._folder / _name(venue)))
                except LockTakenError as error:
                    pid = int(error.holder) if error.holder.isdigit() else 0
                    raise VenueTakenError(self._stream, venue, pid) from None
                name_holder(descriptor, os.getpid())
            self._files.push(taken.pop_all())
        self._held |= {*fresh}
        return True

    def close(self) -> None:
        """Let go of all."""
        self._files.close()
        self._held.clear()


def _name(venue: str) -> str:
    name = quote(venue, safe="")
    return f"{name if len(name) <= MOST_NAME else hashlib.sha256(venue.encode()).hexdigest()}.lock"
