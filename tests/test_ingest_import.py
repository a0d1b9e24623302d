"""History past the broker: validated and filtered like everything else, written as an epoch that nothing lists yet.

source --import--> archive/<epoch>/trades-0-0.parquet, trades-ids.parquet        bad lines, conflicts --> dead letters
"""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.archive_import import ImportedEpoch, import_history
from ingest.chunk import Source
from ingest.errors import UnreadableFileError
from ingest.files.sources import open_source
from ingest.known import Known
from ingest.sample_data import open_sample
from ingest.verdicts import Summary
from slackwater.store.archive_file import archive_schema
from slackwater.store.id_runs import read_runs
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import IdFile
from slackwater.versions.writer_lock import hold_import
from tests.ingest_kit import NAMES, PARTITIONS, T0, House, event, letters, line, lines_of, memory_house, reasons


@pytest.fixture
def house(tmp_path: Path) -> House:
    return memory_house(tmp_path / "home")


def source(house: House, lines: list[bytes]) -> Source:
    path = house.store.home.parent / "history.jsonl"
    path.write_bytes(b"\n".join(lines))
    return open_source(TRADES, str(path))


def imported(house: House, lines: list[bytes] | Source, **options: Any) -> ImportedEpoch:
    found = source(house, lines) if isinstance(lines, list) else lines
    with hold_import(house.store.home, house.log.topic_id(NAMES.topic("trades"))) as lock:
        return import_history(TRADES, found, house.store, house.log, NAMES, house.clock, lock, **options)


def trades(count: int, start: int = 0, symbols: int = 5) -> list[bytes]:
    return lines_of([event(i, symbol=f"S{i % symbols}", price=10**10 + i) for i in range(start, start + count)])


def table(house: House, epoch: ImportedEpoch) -> pa.Table:
    return pa.concat_tables(pq.read_table(house.store.home / file.file.path) for file in epoch.archive)


def publish(house: House, epoch: ImportedEpoch) -> None:
    """As a batch run does: the parent's files and the epoch's."""
    parent = house.store.current() or house.publish()
    assert epoch.ids is not None
    house.store.publish(
        replace(
            parent,
            version=house.store.reserve(),
            parent=parent.version,
            archive=(*parent.archive, *epoch.archive),
            ids=(*parent.ids, *(IdFile(file, "trades") for file in epoch.ids)),
        )
    )


def test_history_becomes_files_by_partition_without_offsets(house: House) -> None:
    epoch = imported(house, [*trades(1000), b"bad", line(7, time=T0 * 1000)], epoch="import-1")
    assert epoch.summary == Summary(1000, 0, 0, {"not-json": 1, "too-late": 1}, 0)
    assert reasons(house.log) == ["not-json", "too-late"]
    assert letters(house.log)[0][0]["position"] == "line 1001"
    found = table(house, epoch)
    assert found.schema == archive_schema(TRADES)
    assert found.column("offset").null_count == found.column("index").null_count == found.num_rows == 1000
    assert sorted(found.column("sequence").to_pylist()) == list(range(1000))
    for file in epoch.archive:
        assert file.file.path == f"archive/import-1/trades-{file.partition}-0.parquet"
        assert (file.epoch, file.start, file.upto) == ("import-1", None, None)
        rows = pq.read_table(house.store.home / file.file.path).to_pylist()
        assert len(rows) == file.file.rows
        for row in rows:
            key = f"{row['venue']}:{row['symbol']}".encode()
            assert row["partition"] == file.partition == house.log.partition_of(key, PARTITIONS)
    house.store.check(file.file for file in epoch.archive)
    house.store.check(epoch.ids)
    assert dict(epoch.entities) == {
        ("x", f"S{i}"): house.log.partition_of(f"x:S{i}".encode(), PARTITIONS) for i in range(5)
    }
    runs = read_runs(TRADES, [house.store.home / file.path for file in epoch.ids])
    assert all((("x", f"S{i % 5}"), i) in runs for i in range(1000))
    assert (("x", "S0"), 1) not in runs and (("x", "S0"), 1000) not in runs


def test_nothing_is_published(house: House) -> None:
    imported(house, trades(10))
    assert house.store.current() is None
    assert all(bounds.end == 0 for bounds in house.log.bounds(NAMES.topic("trades")).values())


@pytest.mark.parametrize("where", ["log", "archive", "import"])
def test_ids_that_are_known_are_refused(where: str, house: House) -> None:
    if where == "import":
        publish(house, imported(house, trades(50)))
    else:
        house.ingest(trades(50))
        if where == "archive":
            house.publish()
    other = lines_of([event(3, symbol="S3", price=5)])
    epoch = imported(house, [*trades(60), *other])
    assert (epoch.summary.accepted, epoch.summary.duplicates, epoch.summary.conflicts) == (10, 50, 1)
    assert reasons(house.log) == ["conflict"] and letters(house.log)[0][1] == other[0]
    assert sorted(table(house, epoch).column("sequence").to_pylist()) == list(range(50, 60))


def test_ids_that_were_imported_are_duplicates_for_ingest(house: House) -> None:
    publish(house, imported(house, trades(100)))
    summary = house.ingest([*trades(101), *lines_of([event(3, symbol="S3", price=5)])])
    assert (summary.accepted, summary.duplicates, summary.conflicts) == (1, 100, 1)


def test_an_import_of_known_ids_alone_leaves_nothing(house: House) -> None:
    house.ingest(trades(50))
    epoch = imported(house, trades(50), epoch="import-1")
    assert (epoch.archive, epoch.ids, epoch.summary.duplicates) == ((), (), 50)


def test_memory_is_bounded_and_ids_of_closed_files_are_still_known(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 100 lines, files closed every 300: the digests held stay few, a repeat of everything is found."""
    monkeypatch.setattr("ingest.files.line_reader.CHUNK_LINES", 100)
    house.ingest(trades(30))
    held: list[int] = []
    judge = Known.judge

    def watched(known: Known, *given: Any) -> Any:
        held.append(len(known))
        return judge(known, *given)

    monkeypatch.setattr(Known, "judge", watched)
    conflicts = lines_of([event(i, symbol=f"S{i % 5}", price=1) for i in range(0, 2000, 100)])
    lines = [*trades(2000), *trades(2000), *conflicts]
    epoch = imported(house, lines, roll_rows=300)
    assert (epoch.summary.accepted, epoch.summary.duplicates, epoch.summary.conflicts) == (1970, 2030, 20)
    assert max(held) <= 30 + 400
    assert Counter(table(house, epoch).column("sequence").to_pylist()) == Counter(range(30, 2000))
    assert len(epoch.archive) > 2 * len({file.partition for file in epoch.archive})
    assert len({file.file.path for file in epoch.archive}) == len(epoch.archive)


def test_an_import_that_fails_leaves_nothing_behind(house: House, tmp_path: Path) -> None:
    found = source(house, trades(20_000))
    failing = iter([0])

    class Torn(Source):
        name = "torn"

        def read(self, timeout_s: float) -> Any:
            if next(failing, None) is None:
                raise UnreadableFileError("torn", "after row 0", "torn")
            return found.read(timeout_s)

    with pytest.raises(UnreadableFileError):
        imported(house, Torn(), epoch="import-1")
    assert not (house.store.home / "archive" / "import-1").exists()


def test_an_epoch_is_never_written_twice(house: House) -> None:
    epoch = imported(house, trades(10), epoch="import-1")
    before = [(house.store.home / file.file.path).read_bytes() for file in epoch.archive]
    with pytest.raises(FileExistsError):
        imported(house, trades(10, 10), epoch="import-1")
    assert [(house.store.home / file.file.path).read_bytes() for file in epoch.archive] == before


def test_the_lock_of_another_topic_opens_nothing(house: House) -> None:
    with hold_import(house.store.home, "another") as lock, pytest.raises(ValueError, match="another"):
        import_history(TRADES, source(house, trades(1)), house.store, house.log, NAMES, house.clock, lock)


def test_the_sample_is_imported_whole(house: House) -> None:
    seen: list[tuple[int, int | None]] = []
    epoch = imported(house, open_sample(), on_progress=lambda done, total: seen.append((done, total)))
    assert epoch.summary == Summary(78_638, 0, 0, {}, 0)
    assert seen[-1] == (78_638, 78_638)
    again = imported(house, open_sample())
    shutil.rmtree(house.store.home / "archive" / again.epoch)
    publish(house, epoch)
    assert imported(house, open_sample()).summary.duplicates == 78_638
