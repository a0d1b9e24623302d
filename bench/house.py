"""Where a part of the benchmark happens: a home folder and a broker of its own, and the processes that are watched.

The processes are the real ones, started with the settings that `slackwater up` gives them (`ops.services`). What the
program has no command for runs as a job (`bench.jobs`). Peak memory is the largest resident size seen.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from ops.broker import Broker, BrokerSettings, free_port
from ops.context import CLOCK, Context
from ops.java import dying_with_parent
from ops.services import Service, to_environ
from ops.supervisor import Child, Supervisor
from slackwater.core.errors import SlackwaterError
from slackwater.core.settings import from_environ
from slackwater.log.topics import create_topics

SAMPLE_S = 0.1
LAST_LINES = 12


class BenchError(SlackwaterError):
    """A part of the benchmark could not be measured."""


class Watch:
    """Samples the resident memory of processes by name, from a thread."""

    def __init__(self) -> None:
        self.peak_mb: dict[str, float] = {}
        self._processes: dict[str, psutil.Process] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watch")

    def add(self, name: str, pid: int | None) -> None:
        """Watch a process from now on; a name may be given to one process after another."""
        with self._lock:
            self._processes[name] = psutil.Process(pid)

    def cpu_s(self, name: str) -> float:
        """Seconds of CPU that a running process has used so far."""
        used = self._processes[name].cpu_times()
        return float(used.user + used.system)

    def now_mb(self, name: str) -> float:
        """Resident memory of a running process."""
        return float(self._processes[name].memory_info().rss / 1e6)

    def start(self) -> None:
        """Begin."""
        self.add("bench", None)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            with self._lock:
                watched = list(self._processes.items())
            for name, process in watched:
                try:
                    rss = process.memory_info().rss / 1e6
                except psutil.Error:
                    continue  # it has ended
                self.peak_mb[name] = max(rss, self.peak_mb.get(name, 0.0))


class Job:
    """A running `bench.jobs`. It ends by itself, or when `finish` closes its standard input."""

    def __init__(self, name: str, parameters: dict[str, Any], environ: dict[str, str]) -> None:
        self._name = name
        command = [sys.executable, "-m", "bench.jobs", name]
        self._process = subprocess.Popen(
            dying_with_parent(command),
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(BrokenPipeError):  # it ended already, and `finish` says so
            self._process.stdin.write(json.dumps(parameters) + "\n")  # an argument may not be as long
            self._process.stdin.flush()

    def finish(self, tell: bool = True) -> Any:
        """What it found. `tell` it to end, or wait until it does."""
        try:
            written, _ = self._process.communicate() if tell else self._wait()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        if self._process.returncode != 0:
            raise BenchError(f"The job {self._name!r} ended with code {self._process.returncode}.", "See above.")
        return json.loads(written.splitlines()[-1])

    def _wait(self) -> tuple[str, str]:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        written = self._process.stdout.read()
        self._process.communicate()
        return written, ""


class House:
    """A part's place: `with` it, the broker runs inside, and everything is stopped and removed after."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.watch = Watch()
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self.folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="slackwater-bench-")))
            broker = exits.enter_context(Broker(BrokerSettings(self.folder, free_port()), self.say))
            self._bootstrap = broker.bootstrap
            self.watch.start()
            exits.callback(self.watch.stop)
            self.watch.add("broker", broker.pid)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.close()

    def room(self, name: str) -> "Room":
        """Fresh topics and a fresh home folder on this broker."""
        room = Room(self, name, self._bootstrap)
        self._exits.callback(room.supervisor.stop)
        return room


WHAT_RUNS = ("SLACKWATER_KAFKA_CLIENT", "SLACKWATER_STREAMS", "SLACKWATER_VIEWS", "SLACKWATER_ONLY_VIEWS")
"""The settings that a room takes from the environment: what runs, and not where."""


class Room:
    """One home folder and one set of topics."""

    def __init__(self, house: House, name: str, bootstrap: str) -> None:
        environ = {
            **{name: os.environ[name] for name in WHAT_RUNS if name in os.environ},
            "SLACKWATER_HOME": str(house.folder / name),
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "SLACKWATER_PREFIX": f"bench-{name}",
            "SLACKWATER_PORT": str(free_port()),
            "SLACKWATER_INGEST_PORT": str(free_port()),
        }
        self.house = house
        self.context = Context(from_environ(environ))
        self.environ = {**os.environ, **to_environ(self.context.settings)}
        self.supervisor = Supervisor(
            to_environ(self.context.settings), self.context.settings.home / "logs", self._heard
        )
        self._lines: list[str] = []
        settings = self.context.settings
        create_topics(
            self.context.log, self.context.names, self.context.streams, settings.partitions, settings.replication
        )

    def start(self, service: Service) -> Child:
        """Start one of the program's own processes."""
        child = self.supervisor.start(service)
        self.house.watch.add(service.name, child.pid)
        return child

    def job(self, name: str, parameters: dict[str, Any] | None = None, called: str = "") -> Job:
        """Start a job; its memory is watched under `called`."""
        job = Job(name, parameters or {}, self.environ)
        self.house.watch.add(called or name, job.pid)
        return job

    def wait(self, done: Callable[[], bool], what: str, timeout_s: float, every_s: float = 0.1) -> None:
        """Wait until `done`, as long as every process of this room lives.

        Raises:
            BenchError: a process ended, or the time is over.
        """
        deadline = CLOCK.elapsed_s() + timeout_s
        while not done():
            ended = [child.service.name for child in self.supervisor.children if child.pid is None]
            if ended or CLOCK.elapsed_s() > deadline:
                why = f"{', '.join(ended)} ended" if ended else f"not within {timeout_s:.0f} s"
                raise BenchError(f"Waiting for {what}: {why}.", "\n".join(["It wrote:", *self._lines[-LAST_LINES:]]))
            time.sleep(every_s)

    def stop(self) -> None:
        """Stop the processes of this room."""
        self.supervisor.stop()
        self.supervisor.children.clear()

    def _heard(self, name: str, line: str) -> None:
        self._lines.append(f"{name}: {line}")
