"""The proof covers every view, and looks: with one thing of one declaration another, it fails, of every kind."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from ops.cli_verify import proof_facts, show_proof
from ops.evidence import LogEvidence, claims
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column, Difference, Linear, Quantiles, Ratio, ratio_units
from slackwater.views.bars import BARS
from slackwater.views.flow import FLOW
from slackwater.views.interval import parse_interval
from slackwater.views.keys import Bucket
from slackwater.views.measures import Count, First, Last, Max, Min, Sum
from slackwater.views.measures import sums as sums_module
from slackwater.views.measures.measure import adder
from slackwater.views.session import Summariser
from slackwater.views.sizes import SIZES
from slackwater.views.view import View
from tests.serving_world import NAMES, World
from verify.client import Client
from verify.definition import Definition, Part
from verify.proof import Proof
from verify.run import Claims, verify

EVERY = View(
    name="every",
    key=("venue", "symbol", "side", "size"),
    derived={"size": Bucket("quantity", digits=2)},
    measures={
        "first": First("price", by="sequence"),
        "last": Last("price", by="sequence"),
        "low": Min("price"),
        "high": Max("price"),
        "volume": Sum("quantity"),
        "trades": Count(),
        "dear": Count(where="price > 100"),
        "last_side": Last("side", by="sequence"),
    },
    answers={
        **{name: Column(name) for name in ("first", "last", "low", "high", "volume", "trades", "dear", "last_side")},
        "last_id": Column("last_id"),
        "mean": Ratio("volume", "trades"),
        "cheap": Difference("trades", "dear"),
        "twice": Linear({"volume": 2}),
    },
    quantiles={"half": Quantiles("0.5", of="trades", by="size")},
    stream=TRADES,
)
VIEWS = (BARS, FLOW, SIZES, EVERY)
INTERVALS = [parse_interval(text) for text in ("1s", "1m", "1d", "1w")]


class Asked:
    """The service of a world as `Client` asks it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get(self, path: str, params: Mapping[str, str]) -> httpx.Response:
        return self._world.get(f"{path}?{urlencode(params)}")


def prove(world: World, wanted: Claims | None = None) -> Proof:
    client = Client("http://test", http=Asked(world))  # type: ignore[arg-type]
    return verify(client, LogEvidence(world.log, NAMES, world.store), wanted or claims(VIEWS, INTERVALS), 0.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two instruments, half of it in a version and half of it beyond; one trade is late, one line is none."""
    world = World(tmp_path_factory.mktemp("home"), views=VIEWS)
    fill(world)
    yield world
    world.close()


def fill(world: World) -> None:
    for symbol in ("BTC", "E"):
        for at_s, price, quantity, side in (
            (0.0, "100", "1", "buy"),
            (0.5, "100.5", "0.12345678", "sell"),
            (0.7, "99.00000001", "1234.5", "buy"),
            (61.0, "101", "1234.6", "buy"),
        ):
            world.trade(symbol, at_s, price, quantity=quantity, side=side)
    world.publish(world.mark("run"), "run")
    for symbol in ("BTC", "E"):
        world.trade(symbol, 0.9, "100.25", quantity="3", side="sell")
        world.trade(symbol, 62.0, "7", quantity="0.00000001", side="sell")
    world.log.append(NAMES.topic("trades"), 0, None, b"nonsense")
    world.emit()
    world.step()


def test_the_proof_holds_of_every_view_and_of_the_events(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    found = prove(world)
    assert found.holds, (found.differences, found.refusals, found.tail, found.not_proven)
    assert list(found.parts) == ["bars", "flow", "sizes", "every", "trades"]
    assert all(part.rows and not part.differ for part in found.parts.values())
    assert found.parts["trades"].rows == 12
    show_proof(found)
    shown = capsys.readouterr().out
    assert all(f"  {name}: " in shown for name in found.parts)
    assert proof_facts(found)["views"]["flow"]["differ"] == 0


def changed(kind: str, name: str, **args: Any) -> Callable[[Definition], Definition]:
    """The definition with other arguments of one part."""

    def change(view: Definition) -> Definition:
        parts = dict(getattr(view, kind))
        parts[name] = replace(parts[name], args={**parts[name].args, **args})
        return replace(view, **{kind: parts})

    return change


def kind_changed(kind: str, name: str, other: str) -> Callable[[Definition], Definition]:
    """The definition with one part of another kind."""

    def change(view: Definition) -> Definition:
        parts = dict(getattr(view, kind))
        parts[name] = Part(other, parts[name].args)
        return replace(view, **{kind: parts})

    return change


def oracle_changed(kind: str, name: str, oracle: Callable[..., Any]) -> Callable[[Definition], Definition]:
    """The definition with an oracle of its own for one part."""

    def change(view: Definition) -> Definition:
        parts = dict(getattr(view, kind))
        parts[name] = replace(parts[name], oracle=oracle)
        return replace(view, **{kind: parts})

    return change


WRONG = {
    "Sum": changed("measures", "volume", expr="quantity + 0.00000001"),
    "Count": changed("measures", "trades", where="price > 8"),
    "Count where": changed("measures", "dear", where="price >= 100"),
    "Min": kind_changed("measures", "low", "Max"),
    "Max": kind_changed("measures", "high", "Min"),
    "First": changed("measures", "first", by="0 - sequence"),
    "Last": changed("measures", "last", by="0 - sequence"),
    "Last of a text": changed("measures", "last_side", expr="symbol"),
    "Column": changed("answers", "high", column="low"),
    "Ratio": changed("answers", "mean", under="dear"),
    "Difference": changed("answers", "cheap", weights=(("trades", 1), ("dear", 1))),
    "Linear": changed("answers", "twice", weights=(("volume", 3),)),
    "Bucket": changed("derived", "size", digits=3),
    "Quantiles": changed("quantiles", "half", at="0.01"),
    "Quantiles of another count": changed("quantiles", "half", of="dear"),
    "Bucket of another number": changed("derived", "size", expr="price"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_it_fails_with_one_thing_another(world: World, wrong: Callable[[Definition], Definition]) -> None:
    right = claims([EVERY], INTERVALS)
    found = prove(world, replace(right, views=[wrong(view) for view in right.views]))
    assert not found.holds and found.parts["every"].differ and not found.parts["trades"].differ


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [
        (kind_changed("measures", "low", "Median"), "no measure 'Median'"),
        (oracle_changed("measures", "low", lambda name, args, read: adder(0, 1, name)), "shares adder with"),
        (
            oracle_changed("answers", "mean", lambda args, columns: lambda state: ratio_units(1, 1)),
            "shares ratio_units",
        ),
        (oracle_changed("answers", "mean", max), "shares <built-in function max>"),
        (kind_changed("answers", "mean", "Root"), "no answer 'Root'"),
        (kind_changed("derived", "size", "Cluster"), "no key column 'size' that is a Cluster"),
        (changed("measures", "volume", expr="sqrt(quantity)"), "sqrt"),
        (changed("answers", "mean", over="nothing"), "'nothing'"),
    ],
)
def test_what_the_oracle_does_not_know_is_said_and_fails(
    world: World, wrong: Callable[[Definition], Definition], fact: str
) -> None:
    right = claims([BARS, EVERY], INTERVALS)
    bars, every = right.views
    found = prove(world, replace(right, views=[bars, wrong(every)]))
    assert not found.holds and fact in found.not_proven["every"] and found.parts["bars"].holds


def test_a_view_that_no_version_has_yet_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path, views=(BARS,))
    fill(world)
    world.views, world.summariser = (BARS, FLOW), Summariser((BARS, FLOW))
    world.serve()
    world.emit()
    world.step()
    found = prove(world, claims([BARS, FLOW], INTERVALS))
    world.close()
    world.summariser.close()
    assert found.holds, (found.differences, found.refusals, found.tail)
    assert found.parts["bars"].rows and not found.parts["flow"].rows
    show_proof(found)
    assert "flow: nothing yet: Version 1 was published without it." in capsys.readouterr().out


def test_a_stream_of_which_a_version_has_no_view_yet_is_said_and_refuses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, views=(BARS,))
    fill(world)
    world.views, world.summariser = (FLOW,), Summariser((FLOW,))
    world.serve()
    found = prove(world, claims([FLOW], INTERVALS))
    world.close()
    world.summariser.close()
    assert (found.refusals, found.rows) == ([], 0)
    assert found.parts["flow"].pending and found.parts["trades"].pending


def test_an_instrument_that_the_service_does_not_know_is_a_failure(world: World) -> None:
    class Forgetful(Asked):
        def get(self, path: str, params: Mapping[str, str]) -> httpx.Response:
            if params.get("symbol") == "E":
                return httpx.Response(404, content=b"unknown-instrument")
            found = super().get(path, params)
            return httpx.Response(200, content=found.content.replace(b'"symbol":"E"', b'"symbol":"BTC"'))

    client = Client("http://test", http=Forgetful(world))  # type: ignore[arg-type]
    found = verify(client, LogEvidence(world.log, NAMES, world.store), claims(VIEWS, INTERVALS), 0.0)
    assert not found.holds and not found.differ and "x:E" in found.refusals[0]


def test_an_answer_of_a_definition_that_nobody_claims_is_not_proven(world: World) -> None:
    right = claims([FLOW], INTERVALS)
    found = prove(world, replace(right, views=[replace(right.views[0], definition="0" * 16)]))
    assert not found.holds and FLOW.definition in found.not_proven["flow"]


def test_it_fails_where_the_product_computes_another_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SQL of both layers and the Python merge stand on one declaration: the oracle does not."""
    right = sums_module.Sum.part
    monkeypatch.setattr(
        sums_module.Sum,
        "part",
        lambda self, name, type_of: right(replace(self, expr=self.expr.replace("quantity", "price")), name, type_of),
    )
    wrong = View("wrong", {"volume": Sum("quantity")}, {"volume": Column("volume")}, stream=TRADES)
    assert wrong.columns
    world = World(tmp_path, views=(wrong,))
    fill(world)
    found = prove(world, claims([wrong], INTERVALS))
    world.close()
    assert not found.holds and found.parts["wrong"].differ


def test_it_fails_where_an_event_is_another_than_the_logs(world: World) -> None:
    class Lying(Asked):
        def get(self, path: str, params: Mapping[str, str]) -> httpx.Response:
            found = super().get(path, params)
            if path != "/v1/trades":
                return found
            return httpx.Response(200, content=found.content.replace(b'"99.00000001"', b'"99.00000002"', 1))

    client = Client("http://test", http=Lying(world))  # type: ignore[arg-type]
    found = verify(client, LogEvidence(world.log, NAMES, world.store), claims(VIEWS, INTERVALS), 0.0)
    assert not found.holds and found.parts["trades"].differ and found.parts["bars"].holds


def test_a_stream_without_a_view_is_said_and_is_no_failure(world: World) -> None:
    other = replace(TRADES, name="quotes")
    found = prove(world, claims([FLOW], INTERVALS, registered=[TRADES, other]))
    assert found.holds and found.parts["quotes"].pending and not found.parts["trades"].pending
