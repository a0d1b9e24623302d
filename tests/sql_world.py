"""Queries against a world: through the application, and past it straight to the database that a process would make."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import duckdb
import httpx
import pyarrow as pa

from serving.http.routes.sql import plain_rows
from serving.options import ServingOptions, SqlOptions
from serving.sql.program import Outcome, Question, answer, sandbox
from serving.sql.tables import ReadPoint, paths_here, tables_of
from slackwater.keys.keys import KeyStore, Scope
from tests.serving_world import World


def with_sql(world: World, options: SqlOptions | None = None) -> None:
    """Serve the world with the route."""
    world.serve(ServingOptions(poll_s=0.0, sql=options or SqlOptions()))
    world.step()


def bearer(world: World, scope: Scope = "admin") -> list[tuple[str, str]]:
    """The headers of a new key."""
    name = f"{scope} {len(KeyStore(world.store.home).all())}"
    _, text = KeyStore(world.store.home).create(name, scope, 1)
    return [("Authorization", f"Bearer {text}")]


def post(world: World, headers: list[tuple[str, str]], **body: Any) -> httpx.Response:
    """`POST /v1/sql` of a body."""
    return world.post("/v1/sql", json.dumps(body).encode(), [*headers, ("Content-Type", "application/json")])


def take_read_point(world: World) -> ReadPoint:
    """What a query would be answered from now."""
    return ReadPoint(world.service.bases.every())


class Here:
    """The database of one moment in this process, which must be in the home folder: paths are relative to it."""

    def __init__(self, world: World) -> None:
        self.read_point: ReadPoint = take_read_point(world)
        tables = tables_of(world.service.hot, self.read_point, paths_here(world.store))
        self.question = Question("", 10_000, [*tables.files], {}, tables.setup, tables.names, 10.0, 512 * 1024 * 1024)
        self.con: duckdb.DuckDBPyConnection = sandbox(self.question, tables.given)

    def ask(self, sql: str, limit: int = 10_000) -> tuple[Outcome, pa.Table | None]:
        """What the program would answer."""
        return answer(self.con, Question(**{**vars(self.question), "sql": sql, "limit": limit}))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows as JSON has them, by name."""
        outcome, table = self.ask(sql)
        assert table is not None, outcome
        return [dict(zip((name for name, _ in outcome.columns), row, strict=True)) for row in plain_rows(table)]


@contextlib.contextmanager
def here(world: World) -> Iterator[Here]:
    """See `Here`."""
    with contextlib.chdir(world.store.home):
        found = Here(world)
        try:
            yield found
        finally:
            found.con.close()
