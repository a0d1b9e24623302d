"""Ingest: what is good is in the log, what is bad is a dead letter with its reason, and every line is counted.

good, bad, good --ingest--> log: good, good        dead letters: bad, its reason, its place, its bytes
"""

import hashlib
import os
from pathlib import Path

import pytest

from ingest.chunk import of_lines
from ingest.files.sources import open_source
from ingest.verdicts import Summary
from ingest.writer import open_ingest
from slackwater.log.errors import AppendError, TopicMissingError
from slackwater.streams.json_object import MAX_DEPTH
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import VenueTakenError, WriterRunningError
from slackwater.versions.writer_lock import hold
from tests.ingest_kit import NAMES, T0, HandClock, House, ids, letters, line, memory_house, reasons, records, rows

IN_2100 = 4_102_444_800_000_000

BAD = {
    b"": "empty-line",
    b" \t": "empty-line",
    b"nonsense": "not-json",
    b'{"venue":': "not-json",
    b"[]": "not-an-object",
    b"\xef\xbb\xbf" + line(): "byte-order-mark",
    line() + line(): "two-objects",
    line().replace(b"BTC", b"B\xffC"): "not-utf8",
    b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1): "too-deep",
    line()[:-1] + b',"price":"1"}': "duplicate-key",
    line().replace(b'"side":"buy"', b'"sides":"buy"'): "missing-field",
    line().replace(b'"100.5"', b"NaN"): "not-json",
    line(price=True): "wrong-type",
    line(price=100.5): "wrong-type",
    line(trade_id=True): "wrong-type",
    line(trade_id=1.0): "wrong-type",
    line(price="1.123456789"): "bad-price",
    line(price="1e3"): "bad-price",
    line(price=" 1"): "bad-price",
    line(price="\uff11\uff10"): "bad-price",
    line(price="0"): "not-positive",
    line(quantity="1_000"): "bad-quantity",
    line(price="9999999999", quantity="1001"): "notional-too-large",
    line(symbol="../BTC"): "bad-symbol",
    line(symbol="BTC/../ETH"): "bad-symbol",
    line(venue="X"): "bad-venue",
    line(trade_id=-1): "bad-trade-id",
    line(time=IN_2100): "too-late",
    line(time=T0 + 60_000_001): "too-late",
    line(time=T0 // 1000): "too-early",
    line(time=T0 * 1000): "too-late",
    line(side="Buy"): "bad-side",
}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return memory_house(tmp_path)


@pytest.mark.parametrize("copies", [1, 40], ids=["strict", "fast"])
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{BAD[bad]}-{hashlib.sha256(bad).hexdigest()[:4]}")
def test_a_bad_line_is_refused_alone_with_its_reason(bad: bytes, copies: int, house: House) -> None:
    good = [line(i) for i in range(100, 100 + 2 * copies)]
    summary = house.ingest([*good[:copies], bad, *good[copies:]])
    assert summary == Summary(2 * copies, 0, 0, {BAD[bad]: 1}, summary.records)
    assert ids(house.log) == list(range(100, 100 + 2 * copies))
    ((headers, value),) = letters(house.log)
    assert value == bad
    assert headers.pop("error")
    assert headers == {
        "stream": "trades",
        "reason": BAD[bad],
        "source": "test",
        "position": f"line {copies + 1}",
        "time": str(T0),
        "length": str(len(bad)),
        "sha256": hashlib.sha256(bad).hexdigest(),
    }


def test_all_bad_lines_at_once_leave_the_good_ones(house: House) -> None:
    mixed = [one for i, bad in enumerate(BAD) for one in (line(100 + i), bad)]
    summary = house.ingest(mixed)
    assert summary.accepted == len(BAD) and summary.dead_letters == len(BAD)
    assert sum(summary.refused.values()) == len(BAD) and set(summary.refused) == set(BAD.values())
    assert reasons(house.log) == list(BAD.values())
    assert summary.lines == len(mixed)


def test_an_event_may_be_one_minute_ahead(house: House) -> None:
    assert house.ingest([line(time=T0 + 60_000_000)]).accepted == 1


def test_what_is_appended_is_canonical_whatever_came(house: House) -> None:
    house.ingest([b' {"note": [1e9, NaN, null], ' + line(price="007.50")[1:].replace(b",", b" ,\t") + b" "])
    house.ingest([b' {"note": [1e9, null], ' + line(price="007.50")[1:].replace(b",", b" ,\t") + b" "])
    assert [record.value for _, record in records(house.log, NAMES.topic("trades"))] == [line(price="7.5")]
    assert reasons(house.log) == ["not-json"]


def test_an_instrument_stays_in_its_partition_and_its_order(house: House) -> None:
    symbols = [f"S{i % 7}" for i in range(700)]
    house.ingest([line(i, symbol=symbol) for i, symbol in enumerate(symbols)])
    for partition, record in records(house.log, NAMES.topic("trades")):
        assert record.key is not None and partition == house.log.partition_of(record.key, 4)
    for symbol in set(symbols):
        assert [row["sequence"] for row in rows(house.log) if row["symbol"] == symbol] == [
            i for i, other in enumerate(symbols) if other == symbol
        ]


def test_faults_of_a_source_are_dead_letters_too(house: House, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("venue,symbol,trade_id,time,price,quantity,side\nx,A,1,2025-10-06T00:00:00Z,1,1,buy\nx,A\n")
    seen: list[tuple[int, int | None]] = []
    with house.writer() as writer:
        summary = writer.ingest(open_source(TRADES, str(path)), lambda done, total: seen.append((done, total)))
    assert summary == Summary(1, 0, 0, {"bad-row": 1}, 1)
    assert letters(house.log)[0][1] == b"x,A"
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_writers_share_venues_and_a_taken_one_is_refused_with_its_holder(house: House) -> None:
    with house.writer() as writer:
        writer.accept(of_lines("test", [line()]))
        with pytest.raises(VenueTakenError, match=f"Process {os.getpid()} writes the trades of x") as refused:
            house.ingest([line(2), line(3, venue="w")])
        assert (refused.value.venue, refused.value.pid) == ("x", os.getpid())
        assert house.ingest([line(3, venue="w")]).accepted == 1
    assert house.ingest([line(), line(2)]) == Summary(1, 1, 0, {}, 1)


def test_who_takes_a_venue_over_knows_what_the_one_before_appended(house: House) -> None:
    with house.writer() as late:
        house.ingest([line(1), line(2)])
        late.accept(of_lines("test", [line(2), line(3)]))
    assert late.summary() == Summary(1, 1, 0, {}, 1)


def test_a_writer_lets_go_when_it_is_asked_and_reads_what_is_known_anew(house: House) -> None:
    topic_id = house.log.topic_id(NAMES.topic("trades"))
    with house.writer() as writer:
        writer.accept(of_lines("test", [line()]))
        held = hold(house.store.home, topic_id, house.clock, 1.0)
        with pytest.raises(WriterRunningError, match=f"process {os.getpid()} holds") as refused, held:
            raise AssertionError("a writer judges")
        assert refused.value.pid == os.getpid() and refused.value.retriable

        class Other(HandClock):
            def sleep(self, seconds: float) -> None:
                super().sleep(seconds)
                assert not writer.stand()

        with hold(house.store.home, topic_id, Other()) as lock:
            assert lock.topic_id == topic_id and writer.unacknowledged == 0
            assert not writer.stand()
        assert writer.stand()
        writer.accept(of_lines("test", [line(), line(2)]))
    assert writer.summary() == Summary(2, 1, 0, {}, 2)


def test_a_writer_that_waits_long_says_for_whom(house: House, caplog: pytest.LogCaptureFixture) -> None:
    held = hold(house.store.home, house.log.topic_id(NAMES.topic("trades")), house.clock)
    held.__enter__()

    class Ending(HandClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.passed_s > 105.0:
                held.__exit__(None, None, None)

    house.clock = Ending()
    assert house.ingest([line()]).accepted == 1
    assert caplog.text.count(f"waiting: process {os.getpid()} changes what is known of trades") == 1


def test_another_topic_has_a_lock_of_its_own(house: House) -> None:
    with house.writer(), hold(house.store.home, "id-of-another", house.clock) as lock:
        assert lock.topic_id == "id-of-another"


def test_a_missing_topic_is_refused_at_once(house: House) -> None:
    house.log.topics.clear()  # type: ignore[attr-defined]
    with pytest.raises(TopicMissingError), house.writer():
        pass


def test_stop_is_asked_between_chunks(house: House, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(line(i) for i in range(20_000)))
    asked = iter([False, True])
    with house.writer() as writer:
        assert 0 < writer.ingest(open_source(TRADES, str(path)), stop=lambda: next(asked)).accepted < 20_000


class SlowAck:
    """Acknowledged when someone waits for it."""

    waiting = 0
    most = 0

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._done = False
        SlowAck.waiting += 1
        SlowAck.most = max(SlowAck.most, SlowAck.waiting)

    def done(self) -> bool:
        return self._done

    def offset(self, timeout_s: float = 30.0) -> int:
        if not self._done:
            self._done = True
            SlowAck.waiting -= 1
        return self._offset


def test_records_on_their_way_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesson.memory_log.MemoryAck", SlowAck)
    monkeypatch.setattr(SlowAck, "waiting", 0)
    monkeypatch.setattr(SlowAck, "most", 0)
    with open_ingest(TRADES, house.log, NAMES, house.store, house.clock, max_in_flight=10) as writer:
        writer.accept(of_lines("test", [line(i, symbol=f"S{i}") for i in range(500)]))
        assert SlowAck.most == 10
    assert SlowAck.waiting == 0


def test_a_record_that_the_log_does_not_take_ends_the_ingest(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class LostAck(SlowAck):
        def __init__(self, offset: int) -> None:
            del offset

        def done(self) -> bool:
            return True

        def offset(self, timeout_s: float = 30.0) -> int:
            raise AppendError("lost")

    with pytest.raises(AppendError), house.writer() as writer:
        monkeypatch.setattr("lesson.memory_log.MemoryAck", LostAck)
        writer.accept(of_lines("test", [line()]))
        writer.flush()
