"""API keys: hashed at rest, shown once, refused alike whatever is wrong; and the one route that needs one."""

import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from ops.cli import main
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import SCOPES, KeyRefusedError, KeyStore
from slackwater.versions.errors import RecordError
from tests.serving_world import FakeClock, World

BODY = b'{"reason": "wrong notional"}'


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Versions 1 and 2, of which 2 is served."""
    made = World(tmp_path)
    for n in (1, 2):
        made.trade(price=str(100 * n))
        cut = made.mark(f"run-{n}")
        made.publish(cut, f"run-{n}")
    made.emit()
    made.step()
    made.step()
    yield made
    made.close()


def post(
    world: World, version: object = 1, headers: list[tuple[str, str]] | None = None, body: bytes = BODY, query: str = ""
) -> httpx.Response:
    return world.post(f"/v1/versions/{version}/rollback{query}", body, headers or [])


def bearer(text: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {text}")]


# The store


def test_a_key_is_found_by_its_text_alone_and_only_its_hash_is_kept(keys: KeyStore, tmp_path: Path) -> None:
    made, text = keys.create("alice", "admin", 5)
    find = KeyRing(tmp_path, FakeClock()).find
    assert find(text.encode()) == made
    file = tmp_path / "keys.json"
    assert text not in file.read_text() and text.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for wrong in ("", text[:-1], text + "x", text[:-1] + ("a" if text[-1] != "a" else "b"), text.upper(), made.sha256):
        assert find(wrong.encode()) is None


def test_an_admin_may_do_all_and_the_others_one_thing_each(keys: KeyStore) -> None:
    made = [keys.create(scope, scope, 1)[0] for scope in SCOPES]
    may = {key.scope: [scope for scope in SCOPES if key.may(scope)] for key in made}
    assert may == {"read": ["read"], "write": ["write"], "admin": ["read", "write", "admin"]}


def test_a_revoked_key_is_none_and_its_name_is_free_again(keys: KeyStore, tmp_path: Path) -> None:
    _, text = keys.create("alice", "admin", 1)
    with pytest.raises(KeyRefusedError, match="already"):
        keys.create("alice", "read", 2)
    assert keys.revoke("alice", 3).revoked_us == 3
    assert KeyRing(tmp_path, FakeClock()).find(text.encode()) is None
    with pytest.raises(KeyRefusedError, match="No key"):
        keys.revoke("alice", 4)
    again, _ = keys.create("alice", "read", 5)
    assert keys.revoke(again.id, 6).id == again.id
    assert [key.revoked_us for key in keys.all()] == [3, 6]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 81, "a\x00"])
def test_a_name_that_is_none_is_refused(keys: KeyStore, name: str) -> None:
    with pytest.raises(KeyRefusedError):
        keys.create(name, "read", 1)


def test_a_torn_file_of_keys_lets_nobody_in_and_is_not_overwritten(keys: KeyStore, tmp_path: Path) -> None:
    _, text = keys.create("alice", "admin", 1)
    file = tmp_path / "keys.json"
    torn = file.read_bytes().replace(b"alice", b"malis")
    file.write_bytes(torn)
    with pytest.raises(RecordError):
        KeyRing(tmp_path, FakeClock()).find(text.encode())
    with pytest.raises(RecordError):
        keys.create("bob", "admin", 1)
    assert file.read_bytes() == torn


def test_the_commands_make_list_and_revoke(tmp_path: Path) -> None:
    def run(*words: str) -> dict[str, object]:
        done = CliRunner().invoke(main, ["--home", str(tmp_path), "key", *words, "--json"])
        assert done.exit_code == 0, done.output
        found: dict[str, object] = json.loads(done.stdout)
        return found

    made = run("create", "--scope", "admin", "--name", "alice")
    found = KeyRing(tmp_path, FakeClock()).find(str(made["key"]).encode())
    assert found is not None and (found.name, found.rate) == ("alice", "")
    listed = run("list")
    assert str(made["key"]) not in json.dumps(listed)
    assert run("revoke", "alice")["id"] == found.id
    assert KeyRing(tmp_path, FakeClock()).find(str(made["key"]).encode()) is None
    assert run("create", "--scope", "write", "--name", "feed")["scope"] == "write"
    assert run("create", "--scope", "read", "--name", "desk", "--rate-limit", "5/second")["rate_limit"] == "5/second"
    wrong = ["--home", str(tmp_path), "key", "create", "--scope", "read", "--name", "x", "--rate-limit", "5"]
    assert CliRunner().invoke(main, wrong).exit_code == 2


# The route


def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    keys = KeyStore(world.store.home)
    _, good = keys.create("alice", "admin", 1)
    _, revoked = keys.create("bob", "admin", 1)
    keys.revoke("bob", 2)
    prefix = good[: len("slackwater_") + 12]
    tries = [
        ([], ""),
        (bearer("nonsense"), ""),
        (bearer(f"{prefix}_{'A' * 43}"), ""),
        (bearer(revoked), ""),
        (bearer("x" * 10_000), ""),
        (bearer(good + "x" * 300), ""),
        (bearer(good) + bearer(good), ""),
        ([("Authorization", good)], ""),
        ([("Authorization", f"Basic {good}")], ""),
        ([("X-Api-Key", good)], ""),
        ([], f"?key={good}"),
        ([], f"?{good}"),
    ]
    answers = [post(world, headers=headers, query=query) for headers, query in tries]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer realm="slackwater"'}
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    logged = "".join(record.getMessage() for record in caplog.records if record.name != "httpx")  # that is the client
    everything = logged + "".join(answer.text for answer in answers) + world.get("/metrics").text
    for secret in (good, revoked, good.split("_", 2)[2]):
        assert secret not in everything
    assert world.store.pointer().version == 2


def test_a_key_of_another_scope_is_told_so(world: World) -> None:
    _, text = KeyStore(world.store.home).create("bob", "read", 1)
    answer = post(world, headers=bearer(text))
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:slackwater:problem:forbidden")
    assert 'scope="admin"' in answer.headers["www-authenticate"]
    assert world.store.pointer().version == 2


def test_an_admin_rolls_back_and_forward_and_every_answer_stands_on_what_it_says(world: World) -> None:
    _, text = KeyStore(world.store.home).create("alice", "admin", 1)
    before = world.bars("symbol=BTC&interval=1m")
    answer = post(world, headers=bearer(text))
    assert answer.status_code == 200
    assert {**answer.json(), "at": 0} == {
        "move": 1,
        "from": 2,
        "to": 1,
        "at": 0,
        "by": "key alice",
        "reason": "wrong notional",
        "restated": {},
        "incomplete_reason": "",
        "served": 2,
    }
    world.step()
    after = world.bars("symbol=BTC&interval=1m")
    assert after["meta"]["version"] == 1
    assert after["bars"] == before["bars"]  # the cells above the older cut give the rest, at once
    assert world.get("/health/ready").status_code == 200
    listed = world.get("/v1/versions").json()
    assert [(v["version"], v["state"]) for v in listed["versions"]] == [(2, "rolled back"), (1, "current")]
    assert [(m["from"], m["to"], m["by"], m["reason"]) for m in listed["rollbacks"]] == [
        (2, 1, "key alice", "wrong notional")
    ]
    assert post(world, 2, headers=bearer(text)).status_code == 200
    world.step()
    assert world.bars("symbol=BTC&interval=1m")["meta"]["version"] == 2


@pytest.mark.parametrize(
    ("version", "status", "kind"),
    [
        (2, 409, "rollback-refused"),
        (0, 409, "rollback-refused"),
        (9, 404, "unknown-version"),
        ("x", 404, "unknown-version"),
    ],
)
def test_what_the_pointer_cannot_go_to_is_a_problem(world: World, version: object, status: int, kind: str) -> None:
    _, text = KeyStore(world.store.home).create("alice", "admin", 1)
    answer = post(world, version, bearer(text))
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)
    assert world.store.pointer().version == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"reason": ""}', 422),
        (b'{"reason": 7}', 422),
        (b'{"reason": "a", "x": 1}', 422),
        (b'{"reason": "a\\u0000b"}', 422),
        (b"[" * 4000, 422),
        (b'{"reason": "' + b"x" * 501 + b'"}', 422),
        (b"x" * 4097, 413),
        (b"\xff", 422),
    ],
)
def test_a_body_that_is_no_reason_is_refused(world: World, body: bytes, status: int) -> None:
    _, text = KeyStore(world.store.home).create("alice", "admin", 1)
    assert post(world, headers=bearer(text), body=body).status_code == status
    assert world.store.pointer().version == 2


def test_a_query_beside_a_good_key_is_refused(world: World) -> None:
    _, text = KeyStore(world.store.home).create("alice", "admin", 1)
    assert post(world, headers=bearer(text), query="?reason=x").status_code == 422
    assert world.store.pointer().version == 2


def test_the_document_says_that_the_route_needs_a_key(world: World) -> None:
    document = world.app.openapi()
    route = document["paths"]["/v1/versions/{version}/rollback"]["post"]
    assert route["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
