"""What the service says of a hand-off's proof: the route, readiness, answers, metrics; forced and refuted versions."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from slackwater.versions.handoff import handoff_path, write_handoff
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Difference, Forced, Proof, Span
from tests.serving_world import World

SPANS = (Span("trades", 0, 0, 3, 2, 0, 1), Span("trades", 1, 0, 1, 0, 0, 1))
EQUAL = Proof("equal", "", spans=SPANS, compared=9)
OPEN = Proof("unproven", "The speed layer is behind.", spans=SPANS)
DIFFERENT = replace(
    EQUAL,
    outcome="different",
    reason="1 of 9 states differ.",
    differ=1,
    first=(Difference("bars", "1s", 0, ("x", "BTC"), 7, "close", "1", "2"),),
)
FORCED = replace(DIFFERENT, forced=Forced("somebody", "the delta is wrong"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def publish(world: World, proof: Proof, **changes: Any) -> Manifest:
    world.trade()
    run_id = f"run-{len(world.store.numbers()) + 1}"
    cut = world.mark(run_id)
    world.trade()
    world.emit()
    manifest = world.publish(cut, run_id, proof=proof, **changes)
    world.step()
    world.step()
    return manifest


def ready(world: World) -> tuple[int, Any]:
    response = world.get("/health/ready")
    return response.status_code, response.json()


def handoff(world: World, version: int) -> Any:
    response = world.get(f"/v1/versions/{version}/handoff")
    assert response.status_code == 200, response.text
    document = world.get("/openapi.json").json()
    operation = document["paths"]["/v1/versions/{version}/handoff"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(response.json(), {**schema, "components": document["components"]})
    return response.json()


def test_the_route_gives_the_whole_proof(world: World) -> None:
    publish(world, EQUAL)
    found = handoff(world, 1)
    assert (found["version"], found["published"], found["parent"], found["run_id"]) == (1, True, 0, "run-1")
    assert (found["outcome"], found["records"], found["gap"], found["overlap"]) == ("equal", 4, 0, 0)
    assert found["spans"] == [asdict(span) for span in SPANS]
    assert ready(world)[1]["proof"]["records"] == 4
    summary = world.get("/v1/versions").json()["versions"][0]["proof"]
    assert (summary["outcome"], summary["compared"], summary["differ"], summary["forced"]) == ("equal", 9, 0, None)


@pytest.mark.parametrize("version", ["0", "2", "x", "-1", "1e3", "99999999999"])
def test_an_unknown_version_is_a_problem(world: World, version: str) -> None:
    publish(world, EQUAL)
    response = world.get(f"/v1/versions/{version}/handoff")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:slackwater:problem:unknown-version"
    assert world.get("/v1/versions/1/handoff?x=1").status_code == 422


def test_a_run_whose_proof_failed_shows_it_though_nothing_was_published(world: World) -> None:
    publish(world, EQUAL)
    assert world.store.reserve() == 2
    write_handoff(world.store, 2, "run-2", {"trades": DIFFERENT})
    found = handoff(world, 2)
    assert (found["published"], found["parent"], found["outcome"]) == (False, None, "different")
    assert found["first"] == [{**asdict(DIFFERENT.first[0]), "key": ["x", "BTC"]}]
    assert ready(world)[0] == 200
    handoff_path(world.store, 2).write_bytes(b"{")
    assert world.get("/v1/versions/2/handoff").status_code == 503


def test_an_unproven_version_is_served_and_shown_and_proven_later(world: World) -> None:
    manifest = publish(world, OPEN)
    status, facts = ready(world)
    assert (status, facts["proof"]["outcome"], facts["proof"]["reason"]) == (200, "unproven", OPEN.reason)
    assert 'slackwater_handoff{outcome="unproven"} 1.0' in world.get("/metrics").text
    write_handoff(world.store, 1, manifest.run_id, {"trades": EQUAL})
    world.step()
    status, facts = ready(world)
    assert (status, facts["proof"]["outcome"]) == (200, "equal")
    assert handoff(world, 1)["outcome"] == "equal"
    assert world.get("/v1/versions").json()["versions"][0]["proof"]["outcome"] == "equal"
    assert 'slackwater_handoff{outcome="equal"} 1.0' in world.get("/metrics").text


def test_a_version_that_is_different_later_stays_served_with_an_alarm(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = publish(world, OPEN)
    write_handoff(world.store, 1, manifest.run_id, {"trades": DIFFERENT})
    world.step()
    status, facts = ready(world)
    assert (status, facts["version"], facts["proof"]["outcome"]) == (503, 1, "different")
    (reason,) = facts["reasons"]
    assert reason.startswith("Alarm: Version 1 was published unproven and is different. 1 of 9 states differ.")
    assert "bars 1s x:BTC at 7: close expected 1, found 2" in reason
    assert caplog.text.count("Alarm: Version 1") == 1
    assert world.bars("symbol=BTC&interval=1m&limit=1")["bars"]

    publish(world, EQUAL, parts=manifest.parts)
    status, facts = ready(world)
    assert (status, facts["version"], facts["proof"]["outcome"]) == (503, 2, "equal")
    assert "Version 1, which version 2 stands on," in facts["reasons"][0]
    publish(world, EQUAL)
    assert ready(world)[0] == 200, "nothing of version 1 is in a version that made its parts again"
    publish(world, EQUAL, parts=manifest.parts)
    assert ready(world)[0] == 503
    publish(world, replace(EQUAL, forced=Forced("somebody", "it is right")))
    publish(world, EQUAL)
    assert ready(world)[0] == 200, "who forced took it on"


def test_a_forced_version_is_served_through_the_pointer_and_says_so_everywhere(world: World) -> None:
    publish(world, EQUAL)
    publish(world, FORCED)
    status, facts = ready(world)
    said = "Version 2 was published by force, its proof says different. somebody: the delta is wrong"
    assert (status, facts["version"], facts["reasons"]) == (503, 2, [said])
    assert facts["proof"]["forced"] == {"by": "somebody", "reason": "the delta is wrong"}
    about = world.bars("symbol=BTC&interval=1m&limit=1")["meta"]
    assert (about["version"], about["refusal"], about["layer"]) == (2, said, "merged")
    assert [v["version"] for v in world.get("/v1/versions").json()["versions"]] == [2, 1]
    assert "slackwater_handoff_forced 1.0" in world.get("/metrics").text
    publish(world, EQUAL)
    assert ready(world) == (200, {**ready(world)[1], "reasons": [], "version": 3})
    world.store.manifest_path(3).unlink()
    world.step(11)
    assert ready(world)[1]["version"] == 1, "it never takes another's place"


def test_a_version_that_differs_and_was_not_forced_is_never_served(world: World) -> None:
    publish(world, EQUAL)
    publish(world, DIFFERENT)
    status, facts = ready(world)
    assert (status, facts["version"]) == (503, 1)
    assert facts["reasons"] == ["Version 2 is not served: the proof of its hand-off failed."]


def test_what_turned_out_different_does_not_take_anothers_place(world: World) -> None:
    publish(world, EQUAL)
    second = publish(world, OPEN)
    publish(world, EQUAL)
    write_handoff(world.store, 2, second.run_id, {"trades": DIFFERENT})
    world.store.manifest_path(3).unlink()
    world.step(11)
    assert ready(world)[1]["version"] == 1
