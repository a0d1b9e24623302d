"""The health checks, on a log in memory and a clock that the test turns; with real services in test_compose.py."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lesson.memory_log import MemoryLog
from ops import health
from slackwater.deltas.cell import Cell, delta_key_of, encode_key, encode_value
from slackwater.log.mark import MARK_HEADER
from slackwater.log.names import TopicNames
from slackwater.streams.trades import TRADES
from slackwater.versions.idle import note_idle
from slackwater.versions.manifest import empty_manifest
from slackwater.versions.store import VersionStore
from slackwater.views.registry import VIEWS

NAMES = TopicNames()
MARK = [(MARK_HEADER, b"run")]
START_US = 1_700_000_000_000_000


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_us(self) -> int:
        return START_US + int(self.seconds * 1_000_000)

    def elapsed_s(self) -> float:
        self.seconds += 1.0
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def log() -> MemoryLog:
    """Two partitions, empty."""
    log = MemoryLog()
    log.create(NAMES.topic("trades"), 2)
    log.create(NAMES.deltas("trades"), 2)
    return log


def publish(log: MemoryLog, partition: int, upto: int, topic_id: str | None = None) -> None:
    """Append the delta of an open cell [0, upto)."""
    cell = Cell(delta_key_of(VIEWS[0], topic_id or log.topic_id(NAMES.topic("trades")), partition), 0, upto, ())
    log.append(NAMES.deltas("trades"), partition, encode_key(cell, sealed=False), encode_value(cell))


def test_speed_is_healthy_on_an_empty_log(log: MemoryLog) -> None:
    assert health.speed(log, NAMES, VIEWS, Clock()) == ""


def test_speed_is_healthy_when_the_deltas_reach_the_end_of_every_partition(log: MemoryLog) -> None:
    for offset in range(3):
        log.append(NAMES.topic("trades"), 0, b"k", b"%d" % offset)
        publish(log, 0, offset + 1)
    assert health.speed(log, NAMES, VIEWS, Clock()) == ""
    log.append(NAMES.topic("trades"), 1, None, b"", MARK)
    assert "{1: 1}" in health.speed(log, NAMES, VIEWS, Clock())
    publish(log, 1, 1)
    assert health.speed(log, NAMES, VIEWS, Clock()) == ""


def test_speed_is_not_healthy_for_deltas_of_another_topic_or_of_no_cell(log: MemoryLog) -> None:
    log.append(NAMES.topic("trades"), 0, b"k", b"v")
    publish(log, 0, 1, topic_id="the topic before")
    assert "{0: 1}" in health.speed(log, NAMES, VIEWS, Clock())
    log.append(NAMES.deltas("trades"), 0, b"no key", b"no value")
    assert "{0: 1}" in health.speed(log, NAMES, VIEWS, Clock())


def test_ingest_is_healthy_when_an_event_comes_and_not_by_a_mark(log: MemoryLog) -> None:
    class Growing(Clock):
        value = b""

        def elapsed_s(self) -> float:
            log.append(NAMES.topic("trades"), 1, None, self.value, MARK)
            return super().elapsed_s()

    marks, events = Growing(), Growing()
    events.value = b"event"
    assert health.ingest(log, NAMES, [TRADES], events) == ""
    assert "No event" in health.ingest(log, NAMES, [TRADES], marks)
    assert "No event" in health.ingest(log, NAMES, [TRADES], Clock())


def test_batch_is_healthy_while_its_version_is_young(tmp_path: Path) -> None:
    store, clock = VersionStore(tmp_path), Clock()
    assert health.batch(store, 30, clock) == "No version is published yet."
    store.publish(replace(empty_manifest({}), version=store.reserve(), created_us=START_US))
    clock.seconds = 150.0
    assert health.batch(store, 30, clock) == ""
    clock.seconds = 151.0
    assert health.batch(store, 30, clock) == "The last run that ended well was 151 s ago; 150 s are allowed."


def test_batch_is_healthy_while_runs_find_nothing_new(tmp_path: Path) -> None:
    store, clock = VersionStore(tmp_path), Clock()
    (tmp_path / "versions").mkdir()
    note_idle(store, 0, START_US)
    assert health.batch(store, 30, clock) == ""
    store.publish(replace(empty_manifest({}), version=store.reserve(), created_us=START_US))
    clock.seconds = 100_000.0
    note_idle(store, 1, clock.now_us())
    clock.seconds += 150.0
    assert health.batch(store, 30, clock) == ""
    clock.seconds += 1.0
    assert "The last run that ended well was 151 s ago" in health.batch(store, 30, clock)
    (tmp_path / "versions" / "idle.json").write_text("torn")
    assert "The last run that ended well was 100151 s ago" in health.batch(store, 30, clock)


def test_serving_is_not_healthy_without_an_answer() -> None:
    assert health.serving("http://127.0.0.1:9").startswith("No answer from http://127.0.0.1:9")


def test_the_exit_code_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"SLACKWATER_HOME": str(tmp_path)}
    assert health.main(["batch"], environ) == 1
    assert "No version is published yet." in capsys.readouterr().out
    assert health.main(["kafka"], environ) == 1
    assert health.main(["batch"], {"SLACKWATER_PORT": "x"}) == 1


def test_a_check_imports_no_beam() -> None:
    script = "import sys, ops.health; sys.exit('apache_beam' in sys.modules)"
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, timeout=120, check=False).returncode == 0
