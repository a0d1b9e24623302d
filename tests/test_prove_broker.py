"""The proof at every publish with the real speed pipeline, the real program and a real broker."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_layer.errors import ProofFailedError
from slackwater.deltas.cell import OPEN
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Record
from slackwater.log.topics import create_topics
from slackwater.streams.registry import STREAMS
from slackwater.versions.handoff import latest_proof, read_handoff
from tests.beam_world import World, kafka_world, settle, speed_running
from tests.forked import call

pytestmark = pytest.mark.broker

DEADLINE_S = 30.0


@pytest.fixture
def kafka(broker: str, tmp_path: Path) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home", partitions=1) as world:
        yield world


def cli(world: World, *arguments: str) -> Any:
    return call(*arguments, environ=world.environ())


def sealed(world: World) -> list[Record]:
    """The sealed deltas with rows, in the order of the topic."""
    found = [record for _, record in world.records(world.names.deltas("trades"))]
    return [r for r in found if json.loads(r.key or b"")[4] != OPEN and json.loads(r.value or b"")["rows"]]


def behind_a_grid_line(world: World) -> None:
    """Trades over two grid lines, and the speed layer up to the log's end, ended again."""
    known = len(sealed(world))
    with speed_running(world.source(slice_s=1.0)):
        world.produce(700)
        settle(lambda: len(sealed(world)) >= known + 2)


def rewrite(world: World, wrong: Record, value: bytes) -> None:
    """The delta topic with one value changed: it is created again, and everything appended again."""
    assert isinstance(world.log, KafkaLog)
    log, names = world.log, world.names
    records = [record for _, record in world.records(names.deltas("trades"))]
    with log.admin() as admin:
        admin.delete_topics([names.deltas("trades")])
    settle(lambda: create_topics(log, names, STREAMS, 1)[names.deltas("trades")])
    writer = world.log.writer()
    for record in records:
        writer.append(
            world.names.deltas("trades"), 0, record.key, value if record.offset == wrong.offset else record.value
        )
    writer.close()


def one_trade_more(record: Record) -> bytes:
    cell = json.loads(record.value or b"")
    cell["rows"][0][-1] += 1
    return json.dumps(cell, separators=(",", ":")).encode()


@pytest.mark.timeout(200)
def test_every_version_is_proven_equal_while_the_speed_layer_runs(kafka: World) -> None:
    with speed_running(kafka.source(slice_s=1.0)):
        for _ in range(3):
            kafka.produce(400)
            published = kafka.batch(proof_deadline_s=DEADLINE_S)
            assert (published.proof.outcome, published.proof.reason) == ("equal", "")
            assert (published.proof.gap, published.proof.overlap, published.proof.differ) == (0, 0, 0)
            kafka.check(published)
    listed = json.loads(cli(kafka, "batch", "list", "--json").stdout)
    assert [version["proof"]["outcome"] for version in listed["versions"]] == ["equal"] * 3
    assert "equal" in cli(kafka, "batch", "list").stdout


@pytest.mark.timeout(250)
def test_one_corrupt_delta_stops_the_program_and_force_is_on_the_record(kafka: World) -> None:
    with speed_running(kafka.source(slice_s=1.0)):
        kafka.produce(50)
        served = kafka.batch(proof_deadline_s=DEADLINE_S)
    behind_a_grid_line(kafka)
    wrong = next(r for r in sealed(kafka) if json.loads(r.value or b"")["start"] >= served.cut("trades")[0])
    rewrite(kafka, wrong, one_trade_more(wrong))
    with speed_running(kafka.source(slice_s=1.0)):
        refused = cli(kafka, "batch", "run")
        assert refused.returncode == 1, refused.stdout
        assert "Version 2 is not published, version 1 stays served" in refused.stderr
        assert "trades expected" in refused.stderr and "--force" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert kafka.store.current() == served
        proof = (read_handoff(kafka.store, 2) or {}).get("trades")
        assert proof is not None and proof.differ == 1

        forced = cli(kafka, "batch", "run", "--force", "the log was read", "--json")
        assert forced.returncode == 0, forced.stderr
        facts = json.loads(forced.stdout)["proof"]
        assert (facts["outcome"], facts["forced"]["reason"]) == ("different", "the log was read")
        current = kafka.store.current()
        assert current is not None and current.proof.forced is not None
        kafka.check(current)  # the log was right, and the delta was not
        kafka.produce(50)
        following = kafka.batch(proof_deadline_s=DEADLINE_S)
        assert (following.proof.outcome, following.proof.forced) == ("equal", None)


@pytest.mark.timeout(200)
def test_a_second_delta_over_one_slice_stops_the_publication(kafka: World) -> None:
    behind_a_grid_line(kafka)
    first = sealed(kafka)[0]
    writer = kafka.log.writer()
    writer.append(kafka.names.deltas("trades"), 0, first.key, one_trade_more(first))
    writer.close()
    with speed_running(kafka.source(slice_s=1.0)), pytest.raises(ProofFailedError, match="Two cells"):
        kafka.batch(proof_deadline_s=DEADLINE_S)
    assert kafka.store.current() is None


@pytest.mark.timeout(200)
def test_without_the_speed_layer_a_version_is_unproven_and_the_program_proves_it_later(kafka: World) -> None:
    with speed_running(kafka.source(slice_s=1.0)):
        kafka.produce(50)
        kafka.batch(proof_deadline_s=DEADLINE_S)
    kafka.produce(50)
    second = kafka.batch(proof_deadline_s=1.0)
    assert second.proof.outcome == "unproven"
    assert "The speed layer is behind" in second.proof.reason
    assert kafka.store.current() == second
    with speed_running(kafka.source(slice_s=1.0)):
        done = cli(kafka, "batch", "prove", "--json")
        assert json.loads(done.stdout)["proof"]["outcome"] == "equal", done.stderr
        assert latest_proof(kafka.store, second).outcome == "equal"
        assert kafka.batch(proof_deadline_s=DEADLINE_S).proof.outcome == "equal"
    assert "Every version is proven." in cli(kafka, "batch", "prove").stdout
    assert cli(kafka, "batch", "prove", "1").returncode == 2
