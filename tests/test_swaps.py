"""Swaps under load, a few: real processes, real publications, real clients; and that it would see what it looks for."""

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bench.swap_clients import Client, Clients
from bench.swaps import Swaps, holds, run_swaps

pytestmark = pytest.mark.broker

SWAPS = 12


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return run_swaps(Swaps(swaps=SWAPS, rate=100, trades=120), quiet=True)


@pytest.mark.crash
def test_no_answer_fails_tears_or_goes_backwards_while_versions_are_swapped(found: dict[str, Any]) -> None:
    assert holds(found), found
    assert found["swaps"] == SWAPS
    assert found["requests"] > SWAPS
    assert found["different_answers"] > 50
    json.dumps(found)


@pytest.mark.crash
@pytest.mark.parametrize("name", ["not_2xx", "torn", "refused", "version_backwards", "applied_backwards"])
def test_one_bad_answer_is_enough_to_fail(found: dict[str, Any], name: str) -> None:
    assert not holds({**found, name: 1})


def test_a_connection_that_breaks_is_counted_and_opened_again() -> None:
    """A server that hangs up on each second request."""
    served = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        for number in range(8):
            connection, _ = served.accept()
            with connection:
                connection.recv(65536)
                if number % 2:
                    connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        done.set()

    thread = threading.Thread(target=serve)
    thread.start()
    found = Clients("127.0.0.1", served.getsockname()[1], ["/"], 1000.0, 1, 1).run(done)
    thread.join()
    served.close()
    assert found["statuses"][503] >= 3
    assert found["statuses"][0] >= 4


def older(body: dict[str, Any]) -> None:
    body["meta"]["version"] -= 1


def shorter(body: dict[str, Any]) -> None:
    body["meta"]["applied"]["0"] -= 1


@pytest.mark.parametrize(("change", "count"), [(older, "version"), (shorter, "applied"), (lambda _: None, "none")])
def test_a_client_counts_what_goes_backwards(change: Callable[[dict[str, Any]], None], count: str) -> None:
    clients, client = Clients("nowhere", 1, [], 1.0, 1, 2), Client()
    body = {"bars": [], "next": None, "meta": {"version": 7, "applied": {"0": 9}, "cut": {"0": 5}, "complete": True}}
    clients._take(client, client.seen(), "/", json.dumps(body, separators=(",", ":")).encode())
    change(body)
    clients._take(client, client.seen(), "/", json.dumps(body, separators=(",", ":")).encode())
    assert dict(+clients._counts) == ({} if count == "none" else {count: 1})
