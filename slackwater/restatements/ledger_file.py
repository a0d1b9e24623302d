"""The file of one ledger of restatements, written from the table `restated` of a DuckDB session."""

from collections.abc import Mapping

import duckdb

from slackwater.restatements.restate import ledger_sql
from slackwater.versions.manifest import Ledger
from slackwater.versions.store import VersionStore


def write_ledger(
    con: duckdb.DuckDBPyConnection, store: VersionStore, epoch: str, number: int, at_us: int, counts: Mapping[str, int]
) -> Ledger:
    """Write it durably. `number` is that of the version or move, `counts` maps a cause to its rows in the table.

    Raises:
        duckdb.IOException, OSError: the disk is full.
    """
    path = store.home / "archive" / epoch / "restatements.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    target = str(path).replace("'", "''")
    con.execute("SET preserve_insertion_order = true")
    con.execute(f"COPY ({ledger_sql(number, 'restated')}) TO '{target}' (FORMAT parquet)")
    return Ledger(store.stored(path, sum(counts.values())), number, at_us, counts)
