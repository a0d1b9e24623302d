"""Rollback and expiry under a server that answers all the while: exact, or said to be less.

    versions   1 --- 2 --- 3       rolled back from 3 to 1: 2 and 3 are withdrawn
                \\
                 4 --- 5            what is published after that; nobody falls back on 2 or 3
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch_layer.expire import expire
from ops.cli import main
from slackwater.context import Context
from slackwater.versions.errors import RecordError, RetiredVersionError, RollbackError
from slackwater.versions.proof import Forced, Proof
from slackwater.versions.rollback import rollback
from slackwater.versions.store import VersionStore
from tests.serving_world import NAMES, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    for _ in range(3):
        version(made)
    made.step()
    made.step()
    yield made
    made.close()


def version(world: World, outcome: str = "equal") -> int:
    """Trades, a mark and a version; the cells, too."""
    number = max(world.store.numbers(), default=0) + 1
    start = {p: b.end for p, b in world.log.bounds(NAMES.deltas("trades")).items()}
    for n in range(3):
        world.trade(at_s=60 * number + n, price=str(100 * number + n))
    cut = world.mark(f"run-{number}")
    proof = Proof(outcome, "", forced=Forced("me", "why") if outcome == "different" else None)  # type: ignore[arg-type]
    world.publish(cut, f"run-{number}", proof=proof, delta_start=start)
    world.trade(at_s=60 * number + 5, price="7")
    world.emit()
    return number


def back(world: World, number: int) -> None:
    rollback(world.store, number, "wrong", "test", world.clock.now_us)


def served(world: World) -> int:
    """The version of an answer that equals the oracle at its own positions."""
    found = world.bars("symbol=BTC&interval=1m&limit=1000")
    about = found["meta"]
    oracle = world.oracle({int(p): at for p, at in about["applied"].items()})
    bars = [{**bar, "closed": None} for bar in found["bars"]]
    assert bars == [{**bar, "closed": None} for bar in oracle.bars("x", "BTC", 60_000_000)]
    number: int = about["version"]
    return number


def refusal(world: World) -> str:
    text: str = world.bars("symbol=BTC&interval=1m")["meta"].get("refusal", "")
    return text


def damage(world: World, number: int) -> None:
    for file in world.store.manifest(number).parts:
        path = world.store.home / file.file.path
        path.write_bytes(path.read_bytes()[:-1])


def test_after_a_rollback_answers_stand_on_the_older_version_and_are_exact_at_once(world: World) -> None:
    assert served(world) == 3
    newest = world.bars("symbol=BTC&interval=1m")
    back(world, 1)
    world.step()
    assert served(world) == 1
    assert refusal(world) == ""
    older = world.bars("symbol=BTC&interval=1m")
    assert (older["bars"], older["meta"]["applied"]) == (newest["bars"], newest["meta"]["applied"])
    world.serve()  # a server that starts now finds the cells of the older version, too
    world.step()
    world.step()
    assert served(world) == 1
    assert world.bars("symbol=BTC&interval=1m")["meta"]["complete"]


def test_a_server_that_kept_fewer_cells_reads_them_again_and_is_not_ready_before(world: World) -> None:
    for _ in range(6):  # more than a server keeps snapshots of: the cells of version 1 are dropped
        version(world)
        world.step()
    back(world, 1)
    world.service.watch.step()
    assert not world.service.readiness.check().ready
    found = world.bars("symbol=BTC&interval=1m")["meta"]
    assert not found["complete"] or found["applied"] == found["cut"]
    served(world)
    world.step()
    assert served(world) == 1
    assert world.service.readiness.check().ready


def test_no_server_falls_back_on_what_was_rolled_back_from(world: World) -> None:
    back(world, 1)
    assert [version(world), version(world)] == [4, 5]
    assert world.store.withdrawn() == {2, 3}
    damage(world, 5)
    world.step()
    assert served(world) == 4
    damage(world, 4)
    world.step(11)
    assert served(world) == 1
    assert "Version 5" in refusal(world) and "Version 4" in refusal(world)


def test_with_a_torn_pointer_no_server_turns_to_what_was_rolled_back_from_and_a_rollback_mends_it(world: World) -> None:
    back(world, 1)
    pointer = world.store.folder / "current"
    pointer.write_bytes(pointer.read_bytes()[:-3])
    world.serve()
    world.step()
    assert served(world) == 1
    assert "pointer" in refusal(world)
    back(world, 1)
    world.step()
    assert refusal(world) == ""
    assert world.store.moves.until(2)[-1].source is None
    assert world.store.withdrawn() == {2, 3}


def test_a_torn_ledger_leaves_only_the_pointers_own_line(world: World) -> None:
    back(world, 1)
    version(world)
    ledger = world.store.folder / "moves" / "1.json"
    ledger.write_bytes(ledger.read_bytes()[:-5])
    damage(world, 4)
    world.step()
    assert served(world) == 1
    assert "moves" in refusal(world)
    with pytest.raises(RecordError):
        world.store.withdrawn()


def test_a_rollback_that_died_before_the_pointer_moved_withdraws_nothing(world: World) -> None:
    class Dying(type(world.store.files)):  # type: ignore[misc]
        def replace(self, path: Path, data: bytes, private: bool = False) -> None:
            if path.name == "current":
                raise KeyboardInterrupt
            super().replace(path, data, private)

    with pytest.raises(KeyboardInterrupt):
        rollback(VersionStore(world.store.home, Dying()), 1, "", "test", lambda: 0)
    assert world.store.pointer().version == 3
    assert world.store.withdrawn() == set()
    back(world, 2)
    assert world.store.withdrawn() == {3}
    assert [move.number for move in world.store.moves.until(world.store.pointer().move)] == [2]


def test_the_way_back_and_forth_is_recorded_and_withdraws_what_is_ahead(world: World) -> None:
    for target, gone in ((1, {2, 3}), (2, {3}), (3, set()), (2, {3})):
        back(world, target)
        assert world.store.withdrawn() == gone
    assert [(m.source, m.target) for m in world.store.moves.until(world.store.pointer().move)] == [
        (3, 1),
        (1, 2),
        (2, 3),
        (3, 2),
    ]
    assert version(world) == 4
    assert world.store.manifest(4).parent == 2


def test_what_the_pointer_cannot_go_to_is_refused_and_nothing_moves(world: World) -> None:
    version(world, "different")
    version(world)
    world.store.retire(1, 0)
    damage(world, 2)
    for number, error, text in (
        (5, RollbackError, "is current already"),
        (0, RollbackError, "retired by the first publication"),
        (1, RetiredVersionError, "was retired"),
        (2, RollbackError, "not whole"),
    ):
        with pytest.raises(error, match=text):
            back(world, number)
    assert world.store.pointer().version == 5
    assert world.store.files.names(world.store.folder / "leases") != []  # the server's own
    back(world, 4)  # it was forced when it was published, so somebody took it on


def test_expiry_leaves_what_a_running_server_answers_from_and_a_retired_version_is_gone(world: World) -> None:
    pages = world.bars("symbol=BTC&interval=1m&limit=1&start=1970-01-01")
    assert world.get("/v1/bars?venue=x&symbol=BTC&interval=1m&as_of=1").status_code == 200
    version(world)
    done = expire(Context(world.log, NAMES, world.store, (), world.clock), keep=1)
    assert done.retained == (4, 3)  # 3 is served until the server looks at the pointer
    assert done.retired == (2, 1)
    assert served(world) == 3
    assert world.bars(f"symbol=BTC&interval=1m&limit=1&start=1970-01-01&cursor={pages['next']}")["meta"]["version"] == 3
    for number in (1, 2):
        answer = world.get(f"/v1/bars?venue=x&symbol=BTC&interval=1m&as_of={number}")
        assert (answer.status_code, answer.json()["type"]) == (410, "urn:slackwater:problem:version-retired")
        assert world.get(f"/v1/versions/{number}").status_code == 410
    world.step()
    assert served(world) == 4
    for _ in range(4):
        version(world)
        world.step()
    expire(Context(world.log, NAMES, world.store, (), world.clock), keep=1)
    gone = world.get(f"/v1/bars?venue=x&symbol=BTC&interval=1m&limit=1&start=1970-01-01&cursor={pages['next']}")
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:slackwater:problem:cursor-gone")
    assert served(world) == 8
    world.service.stop()
    assert world.store.files.names(world.store.folder / "leases") == []
    world.serve()
    world.step()
    world.step()
    assert served(world) == 8


def test_the_commands_roll_back_and_list_without_a_server_or_a_broker(world: World) -> None:
    def run(*words: str, code: int = 0) -> dict[str, object]:
        done = CliRunner().invoke(main, ["--home", str(world.store.home), "batch", *words, "--json"])
        assert done.exit_code == code, done.tail_reader
        found: dict[str, object] = json.loads(done.stdout) if code == 0 else {}
        return found

    assert run("rollback", "1", "--reason", "wrong notional")["from"] == 3
    assert run("rollback", "1", "--reason", " ", code=2) == {}
    listed = run("list")
    assert listed["served"] == 1
    assert [v["state"] for v in listed["versions"]] == ["rolled back", "rolled back", "current"]  # type: ignore[attr-defined]
    assert [move["reason"] for move in listed["rollbacks"]] == ["wrong notional"]  # type: ignore[attr-defined]
    world.step()
    assert served(world) == 1
