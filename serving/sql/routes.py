"""`POST /v1/sql`: one SELECT over the merged views at one read point, for who holds a key of the scope admin.

    {"sql": "SELECT symbol, start, vwap FROM bars_1h ORDER BY start DESC", "limit": 100}
    {"columns": [{"name": "symbol", "type": "VARCHAR"}, ...], "rows": [["BTCUSDT", ...], ...], "truncated": false,
     "meta": {"version": 7, "streams": {"trades": {"cut": {...}, "applied": {...}, ...}}, "complete": true, ...}}

Its parts: the check (`serving.sql.check`), the tables (`serving.sql.tables`), the process (`serving.sql.process`,
`serving.sql.program`).
"""

import asyncio
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from serving.http.body import body_of, parsed_body, refuse_other_types, refuse_query
from serving.http.guard.auth import authorized
from serving.http.problems import ProblemError, unreadable
from serving.http.reply import LAG_HEADER
from serving.options import SqlOptions
from serving.query.answer import exact_json
from serving.query.bases import Bases
from serving.sql.process import SqlProcesses, too_slow
from serving.sql.program import Outcome
from serving.sql.schema import SqlQuery
from serving.sql.tables import ReadPoint, tables_of
from serving.status.metrics import Metrics
from serving.store.batch import whole
from serving.store.hot import HotStore
from slackwater.core.checked_files import DamagedBytesError
from slackwater.core.decimals import plain_text
from slackwater.keys.keyring import KeyRing
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector

_LOG = logging.getLogger("slackwater.sql")

_MOST_BYTES = 65_536
_SHOWN = 500  # characters of a query in the log


class SqlRoute:
    """Answers `POST /v1/sql`. `close` ends what still runs."""

    def __init__(
        self,
        bases: Bases,
        hot: HotStore,
        inspector: Inspector,
        keys: KeyRing,
        home: Path,
        metrics: Metrics,
        options: SqlOptions,
    ) -> None:
        self._bases = bases
        self._hot = hot
        self._inspector = inspector
        self._keys = keys
        self._home = home
        self._metrics = metrics
        self._processes = SqlProcesses(home, options)

    async def answer(self, request: Request) -> Response:
        """The response. Raises ProblemError."""
        given = [value for name, value in request.scope["headers"] if name == b"authorization"]
        key = authorized(given, self._keys, "admin", fresh=True)
        refuse_query(request)
        refuse_other_types(request)
        query = parsed_body(SqlQuery, await body_of(request, _MOST_BYTES))
        clock, began = self._metrics.clock, self._metrics.clock.elapsed_s()
        outcome, rows = "failed", 0
        try:
            read_point, found, table = await self._ask(query)
            outcome, rows = "answered", table.num_rows
        except ProblemError as error:
            outcome = error.kind
            raise
        finally:
            self._metrics.sql_queries.labels(outcome).inc()
            took_s = clock.elapsed_s() - began
            shown = query.sql if len(query.sql) <= _SHOWN else query.sql[:_SHOWN] + "..."
            _LOG.info("SQL of key %s: %s, %d rows in %.3f s: %r", key.id, outcome, rows, took_s, shown)
        meta = read_point.meta()
        lags = {basis.view.stream: self._bases.lag(name, basis.applied) for name, basis in read_point.bases.items()}
        headers = {"Cache-Control": "no-store", LAG_HEADER: str(sum(lags.values()))}
        body = await asyncio.to_thread(_document, found, table, meta)
        return Response(body, 200, headers, "application/json")

    def close(self) -> None:
        """End every query."""
        self._processes.close()

    async def _ask(self, query: SqlQuery) -> tuple[ReadPoint, Outcome, pa.Table]:
        try:
            read_point, outcome, table = await self._processes.pool.run(lambda: self._blocking(query))
        except ProblemError as error:
            if error.kind == "deadline":
                raise too_slow(self._processes.options.deadline_s) from error
            if error.kind == "busy":
                raise ProblemError(503, "busy", "Too many queries are waiting.", retry_after_s=1) from error
            raise
        if outcome.kind == "files":
            _LOG.error("A query failed on files: %s", outcome.detail)
            raise unreadable(read_point.snapshot.version)
        if outcome.kind or table is None:
            place: dict[str, Any] = {"line": outcome.line, "column": outcome.column} if outcome.line else {}
            raise ProblemError(422, f"sql-{outcome.kind}", outcome.detail, **place)
        return read_point, outcome, table

    def _blocking(self, query: SqlQuery) -> tuple[ReadPoint, Outcome, pa.Table | None]:
        read_point = ReadPoint(self._bases.every())
        tables = tables_of(self._hot, read_point)

        def answer() -> tuple[Outcome, pa.Table | None]:
            outcome, table = self._processes.ask(query.sql, query.limit, tables)
            if outcome.damaged in {file.path for file in tables.files}:
                path = self._home / outcome.damaged
                self._inspector.suspect(DamagedBytesError(str(path), outcome.detail))
            return outcome, table

        try:
            return read_point, *whole(self._inspector, tables.files, answer)
        except DamagedFileError as error:
            raise unreadable(read_point.snapshot.version) from error


def _document(outcome: Outcome, table: pa.Table, meta: Mapping[str, Any]) -> bytes:
    columns = [{"name": name, "type": kind} for name, kind in outcome.columns]
    return orjson.dumps({"columns": columns, "rows": plain_rows(table), "truncated": outcome.truncated, "meta": meta})


def plain_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows of a result as JSON has them."""
    return list(zip(*map(_values, table.columns), strict=True))


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A column's values as JSON has them: decimals and integers above 2^53 as text, times in microseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values = column.to_pylist()
    if pa.types.is_decimal(column.type):
        return [None if value is None else plain_text(value) for value in values]
    if pa.types.is_floating(column.type):
        return [value if value is None or math.isfinite(value) else str(value) for value in values]
    if pa.types.is_integer(column.type):
        return [exact_json(value) for value in values]
    return list(values)
