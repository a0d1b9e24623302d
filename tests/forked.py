"""Real processes of `slackwater`, forked from one that imported everything once (Python's own forkserver).

That saves the 2 to 5 s of imports that each start would cost. Nothing else runs in the one that forks: no session, no
connection, no thread of Python, so that its child is the process that `slackwater <arguments>` is: its own memory,
clients and exit code, and SIGKILL ends it.

    Program(("speed", "run"), environ, log)                 a process, and everything that it writes
    running("serve", environ=...)                           one until the end of a block
    call("batch", "list", "--json", environ=...)            one to its end, with its two outputs apart
"""

import ctypes
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("ops.__main__", "verify.run", "batch_layer.run", "speed_layer.run", "speed_layer.source", "serving.run")
PRELOADED = (*ROOMS, "slackwater.log.confluent_client", "tests.forked")

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

    def __init__(
        self, arguments: tuple[str, ...], environ: dict[str, str], log: Path, errors: Path | None = None
    ) -> None:
        _prepare()
        self.log = log
        names = str(log), str(errors or log)
        self._process = _FORKED.Process(target=_main, args=(arguments, environ, *names), daemon=True)
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


@contextmanager
def running(*arguments: str, environ: Mapping[str, str]) -> Iterator[Program]:
    """`slackwater <arguments>` until the end of the block, which kills it."""
    with tempfile.TemporaryDirectory() as folder:
        program = Program(arguments, dict(environ), Path(folder, "log"))
        try:
            yield program
        finally:
            program.kill()


def call(*arguments: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `slackwater <arguments>` to its end."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        program = Program(arguments, dict(os.environ if environ is None else environ), out, err)
        code = program.wait(2 * END_S).code
        assert code is not None
        return subprocess.CompletedProcess(arguments, code, out.read_text("utf-8"), err.read_text("utf-8"))


def _prepare() -> None:
    """Start the process that others are forked from, once."""
    _FORKED.set_forkserver_preload(["__main__", *PRELOADED])
    known = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # else numpy starts threads when it is imported
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("OPENBLAS_NUM_THREADS") if known is None else os.environ.update(OPENBLAS_NUM_THREADS=known)


def _main(arguments: tuple[str, ...], environ: dict[str, str], log: str, errors: str) -> None:
    assert set(PRELOADED) <= sys.modules.keys(), "the modules were not there before the fork"
    assert threading.active_count() == 1
    # Gone with the tests, however those end: the one that forks lives while anybody holds this pipe's other end, and
    # every child is given it, since it might want to fork, too.
    os.close(forkserver._forkserver._forkserver_alive_fd)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(ROOT)
    for number, name in ((1, log), (2, errors)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    if FILE_BYTES in environ:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(environ[FILE_BYTES]),) * 2)
    from ops.cli import run

    sys.argv = ["slackwater", *arguments]
    run()
