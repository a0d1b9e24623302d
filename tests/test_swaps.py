"""Swaps under load, a few: real processes, real publications, real clients; and that it would see what it looks for."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from stack.swap_clients import Client, Clients
from stack.swaps import Swaps, holds, run_swaps

pytestmark = pytest.mark.broker

SWAPS = 30


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return run_swaps(Swaps(swaps=SWAPS, rate=100, trades=120), quiet=True)


def test_no_answer_fails_tears_or_goes_backwards_while_versions_are_swapped(found: dict[str, Any]) -> None:
    assert holds(found), found
    assert found["swaps"] == SWAPS
    assert found["requests"] > SWAPS
    assert found["different_answers"] > 50
    json.dumps(found)


@pytest.mark.parametrize("name", ["not_2xx", "torn", "refused", "version_backwards", "applied_backwards"])
def test_one_bad_answer_is_enough_to_fail(found: dict[str, Any], name: str) -> None:
    assert not holds({**found, name: 1})


def older(body: dict[str, Any]) -> None:
    body["answer"]["version"] -= 1


def shorter(body: dict[str, Any]) -> None:
    body["answer"]["applied"]["0"] -= 1


@pytest.mark.parametrize(("change", "count"), [(older, "version"), (shorter, "applied"), (lambda _: None, "none")])
def test_a_client_counts_what_goes_backwards(change: Callable[[dict[str, Any]], None], count: str) -> None:
    clients, client = Clients("nowhere", 1, [], 1.0, 1, 2), Client()
    body = {"bars": [], "next": None, "answer": {"version": 7, "applied": {"0": 9}, "cut": {"0": 5}, "complete": True}}
    clients._take(client, client.seen(), "/", 200, json.dumps(body, separators=(",", ":")).encode(), 1.0)
    change(body)
    clients._take(client, client.seen(), "/", 200, json.dumps(body, separators=(",", ":")).encode(), 1.0)
    assert dict(+clients._counts) == ({} if count == "none" else {count: 1})
