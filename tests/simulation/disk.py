"""The files of the simulation: a real folder whose every call is a turn, and which forgets at a power cut.

What `create`, `replace` and `sync` gave back is durable; every other file may be gone or torn after a power cut. A
program that dies in `create` leaves half a file.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.simulation.programs import Program, Scheduler
from versions.files import LocalFiles, Stamp


class SimFiles(LocalFiles):
    """See the module."""

    def __init__(self, scheduler: Scheduler, home: Path, random: Random) -> None:
        self.moved = False
        self._scheduler = scheduler
        self._home = home
        self._random = random
        self._durable: set[Path] = set()
        self._locks: dict[Path, Program] = {}

    def _pause(self, call: str, path: Path) -> None:
        self._scheduler.pause(f"{call} {path.relative_to(self._home)}")

    def read(self, path: Path) -> bytes:
        self._pause("read", path)
        return path.read_bytes()

    def create(self, path: Path, data: bytes) -> None:
        self._pause("create", path)
        with path.open("xb") as file:
            file.write(data[: len(data) // 2])
        self._pause("write", path)
        path.write_bytes(data)
        self._pause("fsync", path)
        self._durable.add(path)
        self._scheduler.trace.note("  created", data)

    def replace(self, path: Path, data: bytes) -> None:
        self._pause("write beside", path)
        temporary = path.with_name(f"{path.name}.tmp")
        temporary.write_bytes(data)
        self._pause("rename", path)
        temporary.replace(path)
        self.moved = True
        self._durable.add(path)
        self._scheduler.trace.note("  replaced", data)

    def make_folder(self, path: Path) -> None:
        self._pause("mkdir", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()

    def names(self, folder: Path) -> list[str]:
        self._pause("list", folder)
        return super().names(folder)

    def sync(self, path: Path) -> None:
        self._pause("sync", path)
        self._durable.add(path)

    def stamp(self, path: Path) -> Stamp:
        """By content; no turn, since those who ask go through sets, in no order that a seed could repeat."""
        data = path.read_bytes()
        return Stamp((len(data), zlib.crc32(data)), settled=True)

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        self._pause("lock", path)
        program = self._scheduler.current
        while path in self._locks and not self._locks[path].dead:
            self._pause("wait for lock", path)
        if program is not None:
            self._locks[path] = program
        try:
            yield
        finally:
            self._locks.pop(path, None)

    def power_cut(self) -> None:
        """Every program is dead already; what was not durable is gone, torn or, by luck, there."""
        self._locks.clear()
        for path in sorted(self._home.rglob("*")):
            if not path.is_file() or path in self._durable or path.suffix == ".lock":
                continue
            luck = self._random.random()
            if luck < 0.4:
                path.unlink()
            elif luck < 0.7:
                data = path.read_bytes()
                path.write_bytes(data[: self._random.randrange(len(data) + 1)])
