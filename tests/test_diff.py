"""`batch diff` finds exactly what two versions answer differently; what that is, the oracle says."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batch_layer.diff import Diff, diff_versions
from batch_layer.errors import DiffError
from ops import cli_diff
from ops.cli import main
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS
from tests.test_candidate import BOTH, House
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
    with pytest.raises(DiffError, match="does not have"):
        diff_versions(house.store, (BARS, SWAPPED), 1, made.version)


def test_the_command_ends_with_1_where_anything_differs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_diff, "registered", lambda _: BOTH)
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
