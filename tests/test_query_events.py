"""The events of a stream between the archive's files and the log: by entity and time, in order, a page at a time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from serving.query.events import (
    FIRST_PLACE,
    ArchiveReader,
    EventsRequest,
    Place,
    events_schema,
    first_of,
    join_runs,
    log_events,
    place_of,
)
from tests.ingest_kit import NAMES, PARTITIONS, T0, House, memory_house
from tests.test_ingest_identities import fill, ulid
from tests.toy_stream import FILLS


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Thirty fills of `us` and `desk-1` in the archive, thirty in the log, some out of order."""
    found = memory_house(tmp_path, FILLS)
    order = [*range(0, 60, 2), *range(1, 60, 2)]
    for at in (0, 30):
        for account in ("us", "desk-1"):
            found.ingest([fill(i, account) for i in order[at : at + 30]])
        if not at:
            found.publish()
    return found


def read(house: House, request: EventsRequest) -> pa.Table:
    manifest = house.store.current()
    assert manifest is not None
    reader = ArchiveReader(house.store.data.fetch, manifest.archive_of(FILLS))
    try:
        archived = reader.events(reader.files(range(PARTITIONS), request), request, reader.cursor())
    finally:
        reader.close()
    cut, bounds = manifest.cut(FILLS), house.log.bounds(NAMES.topic(FILLS))
    runs = {p: [(cut[p], bounds[p].end)] for p in bounds}
    return first_of([archived, log_events(house.log, NAMES.topic(FILLS), runs, request)], request)


def pages(house: House, account: str, limit: int) -> Iterator[pa.Table]:
    after: Place = FIRST_PLACE
    while True:
        request = EventsRequest(FILLS, (account,), T0, T0 + 10**9, limit, after)
        page = read(house, request)
        if not page.num_rows:
            return
        yield page
        after = place_of(page, page.num_rows - 1, request)


def test_events_of_an_entity_are_in_the_order_of_their_stream_wherever_they_lie(house: House) -> None:
    for account, expected in (("us", [ulid(i) for i in range(60)]), ("desk-1", [str(i) for i in range(60)])):
        table = read(house, EventsRequest(FILLS, (account,), T0, T0 + 10**9, 100))
        assert table.schema == events_schema(FILLS)
        assert table.column("fill_id").to_pylist() == expected
        assert table.column("sequence").to_pylist() == sorted(table.column("sequence").to_pylist())
        assert set(table.column("account").to_pylist()) == {account}
    assert read(house, EventsRequest(FILLS, ("desk-2",), T0, T0 + 10**9, 100)).num_rows == 0


@pytest.mark.parametrize("limit", [1, 7, 60, 61])
def test_pages_hold_every_event_once(limit: int, house: House) -> None:
    found = [row for page in pages(house, "us", limit) for row in page.column("fill_id").to_pylist()]
    assert found == [ulid(i) for i in range(60)]


def test_only_files_are_read_whose_times_meet_the_range(house: House) -> None:
    manifest = house.store.current()
    assert manifest is not None
    entries = [entry for entry in manifest.archive_of(FILLS) if entry.file.rows]
    reader = ArchiveReader(house.store.data.fetch, entries)
    low, high = min(entry.low for entry in entries), max(entry.high for entry in entries)
    for start, end, expected in [
        (low, low + 1, [entry for entry in entries if entry.low == low]),
        (high, high + 1, [entry for entry in entries if entry.high == high]),
        (low - 10, low, []),
        (high + 1, high + 10, []),
        (low, high + 1, entries),
    ]:
        found = reader.files(range(PARTITIONS), EventsRequest(FILLS, ("us",), start, end, 100))
        assert found == expected
    reader.close()


def test_a_range_is_half_open(house: House) -> None:
    table = read(house, EventsRequest(FILLS, ("us",), T0 + 10_000, T0 + 20_000, 100))
    assert table.column("fill_id").to_pylist() == [ulid(i) for i in range(10, 20)]


def test_what_a_foreign_writer_doubled_stands_twice_and_is_paged_over_once_each(house: House) -> None:
    writer = house.log.writer()
    for _ in range(2):
        writer.append(NAMES.topic(FILLS), house.log.partition_of(b"us", PARTITIONS), b"k", fill(59, "us")).offset()
    writer.close()
    found = [row for page in pages(house, "us", 1) for row in page.column("fill_id").to_pylist()]
    assert found == [*(ulid(i) for i in range(60)), ulid(59), ulid(59)]


def test_runs_that_lie_close_are_joined() -> None:
    assert join_runs([(0, 4), (5, 9), (100, 110)], 2) == [(0, 9), (100, 110)]
    assert join_runs([(0, 4), (4, 9)], 8) == [(0, 9)]
    assert join_runs([], 8) == []
