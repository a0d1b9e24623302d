"""The client's streams: messages from bytes however they are cut, and what is done when the connection ends."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slackwater_client import (
    BadRequestError,
    Bar,
    Changes,
    ConnectionFailedError,
    Disconnected,
    Ending,
    Event,
    Heartbeat,
    NotFoundError,
    ProtocolError,
    Retry,
    Snapshot,
    UnavailableError,
    VersionChange,
)
from slackwater_client.follow import Emit, follow
from slackwater_client.http import Lost, Open, Opened, Pause, Piece, Reply, Send, Shut
from slackwater_client.sse import Message, Parser

from tests.client_kit import KINDS, Asker
from tests.live_service import LiveService, Proxy
from tests.profiles import examples
from tests.serving_world import NOON, SECOND, World, cut_in_a_minute

STREAM = (
    "\ufeffretry: 1500\r\n: a comment\r\n\r\n"
    "event: snapshot\nid: 1\ndata: {\ndata:  }\n\n"
    "event: nothing\rid: 2\r\r"
    "data: é\u2028x\r\nid: a\0b\r\nunknown: field\r\nretry: 9x\r\n\r\n"
    "data\n\ndata: torn"
).encode()
MESSAGES = [Message("snapshot", "{\n }", "1"), Message("message", "é\u2028x", "2"), Message("message", "", "2")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
@examples(100)
def test_messages_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    parser = Parser()
    pieces = [STREAM[a:b] for a, b in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    assert [message for piece in pieces for message in parser.feed(piece)] == MESSAGES
    assert (parser.id, parser.retry_ms) == ("2", 1500)


@given(st.lists(st.binary(max_size=40), max_size=5))
@examples(50)
def test_no_bytes_break_the_parser(pieces: list[bytes]) -> None:
    whole, cut = Parser(), Parser()
    assert [m for p in pieces for m in cut.feed(p)] == list(whole.feed(b"".join(pieces)))


def test_a_message_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slackwater_client.sse.MOST_BYTES", 100)
    for endless in (b"data: " + b"x" * 200, b"data: x\n" * 40):
        with pytest.raises(ProtocolError):
            list(Parser().feed(endless))


BEAT = b'id: %d\nevent: heartbeat\ndata: {"applied":{"1":%d},"lag":0,"version":1,"complete":true}\n\n'
OPENED = Opened({"content-type": "text/event-stream; charset=utf-8"})
PROBLEM = b'{"type":"urn:slackwater:problem:%b","status":%d,"detail":"why"}'
AGAIN = Retry(attempts=3, base_s=1.0, most_s=8.0, draw=lambda: 0.5)


def played(script: Sequence[Any], last_id: str = "") -> Iterator[Event | float | str]:
    """What a client does on a connection that does what the script says: events, waits, and the ids it resumes at."""
    steps = follow(Send("/v1/stream/bars"), "bars", lambda item: Bar.of(item, "BTC"), AGAIN, last_id)
    left, came = list(script), None
    while True:
        step = steps.send(came)
        came = None
        if isinstance(step, Emit):
            yield step.event
        elif isinstance(step, Pause):
            yield step.seconds
        elif not isinstance(step, Shut):
            if isinstance(step, Open):
                yield "from " + dict(step.request.headers).get("Last-Event-ID", "the start")
            if not left:
                return
            came = left.pop(0)


def test_a_lost_stream_goes_on_behind_the_last_event() -> None:
    found = list(
        played([OPENED, Piece(BEAT % (7, 1) + (BEAT % (8, 2))[:-1]), Piece(b""), OPENED, Piece(BEAT % (9, 3))])
    )
    assert found == [
        "from the start",
        Heartbeat(1, {1: 1}, 0, True, "7"),
        Disconnected("the service ended it", 0.5),
        0.5,
        "from 7",
        Heartbeat(1, {1: 3}, 0, True, "9"),
    ]


def test_a_caller_goes_on_where_an_earlier_stream_ended() -> None:
    assert next(iter(played([Lost("x")], "12"))) == "from 12"


def test_the_service_says_how_long_to_wait() -> None:
    found = list(played([OPENED, Piece(b"retry: 3000\n\n" + BEAT % (1, 1)), Lost("cut"), Lost("still away")]))
    assert [each for each in found if isinstance(each, float)] == [3.0, 3.0]
    away = Reply(503, {"retry-after": "20"}, PROBLEM % (b"too-many-streams", 503))
    assert [each for each in played([away, OPENED]) if isinstance(each, float)] == [20.5]


def test_an_event_ends_the_count_of_failures() -> None:
    once = [OPENED, Piece(BEAT % (1, 1)), Lost("cut")]
    found = list(played(once * 5))
    assert sum(isinstance(each, Heartbeat) for each in found) == 5
    with pytest.raises(ConnectionFailedError, match="3 times in a row: cut"):
        list(played([OPENED, Piece(b": comments are no events\n\n"), Lost("cut")] * 5))


@pytest.mark.parametrize(("status", "kind"), [(503, b"shutting-down"), (503, b"slow-client"), (429, b"limit")])
def test_a_reason_that_passes_is_told_and_the_stream_goes_on(status: int, kind: bytes) -> None:
    end = b"event: end\ndata: " + PROBLEM % (kind, status) + b"\n\n"
    found = list(played([OPENED, Piece(BEAT % (1, 1) + end), Piece(b""), OPENED]))
    (ending,) = [each for each in found if isinstance(each, Ending)]
    assert (ending.problem.kind, ending.problem.status) == (kind.decode(), status)
    assert found[-3:] == [Disconnected("why", 0.5), 0.5, "from 1"]


def test_a_reason_that_stays_ends_it() -> None:
    with pytest.raises(NotFoundError):
        list(played([Reply(404, {}, PROBLEM % (b"unknown-instrument", 404))]))
    with pytest.raises(NotFoundError):
        list(played([OPENED, Piece(b"event: end\ndata: " + PROBLEM % (b"retired", 404) + b"\n\n"), Piece(b"")]))
    away = Reply(503, {}, PROBLEM % (b"not-serving", 503))
    with pytest.raises(UnavailableError):
        list(played([away] * 3))


def test_events_of_other_names_are_passed_over_and_torn_ones_are_an_error() -> None:
    assert list(played([OPENED, Piece(b"event: weather\ndata: fine\n\n")])) == ["from the start"]
    with pytest.raises(ProtocolError, match="heartbeat"):
        list(played([OPENED, Piece(b"event: heartbeat\ndata: {}\n\n")]))
    with pytest.raises(ProtocolError, match="text/html"):
        list(played([Opened({"content-type": "text/html"})]))


def test_changes_carry_revisions_and_corrections() -> None:
    bar = (
        b'{"start":60000000,"open":"1","high":"1","low":"1","close":"1","volume":"2","notional":"2","vwap":"1",'
        b'"buy_volume":"2","trades":1,"first_sequence":1,"last_sequence":1,"closed":true,"revision":9,"correction":true}'
    )
    message = b'id: 3\nevent: bars\ndata: {"interval":"1m","bars":[' + bar + b"]}\n\n"
    changes = list(played([OPENED, Piece(message)]))[-1]
    assert isinstance(changes, Changes)
    (found,) = changes.rows
    assert (found.symbol, found.revision, found.correction, found.closed) == ("BTC", 9, True, True)


# The real service, real sockets.


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveService]:
    world = World(tmp_path)
    cut_in_a_minute(world)
    with LiveService(world) as service:
        yield service
    world.close()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Asker]]:
    made: list[Asker] = []

    def one(url: str) -> Asker:
        made.append(KINDS[request.param](url, retry=Retry(attempts=200, base_s=0.01, most_s=0.02)))
        return made[-1]

    yield one
    for each in made:
        each.close()


class Picture:
    """What one knows who follows a stream: bars by interval and start."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, int], dict[str, Any]] = {}
        self.snapshots = 0

    def take(self, event: Event) -> None:
        if isinstance(event, Snapshot):
            self.snapshots += 1
            self.bars = {key: bar for key, bar in self.bars.items() if key[0] != event.interval}
        if isinstance(event, Snapshot | Changes):
            for bar in event.rows:
                assert bar.revision is not None
                known = self.bars.get((event.interval, bar.start))
                assert known is None or known["revision"] <= bar.revision
                self.bars[event.interval, bar.start] = {"revision": bar.revision, "bar": bar}

    def closes(self, interval: str) -> list[tuple[int, str, int]]:
        return sorted(
            (start, str(each["bar"].close), each["bar"].trades)
            for (of, start), each in self.bars.items()
            if of == interval
        )


def asked(live: LiveService, interval: str) -> list[tuple[int, str, int]]:
    """The same, as GET /v1/bars has it."""
    bars = live.world.bars(f"symbol=BTC&interval={interval}&start={NOON}")["bars"]
    return [(bar["start"], bar["close"], bar["trades"]) for bar in bars]


def trade(live: LiveService, at_s: float, price: str) -> None:
    live.world.trade(at_s=at_s, price=price)
    live.world.emit()
    live.world.step()


def test_a_stream_gives_what_is_answered_through_cuts_and_a_restart(
    live: LiveService, make: Callable[[str], Asker]
) -> None:
    """After each step of the plan the picture must become what GET /v1/bars has."""
    picture, events = Picture(), list[Event]()
    plan: list[Callable[[], object]] = [
        lambda: trade(live, 541, "801"),
        lambda: (proxy.cut_all(), trade(live, 600, "802")),  # what comes meanwhile is told when the stream is back
        lambda: trade(live, 65, "803"),  # late: a correction
        lambda: (live.stop(), live.world.serve(), live.start(), trade(live, 605, "804")),
        lambda: (live.world.publish(live.world.mark("run-2"), "run-2"), live.world.emit(), live.world.step()),
    ]

    def step(event: Event) -> bool:
        events.append(event)
        picture.take(event)
        if picture.snapshots < 2 or any(picture.closes(of) != asked(live, of) for of in ("1s", "1m")):
            return False
        if plan:
            plan.pop(0)()
            return False
        return any(isinstance(each, VersionChange) for each in events)

    with Proxy(live.port) as proxy:
        make(proxy.url).events(step, "bars", venue="x", symbol="BTC", interval=["1s", "1m"])
    assert not plan
    assert sum(isinstance(event, Disconnected) for event in events) >= 2
    late = [bar for event in events if isinstance(event, Changes) for bar in event.rows if bar.correction]
    assert {(bar.start, str(bar.volume)) for bar in late} >= {(NOON + 65 * SECOND, "1")}
    assert late[0].symbol == "BTC"


def test_a_stream_that_is_silent_counts_as_lost(live: LiveService, make: Callable[[str], Asker]) -> None:
    """The service's clock stands still, so that no heartbeat comes."""
    known: list[object] = []  # a machine that is busy may be silent before the first event, too

    def silent(event: object) -> bool:
        known.append(event)
        return isinstance(event, Disconnected) and any(isinstance(each, Snapshot) for each in known)

    found = make(live.url).events(silent, "bars", venue="x", symbol="BTC", silence=0.5)
    assert "ReadTimeout" in getattr(found[-1], "reason", "")


def test_a_stream_of_what_cannot_be_is_refused(live: LiveService, make: Callable[[str], Asker]) -> None:
    with pytest.raises(BadRequestError, match="interval"):
        make(live.url).events(lambda _: True, "bars", venue="x", symbol="BTC", interval="7m")
