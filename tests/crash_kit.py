"""The crash matrix's house: a log on the real broker, and real processes of `slackwater` that die at fault points.

A process is forked from one that imported everything once (Python's own forkserver), which saves the 5 s of imports
that each start would cost. Nothing else runs in that one: no session, no connection, no thread of Python, so that its
child is the process that `slackwater <arguments>` is: its own memory, clients and exit code, and SIGKILL ends it.

    house.run("batch", "run", fault="publish.pointer:kill")      to its end; its exit code, and what it wrote
    house.running("speed", "run")                                a process until the end of the block
    house.verify()                                               every merged answer equals the oracle, at the log's end
"""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import httpx

from slackwater.faults import VARIABLE
from stack.broker import free_port
from stack.errors import ServiceError
from stack.verify import Client, verify
from tests.beam_world import ROOT, World, kafka_world
from views.interval import PUBLISHED_INTERVALS

ROOMS = ("stack.cli", "stack.verify", "batch_layer.run", "speed_layer.run", "speed_layer.source", "serving.run")
PRELOADED = (*ROOMS, "tests.crash_kit")
AGAIN = 75
"""The exit code of what may succeed when it is run again."""

FILE_BYTES = "CRASH_KIT_FILE_BYTES"
"""The variable that bounds the size of every file that a process writes."""
END_S = 60.0
_PR_SET_PDEATHSIG = 1
_FORKED = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Ended:
    """A process that ended: its code (negative: the signal's number) and everything that it wrote."""

    code: int | None
    text: str

    @property
    def errors(self) -> list[str]:
        """The lines that `slackwater` prints for a person when it fails."""
        return [line for line in self.text.splitlines() if line.startswith("error: ")]


class Program:
    """One process, `slackwater <arguments>`."""

    def __init__(self, arguments: tuple[str, ...], environ: dict[str, str], log: Path) -> None:
        _prepare()
        self.log = log
        self._process = _FORKED.Process(target=_main, args=(arguments, environ, str(log)), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def wait(self, timeout_s: float = END_S) -> Ended:
        """Wait for its end; fail if that does not come."""
        self._process.join(timeout_s)
        assert not self.alive, f"still running after {timeout_s} s:\n{self.text[-3000:]}"
        return Ended(self._process.exitcode, self.text)

    def stop(self) -> Ended:
        """SIGTERM, and its end."""
        self._process.terminate()
        return self.wait()

    def kill(self) -> Ended:
        """SIGKILL from outside."""
        self._process.kill()
        return self.wait()


def until(
    condition: Callable[[], Any], timeout_s: float = END_S, told: Callable[[], object] = lambda: "it does not hold"
) -> None:
    """Wait until `condition` holds, with a look 20 times a second; fail with what is `told` if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


def _prepare() -> None:
    """Start the process that others are forked from, once."""
    _FORKED.set_forkserver_preload(["__main__", *PRELOADED])
    known = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # else numpy starts threads when it is imported
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("OPENBLAS_NUM_THREADS") if known is None else os.environ.update(OPENBLAS_NUM_THREADS=known)


def _main(arguments: tuple[str, ...], environ: dict[str, str], log: str) -> None:
    assert set(PRELOADED) <= sys.modules.keys(), "the modules were not there before the fork"
    assert threading.active_count() == 1
    # Gone with the tests, however those end: the one that forks lives while anybody holds this pipe's other end, and
    # every child is given it, since it might want to fork, too.
    os.close(forkserver._forkserver._forkserver_alive_fd)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(ROOT)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if FILE_BYTES in environ:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(environ[FILE_BYTES]),) * 2)
    from stack.cli import run

    sys.argv = ["slackwater", *arguments]
    run()


class House:
    """A world and its processes. `served` is a service that runs all the time."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.port = free_port()
        self.partitions = len(world.ends)
        self._folder = folder
        self._count = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str, fault: str = "", **environ: str) -> Program:
        """Start `slackwater <arguments>` with a fault."""
        self._count += 1
        log = self._folder / f"{self._count:03d}-{'-'.join(arguments[:2])}.log".replace("/", "_")
        own = {"SLACKWATER_PORT": str(self.port), VARIABLE: fault, "PYTHONUNBUFFERED": "1", "COLUMNS": "1000"}
        return Program(arguments, {**self.world.environ(), **own, **environ}, log)

    def run(self, *arguments: str, fault: str = "", **environ: str) -> Ended:
        """Run `slackwater <arguments>` to its end."""
        return self.start(*arguments, fault=fault, **environ).wait()

    @contextlib.contextmanager
    def running(self, *arguments: str, fault: str = "") -> Iterator[Program]:
        """A process that is stopped by SIGTERM at the end, and must end well."""
        program = self.start(*arguments, fault=fault)
        try:
            yield program
        except BaseException:
            program.kill()
            raise
        ended = program.stop()
        assert ended.code in {0, -signal.SIGTERM}, ended.text[-3000:]

    def ready(self) -> bool:
        """Whether the service keeps its full promise."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def applied(self, client: Client) -> dict[int, int]:
        """Partition -> what is applied, asked of one instrument of each partition that holds any."""
        found: dict[int, int] = {}
        for instrument in client.get("/v1/instruments")["instruments"]:
            query = {"venue": instrument["venue"], "symbol": instrument["symbol"], "limit": 1}
            if self.partition_of(**instrument) not in found:
                answer = client.get("/v1/bars", **query)["answer"]
                found |= {int(p): at for p, at in answer["applied"].items()}
        return found

    def partition_of(self, venue: str, symbol: str, **_: object) -> int:
        return self.world.log.partition_of(f"{venue}:{symbol}".encode(), self.partitions)

    def at_the_end(self, client: Client, ends: dict[int, int]) -> bool:
        """Whether the answers stand at these ends of the log."""
        try:
            found = self.applied(client)
        except ServiceError:
            return False
        return bool(found) and all(ends[p] <= at for p, at in found.items())

    def verify(self, to_the_end: bool = True) -> Any:
        """Compare every merged answer with the oracle, at the log's end or at the answers' own positions."""
        with Client(self.url) as client:
            if to_the_end:
                ends = self.world.ends
                until(lambda: self.at_the_end(client, ends))
            proof = verify(client, self.world.log, self.world.names, self.world.store, PUBLISHED_INTERVALS[:2])
        assert proof.holds, (proof.differences, proof.refusals)
        return proof


@contextlib.contextmanager
def open_house(broker: str, folder: Path, partitions: int = 2) -> Iterator[House]:
    """A house with a service that runs until the end."""
    (folder / "logs").mkdir(parents=True)
    with kafka_world(broker, folder / "home", partitions) as world:
        house = House(world, folder / "logs")
        with house.running("serve"):
            until(house.ready)
            yield house
