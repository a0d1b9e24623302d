"""The DuckDB session: sessions and segments are kept apart, and files are read by exactly their path."""

import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.measures import Last, Sum
from slackwater.views.rows import rows_of
from slackwater.views.session import Summariser, connect, files_sql
from slackwater.views.view import View
from tests import naive
from tests.draws import events_table
from tests.naive import A_MONDAY_US, SECOND_US, Event

T0 = A_MONDAY_US
SMALL = View(
    "small", {"last": Last("price", by="sequence"), "size": Sum("quantity")}, {"size": Column("size")}, stream=TRADES
)


def trade(trade_id: int = 1, time: int = T0, price: int = 10**8, quantity: int = 10**8, side: str = "buy") -> Event:
    return Event("binance", "BTCUSDT", trade_id, time, price, quantity, side)


def test_sessions_do_not_see_each_other() -> None:
    with connect() as a, connect() as b:
        a.execute("CREATE TABLE mine AS SELECT 1")
        a.register("seen", events_table([trade()]))
        a.execute("SET threads = 1")
        b.execute("SET threads = 2")
        a.execute("PREPARE mine AS SELECT 1")
        for query in ("FROM main.mine", "FROM main.seen", "EXECUTE mine"):
            with pytest.raises(duckdb.Error):
                b.execute(query).fetchall()
        assert a.execute("SELECT current_setting('threads')").fetchall() == [(1,)]
        assert b.execute("SELECT current_setting('threads')").fetchall() == [(2,)]
    with pytest.raises(duckdb.Error):
        duckdb.execute("FROM main.mine").fetchall()  # the default connection


def test_a_session_downloads_nothing_and_keeps_its_limits() -> None:
    with connect(threads=1, memory_limit="100MiB") as con:
        names = ("autoinstall_known_extensions", "autoload_known_extensions", "preserve_insertion_order")
        query = "SELECT value FROM duckdb_settings() WHERE name = ?"
        assert [con.execute(query, [name]).fetchall() for name in names] == [[("false",)]] * 3
        assert con.execute(query, ["memory_limit"]).fetchall() == [("100.0 MiB",)]


def test_summarisers_are_independent_and_keep_their_views_apart() -> None:
    a, b = Summariser((BARS, SMALL)), Summariser((SMALL, BARS))
    one, two = [trade(1), trade(2, price=2)], [trade(3, T0 + SECOND_US)]
    for view in (BARS, SMALL):
        assert a.rows(view, events_table(one)) == naive.summarise(view, one)
        assert b.rows(view, events_table(two)) == naive.summarise(view, two)
        assert a.rows(view, events_table([])) == []
        assert a.rows(view, events_table(two)) == naive.summarise(view, two)
    a.close()
    assert b.rows(BARS, events_table(one)) == naive.summarise(BARS, one)
    b.close()


def test_a_segment_with_other_columns_is_refused_and_never_misread() -> None:
    summariser = Summariser((BARS,))
    good = events_table([trade()])
    names = good.column_names
    swapped = [*names[:4], "quantity", "price", "side"]
    for table in (good.select(swapped), good.select(names[:-1]), good.append_column("offset", pa.array([1]))):
        with pytest.raises(duckdb.Error):
            summariser.rows(BARS, table)
        assert summariser.rows(BARS, good) == naive.summarise(BARS, [trade()])
    summariser.close()


def test_a_segment_in_chunks_and_slices_is_summarised_as_one() -> None:
    events = [trade(i, T0 + i * 300_000, 10**8 + i, i + 1) for i in range(20)]
    table = events_table(events)
    chunks = pa.concat_tables([table.slice(i, 1) for i in range(20)])
    summariser = Summariser((BARS,))
    assert summariser.rows(BARS, chunks) == naive.summarise(BARS, events)
    assert summariser.rows(BARS, chunks.slice(3, 9)) == naive.summarise(BARS, events[3:12])
    summariser.close()


@pytest.mark.parametrize("seed", range(20))
def test_several_segments_by_one_statement_are_each_summarised_alone(seed: int) -> None:
    r = random.Random(seed)
    segments = [
        [trade(r.randrange(9), T0 + r.randrange(3 * SECOND_US), r.randrange(1, 10**9)) for _ in range(r.randrange(6))]
        for _ in range(r.randrange(1, 9))
    ]
    summariser = Summariser((BARS, SMALL))
    for view in (SMALL, BARS):
        found = summariser.rows_of_each(view, [events_table(events) for events in segments])
        assert found == [naive.summarise(view, events) for events in segments]
    summariser.close()


@pytest.mark.parametrize("folder", ["symbol=XRP", "a[1]", "a*", "a?b", "it's", "venue=1/price=2", "[", "**"])
def test_files_are_read_by_exactly_their_path(folder: str, tmp_path: Path) -> None:
    #   neighbours that the path would match as a pattern, and folders that look like partitions
    for name, event in ((folder, trade(1)), ("a1", trade(2)), ("ab", trade(3)), ("axb", trade(4))):
        (tmp_path / name).mkdir(parents=True)
        pq.write_table(events_table([event]), tmp_path / name / "x.parquet")
    summariser = Summariser((BARS,))
    table = summariser.files(BARS, [str(tmp_path / folder / "x.parquet")])
    summariser.close()
    assert rows_of(BARS, table) == naive.summarise(BARS, [trade(1)])


def test_a_path_cannot_leave_its_quotes() -> None:
    with connect() as con:
        con.execute("CREATE TABLE kept AS SELECT 1")
        with pytest.raises(duckdb.Error, match="No files found"):
            con.execute(f"FROM {files_sql([chr(39) + ']); DROP TABLE kept; --'])}").fetchall()
        assert con.execute("FROM kept").fetchall() == [(1,)]


def test_many_files_on_many_threads_give_what_the_oracle_says(tmp_path: Path) -> None:
    draw = random.Random(7)
    events = [
        Event(
            draw.choice(["binance", "coinbase"]),
            draw.choice(["BTCUSDT", "ETHUSDT"]),
            draw.randrange(500),
            T0 + draw.randrange(20 * SECOND_US),
            draw.randrange(1, 10**13),
            draw.randrange(1, 10**13),
            draw.choice(["buy", "sell"]),
        )
        for _ in range(20_000)
    ]
    paths = [str(tmp_path / f"{i}.parquet") for i in range(8)]
    for i, path in enumerate(paths):
        pq.write_table(events_table(events[i::8]), path, row_group_size=500)
    summariser = Summariser((BARS,), threads=4)
    expected = naive.summarise(BARS, events)
    assert len(expected) == 80
    for order in (paths, paths[::-1]):
        assert rows_of(BARS, summariser.files(BARS, order)) == expected
    assert summariser.rows(BARS, events_table(events)) == expected
    summariser.close()


def test_no_query_draws_a_progress_bar_into_what_a_command_prints() -> None:
    with connect() as con:
        assert con.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (False,)
