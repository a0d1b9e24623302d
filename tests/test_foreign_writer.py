"""What somebody can do who may write to the topics and should not: believed or refused, and noticed by what.

docs/security.md says the same in words, topic by topic; who it is that may write is the broker's to say
(`test_secure_broker.py`).

    trades   offset   0 .. 255 | 256 .. end         the log that is forged about
    deltas            [0,256)    [256,end) open     an honest speed layer's
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batch_layer.errors import ProofFailedError
from slackwater.deltas.cell import Cell, encode_key, encode_value
from slackwater.log.acls import allowed, commands
from slackwater.log.mark import MARK_HEADER
from slackwater.log.names import TopicNames
from slackwater.streams.registry import STREAMS
from slackwater.streams.schema import GRID
from slackwater.streams.trades import TRADES
from slackwater.versions.proof import Forced
from slackwater.views.bars import BARS
from tests.serving_world import NAMES, NOON, World, cut_in_a_minute
from tests.test_prove import Bench
from verify.intervals import DAY_US

ROOT = Path(__file__).parents[1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, partitions=1)
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "home")
    yield made
    made.speed.close()


def volume(world: World) -> str:
    found: str = world.bars(f"symbol=BTC&interval=1d&start={NOON - DAY_US}")["bars"][0]["volume"]
    return found


def of_oracle(world: World) -> object:
    found: object = world.oracle().bars("x", "BTC", DAY_US)[0]["volume"]
    return found


def raised(cell: Cell, upto: int) -> Cell:
    """A cell that claims to reach `upto`, with one number changed."""
    row = cell.rows[0]
    return replace(cell, upto=upto, rows=(row._replace(state=(*row.state[:-1], row.state[-1] + 1)), *cell.rows[1:]))


def honest(world: World, trades: int) -> list[Cell]:
    """Trades, what the speed layer says of them, and a service that has read it."""
    for _ in range(trades):
        world.trade()
    world.emit()
    world.step()
    return world.cells(BARS, 0)


# trades


def test_a_forged_mark_ends_a_cell_and_changes_no_answer(bench: Bench) -> None:
    bench.world.produce(60)
    trades = bench.world.names.topic("trades")
    offset = bench.log.append(trades, 0, None, b"", [(MARK_HEADER, b"forged")])
    bench.world.produce(60)
    version = bench.publish()
    assert offset in {json.loads(record.value or b"")["upto"] for record in bench.deltas(0).values()}
    assert version.proof.outcome == "equal"
    assert all(mark.run_id == version.run_id for mark in version.of(TRADES).marks)
    bench.world.check(version)


def test_a_record_that_is_a_mark_in_all_but_its_header_is_refused_and_stored(bench: Bench) -> None:
    bench.world.produce(10)
    bench.publish()
    stored = bench.log.bounds(bench.world.names.dead_letters)[0].end
    bench.log.append(bench.world.names.topic("trades"), 0, None, b"")
    bench.publish()
    assert bench.log.bounds(bench.world.names.dead_letters)[0].end == stored + 1


def test_a_forged_event_counts_as_it_stands(world: World) -> None:
    honest(world, 10)
    before = volume(world)
    world.trade(quantity="1000")
    world.emit()
    world.step()
    assert volume(world) == of_oracle(world) != before
    assert world.service.readiness.check().ready


def test_events_that_were_removed_above_the_cut_are_noticed_at_the_next_look(world: World) -> None:
    cut_in_a_minute(world)
    end = world.log.bounds(NAMES.topic("trades"))[0].end
    world.log.delete_before(NAMES.topic("trades"), {0: end})
    world.step()
    reasons = world.service.readiness.check().reasons
    assert any("The log's start" in reason and "is above the cut" in reason for reason in reasons), reasons


# deltas


def test_a_forged_delta_with_a_larger_upto_is_believed(world: World) -> None:
    first, last = honest(world, GRID + 10)
    assert (volume(world), world.service.readiness.check().ready) == (of_oracle(world), True)
    world.send(raised(first, last.upto), sealed=True)
    world.step()
    found = world.bars(f"symbol=BTC&interval=1d&start={NOON - DAY_US}")
    assert found["bars"][0]["volume"] != of_oracle(world)
    assert found["meta"]["complete"]
    assert world.service.readiness.check().ready, "nothing here knows better"


def forge_sealed(bench: Bench, more: int, compacted: bool) -> None:
    """Write the first sealed delta of partition 0 behind the cut again, with another number and `more` offsets."""
    records = bench.log.topics[bench.world.names.deltas("trades")][0].records
    current = bench.world.store.current()
    assert current is not None
    found = {at: json.loads(record.value or b"") for at, record in bench.deltas(0).items()}
    at, cell = min((at, cell) for at, cell in found.items() if cell["start"] >= current.cut(TRADES)[0])
    cell["rows"][0][-1] += 1
    cell["upto"] += more
    key = records[at].key
    if compacted:
        del records[at]
    bench.log.append(bench.world.names.deltas("trades"), 0, key, json.dumps(cell, separators=(",", ":")).encode())


@pytest.mark.parametrize("compacted", [False, True])
def test_the_next_proof_finds_a_forged_delta_and_the_forced_version_is_right(bench: Bench, compacted: bool) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.world.produce(60)
    with pytest.raises(ProofFailedError, match="is not published"):
        bench.publish(at={"prove": lambda: forge_sealed(bench, 0, compacted)})
    again = bench.publish(forced=Forced("test", "the cell is forged"))
    bench.world.check(again)


def test_a_forged_delta_that_runs_over_the_cut_leaves_a_right_version_unproven(bench: Bench) -> None:
    bench.world.produce(60)
    bench.publish()
    bench.world.produce(60)
    version = bench.publish(at={"prove": lambda: forge_sealed(bench, 7, compacted=True)}, proof_deadline_s=0.5)
    assert version.proof.outcome == "unproven"
    bench.world.check(version)


def test_a_forged_delta_that_reaches_beyond_the_log_is_refused_at_the_next_look(world: World) -> None:
    first, last = honest(world, GRID + 10)
    world.send(raised(first, last.upto + GRID), sealed=True)
    world.step()
    world.step()
    found = world.service.readiness.check()
    assert not found.ready
    assert any("The log lost its tail" in reason for reason in found.reasons), found.reasons


def test_two_cells_over_one_slice_are_an_alarm_and_the_first_is_kept(world: World) -> None:
    first, _ = honest(world, GRID + 10)
    world.send(raised(first, first.upto), sealed=True)
    world.step()
    assert volume(world) == of_oracle(world)
    assert any("cells over one slice differ" in reason for reason in world.service.readiness.check().reasons)


def test_a_forged_open_delta_is_replaced_as_soon_as_the_log_grows(world: World) -> None:
    _, last = honest(world, GRID + 10)
    world.trade()
    world.send(raised(last, last.upto + 1))
    world.step()
    assert volume(world) != of_oracle(world)
    world.trade()
    world.emit()
    world.step()
    assert volume(world) == of_oracle(world)


def test_bytes_that_are_no_delta_and_tombstones_are_counted_and_passed_over(world: World) -> None:
    first, _ = honest(world, GRID + 10)
    world.log.append(NAMES.deltas("trades"), 0, b"noise", b"noise")
    world.log.append(NAMES.deltas("trades"), 0, encode_key(first, sealed=True), None)
    world.step()
    assert world.service.lives["trades"].feed.bad == 2
    assert volume(world) == of_oracle(world)


def test_a_tombstone_that_was_compacted_leaves_a_hole_that_says_so(world: World) -> None:
    first, _ = honest(world, GRID + 10)
    partition = world.log.topics[NAMES.deltas("trades")][0]
    key = encode_key(first, sealed=True)
    for offset in [at for at, record in partition.records.items() if record.key == key]:
        del partition.records[offset]  # as the broker does behind a tombstone
    world.serve()
    world.step()
    found = world.bars(f"symbol=BTC&interval=1d&start={NOON - DAY_US}")
    assert found["bars"] == []
    assert not found["meta"]["complete"]
    assert found["meta"]["applied"] == {"0": 0}


def test_a_delta_of_another_topic_or_definition_is_nobody_s(world: World) -> None:
    first, last = honest(world, GRID + 10)
    for delta_key in (first.delta_key._replace(topic_id="other"), first.delta_key._replace(definition="0" * 64)):
        forged = raised(replace(first, delta_key=delta_key), last.upto)
        world.log.append(NAMES.deltas("trades"), 0, encode_key(forged, sealed=True), encode_value(forged))
    world.step()
    assert volume(world) == of_oracle(world)


# the list that keeps them out


def test_the_documentation_has_every_command_of_the_list_and_no_other() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    shown = [line for line in text.replace("\\\n", " ").splitlines() if line.startswith("kafka-acls")]
    expected = commands(TopicNames("slackwater"), "kafka.example.com:9096", STREAMS)
    assert [" ".join(line.split()) for line in shown] == expected


def test_the_table_of_rights_in_the_documentation_is_the_list() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    for entry in allowed(TopicNames("slackwater"), STREAMS):
        rows = [line for line in text.splitlines() if line.startswith(f"| `{entry.process}` ")]
        assert rows, entry.process
        for operation in entry.operations:
            assert operation in rows[0], entry
