"""`POST /v1/sql`: one SELECT over the merged views of one moment, for who holds a key of the scope admin.

    {"sql": "SELECT symbol, start, vwap FROM bars_1h ORDER BY start DESC", "limit": 100}
    {"columns": [{"name": "symbol", "type": "VARCHAR"}, ...], "rows": [["BTCUSDT", ...], ...], "truncated": false,
     "meta": {"version": 7, "cut": {...}, "applied": {...}, "complete": true, "layer": "merged", ...}}

Not here: what may be asked (`serving.sql.check`), what of (`serving.sql.tables`), and where it runs
(`serving.sql.process`, `serving.sql.program`).
"""

import asyncio
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from serving.http.guard.auth import authorized
from serving.http.problems import ProblemError, parameter_problem, unreadable
from serving.http.reply import LAG_HEADER
from serving.options import SqlOptions
from serving.query.basis import Bases
from serving.query.ids import exact_json
from serving.sql.process import SqlProcesses, too_slow
from serving.sql.program import Outcome
from serving.sql.schema import DEFAULT_ROWS, MOST_ROWS, MOST_SQL, SQL_BODY
from serving.sql.tables import Moment, Tables, tables_of
from serving.status.metrics import Metrics
from serving.store.hot import HotStore
from slackwater.core.checked_files import DamagedBytesError
from slackwater.core.decimals import plain_text
from slackwater.keys.keyring import KeyRing
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector

_LOG = logging.getLogger("slackwater.sql")

_MOST_BYTES = 65_536
_SHOWN = 500  # characters of a query in the log


@dataclass(frozen=True)
class SqlQuery:
    """What is asked: a query, and how many rows of its result at most."""

    sql: str
    limit: int


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
        if request.url.query:
            raise parameter_problem([{"parameter": "query", "detail": "this takes a body and no query"}])
        query = sql_query(await _body(request))
        clock, began = self._metrics.clock, self._metrics.clock.elapsed_s()
        outcome, rows = "failed", 0
        try:
            moment, found, table = await self._ask(query)
            outcome, rows = "answered", table.num_rows
        except ProblemError as error:
            outcome = error.kind
            raise
        finally:
            self._metrics.sql_queries.labels(outcome).inc()
            took_s = clock.elapsed_s() - began
            shown = query.sql if len(query.sql) <= _SHOWN else query.sql[:_SHOWN] + "..."
            _LOG.info("SQL of key %s: %s, %d rows in %.3f s: %r", key.id, outcome, rows, took_s, shown)
        meta = moment.meta()
        applied = {int(partition): at for partition, at in meta["applied"].items()}
        headers = {"Cache-Control": "no-store", LAG_HEADER: str(self._bases.lag(applied))}
        body = await asyncio.to_thread(_document, found, table, meta)
        return Response(body, 200, headers, "application/json")

    def close(self) -> None:
        """End every query."""
        self._processes.close()

    async def _ask(self, query: SqlQuery) -> tuple[Moment, Outcome, pa.Table]:
        try:
            moment, outcome, table = await self._processes.pool.run(lambda: self._blocking(query))
        except ProblemError as error:
            if error.kind == "deadline":
                raise too_slow(self._processes.options.deadline_s) from error
            if error.kind == "busy":
                raise ProblemError(503, "busy", "Too many queries are waiting.", retry_after_s=1) from error
            raise
        if outcome.kind == "files":
            _LOG.error("A query failed on files: %s", outcome.detail)
            raise unreadable(moment.snapshot.version)
        if outcome.kind or table is None:
            place: dict[str, Any] = {"line": outcome.line, "column": outcome.column} if outcome.line else {}
            raise ProblemError(422, f"sql-{outcome.kind}", outcome.detail, **place)
        return moment, outcome, table

    def _blocking(self, query: SqlQuery) -> tuple[Moment, Outcome, pa.Table | None]:
        moment = Moment(self._bases.every())
        tables = tables_of(self._hot, moment)
        self._check(moment, tables)
        outcome, table = self._processes.ask(query.sql, query.limit, tables)
        if outcome.damaged in {file.path for file in tables.files}:
            path = self._home / outcome.damaged
            self._inspector.suspect(DamagedBytesError(str(path), outcome.detail))
        self._check(moment, tables)
        return moment, outcome, table

    def _check(self, moment: Moment, tables: Tables) -> None:
        """The files must be whole before they are read and after."""
        try:
            self._inspector.check(tables.files)
        except DamagedFileError as error:
            raise unreadable(moment.snapshot.version) from error


def sql_query(body: bytes) -> SqlQuery:
    """The query of a body.

    Raises:
        ProblemError: 422.
    """
    try:
        found = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _refused("body", 'is no JSON object {"sql": "...", "limit": ...}') from error
    if not isinstance(found, dict):
        raise _refused("body", 'is no JSON object {"sql": "...", "limit": ...}')
    if unknown := sorted(found.keys() - SQL_BODY["properties"].keys()):
        raise _refused(unknown[0][:40], "is unknown; there are sql and limit")
    sql, limit = found.get("sql"), found.get("limit", DEFAULT_ROWS)
    if not isinstance(sql, str) or not sql.strip() or len(sql) > MOST_SQL or "\0" in sql:
        raise _refused("sql", f"give one SELECT of at most {MOST_SQL} characters")
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise _refused("sql", "holds half a character") from error
    if type(limit) is not int or not 1 <= limit <= MOST_ROWS:
        raise _refused("limit", f"use a whole number from 1 to {MOST_ROWS}")
    return SqlQuery(sql, limit)


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProblemError(415, "media-type", "This takes a body of the type application/json.")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_BYTES:
            raise ProblemError(413, "too-large", f"The body has more than {_MOST_BYTES} bytes.")
    return bytes(data)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def _refused(parameter: str, detail: str) -> ProblemError:
    return parameter_problem([{"parameter": parameter, "detail": detail}])


def _document(outcome: Outcome, table: pa.Table, meta: Mapping[str, Any]) -> bytes:
    columns = [{"name": name, "type": kind} for name, kind in outcome.columns]
    return orjson.dumps({"columns": columns, "rows": plain_rows(table), "truncated": outcome.truncated, "meta": meta})


def plain_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows of a result as JSON has them."""
    return list(zip(*map(_values, table.columns), strict=True))


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A column's values as JSON has them: decimals and integers beyond 2^53 as text, times in microseconds."""
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
