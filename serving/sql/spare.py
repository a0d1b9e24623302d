"""A process that has begun and waits for its question: what a query would wait for most is what Python imports.

There is none before the first query, so a service that is never asked has none, and one after each.
"""

import subprocess
import sys
from pathlib import Path
from threading import Lock


class Spare:
    """Starts processes of `serving.sql.program`, one ahead. They end when their standard input does, as with us."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = Lock()
        self._waiting: subprocess.Popen[bytes] | None = None
        self._closed = False

    def take(self) -> subprocess.Popen[bytes]:
        """The process that waits, else a new one."""
        with self._lock:
            found, self._waiting = self._waiting, None
        if found is not None and found.poll() is None:
            return found
        if found is not None:
            found.communicate()
        return self._start()

    def prepare(self) -> None:
        """Have one wait."""
        with self._lock:
            if self._waiting is None and not self._closed:
                self._waiting = self._start()

    def close(self) -> None:
        """End the one that waits."""
        with self._lock:
            self._closed = True
            found, self._waiting = self._waiting, None
        if found is not None:
            found.kill()
            found.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "serving.sql.program"],
            cwd=self._home,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
