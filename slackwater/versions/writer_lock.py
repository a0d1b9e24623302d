"""Who judges identities of a stream: any number of writers at once, or one who changes what is known of them.

    <home>/ingest-<topic id>.lock       shared by writers, exclusive for who frees or claims identities
    <home>/ingest-<topic id>.asked      held by who waits for that; a writer that sees it lets go

    writer      take -> read what is known -> judge, append ... -> asked? -> acknowledged all -> release -> take ...
    the other   ask -> wait until every writer let go -> change what is known -> release

So a writer that judges has read what is known now, and one that is paused or dead is waited for or gone: locks end with
their process and never by time. They guard one home folder: two homes on one topic are two kinds of writers, which this
cannot see. Not here: which writer has which venue (`slackwater.versions.venue_locks`), what is claimed
(`slackwater.versions.claims`).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from slackwater.core.clock import Clock
from slackwater.core.lock import LockTakenError, hold_file, name_holder
from slackwater.versions.errors import WriterRunningError

PATIENCE_S = 30.0
"""How long writers have to let go: to the end of a chunk, and until the log acknowledged what they took."""

POLL_S = 0.02


@dataclass(frozen=True)
class WriterLock:
    """Proof that no writer judges identities of a topic; only `hold` makes one."""

    topic_id: str
    path: Path


class SharedLock:
    """A writer's share of a topic. Not thread safe."""

    def __init__(self, home: Path, topic_id: str) -> None:
        self.topic_id = topic_id
        self.home = home
        self._path, self._asked_path = _paths(home, topic_id)
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this writer may judge."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Take it, unless somebody has it alone or asks for that: whether it is held."""
        if self._descriptor is not None:
            return True
        if self.asked():
            return False
        descriptor = _opened(self._path)
        if not _locked(descriptor, fcntl.LOCK_SH):
            os.close(descriptor)
            return False
        name_holder(descriptor, os.getpid())
        self._descriptor = descriptor
        return True

    @property
    def holder(self) -> int:
        """The process that took it last, 0 if it is not known."""
        descriptor = _opened(self._path)
        try:
            return _named(descriptor)
        finally:
            os.close(descriptor)

    def asked(self) -> bool:
        """Whether somebody waits for the writers to let go."""
        descriptor = _opened(self._asked_path)
        try:
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Let go; nothing happens where it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def hold(home: Path, topic_id: str, clock: Clock, patience_s: float = PATIENCE_S) -> Iterator[WriterLock]:
    """Hold a topic alone until the block ends. Who holds several takes them in the order of their ids.

    Raises:
        WriterRunningError: writers did not let go for `patience_s` seconds, or others wait before this one.
    """
    path, asked_path = _paths(home, topic_id)
    until_s = clock.elapsed_s() + patience_s
    asked, own = _opened(asked_path), _opened(path)
    try:
        for descriptor in (asked, own):
            while not _locked(descriptor, fcntl.LOCK_EX):
                if clock.elapsed_s() >= until_s:
                    raise WriterRunningError(_named(own), path)
                clock.sleep(POLL_S)
        name_holder(own, os.getpid())
        yield WriterLock(topic_id, path)
    finally:
        os.close(own)
        os.close(asked)


@dataclass(frozen=True)
class ImportLock:
    """Proof that no other import of a topic runs; only `hold_import` makes one. What is in `ends` ends with it."""

    topic_id: str
    path: Path
    ends: ExitStack


@contextmanager
def hold_import(home: Path, topic_id: str) -> Iterator[ImportLock]:
    """Be the one import of a topic until the block ends: two could bring one identity.

    Raises:
        WriterRunningError: another one runs.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"import-{topic_id}.lock"
    try:
        with hold_file(path) as descriptor, ExitStack() as ends:
            name_holder(descriptor, os.getpid())
            yield ImportLock(topic_id, path, ends)
    except LockTakenError as error:
        raise WriterRunningError(int(error.holder) if error.holder.isdigit() else 0, path, "import") from None


def _paths(home: Path, topic_id: str) -> tuple[Path, Path]:
    return home / f"ingest-{topic_id}.lock", home / f"ingest-{topic_id}.asked"


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _named(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else 0
