"""The scrub: reads every file of the served version again, slowly and for ever, since bits on a disk flip in silence.

What was refused is read again, too, also while nothing can be served: the reading itself may have failed. Changes that
the file system knows of show at once (`slackwater.versions.inspector`).
"""

from pathlib import Path

from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import StoredFile


class Scrub:
    """Reads one file a `step`, at most `bytes_per_s` on average; 0 reads nothing. Belongs to one thread."""

    def __init__(self, inspector: Inspector, watch: VersionsWatch, clock: Clock, bytes_per_s: int) -> None:
        self.read_bytes = 0
        self.rounds = 0
        self._inspector = inspector
        self._watch = watch
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._left: list[StoredFile | Path] = []
        self._next_at = float("-inf")

    def step(self) -> None:
        """Read the next file, if it is due. One that is damaged changes the inspector's revision."""
        now = self._clock.elapsed_s()
        if not self._bytes_per_s or now < self._next_at:
            return
        if not self._left:
            self._left = self._round()
        if not self._left:
            return
        size = self._read(self._left.pop())
        self.read_bytes += size
        self._next_at = now + size / self._bytes_per_s
        self.rounds += not self._left

    def _read(self, file: StoredFile | Path) -> int:
        if isinstance(file, Path):
            return self._inspector.read_again(file)
        try:
            self._inspector.reread(file)
        except DamagedFileError:
            self._left = [other for other in self._left if isinstance(other, Path) or other.path != file.path]
        return file.size

    def _round(self) -> list[StoredFile | Path]:
        """The files of the version that is served, in the order of their last use: views are read last to first.

        Before them the manifests and what was refused.
        """
        snapshot = self._watch.snapshot
        files: list[StoredFile] = []
        if snapshot is not None:
            files = [*snapshot.manifest.dataset, *(entry.file for entry in snapshot.manifest.parts)]
        others = set(self._watch.candidates.watched) - {self._inspector.path(file) for file in files}
        return [*files, *sorted(others)]
