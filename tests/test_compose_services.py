"""docker-compose.yml's own command lines and health checks, run: each service as a process, on a real broker.

Not here: what the file says (`test_compose.py`), images and containers, which need an engine.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ops.broker import free_port
from ops.health import CHECKS
from tests import forked
from tests.test_compose import ROOT, load, own

WAIT_S = 120
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


class Processes:
    """The file's services as plain processes of this machine, with a broker, a home and a port of the test."""

    def __init__(self, exits: ExitStack, kafka: str, home: Path) -> None:
        own_settings = {"SLACKWATER_BATCH_SECONDS": "5", "SLACKWATER_PREFIX": f"compose-{uuid.uuid4().hex[:8]}"}
        self.services = own(load(own_settings))
        self._exits = exits
        self._home = home
        self._running: dict[str, forked.Program] = {}
        self._instead = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "SLACKWATER_HOME": str(home / "home"),
            "SLACKWATER_HOST": "127.0.0.1",
            "SLACKWATER_PORT": str(free_port()),
            "SLACKWATER_SPEED_METRICS_PORT": str(free_port()),
            "SLACKWATER_INGEST_METRICS_PORT": str(free_port()),
            "SLACKWATER_INGEST_PORT": str(port := free_port()),
            "SLACKWATER_INGEST_URL": f"http://127.0.0.1:{port}",
        }

    def environ(self, name: str) -> dict[str, str]:
        return {**os.environ, **self.services[name]["environment"], **self._instead}

    def run(self, name: str) -> int:
        return forked.call(*self.services[name]["command"], environ=self.environ(name)).returncode

    def start(self, name: str) -> None:
        words = tuple(self.services[name]["command"])
        self._running[name] = forked.Program(words, self.environ(name), self._home / f"{name}.log")
        self._exits.callback(self._running[name].stop)

    def stop(self, name: str) -> None:
        self._running[name].stop()

    def healthy(self, name: str) -> bool:
        """What the file's own health check says."""
        python, *arguments = self.services[name]["healthcheck"]["test"][1:]
        assert python == "python"
        command = [sys.executable, *arguments]
        run = subprocess.run(
            command, cwd=ROOT, env=self.environ(name), capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in run.stderr, run.stderr
        return run.returncode == 0

    def figures(self, name: str) -> dict[str, float]:
        """What the service shows to Prometheus: sample -> the sum over its labels."""
        environ, setting = self.environ(name), {"serving": "SLACKWATER_PORT", "intake": "SLACKWATER_INGEST_PORT"}
        port = environ[setting.get(name, f"SLACKWATER_{name.upper()}_METRICS_PORT")]
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(text):
            assert family.name.startswith("python_") or f"`{family.name}" in METRICS, family.name
            for sample in family.samples:
                found[sample.name] += sample.value  # type: ignore[assignment]
        return dict(found)

    def logged(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log that are JSON."""
        lines = (self._home / f"{name}.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait(self, names: set[str], healthy: bool) -> None:
        """Until each was seen healthy, or not healthy, once."""
        deadline = time.monotonic() + WAIT_S
        while names:
            assert time.monotonic() < deadline, f"{names} healthy: {not healthy}"
            names = {name for name in names if self.healthy(name) is not healthy}


@pytest.fixture
def processes(broker: str, tmp_path: Path) -> Iterator[Processes]:
    with ExitStack() as exits:
        yield Processes(exits, broker, tmp_path)


@pytest.mark.broker
@pytest.mark.crash
@pytest.mark.timeout(600)
def test_the_services_become_healthy_and_cease_to_be(processes: Processes) -> None:
    assert processes.run("topics") == 0
    for name in CHECKS:
        assert not processes.healthy(name) or name == "speed", name  # an empty log is behind nothing
        processes.start(name)
    processes.wait({*CHECKS}, healthy=True)
    serving, speed, ingest = (processes.figures(name) for name in ("serving", "speed", "intake"))
    assert serving["slackwater_end_to_end_latency_seconds_count"] > 0 < serving["slackwater_speed_latency_seconds_sum"]
    assert speed["slackwater_speed_records_total"] > 0 < speed["slackwater_speed_position_offset"]
    assert ingest["slackwater_ingest_events_total"] > 0 < ingest["process_resident_memory_bytes"]
    assert any(
        line["logger"] == "speed_layer.stream_worker" and line["level"] == "INFO" for line in processes.logged("speed")
    )
    # Speed first: without new trades there is nothing that it could leave undone. A batch run's marks are no trades.
    for name in ("speed", "ingest", "intake", "serving"):
        processes.stop(name)
        processes.wait({name}, healthy=False)
