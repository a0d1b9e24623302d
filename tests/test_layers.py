"""The state of each layer, as `/health/ready` tells it: the speed layer is known by its silence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.status.layers import SILENT_S
from slackwater.streams.schema import GRID
from tests.serving_world import NAMES, SECOND, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, partitions=1)
    yield world
    world.close()


def layers(world: World) -> dict[str, Any]:
    """What is told after the next look."""
    world.step()
    found: dict[str, Any] = world.get("/health/ready").json()["layers"]
    return found


def test_all_are_up_while_deltas_come(world: World) -> None:
    world.trade()
    cut = world.mark("run-1")
    world.publish(cut, "run-1")
    world.emit()
    found = layers(world)
    assert {name: layer["state"] for name, layer in found.items()} == dict.fromkeys(found, "up")
    assert list(found) == ["log", "speed", "batch", "serving"]
    assert {layer["since"] for layer in found.values()} == {None}
    assert (found["speed"]["applied"], found["speed"]["lag"]) == (2, 0)


def test_silence_with_records_to_apply_is_a_layer_that_is_down_since_it_was_heard(world: World) -> None:
    world.trade()
    world.emit()
    assert layers(world)["speed"]["state"] == "up"
    heard_us = world.clock.now_us()
    world.trade()
    world.trade()
    assert layers(world)["speed"]["state"] == "up", "a second of silence says nothing"
    world.clock.sleep(SILENT_S)
    speed = layers(world)["speed"]
    assert (speed["state"], speed["since"], speed["lag"]) == ("down", heard_us, 2)
    assert "2 records" in speed["text"]
    world.emit()
    assert layers(world)["speed"] == {
        "state": "up",
        "text": "Everything is applied.",
        "since": None,
        "lag": 0,
        "applied": 3,
    }


def test_silence_with_nothing_to_apply_is_only_suspicious(world: World) -> None:
    world.trade()
    world.emit()
    layers(world)
    world.clock.sleep(SILENT_S)
    assert layers(world)["speed"]["state"] == "degraded"


def test_a_worker_with_no_open_cell_has_nothing_to_say(world: World) -> None:
    for _ in range(GRID):
        world.trade()
    world.emit()
    layers(world)
    world.clock.sleep(10 * SILENT_S)
    assert layers(world)["speed"]["state"] == "up"


def test_a_log_out_of_reach_is_down_since_then(world: World) -> None:
    world.trade()
    world.emit()
    layers(world)
    world.log.down = True
    log = layers(world)["log"]
    began_us = world.clock.now_us()
    assert (log["state"], log["since"]) == ("down", began_us)
    assert layers(world)["log"]["since"] == began_us
    world.log.down = False
    assert layers(world)["log"]["since"] is None


def test_a_topic_created_again_takes_the_speed_layer_out(world: World) -> None:
    world.trade()
    world.publish(world.mark("run-1"), "run-1")
    world.emit()
    layers(world)
    world.log.create(NAMES.topic("trades"), 1)
    world.clock.sleep(10)
    found = layers(world)
    assert (found["speed"]["state"], found["serving"]["state"]) == ("down", "degraded")
    assert found["speed"]["since"] > world.clock.now_us() - 2 * SECOND


def test_nothing_published_is_said(world: World) -> None:
    assert layers(world)["batch"]["text"] == "No version is published yet."
