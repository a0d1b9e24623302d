"""`batch diff` finds exactly what two versions answer differently; what that is, the oracle says."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from batch_layer.diff import Diff, diff_versions
from batch_layer.errors import BatchError, ProofFailedError
from batch_layer.run import BatchRun
from lesson.memory_log import MemoryLog
from ops import context
from ops.cli import main
from slackwater.context import Context
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Decimal, Identity, Stream, Text, Time
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Dropped, Manifest
from slackwater.versions.store import VersionStore
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS
from slackwater.views.measures import Count, Sum
from slackwater.views.view import View
from tests.beam_world import T0_US
from tests.hand import HandClock
from tests.speed_in_memory import Speed
from tests.test_candidate import BOTH, LIGHT, House
from tests.test_definitions import SWAPPED


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "home")
    house.grow(60)
    yield house
    house.close()


def bars(house: House, manifest: Manifest, us: int) -> dict[tuple[Any, ...], dict[str, Any]]:
    """(venue, symbol, start) -> bar, below a version's cut, as the oracle says."""
    oracle = house.world.oracle(manifest.cut(TRADES))
    return {(*key, bar["start"]): bar for key in oracle.instruments for bar in oracle.bars(*key, us)}


def check_swapped(house: House, a: Manifest, found: list[Diff]) -> None:
    for each, interval in zip(found, PUBLISHED_INTERVALS, strict=True):
        rows = bars(house, a, interval.us)
        differ = {place: bar for place, bar in rows.items() if bar["high"] != bar["low"]}
        assert (each.both, each.only_a, each.only_b, each.differ) == (len(rows), 0, 0, len(differ))
        assert [(field.field, field.rows) for field in each.fields] == [("high", len(differ)), ("low", len(differ))]
        widest = max(float(bar["high"]) - float(bar["low"]) for bar in differ.values())
        for field in each.fields:
            assert field.largest is not None
            assert abs(float(field.largest["b"]) - float(field.largest["a"])) == pytest.approx(widest)
            place = (field.largest["venue"], field.largest["symbol"], int(field.largest["start"]))
            assert field.largest["a"] == differ[place][field.field]
        shown = [(row["venue"], row["symbol"], row["start"]) for row in each.first]
        assert shown == sorted(differ)[:10]
        for place, row in zip(shown, each.first, strict=True):
            bar = differ[place]
            assert row["high"] == {"a": bar["high"], "b": bar["low"]}
            assert row["low"] == {"a": bar["low"], "b": bar["high"]}
            assert row.keys() == {"venue", "symbol", "start", "high", "low"}


def test_a_candidate_differs_by_its_definition_and_by_nothing_else(house: House) -> None:
    served, made = house.batch(), house.candidate()
    check_swapped(house, served, diff_versions(house.store, BOTH, served.version, made.version))
    assert all(each.equal for each in diff_versions(house.store, BOTH, made.version, made.version))


def test_a_later_version_differs_by_the_trades_between_the_cuts(house: House) -> None:
    first = house.batch()
    house.grow(40)
    second = house.batch()
    for each, interval in zip(diff_versions(house.store, BOTH, 1, 2), PUBLISHED_INTERVALS, strict=True):
        a, b = bars(house, first, interval.us), bars(house, second, interval.us)
        differ = [p for p in a if {n: a[p][n] for n in BARS.answers} != {n: b[p][n] for n in BARS.answers}]
        assert (each.both, each.only_a, each.only_b, each.differ) == (len(a), 0, len(b) - len(a), len(differ))
        places = [(row["venue"], row["symbol"], row["start"]) for row in each.alone[2]]
        assert places == sorted(b.keys() - a.keys())[:10]
        assert not each.equal and each.alone[1] == ()


def test_answers_that_one_definition_lacks_are_told_and_unknown_definitions_refused(house: House) -> None:
    fewer = replace(BARS, answers={name: answer for name, answer in BARS.answers.items() if name != "vwap"})
    house.batch((BARS,))
    made = house.candidate((BARS, fewer))
    for each in diff_versions(house.store, (BARS, fewer), 1, made.version):
        assert (each.fields_a, each.fields_b, each.differ, each.equal) == (("vwap",), (), 0, False)
    with pytest.raises(BatchError, match="does not have"):
        diff_versions(house.store, (BARS, SWAPPED), 1, made.version)


def test_the_command_ends_with_1_where_anything_differs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "views_of", lambda *_: BOTH)
    served, made = house.batch(), house.candidate()
    command = ["--home", str(house.world.home), "batch", "diff", str(served.version)]
    same = CliRunner().invoke(main, [*command, str(served.version), "--json"])
    assert same.exit_code == 0
    assert [json.loads(line)["equal"] for line in same.output.splitlines()] == [True] * len(PUBLISHED_INTERVALS)
    other = CliRunner().invoke(main, [*command, str(made.version), "--json"])
    assert other.exit_code == 1
    facts = [json.loads(line) for line in other.output.splitlines()]
    assert [(each["same_cut"], each["equal"]) for each in facts] == [(True, False)] * len(PUBLISHED_INTERVALS)
    told = CliRunner().invoke(main, [*command, str(made.version)])
    assert told.exit_code == 1
    assert "high:" in told.output


ONE = Stream(
    name="one",
    columns=(
        Text("desk", "[a-z]+"),
        Text("book", "[A-Z]+"),
        Text("way", "[a-z]+"),
        Identity("fill"),
        Time("done"),
        Decimal("paid"),
    ),
    entity=("desk",),
    identity="fill",
    time="done",
    order="done",
)
THREE = replace(ONE, name="three", entity=("desk", "book", "way"))
PAID = tuple(
    View(
        name=f"paid_{stream.name}",
        stream=stream,
        key=stream.entity,
        measures={"paid": Sum("paid"), "fills": Count()},
        answers={"paid": Column("paid"), "fills": Column("fills")},
    )
    for stream in (ONE, THREE)
)
NAMES = TopicNames("t")


class Desks:
    """Two streams whose entities have one and three columns, both layers over a log in memory."""

    def __init__(self, home: Path, views: tuple[View, ...] = PAID) -> None:
        self.log, self.clock, self.store = MemoryLog(T0_US // 1000), HandClock(), VersionStore(home)
        for stream in (ONE, THREE):
            self.log.create(NAMES.topic(stream), 2)
            self.log.create(NAMES.deltas(stream), 2)
        self.speed = Speed(self.log, NAMES, self.store, views, self.clock)
        self.ids = 0

    def append(self, desk: str, book: str, way: str, paid: str, second: int = 0) -> None:
        for stream in (ONE, THREE):
            event = {"desk": desk, "book": book, "way": way, "fill": str(self.ids), "paid": paid}
            event["done"] = T0_US - 100_000_000 + second * 1_000_000  # type: ignore[assignment]
            self.log.append(NAMES.topic(stream), len(desk) % 2, b"k", json.dumps(event).encode())
        self.ids += 1
        self.speed.step()

    def batch(self, views: tuple[View, ...] = PAID, **more: Any) -> Manifest:
        context = Context(self.log, NAMES, self.store, views, self.clock)
        return BatchRun(context, compute=LIGHT, on_step=lambda _: self.speed.step(), **more).run()


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Desks]:
    made = Desks(tmp_path)
    made.append("d", "B", "in", "1.5")
    made.append("d", "B", "out", "2")
    made.append("ee", "B", "in", "4")
    yield made
    made.speed.close()


def test_entities_of_one_and_of_three_columns_are_proven_and_compared(desks: Desks) -> None:
    desks.batch()
    desks.append("d", "B", "in", "10")
    desks.append("d", "C", "in", "7", second=1)
    second = desks.batch()
    assert {name: proof.outcome for name, proof in second.proofs.items()} == {"one": "equal", "three": "equal"}
    assert all(proof.compared for proof in second.proofs.values())
    assert [len(second.instruments_of(stream)) for stream in (ONE, THREE)] == [2, 4]
    found = {(each.view, each.interval): each for each in diff_versions(desks.store, PAID, 1, 2)}
    one, three = found["paid_one", "1s"], found["paid_three", "1s"]
    assert (one.both, one.only_a, one.only_b, one.differ) == (2, 0, 1, 1)
    assert (three.both, three.only_a, three.only_b, three.differ) == (3, 0, 1, 1)
    assert [(row["desk"], row["paid"]) for row in one.first] == [("d", {"a": "3.5", "b": "13.5"})]
    assert [(row["desk"], row["book"], row["way"], row["paid"]) for row in three.first] == [
        ("d", "B", "in", {"a": "1.5", "b": "11.5"})
    ]
    assert [place["book"] for place in three.alone[2]] == ["C"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_proof_names_the_entity_of_one_or_three_columns_that_differs(desks: Desks, number: int) -> None:
    view = PAID[number]

    def compute(segments: Any, views: tuple[View, ...], folder: Path, *more: Any) -> None:
        LIGHT(segments, views, folder, *more)
        for path in (folder / view.name).rglob("0.parquet"):
            table = pq.read_table(path)
            fills = pc.add(table.column("fills"), 1).cast(table.schema.field("fills").type)
            pq.write_table(table.set_column(table.schema.get_field_index("fills"), "fills", fills), path)

    run = BatchRun(Context(desks.log, NAMES, desks.store, PAID, desks.clock), compute=compute)
    run.on_step = lambda _: desks.speed.step()
    with pytest.raises(ProofFailedError) as caught:
        run.run()
    different = {each.view: each for each in reversed(caught.value.proof.first)}
    assert different.keys() == {view.name}
    assert different[view.name].key == [("ee",), ("ee", "B", "in")][number]
    assert (different[view.name].expected, different[view.name].found) == ("1", "2")


def test_a_view_or_a_stream_that_one_version_lacks_is_told_with_its_rows(
    desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, three = PAID
    desks.batch((one,))
    added = desks.batch()
    desks.batch((one,), drop=Dropped("stream", "three", "me", "the venue closed", 7))
    rows = {i.text: sum(f.file.rows for f in added.parts_of(three.name, i.text)) for i in three.intervals}
    for a, b, holder in ((1, 2, 2), (2, 1, 2), (2, 3, 2), (3, 2, 2)):
        found = diff_versions(desks.store, (one,), a, b)  # the view that is gone is not registered any more
        assert all(each.equal for each in found if each.view == one.name)
        alone = {each.interval: each for each in found if each.view == three.name}
        assert alone.keys() == rows.keys()
        for each in alone.values():
            assert not each.equal
            assert (each.both, each.differ) == (0, 0)
            assert each.definitions == tuple(three.definition if number == holder else None for number in (a, b))
        assert {i: each.only_b if b == holder else each.only_a for i, each in alone.items()} == rows
        assert not any(each.only_a if b == holder else each.only_b for each in alone.values())
    assert [each.view for each in diff_versions(desks.store, PAID, 1, 3)] == [one.name] * len(one.intervals)
    monkeypatch.setattr(context, "views_of", lambda *_: (one,))
    command = ["--home", str(desks.store.home), "batch", "diff", "2", "3"]
    told = CliRunner().invoke(main, command)
    assert told.exit_code == 1
    assert "paid_three 1s: 3 rows in 2 alone; version 3 does not hold this view" in told.output
    facts = [json.loads(line) for line in CliRunner().invoke(main, [*command, "--json"]).output.splitlines()]
    assert {each["view"]: each["definitions"] for each in facts}[three.name] == [three.definition, None]
