"""Ids of any kind in any stream are known exactly: ULIDs, UUIDs and integers, after restarts, versions and merges.

first     01J9ZZ..  at 10:00:00.123456 us           new
again     01J9ZZ..  at 10:00:00.123    ms           duplicate: the times agree at the coarser unit
other     01J9ZZ..  at 10:00:00.124    ms           conflict, a dead letter; the first wins
"""

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from batch_layer.duplicates import NOTHING_KNOWN, find_duplicates
from ingest.archive_import import import_history
from ingest.chunk import Source, of_lines
from ingest.files.sources import open_source
from ingest.verdicts import Summary
from slackwater.streams.errors import MappingError, StreamDeclarationError
from slackwater.streams.mapping import Constant, FromColumn, Layout
from slackwater.streams.order import UNIT_US
from slackwater.streams.stream import Venue
from slackwater.versions.epoch_ids import is_keys, merged_ids, open_keys
from slackwater.versions.manifest import IdFile
from slackwater.versions.writer_lock import hold_import
from tests.ingest_kit import NAMES, PARTITIONS, T0, House, letters, memory_house, reasons, rows
from tests.profiles import examples
from tests.toy_stream import FILLS

ACCOUNTS = ("ms", "us", "desk-1", "desk-2")


def ulid(number: int) -> str:
    return f"01J9ZZ{number:020d}"


def guid(number: int) -> str:
    return str(uuid.UUID(int=number * 2**64 + 7))


def fill(number: int, account: str = "us", **fields: Any) -> bytes:
    """A line of FILLS: text ids where the account is ordered by time, else integers."""
    at = {
        "account": account,
        "fill_id": ulid(number) if account in FILLS.venues else number,
        "time": T0 + number * 1000,
    }
    return json.dumps({**at, "symbol": "BTC-USD", "price": "100.5", "quantity": "-2", **fields}).encode()


def trade(number: int, trade_id: str, **fields: Any) -> bytes:
    at = {"venue": "x", "symbol": f"S{number % 3}", "trade_id": trade_id, "sequence": number, "time": T0 + number}
    return json.dumps({**at, "price": "1.5", "quantity": "2", "side": "buy", **fields}).encode()


def fills(house: House) -> list[dict[str, Any]]:
    return rows(house.log, stream=FILLS)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return memory_house(tmp_path, FILLS)


@pytest.mark.parametrize("make", [ulid, guid], ids=["ulid", "uuid"])
@pytest.mark.parametrize("when", ["in a chunk", "in a run", "after a restart", "after a batch", "after many batches"])
def test_text_ids_are_taken_once_and_the_first_content_wins(make: Any, when: str, tmp_path: Path) -> None:
    house = memory_house(tmp_path)
    lines = [trade(i, make(i)) for i in range(90)]
    again = [*lines, trade(7, make(7), price="9"), trade(8, make(8), sequence=9)]
    if when == "in a chunk":
        summary = house.ingest([*lines, *again])
    elif when == "in a run":
        with house.writer() as writer:
            writer.accept(of_lines("a", lines))
            writer.accept(of_lines("b", again))
        summary = writer.summary()
    else:
        for at in range(0, 90, 90 if when != "after many batches" else 9):
            house.ingest(lines[at : at + (90 if when != "after many batches" else 9)])
            if when != "after a restart":
                house.publish()
        summary = house.ingest(again)
    assert (summary.duplicates, summary.conflicts) == (90, 2)
    assert sorted(row["trade_id"] for row in rows(house.log)) == sorted(map(make, range(90)))
    assert [headers["stream"] for headers, _ in letters(house.log)] == ["trades"] * 2


def test_files_of_keys_are_merged_by_size_and_hold_each_id_once(house: House) -> None:
    for at in range(0, 320, 10):
        house.ingest([fill(i) for i in range(at, at + 10)])
        manifest = house.publish()
        keys = [file for file in manifest.ids_of(FILLS) if is_keys(file)]
        assert sum(file.rows for file in keys) == at + 10 and len(keys) <= 6
    assert len(open_keys(house.store, manifest.ids_of(FILLS))) == 320
    assert house.ingest([fill(i) for i in range(320)]).duplicates == 320


@pytest.mark.parametrize("account", ["us", "desk-1"])
@pytest.mark.parametrize("first", ["live", "file"])
@pytest.mark.parametrize("published", [False, True])
def test_a_file_in_milliseconds_tells_of_the_trades_of_a_live_feed(
    account: str, first: str, published: bool, house: House
) -> None:
    live = [fill(i, account, time=T0 + i * 1000 + 456) for i in range(50)]
    file = [fill(i, account, time=T0 + i * 1000, time_unit="ms") for i in range(50)]
    house.ingest(live if first == "live" else file)
    if published:
        house.publish()
    summary = house.ingest(file if first == "live" else live)
    assert (summary.accepted, summary.duplicates, summary.conflicts) == (0, 50, 0)
    off = [fill(1, account, time=T0 + 2000, time_unit="ms"), fill(2, account, time=T0 + 5_000_000, time_unit="s")]
    assert house.ingest(off).conflicts == 2
    assert house.ingest([fill(3, account, time=T0, time_unit="s")]).duplicates == 1


def test_another_stream_is_partitioned_by_its_entity_and_named_in_its_letters(house: House) -> None:
    summary = house.ingest(
        [*(fill(i, account) for account in ACCOUNTS for i in range(20)), b"{}", fill(1, "desk-1", price="7")]
    )
    assert (summary.accepted, summary.conflicts, dict(summary.refused)) == (80, 1, {"missing-field": 1})
    assert {headers["stream"] for headers, _ in letters(house.log)} == {"fills"}
    for account in ACCOUNTS:
        at = house.log.partition_of(account.encode(), PARTITIONS)
        there = house.log.bounds(NAMES.topic(FILLS))[at]
        assert there.end > there.start
    assert [row["fill_id"] for row in fills(house) if row["account"] == "ms"] == [ulid(i) for i in range(20)]


def test_text_ids_of_imported_history_are_known_while_it_is_read_and_from_its_files(
    house: House, tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"\n".join([fill(i % 200, account) for account in ACCOUNTS for i in range(250)]))
    house.ingest([fill(1, "us"), fill(1, "desk-1", price="9")])
    with hold_import(house.store.home, house.log.topic_id(NAMES.topic(FILLS))) as lock:
        done = import_history(
            *(FILLS, open_source(FILLS, str(path)), house.store, house.log, NAMES, house.clock, lock), roll_rows=100
        )
    assert (done.summary.accepted, done.summary.duplicates, done.summary.conflicts) == (798, 200, 2)
    assert {account for (account,), _ in done.entities} == set(ACCOUNTS)
    keys = [file for file in done.ids if is_keys(file)]
    assert sum(file.rows for file in keys) == 399  # those of `ms` and `us` but the one that the log has
    assert find_duplicates(FILLS, house.store.data.fetch, NOTHING_KNOWN, done.archive, done.ids) == ()


def test_what_a_foreign_writer_doubles_is_counted_by_entity(house: House) -> None:
    house.ingest([fill(i, account) for account in ACCOUNTS for i in range(10)])
    house.publish()
    writer = house.log.writer()
    for line in (fill(1, "us"), fill(1, "us", price="7"), fill(30, "us"), fill(30, "us"), fill(2, "desk-1")):
        account = json.loads(line)["account"]
        writer.append(NAMES.topic(FILLS), house.log.partition_of(account.encode(), PARTITIONS), b"k", line).offset()
    writer.close()
    manifest = house.publish()
    found = find_duplicates(FILLS, house.store.data.fetch, NOTHING_KNOWN, manifest.archive, manifest.ids_of(FILLS))
    assert {each.entity: each.events for each in found} == {("us",): 3, ("desk-1",): 1}
    assert house.ingest([fill(1, "us"), fill(30, "us"), fill(2, "desk-1")]).duplicates == 3


def history(house: House, path: Path, layout: Layout | None = None) -> Summary:
    """Import a file, and publish it as a batch run would."""
    with hold_import(house.store.home, house.log.topic_id(NAMES.topic(FILLS))) as lock:
        source = open_source(FILLS, str(path), layout)
        done = import_history(FILLS, source, house.store, house.log, NAMES, house.clock, lock)
        parent = house.store.current() or house.publish()
        ids = merged_ids(FILLS, house.store, done.epoch, (*parent.ids_of(FILLS), *done.ids))
        changes = {"archive": (*parent.archive, *done.archive), "ids": tuple(IdFile(file, "fills") for file in ids)}
        house.store.publish(replace(parent, version=house.store.reserve(), parent=parent.version, **changes))
    return done.summary


def unnamed(path: Path, rows: list[tuple[int, str]], per: int) -> Path:
    """A file of an account without ids: (time in microseconds, price), written in units of `per` microseconds."""
    lines = [f"unnamed,BTC-USD,{T0 // per + at // per},{price},1" for at, price in rows]
    path.write_text("\n".join(["account,symbol,time,price,quantity", *lines]))
    return path


def test_ids_that_a_venue_does_not_give_are_made_of_content_and_second(house: House, tmp_path: Path) -> None:
    told = [(0, "7"), (500, "7"), (1_200, "7"), (999_000, "8"), (1_000_000, "7"), (1_000_001, "8")]
    summary = history(house, unnamed(tmp_path / "us.csv", told, 1), Layout({}, "us"))
    assert (summary.accepted, dict(summary.refused)) == (6, {})
    again = history(house, unnamed(tmp_path / "ms.csv", [*told, (2_000_000, "7")], 1000), Layout({}, "ms"))
    assert (again.accepted, again.duplicates, again.conflicts) == (1, 6, 0)  # in whatever unit
    back = history(house, unnamed(tmp_path / "back.csv", [(3_000_000, "7"), (2_000_000, "9")], 1), Layout({}, "us"))
    assert (back.accepted, dict(back.refused)) == (1, {"out-of-order": 1})
    files = [file.file.path for file in house.store.current().archive_of(FILLS)]  # type: ignore[union-attr]
    found = pa.concat_tables(pq.read_table(house.store.home / path) for path in files).to_pylist()
    ids = [row["fill_id"] for row in found]
    assert len(set(ids)) == 8 and sum(one.endswith("-0") for one in ids) == 6
    assert all(row["sequence"] // 1024 * 1024 % 1_024_000 == 0 for row in found)  # by time, in milliseconds


def test_a_venue_without_ids_is_refused_beside_live_data(house: House) -> None:
    lines = [fill(1, "us"), fill(2, "unnamed", fill_id=5), fill(3, "unnamed")]
    without = json.loads(lines[2])
    del without["fill_id"]
    summary = house.ingest([*lines[:2], json.dumps(without).encode()])
    assert (summary.accepted, dict(summary.refused)) == (1, {"no-ids": 2})
    assert "slackwater archive import" in letters(house.log)[0][0]["error"]


def test_an_account_without_ids_has_to_be_ordered_otherwise() -> None:
    with pytest.raises(StreamDeclarationError, match="have no ids"):
        replace(FILLS, venues={"x": Venue(ids="none")})


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_of_sums_is_read_for_no_other_account(form: str, house: House, tmp_path: Path) -> None:
    def source(account: str | None, *accounts: str) -> Source:
        columns: dict[str, list[Any]] = {"sum_id": [], "time": [], "symbol": [], "price": [], "quantity": [], "who": []}
        for number, who in enumerate(accounts):
            row = {"sum_id": number, "time": T0 + number, "symbol": "A", "price": "1", "quantity": "1", "who": who}
            for name, value in row.items():
                columns[name].append(value)
        path = tmp_path / f"sums.{form}"
        (csv.write_csv if form == "csv" else pq.write_table)(pa.table(columns), path)
        who = FromColumn("who") if account is None else Constant(account)
        return open_source(FILLS, str(path), Layout({"fill_id": FromColumn("sum_id"), "account": who}, "us"))

    assert house_takes(house, source("sums", "sums", "sums")) == 2
    assert house_takes(house, source(None, "sums", "sums", "sums")) == 1
    with pytest.raises(MappingError, match=r"'sum_id', so it is no file of 'desk-1'"):
        source("desk-1", "a", "b")
    with pytest.raises(MappingError, match="so it is no file of 'desk-2'"):
        house_takes(house, source(None, "sums", "desk-2"))


def house_takes(house: House, source: Source) -> int:
    with house.writer() as writer:
        return writer.ingest(source).accepted


def test_a_file_says_in_which_unit_its_times_are(house: House, tmp_path: Path) -> None:
    path = tmp_path / "ms.parquet"
    times = pa.array([T0 // 1000], pa.timestamp("ms"))
    row = {"account": ["desk-1"], "fill_id": [1], "time": times, "symbol": ["A"], "price": ["1"], "quantity": ["1"]}
    pq.write_table(pa.table(row), path)
    assert house_takes(house, open_source(FILLS, str(path))) == 1
    assert [(row["time"], row["time_unit"]) for row in fills(house)] == [(T0, "ms")]


def content(line: bytes) -> tuple[tuple[str, str], tuple[Any, ...], int, str]:
    """Identity, what has to agree, time and unit of a line."""
    found = json.loads(line)
    own = (found["symbol"], found["price"], found["quantity"])
    return (found["account"], str(found["fill_id"])), own, found["time"], found.get("time_unit", "us")


def agree(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    unit = max(UNIT_US[one[3]], UNIT_US[other[3]])
    return bool(one[1] == other[1] and one[2] // unit == other[2] // unit)


lines = st.builds(
    fill,
    st.integers(0, 6),
    st.sampled_from(["us", "ms", "desk-1"]),
    time=st.sampled_from([T0 + 1_000_456, T0 + 1_000_457, T0 + 1_000_000, T0 + 1_001_000]),
    time_unit=st.sampled_from(["us", "ms", "s"]),
    price=st.sampled_from(["1.5", "2"]),
)
steps = st.lists(
    st.one_of(st.lists(lines, min_size=1, max_size=8), st.sampled_from(["publish", "rollback"])), max_size=8
)


@examples(60)
@given(steps)
def test_any_history_of_chunks_and_versions_is_that_of_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    house, first = memory_house(tmp_path_factory.mktemp("home"), FILLS), {}
    for step in steps:
        if step == "publish":
            house.publish()
        elif step == "rollback":
            house.publish(forget=True)
        else:
            expected = [0, 0, 0]
            for line in step:
                told = content(line)
                known = first.setdefault(told[0], told)
                expected[0 if known is told else 1 if agree(known, told) else 2] += 1
            summary = house.ingest(step)
            assert [summary.accepted, summary.duplicates, summary.conflicts] == expected
    assert len(fills(house)) == len(first)
    assert reasons(house.log).count("conflict") == len(letters(house.log))
