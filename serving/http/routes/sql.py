"""`POST /v1/sql`: one SELECT over the merged views at one read point, for who holds a key of the scope admin. It is not
there unless it is turned on.

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
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import orjson
import pyarrow as pa
from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Offsets, absent
from serving.http.problems import unreadable
from serving.http.reply import LAG_HEADER
from serving.http.route import Route
from serving.options import ServingOptions
from serving.query.answer import exact_json
from serving.query.bases import Bases
from serving.sql.process import SqlProcesses, too_slow
from serving.sql.program import Outcome
from serving.sql.tables import ReadPoint, paths_here, tables_of
from serving.status.metrics import Metrics
from serving.store.batch import whole
from serving.store.hot import HotStore
from slackwater.core.checked_files import DamagedBytesError, path_of
from slackwater.core.decimals import plain_text
from slackwater.http.body import body_of, parsed_body, refuse_other_types, refuse_query
from slackwater.http.guard.guard import authorized
from slackwater.http.problems import ProblemError
from slackwater.keys.keyring import KeyRing
from slackwater.store.files import Locate
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore

_LOG = logging.getLogger("slackwater.sql")

_MOST_BYTES = 65_536
_SHOWN = 500  # characters of a query in the log
MOST_SQL = 16_384
MOST_ROWS = 10_000
DEFAULT_ROWS = 1_000


def _says_something(sql: str) -> str:
    if not sql.strip() or "\0" in sql:
        raise ValueError(f"give one SELECT of at most {MOST_SQL} characters")
    return sql


_QUERY = "SELECT symbol, start, close, vwap FROM bars_1h ORDER BY start DESC"


class SqlQuery(Closed):
    """A question."""

    sql: Annotated[
        str,
        Field(min_length=1, max_length=MOST_SQL, description="One SELECT."),
        AfterValidator(_says_something),
    ]
    limit: int = Field(DEFAULT_ROWS, ge=1, le=MOST_ROWS, description="At most so many rows.")

    model_config = ConfigDict(json_schema_extra={"example": {"sql": _QUERY, "limit": 10}})


class SqlColumn(Closed):
    """A column of a result."""

    name: str
    type: Annotated[str, Field(description="As DuckDB names it.")]


class SqlStream(Closed):
    """How far a result stands in one stream."""

    cut: Offsets
    applied: Offsets
    complete: bool
    layer: Literal["merged", "batch"]
    reason: str = absent("Why it is not complete; only where it is not.")
    refusal: str = absent("Why this is not what the pointer asks for.")


class SqlMeta(Closed):
    """What a result stands on."""

    version: Annotated[int, Field(ge=0)]
    definitions: dict[str, str]
    streams: dict[str, SqlStream]
    complete: Annotated[bool, Field(description="Whether every stream is.")]


_Value = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


_EXAMPLE: dict[str, Any] = {
    "columns": [{"name": "symbol", "type": "VARCHAR"}, {"name": "vwap", "type": "DECIMAL(38,8)"}],
    "rows": [["BTCUSDT", "61234.50417"], ["ETHUSDT", "2411.9"]],
    "truncated": False,
    "meta": {
        "version": 7,
        "definitions": {"bars": "0f3a9c1d2b4e5f60"},
        "streams": {"trades": {"cut": {"0": 900}, "applied": {"0": 1024}, "complete": True, "layer": "merged"}},
        "complete": True,
    },
}


class SqlResult(Closed):
    """A result."""

    columns: list[SqlColumn]
    rows: Annotated[list[list[_Value]], Field(max_length=MOST_ROWS)]
    truncated: Annotated[bool, Field(description="Whether there are more rows than the limit.")]
    meta: SqlMeta

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})


@dataclass(frozen=True)
class SqlRoute:
    """Answers `POST /v1/sql`."""

    bases: Bases
    hot: HotStore
    inspector: Inspector
    keys: KeyRing
    here: Locate
    metrics: Metrics
    processes: SqlProcesses

    async def answer(self, request: Request) -> Response:
        """The response. Raises ProblemError."""
        given = [value for name, value in request.scope["headers"] if name == b"authorization"]
        key = authorized(given, self.keys, "admin", fresh=True)
        refuse_query(request)
        refuse_other_types(request)
        query = parsed_body(SqlQuery, await body_of(request, _MOST_BYTES))
        clock, began = self.metrics.clock, self.metrics.clock.elapsed_s()
        outcome, rows = "failed", 0
        try:
            read_point, found, table = await self._ask(query)
            outcome, rows = "answered", table.num_rows
        except ProblemError as error:
            outcome = error.kind
            raise
        finally:
            self.metrics.sql_queries.labels(outcome).inc()
            took_s = clock.elapsed_s() - began
            shown = query.sql if len(query.sql) <= _SHOWN else query.sql[:_SHOWN] + "..."
            _LOG.info("SQL of key %s: %s, %d rows in %.3f s: %r", key.id, outcome, rows, took_s, shown)
        meta = read_point.meta()
        lags = {basis.view.stream: self.bases.lag(name, basis.applied) for name, basis in read_point.bases.items()}
        headers = {"Cache-Control": "no-store", LAG_HEADER: str(sum(lags.values()))}
        body = await asyncio.to_thread(_document, found, table, meta)
        return Response(body, 200, headers, "application/json")

    async def _ask(self, query: SqlQuery) -> tuple[ReadPoint, Outcome, pa.Table]:
        try:
            read_point, outcome, table = await self.processes.pool.run(lambda: self._blocking(query))
        except ProblemError as error:
            if error.kind == "deadline":
                raise too_slow(self.processes.options.deadline_s) from error
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
        read_point = ReadPoint(self.bases.every())
        tables = tables_of(self.hot, read_point, self.here)
        files = {path_of(name): file for name, file in tables.files.items()}

        def answer() -> tuple[Outcome, pa.Table | None]:
            outcome, table = self.processes.ask(query.sql, query.limit, tables)
            if outcome.damaged in files:
                path = self.inspector.path(files[outcome.damaged])
                self.inspector.suspect(DamagedBytesError(str(path), outcome.detail))
            return outcome, table

        try:
            return read_point, *whole(self.inspector, tables.files.values(), answer)
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


def routes(
    bases: Bases,
    hot: HotStore,
    inspector: Inspector,
    keys: KeyRing,
    store: VersionStore,
    metrics: Metrics,
    options: ServingOptions,
) -> list[Route]:
    if options.sql is None:
        return []
    processes = SqlProcesses(store.home, options.sql)
    of = SqlRoute(bases, hot, inspector, keys, paths_here(store), metrics, processes)
    text = "One SELECT over the merged views of one basis, read only. Needs a key of the scope admin."
    route = Route("/v1/sql", of.answer, text, "data", SqlResult, (413, 415, 422, 504), "POST", body=SqlQuery)
    return [replace(route, cached=False, headers=("Slackwater-Lag-Records",), close=processes.close)]
