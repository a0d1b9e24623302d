"""Keeps processes running: starts them, prefixes their lines, starts again what ended, stops all of them in order.

Processes get a session of their own, so that Ctrl-C reaches the supervisor alone and it can stop them one by one; the
kernel ends them when the supervisor is killed. Call it from one thread that lives as long as they should.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Self

from ops.broker import Broker
from ops.java import dying_with_parent
from ops.services import Service
from slackwater.core.errors import SlackwaterError

STOP_S = 15.0
STEPS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""The waits before a process is started again, while it keeps failing."""

HEALTHY_S = 10.0
"""A process that lived so long had started and worked: it is no loop of failing starts, and starts again at once."""

OnLine = Callable[[str, str], None]


class _Backoff:
    """When a process that ended is started again."""

    def __init__(self) -> None:
        self._failures = 0
        self._next_s: float | None = None

    def due(self, lived_s: float, now_s: float, how: str, on_line: Callable[[str], None]) -> bool:
        """Whether to start now a process that ended after `lived_s`; the first call sets when, and says so."""
        if self._next_s is None:
            self._failures = 0 if lived_s > HEALTHY_S else self._failures + 1
            wait_s = STEPS_S[min(max(self._failures, 1), len(STEPS_S)) - 1]
            self._next_s = now_s + wait_s
            on_line(f"ended{how} after {lived_s:.1f} s; next start in {wait_s} s")
        if now_s < self._next_s:
            return False
        self._next_s = None
        return True


class RestartingBroker:
    """`with` it: the broker is ready inside, and stopped after. Only its first start may fail for good.

    Later ones are tried again for ever: the log is on disk, and every service waits for its broker.
    """

    def __init__(self, broker: Broker, on_line: Callable[[str], None]) -> None:
        self.broker = broker
        self._on_line = on_line
        self._backoff = _Backoff()
        self._started_s = 0.0

    def __enter__(self) -> Self:
        self._started_s = time.monotonic()
        self.broker.__enter__()
        self._on_line(f"ready at {self.broker.bootstrap}, log in {self.broker.log_path}")
        return self

    def __exit__(self, *error: object) -> None:
        self.broker.__exit__(*error)

    def keep(self, now_s: float) -> None:
        """Start it again if it ended, after a wait that grows while it keeps failing. Does not wait for it."""
        if not self.broker.running and self._backoff.due(now_s - self._started_s, now_s, "", self._on_line):
            self._started_s = now_s
            try:
                self.broker.start()
            except (SlackwaterError, OSError) as error:
                self._on_line(f"not started: {error}")


class Child:
    """One supervised process."""

    def __init__(self, service: Service, environ: Mapping[str, str], log: Path, on_line: OnLine) -> None:
        self.service = service
        self.starts = 0
        self._environ = environ
        self._log = log
        self._on_line = on_line
        self._backoff = _Backoff()
        self._started_s = 0.0
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process that runs, None if none does."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._started_s = time.monotonic()
        self.starts += 1
        self._process = subprocess.Popen(
            dying_with_parent([sys.executable, "-m", "ops", *self.service.arguments]),
            env={**os.environ, **self._environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101 - PIPE was given
        threading.Thread(target=self._pump, args=(pipe,), daemon=True, name=f"log-{self.service.name}").start()

    def keep(self, now_s: float) -> None:
        """Start it again if it ended, after a wait that grows while it keeps failing."""
        if self._process is None or self._process.poll() is None:
            return
        how = f" with code {self._process.returncode}"
        if self._backoff.due(now_s - self._started_s, now_s, how, self._say):
            self.start()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL. Only ever the process that was started here."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._say(f"did not end within {STOP_S:.0f} s and was killed")
            process.kill()
            process.wait()

    def _say(self, line: str) -> None:
        self._on_line(self.service.name, line)

    def _pump(self, pipe: IO[str]) -> None:
        with pipe, self._log.open("a", encoding="utf-8") as log:
            for line in pipe:
                log.write(line)
                log.flush()
                self._say(line.rstrip("\n"))


class Supervisor:
    """Processes that are kept running until `stop`."""

    def __init__(self, environ: Mapping[str, str], logs: Path, on_line: OnLine) -> None:
        self._environ = environ
        self._logs = logs
        self._on_line = on_line
        self.children: list[Child] = []

    def start(self, service: Service) -> Child:
        """Start one more."""
        child = Child(service, self._environ, self._logs / f"{service.name}.log", self._on_line)
        self.children.append(child)
        child.start()
        return child

    def keep(self) -> None:
        """Start again what ended. Call it a few times a second."""
        for child in self.children:
            child.keep(time.monotonic())

    def stop(self) -> None:
        """Stop all, the last one started first."""
        for child in reversed(self.children):
            child.stop()
