"""The archive of a run: read, decoded and written beside each other, the same bytes however that goes.

log  p0 |r r r r|r r r r|r r m        trades-0-0.parquet  trades-0-1.parquet   whole records, in order, with their times
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_layer import archive, shelf
from batch_layer.archive import Archiver, Epoch
from batch_layer.spans import Spans
from lesson.memory_log import MemoryLog
from slackwater.context import Context
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.store.archive_file import ArchiveWriter, archive_table
from slackwater.streams import decode
from slackwater.streams.compact import compact_schema, plain
from slackwater.streams.numbers import decimals_of
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import first_cut
from slackwater.versions.store import VersionStore
from slackwater.views.limits import Limits
from tests.ingest_kit import T0, HandClock, event, lines_of
from verify.archive import ArchivedFile, in_log_order
from verify.definition import read_stream

NAMES = TopicNames("test")
TOPIC = NAMES.topic("trades")
RECORDS = 300
DAY_US = 86_400_000_000


class Pieces:
    """A log whose readers give at most `size` records at once."""

    def __init__(self, log: MemoryLog, size: int) -> None:
        self._log = log
        self._size = size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def reader(self, *given: Any, **named: Any) -> Any:
        return _Reader(self._log.reader(*given, **named), self._size)


class _Reader:
    def __init__(self, reader: Any, size: int) -> None:
        self._reader = reader
        self._size = size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def poll(self, timeout_s: float) -> Any:
        for found in self._reader.poll(timeout_s):
            starts = [found.start, *(record.offset for record in found.records[self._size :: self._size])]
            for start, upto in zip(starts, [*starts[1:], found.upto], strict=True):
                yield found._replace(
                    start=start, upto=upto, records=[r for r in found.records if start <= r.offset < upto]
                )


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    """Records of 1 to 7 trades in two partitions, some of them refused."""
    log = MemoryLog(T0 // 1000)
    log.create(TOPIC, 2)
    log.create(NAMES.dead_letters, 1)
    writer, number = log.writer(), 0
    for record in range(RECORDS):
        count = 1 + record % 7
        lines = lines_of([event(number + i, symbol=f"S{record % 2}", time=T0 - number) for i in range(count)])
        number += count
        if record % 50 == 7:
            lines.append(b"bad")
        writer.append(TOPIC, record % 2, b"k", b"\n".join(lines)).offset()
    return log


def archived(log: Log, home: Path, threads: int, run_id: str = "run") -> tuple[Epoch, VersionStore]:
    store = VersionStore(home)
    bounds = log.bounds(TOPIC)
    starts, cut = {p: b.start for p, b in bounds.items()}, {p: b.end for p, b in bounds.items()}
    spans = Spans(TRADES, first_cut(log.topic_id(TOPIC), "", starts), TOPIC, log.topic_id(TOPIC), start=starts, cut=cut)
    context = Context(log, NAMES, store, (), HandClock(), limits=Limits(threads=threads))
    return Archiver(context, log.writer(), run_id, spans, ()).archive(), store


def sums(epoch: Epoch, store: VersionStore) -> dict[str, str]:
    files = [*(entry.file for entry in epoch.files), *epoch.ids]
    return {file.path: hashlib.sha256((store.home / file.path).read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("rows", [64, 4 * 1024 * 1024])
def test_threads_and_the_size_of_polls_change_no_byte(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(shelf, "FILE_ROWS", rows)
    expected, store = archived(log, tmp_path / "one", 1)
    assert expected.events > 1000
    for number, (threads, size) in enumerate([(2, 1), (4, 7), (3, 1000)]):
        found, other = archived(Pieces(log, size), tmp_path / str(number), threads)  # type: ignore[arg-type]
        assert sums(found, other) == sums(expected, store)
        assert found == expected


def test_the_way_in_which_lines_are_read_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    #   as words, in pieces, by a pattern and as CSV, or some so and some so: compact tables, plain ones, and both
    many = MemoryLog(T0 // 1000)
    many.create(TOPIC, 2)
    many.create(NAMES.dead_letters, 1)
    writer = many.writer()
    for record in range(40):
        some = [
            event(64 * record + i, symbol=f"S{record % 4 * (i % 2)}", time=T0 - i * DAY_US // 30) for i in range(64)
        ]
        lines = lines_of(some)
        if record % 10 == 3:
            lines[3] = b"bad"
        if record % 10 == 7:
            lines[5] = lines[5].replace(b'"trade_id":', b'"trade_id": ')
        writer.append(TOPIC, record % 2, b"k", b"\n".join(lines)).offset()
    expected, store = archived(many, tmp_path / "csv", 2)  # too few lines for another way
    assert expected.events == 40 * 64 - 4 and {entry.late for entry in expected.files} == {False, True}
    monkeypatch.setattr(decode, "MANY_LINES", 1)
    for size in (1, 9_000, 30_000, 10**9):
        monkeypatch.setattr(archive, "PIECE_BYTES", size)
        found, other = archived(many, tmp_path / str(size), 2)
        assert sums(found, other) == sums(expected, store)


def test_no_byte_of_a_large_row_group_depends_on_how_many_events_come_at_once(tmp_path: Path) -> None:
    chance, rows = np.random.default_rng(3), 200_000  # more prices than a dictionary of a page holds
    columns = {
        "venue": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["binance"]),
        "symbol": pa.DictionaryArray.from_arrays(chance.integers(0, 2, rows, np.int32), ["A", "B"]),
        "trade_id": pa.array(chance.integers(0, 10**17, rows)),
        "sequence": pa.array(chance.integers(0, 10**17, rows)),
        "time": pa.array(T0 - chance.integers(0, 10**9, rows)),
        "price": decimals_of(chance.integers(1, 10**12, rows)),
        "quantity": decimals_of(chance.integers(1, 10**12, rows)),
        "side": pa.DictionaryArray.from_arrays(chance.integers(0, 2, rows, np.int32), ["buy", "sell"]),
        "time_unit": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["us"]),
        "appended": pa.array(np.full(rows, T0)),
    }
    compact = pa.Table.from_pydict(columns, schema=compact_schema(TRADES, numbered=True))
    found = []
    for size, events in ((rows, compact), (777, compact), (27_520, compact), (6_300, plain(TRADES, compact))):
        with ArchiveWriter(TRADES, tmp_path / f"{size}.parquet", ordered=True) as writer:
            for start in range(0, rows, size):
                some = events.slice(start, size)
                places = np.arange(start, start + len(some))
                writer.write(archive_table(TRADES, 0, some, pa.array(places), pa.array(places % 64, pa.int16())))
        found.append(hashlib.sha256(writer.path.read_bytes()).hexdigest())
    assert len(set(found)) == 1


def test_files_are_full_hold_whole_records_in_order_and_say_which_times(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "FILE_ROWS", 64)
    epoch, store = archived(log, tmp_path, 2)
    assert epoch.events == sum(entry.file.rows for entry in epoch.files) == sum(1 + r % 7 for r in range(RECORDS))
    assert sum(epoch.refused.values()) == RECORDS // 50
    for partition in (0, 1):
        entries = [entry for entry in epoch.files if entry.partition == partition]
        assert [entry.file.path for entry in entries] == [
            f"archive/run/trades-{partition}-{number}.parquet" for number in range(len(entries))
        ]
        assert len(entries) > 3 and all(64 <= entry.file.rows < 64 + 7 for entry in entries[:-1])
        assert [entry.start for entry in entries[1:]] == [entry.upto for entry in entries[:-1]]
        assert (entries[0].start, entries[-1].upto) == (0, log.bounds(TOPIC)[partition].end)
        places: list[tuple[int, int]] = []
        for entry in entries:
            table = pq.read_table(store.home / entry.file.path)
            times, offsets = table["time"].to_pylist(), table["offset"].to_pylist()
            assert (entry.low, entry.high) == (min(times), max(times))
            assert entry.start is not None and entry.upto is not None
            assert all(entry.start <= offset < entry.upto for offset in offsets)
            places += zip(offsets, table["index"].to_pylist(), strict=True)
        assert places == sorted(set(places))


def test_a_disk_that_is_full_ends_the_run(log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "FILE_ROWS", 64)
    write: Callable[..., Any] = shelf.ArchiveWriter.write

    def full(writer: Any, table: Any) -> None:
        if writer.path.name == "trades-1-2.parquet":
            raise OSError(28, "No space left on device")
        write(writer, table)

    monkeypatch.setattr(shelf.ArchiveWriter, "write", full)
    with pytest.raises(OSError, match="No space"):
        archived(log, tmp_path, 2)


@pytest.mark.parametrize("count", [20, 2000])
def test_late_trades_at_random_old_times_are_one_file_of_a_partition_by_entity_and_time(
    tmp_path: Path, count: int
) -> None:
    log, random = MemoryLog(T0 // 1000), Random(7)
    log.create(TOPIC, 2)
    writer = log.writer()
    for number in range(count):
        time = T0 - (random.randrange(2 * DAY_US, 3650 * DAY_US) if number % 4 else random.randrange(DAY_US))
        lines = lines_of([event(2 * number, symbol=f"S{number % 6}", time=time), event(2 * number + 1, symbol="S9")])
        writer.append(TOPIC, number % 2, b"k", b"\n".join(lines)).offset()
    epoch, store = archived(log, tmp_path, 2)
    assert [(entry.partition, entry.late) for entry in epoch.files] == [(0, False), (0, True), (1, False), (1, True)]
    assert epoch.events == 2 * count
    for entry in epoch.files:
        table = pq.read_table(store.home / entry.file.path)
        rows = table.select(["venue", "symbol", "time", "offset", "index"]).to_pylist()
        times = [row["time"] for row in rows]
        assert (entry.low, entry.high, entry.file.rows) == (min(times), max(times), len(rows))
        assert (entry.start, entry.upto) == (0, log.bounds(TOPIC)[entry.partition].end)
        assert all((time < T0 - DAY_US) == entry.late for time in times)
        order = ["symbol", "time", "offset", "index"] if entry.late else ["offset", "index"]
        assert rows == sorted(rows, key=lambda row: [row[name] for name in order])
    files = [ArchivedFile(store.home / e.file.path, e.partition, e.start, e.late) for e in epoch.files if e.partition]
    places = [(offset, index) for _, offset, index, _ in in_log_order(read_stream(TRADES), files, count)]
    assert places == [(offset, index) for offset in range(count // 2) for index in (0, 1)]


def test_more_late_trades_than_fit_one_file_are_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "LATE_ROWS", 64)
    log = MemoryLog(T0 // 1000)
    log.create(TOPIC, 1)
    writer = log.writer()
    for number in range(200):
        writer.append(TOPIC, 0, b"k", lines_of([event(number, time=T0 - 9 * DAY_US - number)])[0]).offset()
    expected, store = archived(log, tmp_path / "one", 1)
    assert [entry.file.rows for entry in expected.files] == [64, 64, 64, 8]
    found, other = archived(Pieces(log, 7), tmp_path / "two", 3)  # type: ignore[arg-type]
    assert (found, sums(found, other)) == (expected, sums(expected, store))
