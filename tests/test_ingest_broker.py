"""Ingest on the real broker: what a reader finds in the topics is what ingest says that it did."""

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.chunk import of_lines
from ingest.files.sources import open_source
from ingest.packer import LINGER_S
from ingest.replay import Replay
from ingest.sample_data import open_sample
from ingest.verdicts import Summary
from slackwater.core.clock import SystemClock
from slackwater.log.dead_letter import MAX_VALUE_BYTES
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.names import TopicNames
from slackwater.log.topics import create_topics
from slackwater.streams.registry import STREAMS
from slackwater.streams.schema import MAX_LINES
from slackwater.streams.trades import TRADES
from slackwater.versions.store import VersionStore
from tests.events import Event
from tests.ingest_kit import House, ids, letters, line, lines_of, records, rows

pytestmark = pytest.mark.broker
_numbers = itertools.count()


@pytest.fixture
def house(broker: str, tmp_path: Path) -> House:
    names = TopicNames(f"ingest-{tmp_path.name}-{next(_numbers)}")
    log = KafkaLog(broker)
    create_topics(log, names, STREAMS, 4)
    clock: Any = SystemClock()
    return House(log, VersionStore(tmp_path), clock, names)


def now_line(house: House, trade_id: int, **fields: Any) -> bytes:
    return line(trade_id, time=house.clock.now_us(), **fields)


def test_dead_letters_are_read_back_with_their_bytes_and_headers(house: House) -> None:
    bad = [b"\xff\xfe", b"", now_line(house, 1, price=True), b"x" * 500_000]
    lines = [now_line(house, 10), *bad, now_line(house, 11)]
    summary = house.ingest(lines, source="some.jsonl")
    refused = {"not-utf8": 1, "empty-line": 1, "wrong-type": 1, "not-json": 1}
    assert summary == Summary(2, 0, 0, refused, 1)
    found = letters(house.log, house.names)
    assert [value for _, value in found] == bad
    for number, (headers, value) in enumerate(found):
        assert set(headers) == {"stream", "reason", "source", "position", "time", "error", "length", "sha256"}
        assert (headers["source"], headers["position"]) == ("some.jsonl", f"line {number + 2}")
        assert headers["length"] == str(len(value)) and headers["sha256"] == hashlib.sha256(value).hexdigest()
        assert abs(int(headers["time"]) - house.clock.now_us()) < 60_000_000
    assert ids(house.log, house.names) == [10, 11]


def test_a_line_of_any_size_is_a_bounded_dead_letter_and_ingest_goes_on(house: House, tmp_path: Path) -> None:
    huge, wide = b"x" * (12 * 1024 * 1024), now_line(house, 2, note="y" * 900_000, price="-1")
    path = tmp_path / "some.jsonl"
    path.write_bytes(b"\n".join([now_line(house, 1), huge, wide, now_line(house, 3)]))
    with house.writer() as writer:
        summary = writer.ingest(open_source(TRADES, str(path)))
    assert summary == Summary(2, 0, 0, {"bad-price": 1, "line-too-long": 1}, summary.records)
    found = letters(house.log, house.names)
    for (headers, value), whole in zip(found, (huge, wide), strict=True):
        assert value == whole[:MAX_VALUE_BYTES] and headers["stored"] == str(MAX_VALUE_BYTES)
        assert (headers["length"], headers["sha256"]) == (str(len(whole)), hashlib.sha256(whole).hexdigest())
    assert ids(house.log, house.names) == [1, 3]


def test_the_sample_is_taken_whole_once_and_twice_and_after_a_batch(house: House) -> None:
    first = _ingest(house)
    assert (first.accepted, first.dead_letters, first.duplicates) == (78_638, 0, 0)
    assert first.records < 78_638 / 50  # a burst is packed
    assert _ingest(house) == Summary(0, 78_638, 0, {}, 0)
    house.publish()
    assert _ingest(house) == Summary(0, 78_638, 0, {}, 0)
    found = rows(house.log, house.names)
    assert len(found) == 78_638
    last: dict[tuple[str, str], int] = {}
    for row in found:
        key = row["venue"], row["symbol"]
        assert int(row["trade_id"]) > last.get(key, -1)
        last[key] = int(row["trade_id"])


def _ingest(house: House) -> Summary:
    with house.writer() as writer:
        return writer.ingest(Replay(TRADES, open_sample(), None, house.clock))


def test_a_trickle_is_one_trade_a_record_and_a_burst_is_packed(house: House) -> None:
    with house.writer() as writer:
        for i in range(20):
            writer.accept(of_lines("trickle", [now_line(house, i)]))
            house.clock.sleep(2 * LINGER_S)
        trickled = writer.summary().records
        writer.accept(of_lines("burst", [now_line(house, 100 + i) for i in range(1000)]))
    assert trickled == 20
    assert writer.summary().records == 20 + 16
    sizes = [len((record.value or b"").split(b"\n")) for _, record in records(house.log, house.names.topic("trades"))]
    assert sizes == [1] * 20 + [MAX_LINES] * 15 + [1000 - 15 * MAX_LINES]
    assert ids(house.log, house.names) == [*range(20), *range(100, 1100)]


def test_two_instruments_in_one_burst_are_apart_and_each_in_order(house: House) -> None:
    now = house.clock.now_us()
    events = [Event("x", f"S{i % 3}", i, now, 10**8 + i, 10**8, "buy") for i in range(500)]
    assert house.ingest(lines_of(events)).accepted == 500
    found = rows(house.log, house.names)
    for symbol in ("S0", "S1", "S2"):
        assert [row["trade_id"] for row in found if row["symbol"] == symbol] == [
            e.trade_id for e in events if e.symbol == symbol
        ]


def test_a_conflict_and_duplicates_survive_a_restart_on_the_broker(house: House) -> None:
    lines = [now_line(house, i) for i in range(100)]
    house.ingest(lines)
    summary = house.ingest([*lines, lines[5].replace(b'"100.5"', b'"100.6"'), now_line(house, 100)])
    assert summary == Summary(1, 100, 1, {}, 1)
    ((headers, value),) = letters(house.log, house.names)
    assert headers["reason"] == "conflict" and b"100.6" in value


def test_an_ingest_that_is_open_while_a_batch_publishes_forgets_what_it_holds(house: House) -> None:
    lines = [now_line(house, i) for i in range(500)]
    with house.writer() as writer:
        writer.accept(of_lines("a", lines))
        writer.flush()
        house.publish()
        wait(house, lambda: writer.accept(of_lines("a", [])) or len(writer.filter.known) == 0)
        writer.accept(of_lines("a", lines))
    assert (writer.summary().accepted, writer.summary().duplicates) == (500, 500)


def wait(house: House, done: Callable[[], object]) -> None:
    """Wait until `done`, with a deadline."""
    deadline = house.clock.elapsed_s() + 10
    while not done():
        assert house.clock.elapsed_s() < deadline
        house.clock.sleep(0.001)
