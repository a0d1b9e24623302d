"""The files of the simulation: a real folder whose every call is a turn, and which forgets at a power cut.

What `create`, `replace` and `sync` gave back is durable; every other file may be gone or torn after a power cut. A
program that dies in `create` leaves half a file.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from slackwater.store.files import FileState, Hold
from slackwater.store.local_files import LocalFiles
from tests.simulation.programs import Program, Scheduler


class SimFiles(LocalFiles):
    """See the module."""

    def __init__(self, scheduler: Scheduler, home: Path, random: Random) -> None:
        self.written: list[tuple[Path, bytes]] = []
        self._scheduler = scheduler
        self._home = home
        self._prefix = f"{home}/"
        self._random = random
        self._durable: set[Path] = set()
        self._before: dict[Path, bytes | None] = {}  # what a power cut may bring back
        self._locks: dict[Path, Program] = {}
        self._holders: dict[Path, Program | None] = {}

    def _pause(self, call: str, path: Path) -> None:
        self._scheduler.pause(f"{call} {str(path).removeprefix(self._prefix)}")  # relative_to() takes 30 times as long

    def read(self, path: Path) -> bytes:
        if path.name != "retired.json" or path.exists():  # nearly all looks for one find none, and are no turn
            self._pause("read", path)
        return path.read_bytes()

    def create(self, path: Path, data: bytes) -> None:
        self._pause("create", path)
        with path.open("xb") as file:
            file.write(data[: len(data) // 2])
        self._pause("write", path)
        path.write_bytes(data)
        self._pause("fsync", path)
        self._keep(path)
        self.written.append((path, data))
        self._scheduler.trace.note("  created", data)

    def replace(self, path: Path, data: bytes) -> None:
        self._pause("write beside", path)
        program = self._scheduler.current  # two processes have two files, as of LocalFiles
        temporary = path.with_name(f"{path.name}.{program.name if program else 'world'}.tmp")
        temporary.write_bytes(data)
        self._pause("rename", path)
        before = path.read_bytes() if path in self._durable and path.exists() else None
        self._before.setdefault(path, before)
        temporary.replace(path)
        self.written.append((path, data))
        self._scheduler.trace.note("  replaced", data)
        self._pause("fsync the folder of", path)
        self._keep(path)

    def make_folder(self, path: Path) -> None:
        self._pause("mkdir", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()

    def remove(self, path: Path) -> None:
        self._pause("remove", path)
        super().remove(path)

    def hold(self, path: Path, data: bytes) -> Hold:
        self._pause("hold", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._durable.add(path)
        self._holders[path] = self._scheduler.current
        return _SimHold(self, path)

    def held(self, path: Path) -> bool:
        self._pause("look for the holder of", path)
        holder = self._holders.get(path)
        return path.exists() and holder is not None and not holder.dead

    def let_go(self, path: Path) -> None:
        self._pause("let go", path)
        path.unlink(missing_ok=True)
        self._holders.pop(path, None)

    def names(self, folder: Path) -> list[str]:
        self._pause("list", folder)
        return super().names(folder)

    def sync(self, path: Path) -> None:
        self._pause("sync", path)
        self._keep(path)

    def state(self, path: Path) -> FileState:
        """By content; no turn, since those who ask go through sets, in no order that a seed could repeat."""
        data = path.read_bytes()
        return FileState((len(data), zlib.crc32(data)), settled=True)

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        self._pause("lock", path)
        program = self._scheduler.current
        while path in self._locks and not self._locks[path].dead:
            assert program is not None, f"the world itself waits for {self._locks[path].name}"
            self._pause("wait for lock", path)
        if program is not None:
            self._locks[path] = program
        try:
            yield
        finally:
            self._locks.pop(path, None)

    def _keep(self, path: Path) -> None:
        """The file is synced, and its folder: so is every rename in that, also of a program that was killed before."""
        self._durable.add(path)
        for renamed in [each for each in self._before if each.parent == path.parent]:
            self._durable.add(renamed)
            del self._before[renamed]

    def durable(self, path: Path) -> bool:
        """Whether a file stays as it is at a power cut."""
        return path in self._durable and path not in self._before

    def power_cut(self) -> None:
        """Every program is dead already; what was not durable is gone, torn or, by luck, there, or as it was before."""
        self._locks.clear()
        self._holders.clear()
        for path, before in self._before.items():
            if path.exists() and self._random.random() < 0.5:
                if before is None:
                    path.unlink()
                else:
                    path.write_bytes(before)
        self._durable.update(path for path in self._before if path.exists())
        self._before.clear()
        for path in sorted(self._home.rglob("*")):
            if not path.is_file() or path in self._durable or path.suffix == ".lock":
                continue
            luck = self._random.random()
            if luck < 0.4:
                path.unlink()
            elif luck < 0.7:
                data = path.read_bytes()
                path.write_bytes(data[: self._random.randrange(len(data) + 1)])


class _SimHold:
    """Held by the program that took it, and gone with it."""

    def __init__(self, files: SimFiles, path: Path) -> None:
        self._files = files
        self._path = path

    def release(self) -> None:
        self._files.let_go(self._path)
