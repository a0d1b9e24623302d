"""Definitions side by side: two views of one name in every part, each answering for itself and never for the other.

cells of bars      B B B B B B      the speed layer runs both
cells of swapped   S S S S S S
versions             vB    vS       an answer is batch (+) cells of the definition that its version holds
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from apache_beam.pipeline import Pipeline

from batch_layer.compute import build
from slackwater.deltas.cell import delta_key_of
from slackwater.deltas.chains import read_chains
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.definitions import beside, check_definitions, defaults, in_force, names_of, view_of
from slackwater.views.errors import DefinitionError, UnknownViewError
from slackwater.views.measures import Count, Max, Min
from slackwater.views.view import View
from tests.serving_world import NAMES, SECOND, World, offsets
from tests.speed_in_memory import Speed

SWAPPED = replace(BARS, measures={**BARS.measures, "high": Min("price"), "low": Max("price")})
"""Another definition, whose answers the oracle can give too: high and low change places."""

TAPE = View("tape", {"trades": Count()}, {"trades": Column("trades", gap="0")}, stream=TRADES)

Bars = dict[int, dict[str, Any]]


def test_a_candidate_is_another_definition_of_a_view_of_the_same_rows() -> None:
    assert check_definitions((BARS, TAPE), ()) == (BARS, TAPE)
    assert check_definitions((BARS, TAPE), (SWAPPED,)) == (BARS, TAPE, SWAPPED)
    wrong = [
        ((BARS, SWAPPED), ()),
        ((BARS,), (SWAPPED, replace(SWAPPED, answers={"low": Column("low")}))),
        ((TAPE,), (SWAPPED,)),
        ((BARS,), (BARS,)),
        ((replace(TAPE, name="trades"),), ()),
        ((replace(TAPE, name="versions"),), ()),
        ((replace(TAPE, name="ticks", stream=replace(TRADES, name="ticks")),), ()),
        ((BARS,), (replace(BARS, stream=replace(TRADES, name="quotes")),)),
        ((BARS,), (replace(BARS, key=("venue", "symbol", "side")),)),
    ]
    for views, candidates in wrong:
        with pytest.raises(DefinitionError):
            check_definitions(views, candidates)


def test_a_version_says_which_definition_is_in_force() -> None:
    views = (BARS, TAPE, SWAPPED)
    tape = {"tape": TAPE.definition}
    assert names_of(views) == ("bars", "tape")
    assert defaults(views) == in_force(views, {}) == in_force(views, {"bars": "0" * 16}) == (BARS, TAPE)
    assert in_force(views, {"bars": BARS.definition, **tape}) == (BARS, TAPE)
    assert in_force(views, {"bars": SWAPPED.definition, **tape}) == (SWAPPED, TAPE)
    assert beside(views, {}) == beside(views, {"bars": BARS.definition}) == (SWAPPED, TAPE)
    assert beside(views, {"bars": SWAPPED.definition}) == (BARS, TAPE)
    with pytest.raises(DefinitionError, match="CANDIDATES"):
        beside((BARS, TAPE), {})
    assert view_of(SWAPPED.definition, views) is SWAPPED
    with pytest.raises(UnknownViewError, match="No view has the definition"):
        view_of("0" * 16, views)


def test_two_definitions_never_get_the_same_files(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="one folder"):
        build(Pipeline(), [], (BARS, SWAPPED), tmp_path)


def test_the_speed_layer_makes_the_cells_of_both(tmp_path: Path) -> None:
    world = World(tmp_path, views=(BARS, SWAPPED))
    for price in ("100", "90", "120", "95"):
        world.trade(price=price, partition=0)
    speed = Speed(world.log, NAMES, world.store, world.views)
    speed.step()
    world.mark("a")
    world.trade(price="80", partition=0)
    speed.step()
    speed.close()
    topic_id, end = world.log.topic_id(NAMES.topic("trades")), world.log.bounds(NAMES.topic("trades"))[0].end
    chains = read_chains(world.log, NAMES.deltas("trades"), world.views, topic_id, {0: 0})
    for view in world.views:
        cells = list(chains[view, 0].walk(0))
        assert {cell.delta_key for cell in cells} == {delta_key_of(view, topic_id, 0)}
        assert cells == world.cells(view, 0)
        assert cells[-1].upto == end
    world.close()


def publish(world: World, view: View, cut: Mapping[int, int], run_id: str) -> None:
    """A version of one of the world's definitions."""
    world.views, known = (view,), world.views
    world.publish(cut, run_id)
    world.views = known


def expected(world: World, definition: str, applied: Mapping[int, int], symbol: str) -> Bars:
    """What bars of 1 s must be in that definition, by start."""
    found: Bars = {}
    for bar in world.oracle(applied).bars("x", symbol, SECOND):
        start = int(str(bar["start"]))
        found[start] = {name: bar[name] for name in BARS.answers}
        if definition == SWAPPED.definition:
            found[start].update(high=bar["low"], low=bar["high"])
    return found


def check(world: World, view: View, symbol: str, query: str = "") -> dict[str, Any]:
    """The whole answer is of the definition `view`; the document."""
    found = world.bars(f"symbol={symbol}&interval=1s&start=1970-01-01{query}")
    about = found["meta"]
    assert about["definition"] == view.definition
    bars = {bar["start"]: {name: bar[name] for name in BARS.answers} for bar in found["bars"]}
    assert bars == expected(world, view.definition, offsets(about["applied"]), symbol)
    return found


def test_answers_are_of_the_definition_of_their_version_and_never_mixed(tmp_path: Path) -> None:
    """Random schedules: trades, cells of one definition before the other, versions of either, cursors across them."""
    for seed in range(6):
        random = Random(seed)
        world = World(tmp_path / str(seed), views=(BARS, SWAPPED))
        held: dict[int, View] = {}
        for turn in range(7):
            for _ in range(random.randrange(1, 6)):
                symbol = random.choice(("AB", "XYZ"))
                world.trade(symbol, random.randrange(6), f"{random.randrange(90, 110)}.{random.randrange(100)}")
            if random.random() < 0.6:
                view = random.choice((BARS, SWAPPED))
                publish(world, view, world.mark(f"run-{turn}"), f"run-{turn}")
                held[len(held) + 1] = view
            world.emit()
            world.step()
            current = held.get(len(held), BARS)
            for symbol in ("AB", "XYZ"):
                if symbol in {known for _, known in world.oracle().instruments}:
                    check(world, current, symbol)
            for version, view in held.items():
                for symbol in {
                    known for _, known in world.oracle(world.store.manifest(version).cut(TRADES)).instruments
                }:
                    check(world, view, symbol, f"&as_of={version}")
        assert not world.service.readiness.check().reasons
        world.close()


def test_a_cursor_goes_on_in_its_definition(tmp_path: Path) -> None:
    world = World(tmp_path, views=(BARS, SWAPPED))
    for at_s in range(4):
        world.trade("AB", at_s, f"{100 + at_s}")
        world.trade("AB", at_s, f"{90 + at_s}")
    cut = world.mark("a")
    for at_s in range(3, 6):
        world.trade("AB", at_s, f"{200 + at_s}")
        world.trade("AB", at_s, f"{80 + at_s}")
    world.emit()
    publish(world, BARS, cut, "a")
    world.step()
    whole = check(world, BARS, "AB")["bars"]
    query = "symbol=AB&interval=1s&start=1970-01-01&limit=2"
    page = world.bars(query)
    publish(world, SWAPPED, cut, "a")
    world.step()
    assert check(world, SWAPPED, "AB")["bars"] != whole
    pages = list(page["bars"])
    while page["next"]:
        page = world.bars(f"{query}&cursor={page['next']}")
        assert page["meta"]["definition"] == BARS.definition
        pages += page["bars"]
    assert pages == whole
    assert world.service.hot.applied("bars") == {0: world.log.bounds(NAMES.topic("trades"))[0].end, 1: cut[1] + 1}
    world.close()
