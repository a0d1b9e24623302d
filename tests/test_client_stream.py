"""The client's streams: messages from bytes however they are cut, and what is done when the connection ends."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.client import (
    Changes,
    ConnectionFailedError,
    Disconnected,
    Ending,
    Event,
    Heartbeat,
    NotFoundError,
    ProtocolError,
    Retry,
    UnavailableError,
)
from slackwater.client.follow import Emit, follow
from slackwater.client.http import Lost, Open, Opened, Pause, Piece, Reply, Send, Shut
from slackwater.client.sse import Message, Parser
from tests.profiles import examples

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
    monkeypatch.setattr("slackwater.client.sse.MOST_BYTES", 100)
    for endless in (b"data: " + b"x" * 200, b"data: x\n" * 40):
        with pytest.raises(ProtocolError):
            list(Parser().feed(endless))


BEAT = b'id: %d\nevent: heartbeat\ndata: {"applied":{"1":%d},"lag":0,"version":1,"complete":true}\n\n'
OPENED = Opened({"content-type": "text/event-stream; charset=utf-8"})
PROBLEM = b'{"type":"urn:slackwater:problem:%b","status":%d,"detail":"why"}'
AGAIN = Retry(attempts=3, base_s=1.0, most_s=8.0, draw=lambda: 0.5)


def played(script: Sequence[Any], last_id: str = "") -> Iterator[Event | float | str]:
    """What a client does on a connection that does what the script says: events, waits, and the ids it resumes at."""
    steps = follow(Send("/v1/stream/bars"), "BTC", AGAIN, last_id)
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
        b'"buy_volume":"2","trades":1,"first_trade_id":1,"last_trade_id":1,"closed":true,"revision":9,"correction":true}'
    )
    message = b'id: 3\nevent: bars\ndata: {"interval":"1m","bars":[' + bar + b"]}\n\n"
    changes = list(played([OPENED, Piece(message)]))[-1]
    assert isinstance(changes, Changes)
    (found,) = changes.bars
    assert (found.symbol, found.revision, found.correction, found.closed) == ("BTC", 9, True, True)
