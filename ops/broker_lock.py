"""One broker per home: a lock on a file that the broker's process itself holds for as long as it lives.

Not Kafka's own `.lock`, which comes too late: with broker and controller in one process, a second process takes over
the metadata log before it looks at that lock, and the first one dies of it (seen with Kafka 4.1.1).

The lock (flock) belongs to an open file, not to a process: the file is opened here and inherited by the broker, so the
lock ends when the last of the two closes it, even when both are killed. No file that was left behind ever locks.
"""

import sys
from pathlib import Path
from typing import Self

from ops.errors import BrokerHomeTakenError


class BrokerLock:
    """The lock on `path`, taken at entry; at exit this process lets go of it, not those that inherited it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            BrokerHomeTakenError: a broker that lives holds it.
        """
        self._file = self._path.open("a+")
        # Without flock (Windows) there is no lock: two brokers there are kept apart by their port alone.
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self._file.seek(0)
                holder = self._file.read().strip()
                self._file.close()
                raise BrokerHomeTakenError(self._path.parent, holder) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def inherited(self) -> tuple[int, ...]:
        """What the broker's process has to inherit (`pass_fds`)."""
        return () if sys.platform == "win32" else (self._file.fileno(),)

    def name_holder(self, pid: int) -> None:
        """Write down who holds the lock, for the message of the next one that wants it."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{pid}\n")
        self._file.flush()
