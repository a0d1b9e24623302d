"""Two streams and one batch run, on a log in memory: what befalls one stream changes nothing of the other.

trades   cut ------- M      read, archived, computed, proven
fills    cut x              gone, created again, its tail lost, a dead partition, a broken speed layer: held, and named
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import ops.context as commands
from batch_layer.errors import BatchError, LackingError
from batch_layer.expire import expire
from batch_layer.prove_later import prove_later
from batch_layer.run import BatchRun
from batch_layer.waiting import Idle
from lesson.memory_log import MemoryLog
from ops.cli import main
from slackwater.context import Context
from slackwater.core.errors import SlackwaterError
from slackwater.core.faults import VARIABLE, arm
from slackwater.log.errors import AppendError, TopicMissingError
from slackwater.log.mark import mark_of
from slackwater.streams.trades import TRADES
from slackwater.versions.handoff import latest_proofs
from slackwater.versions.manifest import Dropped, Manifest
from slackwater.versions.rollback import rollback
from slackwater.views.bars import BARS
from slackwater.views.rows import rows_of
from slackwater.views.view import View
from tests.simulation.light import merged
from tests.test_streams_apart import FILLED, FILLS, NAMES, VIEWS, Pair

DROP = Dropped("stream", "fills", "me", "the venue closed", 7)
MORE = replace(FILLED, name="filled_too")


class House(Pair):
    """A pair with batch runs."""

    def context(self, views: tuple[View, ...] = VIEWS) -> Context:
        return Context(self.log, NAMES, self.store, views, self.clock)

    def run(self, views: tuple[View, ...] = VIEWS, **more: Any) -> Manifest:
        return BatchRun(self.context(views), **more).run()

    def run_if_new(self, views: tuple[View, ...] = VIEWS) -> Manifest | Idle:
        return BatchRun(self.context(views)).run_if_new()

    def marks(self, stream: Any) -> int:
        parts = self.log.topics[NAMES.topic(stream)]
        return sum(mark_of(record) is not None for part in parts for record in part.records.values())

    def more(self) -> None:
        """Events of both streams, and their cells."""
        self.append(BARS)
        self.append(FILLED)
        self.step()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "home")
    made.more()
    yield made
    made.speed.close()


def outcomes(manifest: Manifest) -> dict[str, str]:
    return {stream: proof.outcome for stream, proof in manifest.proofs.items()}


def counted(manifest: Manifest) -> dict[str, int]:
    return {stream: counts["events"] for stream, counts in manifest.counts.items()}


def test_one_version_holds_a_cut_an_archive_and_a_proof_of_each_stream(house: House) -> None:
    first = house.run()
    house.more()
    second = BatchRun(house.context(), on_step=lambda step: house.step() if step == "prove" else None).run()
    assert counted(second) == {"trades": 6, "fills": 6}
    assert outcomes(second) == {"trades": "equal", "fills": "equal"}
    for view in VIEWS:
        assert {p: at + 1 for p, at in second.cut(view.stream).items()} == house.log_ends(view)
        assert sum(entry.file.rows for entry in second.archive_of(view.stream)) == 6
        assert len(second.instruments_of(view.stream)) == 2
    assert second.sources == {"bars": "trades", "filled": "fills"}
    assert second.of(FILLS).topic_id != second.of(TRADES).topic_id
    assert {entry.stream for entry in first.archive} == {"trades", "fills"}
    house.store.check([*second.dataset, *(entry.file for entry in second.parts)])
    assert house.run_if_new() == Idle(2)


def gone(log: MemoryLog) -> None:
    del log.topics[NAMES.topic(FILLS)]


def created_again(log: MemoryLog) -> None:
    log.create(NAMES.topic(FILLS), 2)


def tail_lost(log: MemoryLog) -> None:
    part = log.topics[NAMES.topic(FILLS)][0]
    part.end -= 1
    del part.records[part.end]


def without_deltas(log: MemoryLog) -> None:
    del log.topics[NAMES.deltas(FILLS)]


@pytest.mark.parametrize(
    ("befall", "said"),
    [
        (gone, "does not exist"),
        (created_again, "created again|another id|is another"),
        (tail_lost, r"not the log that version \d was made of"),
        (without_deltas, "does not exist"),
    ],
)
def test_a_stalled_stream_is_held_whole_and_the_other_goes_on(
    house: House, befall: Callable[[MemoryLog], None], said: str
) -> None:
    first = house.run()
    house.append(BARS)
    befall(house.log)
    second = house.run_if_new()
    assert isinstance(second, Manifest)
    assert counted(second) == {"trades": 6, "fills": 3}
    held = second.of(FILLS).held
    assert [each.partition for each in held] == [0, 1]
    assert replace(second.of(FILLS), held=()) == first.of(FILLS)
    assert second.archive_of(FILLS) == first.archive_of(FILLS)
    assert second.instruments_of(FILLS) == first.instruments_of(FILLS)
    assert not second.of(TRADES).held
    assert outcomes(second)["fills"] == "equal", second.proofs["fills"]
    ends = house.log_ends(BARS)
    with pytest.raises(SlackwaterError, match=said):
        house.run_if_new()
    assert all(re.search(said, each.reason) for each in held)
    assert house.log_ends(BARS) == ends, "a stalled stream alone is no reason to mark"


def test_where_no_stream_can_be_read_the_run_ends_with_the_first_reason(house: House) -> None:
    house.run()
    for stream in (TRADES, FILLS):
        del house.log.topics[NAMES.topic(stream)]
    with pytest.raises(TopicMissingError):
        house.run()
    assert house.store.pointer().version == 1


def test_a_partition_that_takes_no_mark_is_held_beside_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.run()
    house.more()
    append = MemoryLog.append

    def refusing(log: MemoryLog, topic: str, partition: int, *more: Any) -> int:
        if (topic, partition) == (NAMES.topic(FILLS), 1):
            raise AppendError("The leader is gone.")
        return append(log, topic, partition, *more)

    monkeypatch.setattr(MemoryLog, "append", refusing)
    second = house.run()
    monkeypatch.undo()
    assert [(held.partition, held.reason) for held in second.of(FILLS).held] == [(1, "The leader is gone.")]
    assert second.cut(FILLS)[1] == first.cut(FILLS)[1]
    assert second.of(FILLS).delta_start[1] == first.of(FILLS).delta_start[1]
    assert second.cut(FILLS)[0] > first.cut(FILLS)[0]
    third = house.run()
    assert counted(third) == {"trades": 6, "fills": 6}
    assert not third.of(FILLS).held


def test_a_speed_layer_that_is_behind_in_one_stream_leaves_that_part_unproven(house: House) -> None:
    house.run()
    house.append(BARS)
    house.append(FILLED)
    proof: list[str] = []

    def only_trades(step: str) -> None:
        proof.append(step)
        if step == "prove":
            house.speed.close()
            house.speed = type(house.speed)(house.log, NAMES, house.store, (BARS,), house.clock)
            house.step()

    second = BatchRun(house.context(), on_step=only_trades).run()
    assert outcomes(second) == {"trades": "equal", "fills": "unproven"}
    assert second.proof.outcome == "unproven"
    house.speed.close()
    house.speed = type(house.speed)(house.log, NAMES, house.store, VIEWS, house.clock)
    house.step()
    ((_, later),) = prove_later(house.context(), [second])
    assert later.outcome == "equal"
    assert latest_proofs(house.store, second)["trades"] == second.proofs["trades"], "what was proven stays"


@pytest.mark.parametrize(
    "dead",
    [
        "mark.append:eio:after=2",
        "mark.after:eio",
        "archive.write:eio:after=2",
        "compute.after:eio",
        "publish.pointer:eio",
    ],
)
def test_a_run_that_dies_between_two_streams_is_run_again_and_nothing_counts_twice(house: House, dead: str) -> None:
    house.run()
    house.more()
    arm({VARIABLE: dead})
    try:
        with pytest.raises(OSError, match="fault point"):
            house.run()
    finally:
        arm({})
    if dead.startswith("mark.append"):
        assert house.marks(TRADES) == 4, "the first stream is marked"
        assert house.marks(FILLS) == 2, "the second is not"
    house.step()
    again = house.run()
    assert counted(again) == {"trades": 6, "fills": 6}
    house.step()
    ((_, proof),) = prove_later(house.context(), [again])
    assert proof.outcome == "equal"


def test_every_stream_is_marked_before_any_is_archived(house: House) -> None:
    at: list[tuple[str, int, int]] = []
    BatchRun(house.context(), on_step=lambda step: at.append((step, house.marks(TRADES), house.marks(FILLS)))).run()
    assert ("mark", 0, 0) in at
    assert ("archive", 2, 2) in at


def test_a_program_that_lacks_a_stream_or_a_view_is_refused_before_it_marks(house: House) -> None:
    house.run((*VIEWS, MORE))
    ends = house.log_ends(BARS)
    with pytest.raises(LackingError, match=r"the stream 'fills' and .*'filled' and .*'filled_too'.*stream drop fills"):
        house.run((BARS,))
    with pytest.raises(LackingError, match=r"the view 'filled_too', which this.*slackwater view drop filled_too"):
        house.run_if_new(VIEWS)
    assert house.log_ends(BARS) == ends
    assert house.store.pointer().version == 1


def test_a_stream_is_dropped_by_name_alone_and_expiry_removes_its_archive(house: House) -> None:
    first = house.run()
    with pytest.raises(BatchError, match="holds no stream 'orders'"):
        house.run((BARS,), drop=replace(DROP, name="orders"))
    with pytest.raises(BatchError, match="would take it in again"):
        house.run(drop=DROP)
    second = house.run((BARS,), drop=DROP)
    assert second.dropped == DROP
    assert (second.streams.keys(), second.definitions.keys()) == ({"trades"}, {"bars"})
    assert second.archive_of(TRADES)[: len(first.archive_of(TRADES))] == first.archive_of(TRADES)
    third = house.run((BARS,))
    assert third.dropped is None
    expire(house.context((BARS,)), keep=1)
    assert not any((house.store.home / entry.file.path).exists() for entry in first.archive_of(FILLS))
    house.store.check(third.dataset)
    fourth = house.run()
    assert counted(fourth) == {"trades": 3, "fills": 3}, "the log has it still"


def test_a_view_is_dropped_by_name_and_its_stream_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.run((*VIEWS, MORE))
    monkeypatch.setattr(commands.Context, "parts", property(lambda _: house.context()))
    monkeypatch.setattr(commands.Context, "store", property(lambda _: house.store))
    done = CliRunner().invoke(
        main, ["view", "drop", "filled_too", "--reason", "unused", "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    said = json.loads(done.output.splitlines()[-1])
    assert (said["version"], said["dropped"]["name"], said["dropped"]["reason"]) == (2, "filled_too", "unused")
    made = house.store.manifest(2)
    assert made.definitions.keys() == {"bars", "filled"}
    assert made.dropped is not None and made.dropped.kind == "view"


def test_a_view_that_is_added_is_no_alarm_and_is_proven_from_the_archive(house: House) -> None:
    house.run()
    house.append(FILLED)
    views = (*VIEWS, MORE)
    second = BatchRun(house.context(views), on_step=lambda step: house.step() if step == "prove" else None).run()
    assert outcomes(second) == {"trades": "equal", "fills": "equal"}
    assert (second.proofs["fills"].new, second.proofs["trades"].new) == (("filled_too",), ())
    assert not second.restatements
    own, added = (
        [
            row
            for part in second.parts_of(view.name, "1s")
            for row in rows_of(view, pq.read_table(house.store.home / part.file.path))
        ]
        for view in (FILLED, MORE)
    )
    assert merged(FILLED, own, FILLED.intervals[0]) == merged(MORE, added, MORE.intervals[0])


def test_a_stream_that_is_added_is_read_from_the_start_of_its_log(house: House) -> None:
    first = house.run((BARS,))
    assert first.streams.keys() == {"trades"}
    second = house.run()
    assert counted(second) == {"trades": 3, "fills": 3}
    house.step()
    ((_, proof),) = prove_later(house.context(), [second]) or ((None, second.proof),)
    assert proof.outcome == "equal"
    assert second.proof.new == ()


def test_a_registered_stream_without_views_is_archived_once_it_has_events(house: House) -> None:
    context = Context(house.log, NAMES, house.store, (BARS,), house.clock, (TRADES, FILLS))
    made = BatchRun(context).run()
    assert counted(made) == {"trades": 3, "fills": 3}
    assert {file.view for file in made.parts} == {"bars"}
    assert BatchRun(context).run_if_new() == Idle(1)


def test_a_rollback_goes_back_in_every_stream(house: House) -> None:
    house.run()
    house.more()
    house.run()
    rollback(house.store, 1, "wrong", "me", lambda: 9)
    third = house.run_if_new()
    assert isinstance(third, Manifest)
    assert (third.parent, counted(third)) == (1, {"trades": 6, "fills": 6})
