"""Streams on real sockets: what comes over the wire, a client that does not read, and the end of the server."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.stream import channel
from serving.stream.series import Changed
from slackwater.http.connection import Connection
from slackwater.views.view import View
from tests.serving_world import NOON, SECOND, World, cut_in_a_minute
from tests.socket_server import DEADLINE_S, connect, ended, served
from tests.stream_kit import Event, Parser


class Wire:
    """A stream on a socket. `read` takes what comes until a condition holds of the events so far."""

    def __init__(self, port: int, query: str) -> None:
        self.events: list[Event] = []
        self.socket = connect(port)
        self._parser = Parser()
        self._rest = b""
        self._head = False
        request = f"GET /v1/stream/bars?venue=x&{query} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.socket.sendall(request.encode())

    def read(self, enough: Callable[[list[Event]], bool]) -> None:
        while not enough(self.events):
            data = self.socket.recv(1 << 16)
            assert data, "the connection ended"
            self._take(data)

    def read_all(self) -> None:
        self._take(ended(self.socket))

    def _take(self, data: bytes) -> None:
        """The parts of a chunked body."""
        self._rest += data
        if not self._head:
            head, mark, rest = self._rest.partition(b"\r\n\r\n")
            if not mark:
                return
            assert head.startswith(b"HTTP/1.1 200 OK"), head
            self._head, self._rest = True, rest
        while b"\r\n" in self._rest:
            size, _, rest = self._rest.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self.events += self._parser.feed(rest[:length])
            self._rest = rest[length + 2 :]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, partitions=2)
    yield found
    found.close()


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends, "not within the deadline"
        time.sleep(0.005)


def named(name: str) -> Callable[[list[Event]], bool]:
    """Whether an event of that name came."""
    return lambda events: any(event.name == name for event in events)


def test_a_stream_comes_over_a_socket_and_says_why_it_ends(world: World) -> None:
    cut_in_a_minute(world)
    with served(world.app) as (server, port):
        wire = Wire(port, "symbol=BTC&interval=1m")
        with wire.socket:
            wire.read(named("snapshot"))
            world.trade(at_s=541)
            world.emit()
            wire.read(named("bars"))
            assert [bar["start"] for bar in wire.events[1].data["bars"]] == [NOON + 540 * SECOND]
            server.should_exit = True
            wire.read_all()
            assert [event.name for event in wire.events] == ["snapshot", "bars", "end"]
            assert wire.events[-1].data["type"] == "urn:slackwater:problem:shutting-down"
    assert world.service.hub.streams == 0


def test_a_connection_that_is_not_read_is_cut_and_its_buffers_are_free(world: World) -> None:
    hub = world.service.hub
    for number in range(1000):  # a snapshot that fits into no buffer
        world.trade(at_s=number * 30)
    world.emit()
    world.step()
    with served(world.app) as (_, port):
        good = Wire(port, "symbol=BTC&interval=1m")
        stuck = Wire(port, "symbol=BTC&interval=1s,5s,10s,15s,30s&limit=1000")
        stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with good.socket, stuck.socket:
            good.read(named("snapshot"))
            until(lambda: hub.streams == 2)
            world.trade(at_s=1000 * 30)
            world.emit()
            until(lambda: hub.stuck == 1)
            world.clock.sleep(hub.options.stuck_s)
            until(lambda: hub.streams == 1)
            assert hub.ended["slow-client"] == 1
            stuck.read_all()
            assert "end" not in [event.name for event in stuck.events]
            world.trade(at_s=1001 * 30)
            world.emit()
            good.read(lambda events: events[-1].data.get("meta", {}).get("applied") == {"1": 1002})


def test_a_client_that_goes_is_forgotten(world: World) -> None:
    cut_in_a_minute(world)
    hub = world.service.hub
    with served(world.app) as (_, port):
        wire = Wire(port, "symbol=BTC&interval=1m")
        wire.read(named("snapshot"))
        assert hub.streams == 1
        wire.socket.close()
        until(lambda: hub.streams == 0)
        assert hub.ended["gone"] == 1


def test_clients_that_ask_the_same_share_bytes_that_are_written_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is made once, and written past the tasks; what a client reads is the same either way."""
    pushed: list[bytes] = []
    push = Connection.push

    def seen(self: Connection, take: Callable[[], bytes]) -> bool:
        def taken() -> bytes:
            pushed.append(take())
            return pushed[-1]

        return push(self, taken)

    monkeypatch.setattr(Connection, "push", seen)
    cut_in_a_minute(world)
    with served(world.app) as (_, port):
        wires = [Wire(port, "symbol=BTC&interval=1m") for _ in range(3)]
        for wire in wires:
            wire.read(named("snapshot"))
        for number in range(1, 6):
            until(lambda: world.service.hub.idle)
            world.trade(at_s=540 + number)
            world.emit()
            for wire in wires:
                wire.read(lambda events, number=number: len(events) == number + 1)  # type: ignore[misc]
        for wire in wires:
            wire.socket.close()
    assert wires[0].events == wires[1].events == wires[2].events
    events = [piece for piece in pushed if piece]
    assert len(events) >= 10  # some may be given by the client's task
    assert len({id(piece) for piece in events}) < len(events) / 2  # shared, not equal copies


def test_a_stream_that_fails_ends_and_the_others_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_in_a_minute(world)
    encoded = channel._encoded
    with served(world.app) as (_, port):
        bad, good = Wire(port, "symbol=BTC&interval=5m"), Wire(port, "symbol=BTC&interval=1m")
        for wire in (bad, good):
            wire.read(named("snapshot"))
        until(lambda: world.service.hub.idle)

        def failing(view: View, request: channel.ChannelRequest, changed: Changed) -> bytes:
            if request.interval.text == "5m":
                raise ValueError("no such number")
            return encoded(view, request, changed)

        monkeypatch.setattr(channel, "_encoded", failing)
        for number in range(1, 4):
            world.trade(at_s=540 + number)
            world.emit()
            good.read(lambda events, number=number: len(events) == number + 1)  # type: ignore[misc]
        bad.read(named("end"))
        assert bad.events[-1].data["type"] == "urn:slackwater:problem:internal"
        for wire in (bad, good):
            wire.socket.close()
