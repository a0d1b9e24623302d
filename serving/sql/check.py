"""What a query may say: one SELECT over the tables that are given, and nothing about the database that holds them.

    text -> DuckDB's own parser -> its syntax tree -> every node is looked at

The tree is judged by what is allowed: kinds of queries, kinds of relations, tables by name, functions by name
(`serving.sql.functions`). DuckDB 2.0 parses `WITH x AS (INSERT ...) SELECT ...` as a SELECT and `FROM 'file.parquet'`
as a table, so that neither the kind of the statement nor a list of what is forbidden would do. This is the first wall
and the one with the clear messages; behind it stand the settings (`serving.sql.program`) and the limits of the process.
"""

import re
from collections.abc import Iterator, Set
from difflib import get_close_matches
from typing import Any, NamedTuple

import duckdb
import orjson

from serving.sql.functions import ALLOWED, OPERATORS
from slackwater.core.errors import SlackwaterError

_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_RELATIONS = {"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SHOW_REF", "SUBQUERY", "TABLE_FUNCTION"}
_TABLE_FUNCTIONS = {"generate_series", "range", "unnest"}
_CALLS = {"FUNCTION", "WINDOW"}
_OWN = {(), ("main",), ("memory",), ("memory", "main")}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NOWHERE = 2**64 - 1
_SHOW_TABLES = ("SHOW_SPECIAL", '"tables"')
_SELECT_ONLY = "This takes a SELECT and nothing else."


class Place(NamedTuple):
    """A place in a query: line and column, both from 1."""

    line: int
    column: int


class QueryRefusedError(SlackwaterError):
    """The text is no query, or none that is allowed. `place` is where, if that is known."""

    def __init__(self, fact: str, place: Place | None = None) -> None:
        super().__init__(fact)
        self.place = place


def check(con: duckdb.DuckDBPyConnection, sql: str, tables: Set[str]) -> None:
    """Read `sql` with DuckDB's parser and look at every node; nothing is bound or run.

    Raises:
        QueryRefusedError: it does not parse, is no single SELECT, or names anything but `tables`.
    """
    tree = _parsed(con, sql)
    statements = tree["statements"]
    if len(statements) != 1:
        raise QueryRefusedError(f"This takes one statement, not {len(statements)}.")
    catalog = {name for (name,) in con.execute("SELECT view_name FROM duckdb_views() WHERE internal").fetchall()}
    nodes = list(_nodes(statements[0]))
    ours = {name.lower() for node in nodes for name in _named(node)}
    for name in ours:
        if not _NAME.fullmatch(name) or name in catalog:
            raise QueryRefusedError(f"{name[:80]!r} cannot be the name of a common table.")
    for node in nodes:
        fault = _fault(node, tables, ours)
        if fault:
            at = node.get("query_location", _NOWHERE)
            raise QueryRefusedError(fault, None if at == _NOWHERE else place_of(sql, at))


def place_of(sql: str, at: int) -> Place:
    """The place of the byte `at` of a query's UTF-8."""
    before = sql.encode()[:at].decode(errors="ignore")
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _parsed(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = con.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    try:
        tree = orjson.loads(row[0] if row else "")
    except orjson.JSONDecodeError as error:  # it reads 1,024 levels
        raise QueryRefusedError("The query is nested too deeply.") from error
    if not tree["error"]:
        return tree
    if tree["error_type"] == "not implemented":
        pivot = " Give a PIVOT its values: `PIVOT ... ON ... IN (...)`." if "pivot" in sql.lower() else ""
        raise QueryRefusedError(f"{_SELECT_ONLY}{pivot}")
    at = tree.get("position", "")
    raise QueryRefusedError(
        f"The query does not parse: {tree['error_message']}", place_of(sql, int(at)) if at else None
    )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a syntax tree, without recursion."""
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def _named(node: dict[str, Any]) -> Iterator[str]:
    """The common tables that a node defines."""
    if isinstance(node.get("cte_map"), dict):
        yield from (entry["key"] for entry in node["cte_map"]["map"])
    if isinstance(node.get("cte_name"), str):
        yield node["cte_name"]


def _fault(node: dict[str, Any], tables: Set[str], ours: Set[str]) -> str:
    """Why a node may not stand in a query, empty if it may."""
    kind = str(node.get("type"))
    if kind == "BASE_TABLE":
        return _table_fault(node["qualified_name"]["path"], tables, ours)
    if kind == "SHOW_REF" and node["query"] is None and (node["show_type"], node["table_name"]) != _SHOW_TABLES:
        return "Use SHOW TABLES, or DESCRIBE with a table."
    if kind.endswith("_NODE") and kind not in _QUERIES:
        return _SELECT_ONLY
    if "sample" in node and "alias" in node and kind not in _RELATIONS:
        return f"A relation of the kind {kind} cannot be read here."
    return _function_fault(node, kind)


def _function_fault(node: dict[str, Any], kind: str) -> str:
    if kind == "TABLE_FUNCTION" and (name := _function(node["function"])) not in _TABLE_FUNCTIONS:
        return f"{name} cannot be read from. There are {_listed(_TABLE_FUNCTIONS)}."
    if node.get("class") in _CALLS and (name := _function(node)) not in ALLOWED | OPERATORS:
        close = get_close_matches(name, ALLOWED, 1)
        return f"The function {name[:80]} cannot be called here.{f' Is {close[0]} meant?' if close else ''}"
    if node.get("class") == "PARAMETER":
        return "A query has no parameters here: write the values."
    return ""


def _table_fault(path: list[str], tables: Set[str], ours: Set[str]) -> str:
    *schema, name = (part.lower() for part in path)
    if name in tables and tuple(schema) in _OWN:
        return ""
    if name in ours and not schema:
        return ""
    return f"There is no table {'.'.join(path)[:80]!r}. There are {_listed(tables)}."


def _function(node: dict[str, Any]) -> str:
    return str(node.get("function_name", "")).lower()


def _listed(names: Set[str]) -> str:
    return ", ".join(sorted(names))
