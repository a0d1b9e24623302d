"""Databases that wait for their next session: nothing of one session is seen, kept or told in another."""

import gc
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crc32c import crc32c

from slackwater.core.checked_files import LEAST_SHIFT, DamagedBytesError, checked_name, sums_text
from slackwater.views.databases import MOST_WAITING, Databases
from slackwater.views.session import files_sql

MEMORY = "64000000B"


@pytest.fixture
def databases() -> Databases:
    return Databases()


def setting(con: duckdb.DuckDBPyConnection, name: str) -> object:
    ((value,),) = con.execute("SELECT current_setting(?)", [name]).fetchall()
    return value


def waiting(databases: Databases) -> int:
    return sum(map(len, databases._waiting.values()))


def test_a_database_has_one_session_at_a_time(databases: Databases) -> None:
    first, second = databases.session(1), databases.session(1)
    first.execute("CREATE TABLE mine AS SELECT 1")  # of the database, not of the session
    assert second.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]
    first.close()
    assert waiting(databases) == 0, "whoever still holds a session may ask it for something"
    del first
    assert waiting(databases) == 1
    del second
    assert waiting(databases) == 2


def test_nothing_of_a_session_is_in_the_next(databases: Databases) -> None:
    with databases.session(1) as first:
        first.execute("CREATE TEMP TABLE own AS SELECT 1")
        first.register("known", pa.table({"a": [1]}))
        first.execute("SET preserve_insertion_order = true")
    del first
    assert waiting(databases) == 1
    with databases.session(1) as second:
        assert waiting(databases) == 0, "it is the same database"
        assert setting(second, "preserve_insertion_order") is False
        for name in ("own", "known"):
            with pytest.raises(duckdb.CatalogException):
                second.execute(f"FROM {name}")


def test_a_session_has_the_settings_that_it_asked_for(databases: Databases) -> None:
    asked = [(1, None), (2, None), (1, MEMORY), (2, MEMORY)]
    for _ in range(2):
        for threads, memory in asked:
            with databases.session(threads, memory) as con:
                assert setting(con, "threads") == threads
                assert (setting(con, "memory_limit") == "61.0 MiB") is (memory is not None)
            del con
    assert waiting(databases) == len(asked)


def test_damage_is_told_to_the_session_that_reads_and_bytes_are_read_each_time(
    databases: Databases, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(100)}), path)
    data = path.read_bytes()
    count = f"SELECT sum(a) FROM {files_sql([checked_name(path, len(data), sums_text(LEAST_SHIFT, [crc32c(data)]))])}"
    told: list[list[DamagedBytesError]] = [[], []]
    with databases.session(1, on_damage=told[0].append) as con:
        assert con.execute(count).fetchall() == [(4950,)]
    del con
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with databases.session(1, on_damage=told[1].append) as con, pytest.raises(duckdb.Error, match="were changed"):
        con.execute(count)
    assert not told[0] and told[1]


def test_each_session_spills_to_its_own_folder_and_one_that_did_is_given_up(
    databases: Databases, tmp_path: Path
) -> None:
    def session(name: str) -> duckdb.DuckDBPyConnection:
        con = databases.session(1, MEMORY, spill=tmp_path / name)
        assert setting(con, "temp_directory") == str(tmp_path / name)
        return con

    con = session("a")
    del con
    con = session("b")
    assert waiting(databases) == 0, "it is the same database"
    con.execute("CREATE TEMP TABLE much AS SELECT i, hash(i) AS h, hash(i + 1) AS g FROM range(6_000_000) t(i)")
    assert (tmp_path / "b").exists()
    con.close()
    del con
    assert waiting(databases) == 0
    assert not (tmp_path / "b").exists()
    assert session("c")


def test_a_database_whose_spilled_folder_went_first_is_not_used_again(databases: Databases, tmp_path: Path) -> None:
    con = databases.session(1, MEMORY, spill=tmp_path / "a")
    con.execute("CREATE TEMP TABLE much AS SELECT i, hash(i) AS h, hash(i + 1) AS g FROM range(6_000_000) t(i)")
    con.execute("DROP TABLE much")
    for path in tmp_path.glob("a/*"):
        path.unlink()
    tmp_path.joinpath("a").rmdir()
    del con
    assert waiting(databases) == 1
    con = databases.session(1, MEMORY, spill=tmp_path / "b")
    assert setting(con, "temp_directory") == str(tmp_path / "b")
    con.execute("CREATE TEMP TABLE much AS SELECT i, hash(i) AS h, hash(i + 1) AS g FROM range(6_000_000) t(i)")


def test_no_more_than_a_few_wait(databases: Databases) -> None:
    sessions = [databases.session(1) for _ in range(MOST_WAITING + 2)]
    sessions.clear()
    gc.collect()
    assert waiting(databases) == MOST_WAITING
