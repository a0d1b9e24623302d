"""The ingest service on a real socket: bodies of every type, who is refused and how, and what becomes of the writer."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from functools import partial
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from slackwater_client import ArgumentError, NotFoundError, RateLimitedError, Retry

from ingest.chunk import BAD_ROW, Chunk, Fault, Source, of_lines
from ingest.errors import HandOverError, UnreadableFileError
from ingest.files.line_reader import LongLine
from ingest.files.sources import open_source
from ingest.handed import decode, encode
from ingest.holes import Holes
from ingest.remote import RemoteWriter
from ingest.service.app import IngestService
from ingest.service.bodies import ARROW, CSV, JSON, NDJSON, source_of
from ingest.service.desk import Desk
from ingest.writer import IngestWriter
from slackwater.core.clock import SystemClock
from slackwater.http.options import GuardOptions, Limits
from slackwater.http.run import server_of
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import KeyStore
from slackwater.log.errors import AppendError
from slackwater.streams.mapping import Layout
from slackwater.streams.trades import TRADES
from slackwater.versions.services import announce, announced
from slackwater.versions.writer_lock import hold
from tests.client_kit import KINDS
from tests.ingest_kit import NAMES, HandClock, House, ids, letters, line, memory_house, rows
from tests.live_service import until
from tests.socket_server import DEADLINE_S, running


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = memory_house(tmp_path / "home")
    house.clock = SystemClock()  # type: ignore[assignment]
    return house


@contextmanager
def served(house: House, most_bytes: int = 1 << 20, **more: Any) -> Iterator[tuple[int, Desk]]:
    """The port of a service that is ready, and its desk."""
    open_writer = lambda: IngestWriter(TRADES, house.log, NAMES, house.store, house.clock)  # noqa: E731
    desk = Desk("trades", open_writer, most_bytes)
    service = IngestService([(TRADES, desk)], KeyRing(house.store.home, house.clock), house.clock, **more)
    with running(server_of(service.app, service.limits, service.admission, service.draining)) as (_, port):
        until(lambda: ask(port, "GET", "/health/ready")[0] == 200, "it is not ready")
        yield port, desk


def ask(
    port: int, method: str, path: str, body: bytes = b"", kind: str = NDJSON, **headers: str
) -> tuple[int, dict[str, str], Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request(method, path, body, {"Content-Type": kind, **headers})
    found = connection.getresponse()
    data = found.read()
    connection.close()
    facts = json.loads(data) if "json" in found.getheader("content-type", "") else data
    return found.status, {name.lower(): value for name, value in found.getheaders()}, facts


def post(port: int, body: bytes, kind: str = NDJSON, query: str = "", **headers: str) -> tuple[int, Any]:
    status, _, facts = ask(port, "POST", f"/v1/ingest/trades{query}", body, kind, **headers)
    return status, facts


CSV_ROWS = b"venue,symbol,id,time,price,quantity,side\nx,A,1,1723161600000,1,2,buy\nx,A,2,1723161601000,1,2,sell\nx,A\n"


def arrow() -> bytes:
    table = pa.table(
        {
            "venue": ["x"] * 3,
            "symbol": ["A"] * 3,
            "id": [1, 2, -3],
            "time": [1723161600000, 1723161601000, 1723161602000],
            "price": ["1", "1", "1"],
            "quantity": ["2", "2", "2"],
            "side": ["buy", "sell", "buy"],
        }
    )
    sink = BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("kind", "body", "query", "refused"),
    [
        (NDJSON, b"\n".join([line(1), line(2), b"{"]), "", "not-json"),
        (JSON, b"[" + b",\n".join([line(1), line(2), b"{}"]) + b"]", "", "missing-field"),
        (CSV, CSV_ROWS, "?map=trade_id%3Did&time_unit=ms", BAD_ROW),
        (ARROW, arrow(), "?map=trade_id%3Did&time_unit=ms", "bad-trade-id"),
    ],
)
def test_a_body_of_each_type_is_counted_when_it_is_durable(
    house: House, kind: str, body: bytes, query: str, refused: str
) -> None:
    with served(house) as (port, _):
        for accepted in (2, 0):  # the second time all is known
            status, found = post(port, body, kind, query, **{"Slackwater-Source": "desk 7"})
            assert status == 200, found
            assert sorted(ids(house.log)) == [1, 2]
            assert (found["accepted"], found["duplicates"], found["conflicts"]) == (accepted, 2 - accepted, 0)
            (reason,) = found["refused"]
            example = found["examples"][reason]
            assert (found["refused"][reason], example["source"]) == (1, "desk 7")
            assert reason == refused or (kind == ARROW and example["error"])
    assert {headers["source"] for headers, _ in letters(house.log)} == {"desk 7"}


@pytest.mark.parametrize(
    ("body", "kind", "query", "headers", "status", "problem"),
    [
        (b"", NDJSON, "", {}, 422, "no-events"),
        (b"x", "text/plain", "", {}, 415, "media-type"),
        (b"x", NDJSON, "", {"Content-Encoding": "gzip"}, 415, "content-encoding"),
        (b"a,b\n1,2\n", CSV, "", {}, 422, "unreadable"),
        (b"a,b\n1,2\n", CSV, "?map=nothing%3Da", {}, 422, "mapping"),
        (b"{}", NDJSON, "?map=price%3Dp", {}, 422, "parameters"),
        (b"{}", NDJSON, "?other=1", {}, 422, "parameters"),
        (b"x" * 3000, NDJSON, "", {}, 413, "too-large"),
        (b"[{}", JSON, "", {}, 422, "unreadable"),
        (b"junk", ARROW, "", {}, 422, "unreadable"),
        (b"{}", NDJSON, "", {"Slackwater-Source": "x" * 300}, 422, "parameters"),
        (b"{}", NDJSON, "", {"Host": "evil.example"}, 421, "misdirected"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    house: House, body: bytes, kind: str, query: str, headers: dict[str, str], status: int, problem: str
) -> None:
    with served(house, limits=Limits(body=2048), guard=GuardOptions(hosts=frozenset())) as (port, _):
        found, facts = post(port, body, kind, query, **headers)
        assert (found, facts["type"]) == (status, f"urn:slackwater:problem:{problem}"), facts
        assert post(port, line(1))[1]["accepted"] == 1


def test_a_stream_that_is_not_there_and_a_method_that_is_none(house: House) -> None:
    with served(house) as (port, _):
        status, _, facts = ask(port, "POST", "/v1/ingest/nothing", line(1))
        assert (status, facts["detail"]) == (404, "There is no stream 'nothing' here. There are: trades.")
        assert ask(port, "GET", "/v1/ingest/trades")[0] == 405


def test_a_key_of_the_scope_write_is_needed(house: House) -> None:
    keys = KeyStore(house.store.home)
    texts = {scope: keys.create(scope, scope, 0)[1] for scope in ("read", "write", "admin")}
    with served(house, guard=GuardOptions(require_key=True)) as (port, _):
        assert post(port, line(1))[0] == 401
        found = {scope: post(port, line(1), Authorization=f"Bearer {text}")[0] for scope, text in texts.items()}
        assert found == {"read": 403, "write": 200, "admin": 200}
        keys.revoke("write", 1)
        assert post(port, line(2), Authorization=f"Bearer {texts['write']}")[0] == 401


def test_who_frees_identities_is_let_in_and_producers_wait(house: House) -> None:
    with served(house) as (port, _):
        assert post(port, line(1))[0] == 200
        with hold(house.store.home, house.log.topic_id(NAMES.topic("trades")), SystemClock()):
            status, headers, facts = ask(port, "POST", "/v1/ingest/trades", line(2))
            assert (status, headers["retry-after"]) == (429, "1")
            assert facts["type"].endswith(":busy") and "changes at this moment" in facts["detail"]
            assert ids(house.log) == [1]
        until(lambda: post(port, line(2))[0] == 200, "it does not go on")
    assert ids(house.log) == [1, 2]


def test_a_venue_of_another_writer_is_refused_and_the_rest_goes_on(house: House) -> None:
    with house.writer() as other, served(house) as (port, _):
        other.accept(of_lines("test", [line(1)]))
        status, facts = post(port, line(2))
        assert (status, facts["type"]) == (409, "urn:slackwater:problem:venue-taken")
        assert post(port, line(2, venue="y"))[1]["accepted"] == 1


class LostAck:
    """Nobody knows whether the record is in the log; here it is."""

    def __init__(self, offset: int) -> None:
        del offset

    def done(self) -> bool:
        return True

    def offset(self, timeout_s: float = 30.0) -> int:
        raise AppendError("lost")


def test_when_the_log_takes_nothing_it_says_so_and_goes_on_when_it_does(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(house) as (port, _):
        monkeypatch.setattr("lesson.memory_log.MemoryAck", LostAck)
        status, facts = post(port, line(1))
        assert (status, facts["type"]) == (503, "urn:slackwater:problem:not-writable")
        monkeypatch.undo()
        until(lambda: post(port, line(1))[0] == 200, "it does not go on")
        found = post(port, line(1))[1]
        assert (found["accepted"], found["duplicates"], ids(house.log)) == (0, 1, [1])


def test_too_much_that_waits_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(house, most_bytes=100) as (_, desk):
        monkeypatch.setattr(desk, "_next", lambda wait: None)  # it is at something else
        source = lambda: open_source(TRADES, "nothing")  # noqa: E731
        desk.offer(source, 90)
        with pytest.raises(Exception, match="90 bytes of trades wait already"):
            desk.offer(source, 90)
        monkeypatch.undo()


def test_the_figures_of_the_writer_stand_beside_those_of_requests(house: House) -> None:
    with served(house) as (port, _):
        post(port, line(1) + b"\n{")
        text = ask(port, "GET", "/metrics")[2].decode()
    assert 'slackwater_ingest_events_total{stream="trades"} 1.0' in text
    assert 'slackwater_ingest_dead_letters_total{reason="not-json",stream="trades"} 1.0' in text
    assert 'slackwater_ingest_requests_total{route="/v1/ingest/{stream}",status="200"} 1.0' in text


# what a command hands over


def remote(port: int) -> RemoteWriter:
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S)
    return RemoteWriter("trades", client, SystemClock())


def test_a_file_that_is_handed_over_leaves_the_dead_letters_of_that_file(house: House, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV_ROWS.replace(b",id,", b",trade_id,") + b"x,A,3,1,1,2,buy\n")
    with served(house) as (port, _):
        writer = remote(port)
        source = open_source(TRADES, str(path), Layout({}, "ms"))
        found = writer.ingest(source)
        assert (found.accepted, found.dead_letters) == (2, 2)
    places = {(headers["source"], headers["position"]): data for headers, data in letters(house.log)}
    assert places[str(path), "line 4"] == b"x,A"
    assert places[str(path), "line 5"] == b"x,A,3,1,1,2,buy"


def test_a_chunk_that_is_too_large_is_handed_over_in_parts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.remote.MOST_BYTES", 2000)
    with served(house) as (port, _):
        writer = remote(port)
        assert writer.take(of_lines("a", [line(1), b"{", *(line(n) for n in range(2, 20)), b"["])) == [1, 20]
    assert writer.summary().accepted == 19


def test_a_refusal_of_the_service_ends_the_command_with_its_words(house: House) -> None:
    with house.writer() as other, served(house) as (port, _):
        other.accept(of_lines("test", [line(1)]))
        with pytest.raises(HandOverError, match="writes the trades of x") as refused:
            remote(port).take(of_lines("a", [line(2)]))
    assert not refused.value.retriable


def test_a_service_that_is_away_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.remote.PATIENCE_S", 0.0)
    with pytest.raises(HandOverError, match=r"cannot be reached: .*refused") as refused:
        remote(1).take(of_lines("a", [line(2)]))
    assert refused.value.retriable
    assert remote(1).take(of_lines("a", [line(2)]), lambda: True) is None


def open_source_of(data: bytes) -> Source:
    return source_of(TRADES, NDJSON, data, "test", Layout())


def answering(*answers: httpx.Response | Exception) -> tuple[RemoteWriter, HandClock]:
    left, clock = list(answers), HandClock()

    def answer(_: httpx.Request) -> httpx.Response:
        given = left.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    client = httpx.Client(base_url="http://intake", transport=httpx.MockTransport(answer))
    return RemoteWriter("trades", client, clock), clock


TOOK = httpx.Response(
    200, json={"accepted": 1, "duplicates": 0, "conflicts": 0, "refused": {}, "examples": {}, "lines": []}
)
BUSY = httpx.Response(429, headers={"Retry-After": "7"}, json={"detail": "an import has it"})


def test_a_service_that_is_busy_is_waited_for_as_long_as_it_says_so() -> None:
    writer, clock = answering(*[BUSY] * 30, httpx.ConnectError("refused"), httpx.Response(502, text="<html>"), TOOK)
    assert writer.take(of_lines("a", [line(1)])) == []
    assert clock.slept == [7.0] * 30 + [1.0, 1.0]


@pytest.mark.parametrize("answer", [httpx.Response(200, text="hello"), httpx.Response(404, text="<html>")])
def test_what_is_no_ingest_service_is_said_to_be_none(answer: httpx.Response) -> None:
    writer, _ = answering(answer)
    with pytest.raises(HandOverError, match=f"http://intake answers {answer.status_code}, and not as the ingest") as no:
        writer.take(of_lines("a", [line(1)]))
    assert not no.value.retriable


def test_what_is_missing_is_asked_for_until_the_service_can_say() -> None:
    known = {"ids": [{"venue": "kraken", "symbol": "A", "first": 1, "last": 9, "missing": 2, "holes": [[4, 5]]}]}
    writer, clock = answering(
        httpx.ConnectError("refused"),
        httpx.Response(503, json={"detail": "it has not begun"}),
        httpx.Response(502, text="<html>"),
        httpx.Response(200, json=known),
    )
    holes = writer.holes("kraken")
    assert holes is not None and holes["kraken", "A"] == Holes(1, 9, 2, [(4, 5)])
    assert clock.slept == [1.0, 1.0, 1.0]
    writer, _ = answering(httpx.ConnectError("refused"))
    assert writer.holes("kraken", lambda: True) is None
    writer, _ = answering(httpx.Response(401, json={"detail": "no key"}))
    with pytest.raises(HandOverError, match="no key"):
        writer.holes("kraken")


def test_a_question_that_cannot_be_answered_is_said_to_be_and_the_writer_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> object:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("ingest.service.app.holes_of_venue", unreadable)
    with served(house) as (port, desk):
        writer = desk.writer
        status, _, facts = ask(port, "GET", "/v1/ingest/trades/ids?venue=kraken")
        assert status == 503 and "Input/output error" in facts["detail"]
        assert post(port, line(1))[1]["accepted"] == 1
        assert desk.writer is writer


def test_who_goes_away_does_not_end_the_writer(house: House) -> None:
    with served(house) as (_, desk):
        writer = desk.writer
        body = desk.offer(partial(open_source_of, line(1)), 1)
        question = desk.ask(lambda of: of.sent)
        assert not body.done.cancel() and not question.cancel()
        body.done.result(10)
        question.result(10)
        assert desk.writer is writer and desk.error == ""


def test_a_chunk_is_the_same_on_the_other_side() -> None:
    long = LongLine(b"xx")
    long.length, long.sha256 = 10**6, "ab"
    lines, originals = [line(1), b"", b"", line(2)], [line(1), b"x,A", long, b"x,2"]
    faults = {1: Fault(BAD_ROW, "one value"), 2: Fault("line-too-long", "long")}
    chunk = Chunk("f.csv", lines, lambda i: f"line {i}", lambda i: originals[i], faults, True)
    found = decode(encode(chunk))
    assert (found.source, list(found.lines), found.faults) == ("f.csv", lines, faults)
    assert [found.position(i) for i in range(4)] == [chunk.position(i) for i in range(4)]
    assert [found.original(i) for i in range(4)] == originals
    again = found.original(2)
    assert isinstance(again, LongLine) and (again.length, again.sha256) == (10**6, "ab")


@pytest.mark.parametrize("spoil", [lambda data: data[:-40], lambda data: b"", lambda _: arrow()])
def test_what_is_no_chunk_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(UnreadableFileError, match="as a chunk"):
        decode(spoil(encode(of_lines("a", [line(1)]))))


# the Python client


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_client_hands_over_any_number_of_events_and_says_what_became_of_them(
    house: House, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slackwater_client.intake.MOST_EVENTS", 4)
    given = [line(n) for n in range(1, 10)]
    fields = {**json.loads(line(10)), "price": Decimal("7.10"), "quantity": Decimal("1E-8")}
    with served(house) as (port, _):
        client = KINDS[kind](f"http://127.0.0.1:{port}")
        found = client("ingest", "trades", [*given, line(1).decode() + "\n", fields, "{", "["], source="a notebook")
        assert (found.accepted, found.duplicates, found.conflicts) == (10, 1, 0)
        assert found.refused == {"not-json": 2}
        assert (found.examples["not-json"]["source"], found.examples["not-json"]["line"]) == ("a notebook", "{")
        with pytest.raises(NotFoundError, match="There is no stream 'nothing' here"):
            client("ingest", "nothing", [line(1)])
        with pytest.raises(ArgumentError, match="holds a line feed"):
            client("ingest", "trades", [line(1) + b"\n" + line(2)])
        with pytest.raises(ArgumentError, match="cannot be written as JSON: Fraction is no value"):
            client("ingest", "trades", [{"price": Fraction(1, 3)}])
        client.close()
    assert sorted(ids(house.log)) == list(range(1, 11))
    (row,) = [row for row in rows(house.log) if row["sequence"] == 10]
    assert (str(row["price"]), str(row["quantity"])) == ("7.10000000", "1E-8")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_client_sends_again_what_it_cannot_hand_over_now(house: House, kind: str) -> None:
    topic_id = house.log.topic_id(NAMES.topic("trades"))
    with served(house) as (port, _):
        client = KINDS[kind](f"http://127.0.0.1:{port}", retry=Retry(attempts=3, base_s=0.01, draw=lambda: 0.0))
        with hold(house.store.home, topic_id, SystemClock()), pytest.raises(RateLimitedError, match="changes at this"):
            client("ingest", "trades", [line(1)])
        until(lambda: client("ingest", "trades", [line(1)]).accepted == 1, "it is not taken")
        client.close()


def test_a_service_is_found_while_it_runs(house: House) -> None:
    assert announced(house.store) is None
    held = announce(house.store, "http://127.0.0.1:1")
    assert announced(house.store) == "http://127.0.0.1:1"
    held.release()
    assert announced(house.store) is None
