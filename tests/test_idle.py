"""Runs with nothing to do: they append nothing, publish nothing, and say so; anything that is new makes a version.

log       e e M M M . .      M: marks; nothing waits behind the last version's
version       1              24 idle runs later it still is the newest, and older ones still answer
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import ops.cli_batch as commands
from batch_layer.errors import TailLostError
from batch_layer.run import BatchRun
from batch_layer.spans import open_spans
from batch_layer.waiting import Idle, waits
from lesson.memory_log import MemoryLog, Partition
from ops.cli import main
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.log.errors import HiddenRecordsError
from slackwater.log.mark import MARK_HEADER
from slackwater.versions.handoff import latest_proof, write_handoff
from slackwater.versions.idle import last_idle_us, note_idle
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, empty_manifest
from slackwater.versions.proof import Forced, Proof
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.view import View
from tests.beam_world import World, kafka_world, memory_world
from tests.serving_world import NAMES
from tests.serving_world import World as Served
from tests.test_definitions import SWAPPED, TAPE


@pytest.fixture
def world(tmp_path: Path) -> World:
    return memory_world(tmp_path / "home")


def context_of(world: World, views: tuple[View, ...] = (BARS,)) -> Context:
    return Context(world.log, world.names, world.store, views, SystemClock())


def run(world: World, **more: Any) -> BatchRun:
    return BatchRun(context_of(world, more.pop("views", (BARS,))), **more)


def version(made: Manifest | Idle) -> int:
    """Of a version that was published now."""
    assert isinstance(made, Manifest)
    return made.version


def test_idle_runs_leave_the_log_the_versions_and_the_pointer_as_they_are(world: World) -> None:
    world.produce(20)
    assert version(run(world).run_if_new()) == 1
    ends, pointer, numbers = world.ends, world.store.pointer(), world.store.numbers()
    for _ in range(30):
        assert run(world, keep=1).run_if_new() == Idle(1)
    assert (world.ends, world.store.pointer(), world.store.numbers()) == (ends, pointer, numbers)
    assert world.store.leases.active() == []
    world.produce(1)
    assert version(run(world).run_if_new()) == 2
    assert run(world).run_if_new() == Idle(2)


def test_behind_version_0_an_empty_log_is_nothing(world: World) -> None:
    assert run(world).run_if_new() == Idle(0)
    assert world.ends == {0: 0, 1: 0}
    assert world.store.numbers() == []
    assert version(run(world).run()) == 1  # whoever asks for a version gets one
    assert run(world).run_if_new() == Idle(1)


def test_marks_of_runs_that_failed_are_nothing_new(world: World) -> None:
    world.produce(5)
    first = run(world).run()
    for number in range(3):
        world.log.writer().append(
            world.names.topic("trades"), 0, None, b"", [(MARK_HEADER, b"dead-%d" % number)]
        ).offset()
    assert run(world).run_if_new() == Idle(first.version)


@pytest.mark.parametrize("value", [b"", None, b"{}", b"\xff", b"junk of somebody else"])
def test_a_record_that_is_no_event_is_new_since_its_dead_letter_is_made_by_a_run(
    world: World, value: bytes | None
) -> None:
    world.produce(5, bad=False)
    run(world).run()
    world.append(1, value).offset()
    made = run(world).run_if_new()
    assert version(made) == 2
    assert isinstance(made, Manifest)
    assert made.count("refused") == len(world.records(world.names.dead_letters)) == 1
    assert run(world).run_if_new() == Idle(2)


def damage(world: World) -> None:
    current = world.store.current()
    assert current is not None
    path = world.home / current.parts[0].file.path
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])


def add_partition(world: World) -> None:
    assert isinstance(world.log, MemoryLog)
    for topic in (world.names.deltas("trades"), world.names.topic("trades")):
        world.log.topics[topic].append(Partition())


@pytest.mark.parametrize(
    ("change", "more"),
    [
        (lambda _: None, {"views": (BARS, TAPE)}),
        (lambda _: None, {"views": (SWAPPED,)}),
        (lambda _: None, {"forced": Forced("me", "because")}),
        (damage, {}),
        (add_partition, {}),
    ],
    ids=["a new view", "another definition", "by force", "a damaged file", "a new partition"],
)
def test_what_else_is_new_makes_a_version(world: World, change: Callable[[World], None], more: dict[str, Any]) -> None:
    world.produce(20)
    run(world).run()
    change(world)
    assert version(run(world, **more).run_if_new()) == 2
    more.pop("forced", None)
    assert run(world, **more).run_if_new() == Idle(2)


def test_a_forced_version_that_was_wrong_is_made_again(world: World) -> None:
    world.produce(20)
    first = run(world).run()
    forced = replace(
        first,
        version=world.store.reserve(),
        parent=1,
        parts=[replace(part, made=(2, 2), since=0) for part in first.parts],
        proofs={"trades": replace(first.proof, outcome="different", forced=Forced("me", "because"))},
    )
    world.store.publish(forced)
    assert version(run(world).run_if_new()) == 3
    assert run(world).run_if_new() == Idle(3)


def test_a_rollback_leaves_what_came_since_for_the_next_run(world: World) -> None:
    world.produce(20)
    run(world).run()
    world.produce(20)
    run(world).run()
    world.store.move(1, lambda: 5, "me", "a test")
    assert version(run(world).run_if_new()) == 3


def test_an_idle_run_tries_open_proofs_again_and_makes_what_is_refuted_again(world: World) -> None:
    world.produce(20)
    first = run(world).run()
    assert first.proof.outcome == "unproven"  # nothing writes cells here
    assert run(world).run_if_new() == Idle(1)
    write_handoff(world.store, 1, first.run_id, {"trades": Proof("different", "a test")})
    second = run(world).run_if_new()
    assert isinstance(second, Manifest)
    assert all(part.made_by(2) for part in second.parts)
    assert run(world).run_if_new() == Idle(2)


def test_an_idle_run_completes_the_proof_of_what_was_unproven(tmp_path: Path) -> None:
    world = Served(tmp_path)
    world.trade()
    first = BatchRun(Context(world.log, NAMES, world.store, (BARS,), world.clock)).run_if_new()
    assert isinstance(first, Manifest)
    assert first.proof.outcome == "unproven"
    world.emit()
    assert BatchRun(Context(world.log, NAMES, world.store, (BARS,), world.clock)).run_if_new() == Idle(1)
    assert latest_proof(world.store, first).outcome == "equal"
    world.close()


@pytest.mark.broker
def test_on_a_real_broker_an_idle_run_reads_no_more_than_the_marks(broker: str, tmp_path: Path) -> None:
    with kafka_world(broker, tmp_path / "home") as world:
        assert run(world).run_if_new() == Idle(0)
        world.produce(300)
        assert version(run(world).run_if_new()) == 1
        ends = world.ends
        for _ in range(3):
            assert run(world).run_if_new() == Idle(1)
        assert world.ends == ends
        world.append(0, b"junk").offset()
        assert version(run(world).run_if_new()) == 2


def test_an_idle_run_still_sees_that_the_log_lost_its_tail(world: World) -> None:
    world.produce(20)
    run(world).run()
    assert isinstance(world.log, MemoryLog)
    world.log.truncate(world.names.topic("trades"), 0, world.ends[0] - 1)
    with pytest.raises(TailLostError):
        run(world).run_if_new()


def test_an_idle_run_expires_what_a_smaller_number_of_versions_leaves(world: World) -> None:
    for _ in range(4):
        world.produce(5)
        run(world).run()
    assert run(world, keep=2).run_if_new() == Idle(4)
    assert [manifest.version for manifest in world.store.readable()] == [4, 3]


def test_what_an_open_transaction_hides_is_not_called_nothing(world: World) -> None:
    context, parent = context_of(world), empty_manifest({})
    (spans,) = open_spans(context, parent, 0.0)
    spans.hold(1, HiddenRecordsError(spans.topic, 1, spans.bounds[1].end, 2))
    with pytest.raises(HiddenRecordsError):
        waits(context, parent, [spans], Inspector(world.store), {})


def test_the_look_ends_at_the_first_record_that_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.produce(400)
    read: list[int] = []

    class Counting(type(world.log)):  # type: ignore[misc]
        def reader(self, *arguments: Any, **more: Any) -> Any:
            reader = super().reader(*arguments, **more)
            poll = reader.poll

            def counted(timeout_s: float) -> Any:
                found = poll(timeout_s)
                read.append(len(found))
                return found

            reader.poll = counted
            return reader

    monkeypatch.setattr(world.log, "__class__", Counting)
    parent = empty_manifest({})
    context = context_of(world)
    spans = open_spans(context, parent, 0.0)
    found = waits(context, parent, spans, Inspector(world.store), {})
    assert found is not None and found.log and "offset 0" in found.text
    assert len(read) == 1


def test_files_that_an_inspector_knows_are_not_read_again(world: World) -> None:
    world.produce(20)
    first = run(world).run()
    write_handoff(world.store, 1, first.run_id, {"trades": Proof("equal", "")})
    read: list[Path] = []

    class Counting(type(world.store.files)):  # type: ignore[misc]
        def fingerprint(self, path: Path) -> tuple[int, str]:
            read.append(path)
            found: tuple[int, str] = super().fingerprint(path)
            return found

        def state(self, path: Path) -> Any:
            return super().state(path)._replace(settled=True)

    world.store = VersionStore(world.home, Counting())
    inspector = Inspector(world.store)
    assert run(world, inspector=inspector).run_if_new() == Idle(1)
    assert len(read) == len(first.ids) + len(first.parts)
    read.clear()
    assert run(world, inspector=inspector).run_if_new() == Idle(1)
    assert read == []


def test_two_dozen_idle_runs_leave_older_versions_to_as_of(tmp_path: Path) -> None:
    world = Served(tmp_path)
    ask = "/v1/bars?venue=x&symbol=BTC&interval=1m&as_of="
    for at in (0.0, 61.0):
        world.trade(at_s=at)
        BatchRun(Context(world.log, NAMES, world.store, (BARS,), world.clock), keep=24).run_if_new()
    before = [world.get(f"{ask}{version}") for version in (1, 2)]
    for _ in range(50):
        assert BatchRun(Context(world.log, NAMES, world.store, (BARS,), world.clock), keep=24).run_if_new() == Idle(2)
    world.serve()
    for version, found in zip((1, 2), before, strict=True):
        again = world.get(f"{ask}{version}")
        assert (again.status_code, again.content) == (found.status_code, found.content) == (200, found.content)
    world.close()


def test_the_service_says_that_runs_find_nothing_new(tmp_path: Path) -> None:
    world = Served(tmp_path)
    world.trade()
    BatchRun(Context(world.log, NAMES, world.store, (BARS,), world.clock)).run()
    world.emit()
    world.clock.sleep(5_000)
    world.get("/health/ready")
    world.service.step()
    assert "slackwater_batch_run_age_seconds 5000.0" in world.get("/metrics").text
    BatchRun(Context(world.log, NAMES, world.store, (BARS,), world.clock)).run_if_new()
    world.clock.sleep(7)
    world.service.step()
    text = world.get("/metrics").text
    assert "slackwater_batch_run_age_seconds 7.0" in text
    assert "slackwater_batch_age_seconds 5007.0" in text
    world.close()


def test_the_layer_says_that_a_run_found_nothing_new(tmp_path: Path) -> None:
    world = Served(tmp_path)
    world.trade()
    world.publish(world.mark("a"), "a")
    world.clock.sleep(60)
    note_idle(world.store, 1, world.clock.now_us())
    world.clock.sleep(12)
    world.service.step()
    world.service.layers.step()
    text = world.service.layers.facts()["batch"]["text"]
    assert text == "Version 1, proven equal; a run found nothing new 12 s ago."
    world.close()


def test_the_commands_say_that_nothing_was_new(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.Context, "log", property(lambda _: world.log))
    monkeypatch.setattr(commands.Context, "names", property(lambda _: world.names))
    monkeypatch.setenv("SLACKWATER_PROOF_SECONDS", "0")  # no speed layer runs, whose cells a run would wait for
    call = ["--home", str(world.home), "batch", "run"]

    def said(*words: str) -> str:
        done = CliRunner().invoke(main, [*call, *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    world.produce(3)
    assert '"version": 1' in said("--json")
    assert said() == "nothing is new since version 1, which stands\n"
    assert said("--json") == (
        '{"version": 1, "published": false, "reason": "nothing is new since version 1, which stands"}\n'
    )
    assert last_idle_us(world.store) is not None
    assert '"published": true' in said("--always", "--json")
    assert '"version": 3' in said("--force", "because", "--json")
