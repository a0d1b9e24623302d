"""The latency budget: a sampled event carries its times to the service, and nothing that others write can break that.

clock   sent 0 s, appended +0.1 s, read +0.2 s ... each stage adds what the test lets pass
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.budget import Stage, budget_of, stages_in
from serving.status.budget import STAGES
from slackwater.log.log import Headers, Record, Slice
from slackwater.log.stages import SENT_HEADER, STAGES_HEADER, Sampler, Stages, sampled, stages_of
from slackwater.pipeline.coders import SegmentCoder
from slackwater.pipeline.segment import Segment, Slot
from slackwater.views.bars import BARS
from tests.hand import HandClock
from tests.serving_world import NAMES, World
from tests.speed_in_memory import Speed


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.close()


def passed(world: World) -> dict[str, Stage]:
    """Stage -> how many events passed it, and in how many seconds together."""
    found = stages_in(world.get("/metrics").text)
    assert set(found) == set(STAGES), "every stage is shown from the start"
    return {name: stage._replace(seconds=round(stage.seconds, 6)) for name, stage in found.items()}


def test_one_event_in_so_many_carries_its_time_whatever_the_records_hold() -> None:
    clock = HandClock()
    sampler = Sampler(clock, every=100)
    found = [bool(sampler.headers(events)) for events in [1, *[10] * 30]]
    assert found[0] and sum(found) == 4
    assert all(sum(found[at : at + 9]) <= 1 for at in range(len(found)))
    ((name, value),) = Sampler(clock).headers(1)
    assert (name, int(value)) == (SENT_HEADER, clock.now_us())


def test_a_sampled_event_is_seen_at_every_stage_of_its_way(world: World) -> None:
    speed = Speed(world.log, NAMES, world.store, world.views, world.clock)
    world.step()
    line = {"venue": "x", "symbol": "BTC", "trade_id": 1, "price": "1", "quantity": "1", "side": "buy"}
    sent_us = world.clock.now_us()
    value = json.dumps({**line, "time": sent_us}).encode()
    world.log.now_ms = sent_us // 1000 + 100
    world.log.append(NAMES.topic("trades"), 0, None, value, [(SENT_HEADER, b"%d" % sent_us)])
    world.clock.sleep(0.3)
    world.log.now_ms = world.clock.now_us() // 1000 + 50
    speed.step()
    assert passed(world)["fold"].events == 0
    world.clock.sleep(0.1)
    for live in world.service.lives.values():
        live.feed.step()
    found = passed(world)
    before = {"append": 0.1, "read": 0.2, "summarise": 0.0, "emit": 0.0, "append_delta": 0.05, "fold": 0.05}
    views = len(world.views)
    assert {stage: found[stage] for stage in before} == {
        stage: Stage(views, pytest.approx(views * seconds)) for stage, seconds in before.items()
    }
    assert found["answer"].events == 0
    world.clock.sleep(0.02)
    for _ in range(3):
        assert world.get(f"/v1/{BARS.name}?venue=x&symbol=BTC").status_code == 200
    assert passed(world)["answer"] == Stage(1, 0.02), "the first answer after it, no other"
    speed.close()


@pytest.mark.parametrize(
    "value", [b"", b"now", b"1,2", b"1,2,3,4,5,6,7", b"1,2,3,4,5,-6", b"9" * 300, b"1,2,3,4,5," + b"9" * 19]
)
def test_headers_that_somebody_else_wrote_say_nothing(value: bytes) -> None:
    assert stages_of([(STAGES_HEADER, value)]) is None
    one = b"" if value.isdigit() else value
    record = Record(0, 0, None, b"{}", [(SENT_HEADER, one)])
    assert sampled(Slice(0, 0, 1, [record]), 1) is None


def test_the_last_sampled_event_of_a_slice_is_taken_and_its_times_pass_a_worker_of_another_process() -> None:
    headers: list[Headers] = [[(SENT_HEADER, b"5")], [(SENT_HEADER, b"7")], ()]
    records = [Record(at, 2, None, b"{}", some) for at, some in enumerate(headers)]
    found = sampled(Slice(0, 0, 3, records), 3_000)
    assert found == Stages(1, 7, 2_000, 3_000)
    assert stages_of(found.headers()) == found
    slot = Slot("trades", "id", 0, 0, 3, False, 0, stages=tuple(found))
    again = SegmentCoder().decode(SegmentCoder().encode(Segment(slot, None, ("a",))))
    assert again.slot == slot


def test_the_benchmarks_budget_is_the_mean_of_what_passed_within_the_span() -> None:
    before = {"append": Stage(2, 0.5), "read": Stage(1, 0.1)}
    after = {"append": Stage(6, 0.9), "read": Stage(1, 0.1), "fold": Stage(2, 0.004)}
    assert budget_of(before, after) == {
        "append": {"mean_ms": 100.0, "count": 4},
        "fold": {"mean_ms": 2.0, "count": 2},
    }
