"""Statements over small Arrow tables of one schema, each planned once: that costs five times as much as to run it."""

from typing import Any

import duckdb
import pyarrow as pa


class _Current:
    """What DuckDB reads as a table of one name: whichever was set last."""

    def __init__(self, schema: pa.Schema) -> None:
        self.table: pa.Table = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


class Prepared:
    """A cursor of `con` that knows a table `name` of that schema, and its statements."""

    def __init__(self, con: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
        self._current = _Current(schema)
        self._cursor = con.cursor()
        self._cursor.register(name, self._current)
        self._statements: dict[str, str] = {}

    def of(self, sql: str, table: pa.Table) -> tuple[duckdb.DuckDBPyConnection, str]:
        """The cursor, and the statement that runs `sql` over `table` until it is asked for another."""
        if sql not in self._statements:
            name = f"statement_{len(self._statements)}"
            self._cursor.execute(f"PREPARE {name} AS {sql}")
            self._statements[sql] = f"EXECUTE {name}"
        self._current.table = table
        return self._cursor, self._statements[sql]
