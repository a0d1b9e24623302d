"""The service on a real broker: the threads, the real reader of deltas, uvicorn, and an orderly end.

The same bytes as in the log in memory are appended to Kafka; their offsets are equal in fresh topics.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.broker import free_port
from serving.http.app import create_app
from serving.options import ServingOptions
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.names import TopicNames
from slackwater.log.topics import create_topics
from slackwater.streams.registry import STREAMS
from slackwater.views.registry import registered
from tests.serving_world import NAMES, NOON, SECOND, World

MINUTE = 60 * SECOND


class Mirror:
    """Copies what is new in a world's log to a Kafka cluster."""

    def __init__(self, world: World, servers: str, prefix: str) -> None:
        self.kafka, self.names = KafkaLog(servers), TopicNames(prefix)
        create_topics(self.kafka, self.names, STREAMS, world.partitions)
        # The topic's id stands in the keys of deltas and in the manifest.
        world.log._topic_ids[NAMES.topic("trades")] = self.kafka.topic_id(self.names.topic("trades"))
        self._world = world
        self._writer = self.kafka.writer()
        self._copied: dict[tuple[str, int], int] = {}

    def copy(self) -> None:
        for topic, to in (
            (NAMES.topic("trades"), self.names.topic("trades")),
            (NAMES.deltas("trades"), self.names.deltas("trades")),
        ):
            for p, partition in enumerate(self._world.log.topics[topic]):
                for offset in range(self._copied.get((topic, p), 0), partition.end):
                    record = partition.records[offset]
                    self._writer.append(to, p, record.key, record.value, record.headers)
                self._copied[topic, p] = partition.end
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, views=registered())
    found.log.now_ms = time.time_ns() // 1_000_000
    yield found
    found.close()


def until(condition: Callable[[], Any], deadline_s: float = 30.0) -> Any:
    """What `condition` gives once it is true."""
    ends = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < ends, "not within the deadline"
        time.sleep(0.01)
    return found


@pytest.mark.broker
def test_deltas_of_a_real_topic_are_answered_and_versions_followed(world: World, broker: str) -> None:
    mirror = Mirror(world, broker, "serving-threads")
    for at_s in (1, 2, 70):
        world.trade(at_s=at_s)
    cut = world.mark("run-1")
    world.trade(at_s=80)
    world.emit()
    mirror.copy()
    world.publish(cut, "run-1", topic_id=world.log.topic_id(NAMES.topic("trades")))
    world.app = create_app(mirror.kafka, mirror.names, world.store, options=ServingOptions())
    world.service.start()
    until(lambda: world.get("/health/ready").status_code == 200)
    assert world.bars("symbol=BTC")["bars"] == world.oracle().bars("x", "BTC", MINUTE)
    world.trade(at_s=3)
    world.emit()
    mirror.copy()
    found = until(lambda: (f := world.bars("symbol=BTC"))["meta"]["applied"]["1"] == 6 and f)
    assert found["bars"] == world.oracle().bars("x", "BTC", MINUTE)
    assert found["meta"]["version"] == 1
    cut = world.mark("run-2")
    world.emit()
    mirror.copy()
    world.publish(cut, "run-2", topic_id=world.log.topic_id(NAMES.topic("trades")))
    found = until(lambda: (f := world.bars("symbol=BTC"))["meta"]["version"] == 2 and f)
    assert found["bars"] == world.oracle().bars("x", "BTC", MINUTE)
    trades = world.get(f"/v1/trades?venue=x&symbol=BTC&start={NOON}&end={NOON + MINUTE}").json()["trades"]
    assert [trade["offset"] for trade in trades] == [0, 1, 5]
    mirror.close()


SERVE = """
import os
from serving.run import serve
from slackwater.core.settings import from_environ
serve(from_environ(os.environ))
"""


@pytest.mark.broker
def test_serve_runs_until_it_is_told_to_stop(world: World, broker: str) -> None:
    mirror = Mirror(world, broker, "serving-process")
    world.trade(at_s=1)
    world.emit()
    mirror.copy()
    mirror.close()
    port = free_port()
    facts = {
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "SLACKWATER_PREFIX": "serving-process",
        "SLACKWATER_HOME": str(world.store.home),
        "SLACKWATER_PORT": str(port),
        "SLACKWATER_ONLY_VIEWS": "bars",
    }
    process = subprocess.Popen([sys.executable, "-c", SERVE], env={**os.environ, **facts})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

            def ready() -> bool:
                try:
                    return client.get("/health/ready").status_code == 200
                except httpx.TransportError:
                    assert process.poll() is None
                    return False

            until(ready)
            bars = client.get("/v1/bars", params={"venue": "x", "symbol": "BTC"}).json()["bars"]
            assert bars == world.oracle().bars("x", "BTC", MINUTE)
            assert client.get("/v1/flow", params={"venue": "x", "symbol": "BTC"}).status_code == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait()
