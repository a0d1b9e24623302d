"""`slackwater verify` fails where the log holds events that no answer stands on, whatever keeps them from it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from ops.cli_verify import proof_facts
from ops.evidence import LogEvidence, claims
from slackwater.log.mark import MARK_HEADER
from slackwater.views.interval import parse_interval
from tests.serving_world import NAMES, World
from verify import run as verify_module
from verify.client import Client
from verify.errors import ServiceError
from verify.proof import Proof
from verify.run import verify


class Asked:
    """The service of a world as `Client` asks it; `before` is called before each list of instruments."""

    def __init__(self, world: World, before: Callable[[], None] = lambda: None) -> None:
        self._world = world
        self._before = before

    def get(self, path: str, params: dict[str, str]) -> httpx.Response:
        if path == "/v1/instruments":
            self._before()
        return self._world.get(f"{path}?{urlencode(params)}")


def proof(world: World, before: Callable[[], None] = lambda: None, wait_s: float = 0.0, symbol: str = "") -> Proof:
    client = Client("http://test", http=Asked(world, before))  # type: ignore[arg-type]
    wanted = claims(world.service.views, [parse_interval("1m")], lambda entity: not symbol or entity[1] == symbol)
    return verify(client, LogEvidence(world.log, NAMES, world.store), wanted, wait_s)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A trade of AB in partition 0 and of ABC in 1, both answered."""
    world = World(tmp_path, partitions=3)
    for partition, symbol in enumerate(("AB", "ABC")):
        world.trade(symbol, partition=partition)
    world.emit()
    world.step()
    yield world
    world.close()


def test_it_holds_where_every_event_is_in_an_answer_and_what_follows_is_none(world: World) -> None:
    assert proof(world).holds
    world.log.append(NAMES.topic("trades"), 0, None, b"", [(MARK_HEADER, b"run")])
    world.log.append(NAMES.topic("trades"), 1, None, b"nonsense")
    world.log.append(NAMES.topic("trades"), 2, None, b"")
    found = proof(world)
    assert found.holds and found.tail == []


def test_events_that_no_answer_stands_on_are_a_failure(world: World) -> None:
    world.trade("AB", partition=0)
    world.trade("AC", partition=0)
    found = proof(world)
    assert not found.holds and found.differ == 0
    assert found.tail == [
        "trades[0] holds 2 events in [1, 3) of x:AB, x:AC: no answer stands on them.",
    ]
    assert proof_facts(found)["holds"] is False and proof_facts(found)["tail"] == found.tail


def test_so_are_those_of_a_partition_that_no_answer_knows(world: World) -> None:
    for symbol in ("A", "B", "C", "D", "E"):
        world.trade(symbol, partition=2)
    assert proof(world).tail == [
        "trades[2] holds 5 events in [0, 5) of x:A, x:B, x:C and 2 more: no answer knows the partition.",
    ]


def test_and_those_that_cannot_be_read_or_are_hidden(world: World) -> None:
    world.log.damage(NAMES.topic("trades"), 0, world.trade("AB", partition=0), "the codec snappy is missing")
    world.log.open_transaction(NAMES.topic("trades"), 1)
    world.trade("ABC", partition=1)
    found = proof(world)
    assert not found.holds
    assert found.tail == [
        "slackwater.trades[0] cannot be read from offset 1 on: the codec snappy is missing.",
        "An open transaction of a foreign writer hides 1 records of trades[1] from offset 1 on.",
    ]


def test_what_an_answer_stands_on_and_the_oracle_cannot_read_is_not_compared_and_said(world: World) -> None:
    world.log.damage(NAMES.topic("trades"), 0, 0, "damaged")
    found = proof(world)
    assert not found.holds and found.differ == 0
    events, rows = found.refusals
    assert "/v1/trades answers 503" in events
    assert rows == "2 answers were not compared: slackwater.trades[0] cannot be read from offset 0 on: damaged."
    assert found.entities == {"x:ABC"}


def test_an_instrument_in_two_partitions_is_compared_over_both(world: World) -> None:
    for at_s, partition in ((0.0, 2), (61.0, 0), (90.0, 2)):  # the writer is a foreign one
        world.trade("AB", at_s=at_s, partition=partition)
    world.emit()
    world.step()
    found = proof(world)
    assert found.holds and found.entities == {"x:AB", "x:ABC"}, (found.differences, found.tail)
    world.trade("AB", partition=2)
    assert proof(world).tail == [
        "trades[2] holds 1 events in [2, 3) of x:AB: no answer stands on them.",
    ]


def test_answers_that_come_in_time_are_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "AGAIN_S", 0.0)
    world.trade("AB", partition=0)
    asked = 0

    def before() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            world.emit()
            world.step()

    assert proof(world, before, wait_s=60.0).holds
    assert asked == 3


def test_an_instrument_of_a_version_that_is_not_served_yet_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "AGAIN_S", 0.0)
    world.trade("OLD", partition=2)
    world.publish(world.mark("run"), "run")
    world.log.delete_below(NAMES.topic("trades"), 2, 1)  # as history that was imported: only the version has it
    found = proof(world)
    assert not found.holds and "x:OLD" in found.refusals[0] and "unknown-instrument" in found.refusals[0]
    asked = 0

    def before() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            world.step()

    found = proof(world, before, wait_s=60.0)
    assert found.holds and "x:OLD" in found.entities, (found.refusals, found.tail)
    assert asked == 3


@pytest.mark.parametrize("path", ["/v1/instruments", "/v1/bars", "/v1/trades"])
@pytest.mark.parametrize("status", [503, 404, 410])
def test_an_answer_that_is_refused_for_a_moment_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    monkeypatch.setattr(verify_module, "AGAIN_S", 0.0)
    refused = 0

    class Starting(Asked):
        def get(self, asked: str, params: dict[str, str]) -> httpx.Response:
            nonlocal refused
            if asked == path and refused < 3:
                refused += 1
                return httpx.Response(status, text="a version is taken in")
            return super().get(asked, params)

    client = Client("http://test", http=Starting(world))  # type: ignore[arg-type]
    wanted = claims(world.service.views, [parse_interval("1m")])
    found = verify(client, LogEvidence(world.log, NAMES, world.store), wanted, 60.0)
    assert found.holds and not found.refusals and refused == 3
    assert found.entities == {"x:AB", "x:ABC"}


def test_an_answer_that_is_refused_for_good_is_said_when_the_time_is_over(world: World) -> None:
    class Refusing(Asked):
        def get(self, path: str, params: dict[str, str]) -> httpx.Response:
            if params.get("symbol") == "AB" and path == "/v1/bars":
                return httpx.Response(503, text="files-unreadable")
            return super().get(path, params)

    client = Client("http://test", http=Refusing(world))  # type: ignore[arg-type]
    wanted = claims(world.service.views, [parse_interval("1m")])
    found = verify(client, LogEvidence(world.log, NAMES, world.store), wanted, 0.1)
    assert not found.holds and not found.differ
    assert found.refusals == [
        "x:AB: The service at http://test cannot be used: /v1/bars answers 503: files-unreadable."
    ]


def test_a_service_that_refuses_everything_is_an_error_when_the_time_is_over(world: World) -> None:
    class Away(Asked):
        def get(self, path: str, params: dict[str, str]) -> httpx.Response:
            raise httpx.ConnectError("connection refused")

    client = Client("http://test", http=Away(world))  # type: ignore[arg-type]
    evidence = LogEvidence(world.log, NAMES, world.store)
    with pytest.raises(ServiceError, match="connection refused"):
        verify(client, evidence, claims(world.service.views), 0.1)


def test_events_of_instruments_that_are_not_asked_for_are_no_failure(world: World) -> None:
    world.trade("AC", partition=0)
    assert proof(world, symbol="AB").holds
    assert not proof(world, symbol="AC").holds
