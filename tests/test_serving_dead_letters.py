"""`GET /v1/dead-letters`: the letters of the topic, to a key of the scope admin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from slackwater.keys.keys import KeyStore, Scope
from slackwater.log.dead_letter import TAKEN, DeadLetter, send, settle
from tests.serving_world import NAMES, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.log.create(NAMES.dead_letters, 1)
    yield made
    made.close()


def letter(n: int, reason: str = "not-json", source: str = "a.csv", **more: Any) -> DeadLetter:
    return DeadLetter("trades", source, f"line {n}", reason, "no", 1_000_000 * n, b"{%d\xff" % n, **more)


def ask(world: World, query: str = "", scope: Scope = "admin") -> httpx.Response:
    name = f"{scope} {len(KeyStore(world.store.home).all())}"
    _, text = KeyStore(world.store.home).create(name, scope, 1)
    return world.get(f"/v1/dead-letters{query}", {"Authorization": f"Bearer {text}"})


def positions(world: World, query: str) -> list[str]:
    return [each["position"] for each in ask(world, query).json()["letters"]]


def test_letters_are_shown_once_each_with_their_place_reason_and_bytes(world: World) -> None:
    writer = world.log.writer()
    for each in (letter(1), letter(2, "conflict"), letter(3, source="b.csv"), letter(1), letter(4)):
        send(writer, NAMES.dead_letters, each).offset()
    settle(writer, NAMES.dead_letters, letter(4), TAKEN, 9).offset()
    found = ask(world).json()
    document = world.get("/openapi.json").json()
    schema = document["paths"]["/v1/dead-letters"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": document["components"]}).validate(found)
    assert not found["more"]
    assert [(each["position"], each["times"], each["settled"]) for each in found["letters"]] == [
        ("line 2", 1, ""),
        ("line 3", 1, ""),
        ("line 1", 2, ""),
    ]
    shown = found["letters"][-1]
    assert (shown["text"], shown["length"], shown["time"], shown["error"]) == ("{1\\xff", 3, 1_000_000, "no")
    assert positions(world, "?reason=conflict") == ["line 2"]
    assert positions(world, "?source=b.&stream=trades") == ["line 3"]
    assert positions(world, "?start=1970-01-01T00:00:02Z&end=1970-01-01T00:00:03Z") == ["line 2"]
    assert positions(world, "?settled=true&reason=not-json") == ["line 3", "line 1", "line 4"]
    limited = ask(world, "?limit=2").json()
    assert (len(limited["letters"]), limited["more"]) == (2, True)


def test_an_admin_alone_sees_them_also_on_loopback(world: World) -> None:
    assert world.get("/v1/dead-letters").status_code == 401
    assert [ask(world, scope=scope).status_code for scope in ("read", "write", "admin")] == [403, 403, 200]


@pytest.mark.parametrize("query", ["?start=3&end=3", "?limit=0", "?limit=1001", "?other=1", f"?source={'x' * 201}"])
def test_what_cannot_be_asked_is_refused(world: World, query: str) -> None:
    assert ask(world, query).status_code == 422


def test_without_the_topic_it_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    found = ask(world)
    assert (found.status_code, found.json()["type"]) == (503, "urn:slackwater:problem:log")
    world.close()
