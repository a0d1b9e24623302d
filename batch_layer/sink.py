"""The sink of the batch pipeline: merges the states of a shard and writes them as Parquet at every published interval.

    <folder>/<view>/<interval>/<shard>.parquet      a row a bar, sorted by key and start

A file gets its name when it is whole, so a bundle that is run twice on any runner writes the same bytes.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
import duckdb
import pyarrow as pa

from slackwater.core.faults import reach
from slackwater.pipeline.coders import Tables, TablesCoder
from slackwater.pipeline.segment import States
from slackwater.store.files import gone_if_it_fails
from slackwater.views.definitions import view_of
from slackwater.views.interval import Interval
from slackwater.views.levels import finer_published
from slackwater.views.session import connect
from slackwater.views.sql import finish_sql, merge_sql
from slackwater.views.view import View

ROW_GROUP_ROWS = 16_384
"""Small enough that a cold range of one instrument reads a few of them only."""

ShardKey = tuple[str, int]


def shard_path(folder: Path, view: str, interval: Interval, shard: int) -> Path:
    """Where the states of a shard are."""
    return folder / view / interval.word / f"{shard}.parquet"


def keyed(states: States, views: tuple[View, ...]) -> tuple[ShardKey, pa.Table]:
    """States by the definition and shard that they are merged in."""
    return (states.definition, states.slot.shard), states.as_table(view_of(states.definition, views))


@beam.typehints.with_input_types(pa.Table)
@beam.typehints.with_output_types(Tables)
class MergeStates(beam.CombineFn):
    """Tables of states -> all tables of a shard. The writer merges them, with one statement over all."""

    def create_accumulator(self) -> Tables:
        """No table."""
        return Tables()

    def add_input(self, tables: Tables, table: pa.Table) -> Tables:
        """One more."""
        return Tables([*tables, table])

    def merge_accumulators(self, accumulators: Iterable[Tables]) -> Tables:
        """All of them."""
        return Tables(table for tables in accumulators for table in tables)

    def extract_output(self, tables: Tables) -> Tables:
        """All tables."""
        return tables

    def get_accumulator_coder(self) -> TablesCoder:
        """Arrow IPC; Beam would pickle the list."""
        return TablesCoder()


class WriteShard(beam.DoFn):
    """((definition, shard), states) -> the paths that it wrote. `finished` also writes answers, decimals as text."""

    def __init__(self, views: tuple[View, ...], folder: Path, finished: bool = False) -> None:
        self._views = views
        self._folder = folder
        self._finished = finished

    def setup(self) -> None:
        """Open a session that keeps the order of ORDER BY in what COPY writes."""
        self._con = connect()
        self._con.execute("SET preserve_insertion_order = true")

    def process(self, element: tuple[ShardKey, Tables]) -> Iterator[str]:
        """Write one shard. The states of a single segment have one row a bar already."""
        (definition, shard), tables = element
        view = view_of(definition, self._views)
        self._con.register("states", pa.concat_tables(tables))
        base = view.intervals[0]
        for interval in view.intervals:
            table = f"states_{interval.word}"
            source = "states" if interval == base else f"states_{finer_published(view, interval).word}"
            whole = interval == base and len(tables) == 1
            select = "SELECT * FROM states" if whole else merge_sql(view, source, interval)
            self._con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {select}")
            path = shard_path(self._folder, view.name, interval, shard)
            _copy(self._con, f"SELECT * FROM {table}", view, path)
            yield str(path)
            if self._finished:
                answers = path.parent / "answers" / path.name
                _copy(self._con, finish_sql(view, table), view, answers)
                yield str(answers)
        for interval in view.intervals:
            self._con.execute(f"DROP TABLE states_{interval.word}")
        self._con.unregister("states")

    def teardown(self) -> None:
        """Close the session."""
        self._con.close()


def _copy(con: duckdb.DuckDBPyConnection, select: str, view: View, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    order = ", ".join([*view.key, "start"])
    target = str(temporary).replace("'", "''")
    with gone_if_it_fails(temporary):
        reach("compute.write")
        con.execute(
            f"COPY (SELECT * FROM ({select}) ORDER BY {order}) TO '{target}' "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
        )
        reach("compute.rename")
        temporary.replace(path)
