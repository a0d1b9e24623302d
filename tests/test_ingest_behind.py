"""An ingest process whose log cannot be read to its end takes no event that it cannot judge, and all others.

partition of BTC   1 2 3 [open transaction 4 5 .      what is hidden may be this ingest's own: 4 and 5 came by it
partition of ETH   7 8                                goes on
"""

from pathlib import Path

import pytest

from ingest.archive_import import import_history
from ingest.chunk import of_lines
from ingest.files.sources import open_source
from ingest.writer import open_ingest
from lesson.memory_log import MemoryLog
from slackwater.log.errors import HiddenRecordsError, UnreadableError
from slackwater.streams.trades import TRADES
from slackwater.versions.writer_lock import hold_import
from tests.ingest_kit import NAMES, House, ids, line, memory_house

BTC = [line(n) for n in (1, 2, 3)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return memory_house(tmp_path)


def log_of(house: House) -> MemoryLog:
    assert isinstance(house.log, MemoryLog)
    return house.log


def place(house: House, symbol: str = "BTC-USD") -> int:
    """The partition of an instrument."""
    return house.log.partition_of(f"x:{symbol}".encode(), len(house.log.bounds(NAMES.topic("trades"))))


def elsewhere(house: House) -> str:
    """An instrument that lives in another partition."""
    return next(f"S{n}" for n in range(100) if place(house, f"S{n}") != place(house))


def test_what_an_open_transaction_hides_is_not_taken_twice(house: House) -> None:
    log = log_of(house)
    log.open_transaction(NAMES.topic("trades"), place(house))
    assert house.ingest(BTC).accepted == 3
    assert ids(log) == [], "acknowledged, and hidden"
    with pytest.raises(HiddenRecordsError) as refused:
        house.ingest(BTC)
    assert refused.value.exit_code == 75
    assert house.ingest([line(7, symbol=elsewhere(house))]).accepted == 1
    log.end_transaction(NAMES.topic("trades"), place(house))
    again = house.ingest([*BTC, line(4)])
    assert (again.accepted, again.duplicates) == (1, 3)
    assert sorted(ids(log)) == [1, 2, 3, 4, 7]


def test_a_batch_that_cannot_be_read_stops_the_instruments_of_its_partition_alone(house: House) -> None:
    log = log_of(house)
    house.ingest(BTC)
    log.damage(NAMES.topic("trades"), place(house), 0, "damaged")
    other = elsewhere(house)
    with house.writer() as writer:
        writer.accept(of_lines("test", [line(7, symbol=other)]))
        with pytest.raises(UnreadableError, match="cannot be read from offset 0 on: damaged"):
            writer.accept(of_lines("test", [line(1)]))
        log.damage(NAMES.topic("trades"), place(house), None)
        writer.accept(of_lines("test", [line(1), line(4), line(8, symbol=other)]))
    found = writer.summary()
    assert (found.accepted, found.duplicates) == (3, 1)
    assert sorted(ids(log)) == [1, 2, 3, 4, 7, 8]


def test_an_import_takes_no_history_of_an_instrument_that_it_cannot_judge(house: House, tmp_path: Path) -> None:
    log = log_of(house)
    house.ingest(BTC)
    log.damage(NAMES.topic("trades"), place(house), 0, "damaged")
    file = tmp_path / "history.jsonl"
    with hold_import(house.store.home, log.topic_id(NAMES.topic("trades"))) as lock:
        file.write_bytes(line(1) + b"\n")
        with pytest.raises(UnreadableError):
            import_history(TRADES, open_source(TRADES, str(file)), house.store, log, NAMES, house.clock, lock)
        file.write_bytes(line(9, symbol=elsewhere(house)) + b"\n")
        found = import_history(TRADES, open_source(TRADES, str(file)), house.store, log, NAMES, house.clock, lock)
    assert found.summary.accepted == 1


def test_an_ingest_says_at_the_start_what_it_cannot_take(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.ingest(BTC)
    log_of(house).damage(NAMES.topic("trades"), place(house), 0, "damaged")
    with open_ingest(TRADES, house.log, NAMES, house.store, house.clock):
        assert f"entities in partition {place(house)} cannot be taken" in caplog.text
