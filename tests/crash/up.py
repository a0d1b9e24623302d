"""`slackwater up` as a real process of the soak, and what its services say; its children are found by command."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import psutil

from ops.broker import free_port
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.names import TopicNames
from slackwater.versions.store import VersionStore
from verify.client import Client
from verify.errors import ServiceError

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "speed": "ops speed run",
    "batch": "ops batch run",
    "serving": "ops serve",
    "broker": "kafka.Kafka",
}


class Up:
    """See the module. Moments are `time.monotonic`."""

    def __init__(self, home: Path) -> None:
        port, broker_port = free_port(), free_port()
        self.environ = {
            **os.environ,
            "SLACKWATER_HOME": str(home),
            "SLACKWATER_BROKER_PORT": str(broker_port),
            "SLACKWATER_PORT": str(port),
            "SLACKWATER_BATCH_SECONDS": "5",
            "KAFKA_BOOTSTRAP_SERVERS": "",
        }
        self.url = f"http://127.0.0.1:{port}"
        self.log, self.names = KafkaLog(f"127.0.0.1:{broker_port}"), TopicNames()
        self.store = VersionStore(home)
        self.said: list[tuple[float, str, str]] = []
        self._process = self.start("up", "--json", stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()

    def start(self, *arguments: str, **pipes: Any) -> "subprocess.Popen[bytes]":
        """A process of `slackwater` with these settings."""
        command = [sys.executable, "-m", "ops", *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=self.environ, **pipes)

    def ready(self) -> bool:
        """Whether the service keeps its full promise."""
        self._alive()
        with Client(self.url, timeout_s=5.0) as client:
            try:
                return bool(client.get("/health/ready")["ready"])
            except ServiceError:
                return False

    def pid(self, name: str) -> int | None:
        """The process of a service, None if none lives now."""
        self._alive()
        for child in psutil.Process(self._process.pid).children():
            with contextlib.suppress(psutil.Error):
                if COMMANDS[name] in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                    return int(child.pid)
        return None

    def _alive(self) -> None:
        assert self._process.poll() is None, "`slackwater up` ended:\n" + "\n".join(s[2] for s in self.said[-30:])

    def moment(self, name: str, text: str, after_s: float) -> float | None:
        """When a service first said `text` after a moment."""
        return next((at for at, who, line in list(self.said) if at > after_s and who == name and text in line), None)

    def run_ended(self, after_s: float) -> float | None:
        """When a batch run first ended well after a moment: it published, or nothing was new."""
        ends = [self.moment("batch", text, after_s) for text in (" published: ", "nothing is new")]
        return min((at for at in ends if at is not None), default=None)

    def stop(self) -> None:
        """SIGTERM: it stops its services and the broker."""
        self._process.terminate()
        self._process.wait(90)
        self._listener.join(10)

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                if line.startswith(b"{"):
                    said = json.loads(line)
                    self.said.append((time.monotonic(), said["service"], said["line"]))
