"""`/v1/restatements`: closed bars whose answers changed, with the answers before and after, oldest first.

    the ledger's files, of the lineage that is served and of moves -> those between `since` and `until` -> DuckDB

A file's rows never change, so a cursor is a place in the ledger; where that version was rolled back from since and its
rows are told by another, it is gone. Rows of later versions and moves come behind it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from serving.http.problems import gone, unreadable
from serving.http.reply import asked_headers
from serving.query.answer import time_json
from serving.query.basis import Bases
from serving.query.cursor import Cursor, decode_cursor
from serving.query.ids import ids_json
from serving.query.look import TIME_TYPE, Look
from serving.query.page import Page, page_reply
from serving.query.pool import Pool
from serving.query.questions import RestatementsQuery, restatements_query
from serving.store.batch import UNREADABLE, sandbox
from serving.store.batch import whole as whole_files
from slackwater.restatements.ledger import Entry
from slackwater.restatements.restatement import LATE
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest
from slackwater.views.definitions import defaults
from slackwater.views.session import files_sql
from slackwater.views.view import View

_COLUMNS = (
    *("version", "number", "view", "venue", "symbol", "key", "interval", "start"),
    *("cause", "partition", "offset", "trades", "before", "after"),
)

_TEXT, _WHOLE = pa.string(), pa.int64()
SCHEMA = pa.schema(
    [
        ("version", _WHOLE),
        *((name, _TEXT) for name in ("view", "venue", "symbol", "interval")),
        *((name, TIME_TYPE) for name in ("created", "start")),
        ("cause", _TEXT),
        *((name, _WHOLE) for name in ("partition", "offset", "trades")),
        *((name, _TEXT) for name in ("before", "after")),
    ]
)
"""Outside JSON the bars before and after are JSON text: what they hold depends on the view."""

Row = Mapping[str, Any]


class RestatementsRoute:
    """Answers `GET /v1/restatements`."""

    def __init__(self, views: tuple[View, ...], bases: Bases, pool: Pool, home: Path, inspector: Inspector) -> None:
        self._views = {view.name: view for view in defaults(views)}  # their keys are those of every definition
        self._bases = bases
        self._pool = pool
        self._home = home
        self._inspector = inspector

    async def answer(self, request: Request) -> Response:
        """A page. Raises ProblemError."""
        query = restatements_query(request.query_params.multi_items(), self._views)
        asked = asked_headers(request.scope)
        look = query.look.chosen(asked.accept)
        snapshot = self._bases.snapshot()
        manifest = snapshot.manifest
        if snapshot.ledger is None:
            raise unreadable(manifest.version)
        cursor = decode_cursor(query.cursor, {query.fingerprint: (int, int)}) if query.cursor else None
        entries = _within(snapshot.ledger, query, cursor)
        rows = await self._pool.run(lambda: self._rows(manifest, entries, query, cursor)) if entries else []
        page, more = rows[: query.limit], len(rows) > query.limit
        following = None
        if more:
            last = page[-1]
            pin = next(entry.ledger.file.sha256 for entry in entries if entry.ledger.version == last["version"])
            place = (last["version"], last["number"])
            following = Cursor(manifest.version, pin, {}, True, place).encode(query.fingerprint)
        created = {entry.ledger.version: entry.ledger.created_us for entry in entries}
        meta = {"version": manifest.version}

        def items() -> list[dict[str, Any]]:
            return [self._item(row, created[row["version"]], look) for row in page]

        def whole() -> bytes:
            return orjson.dumps({"restatements": items(), "next": following, "meta": meta})

        found = page_reply(Page(SCHEMA, items, whole, meta, following), look, asked, request.scope)
        return found.response(asked, request.method == "HEAD")

    def _rows(
        self, manifest: Manifest, entries: Sequence[Entry], query: RestatementsQuery, cursor: Cursor | None
    ) -> list[Row]:
        """One row more than asked for, if there is one. The files are whole before they are read and after."""
        files = [entry.ledger.file for entry in entries]
        paths = [file.checked(self._home) for file in files]
        early = [entry.ledger.version for entry in entries if not entry.late]
        select, values = _select(paths, early, query, cursor)
        inspector = self._inspector

        def read() -> list[tuple[Any, ...]]:
            with sandbox(paths, 1, on_damage=inspector.suspect) as con:
                return con.execute(select, values).fetchall()

        try:
            found = whole_files(inspector, files, read)
        except (DamagedFileError, *UNREADABLE) as error:
            raise unreadable(manifest.version) from error
        return [dict(zip(_COLUMNS, row, strict=True)) for row in found]

    def _item(self, row: Row, created_us: int, look: Look) -> dict[str, Any]:
        iso = look.iso and look.of.text
        start = time_json(row["start"], iso)
        view: View | None = self._views.get(row["view"])
        rest = view.key_columns[len(view.entity) :] if view is not None else ()
        key = {column.name: column.kind.python(text) for column, text in zip(rest, row["key"], strict=True)}
        return {
            **{name: row[name] for name in ("version", "view", "venue", "symbol", "interval")},
            "created": time_json(created_us, iso),
            "start": start,
            **{name: row[name] for name in ("cause", "partition", "offset", "trades")},
            **{side: _bar(view, {**key, "start": start}, row[side], look) for side in ("before", "after")},
        }


def _bar(view: View | None, head: Mapping[str, Any], answers: str | None, look: Look) -> dict[str, Any] | None:
    """A bar as the view's own route gives it."""
    if answers is None:
        return None
    found = orjson.loads(answers)
    if view is None:
        return {**head, **found, "closed": True}
    found = {
        name: look.number(a) if view.answer_kinds[name].scale and a is not None else a for name, a in found.items()
    }
    return {**head, **ids_json(view, found, look.text_ids), "closed": True}


def _within(entries: Sequence[Entry], query: RestatementsQuery, cursor: Cursor | None) -> list[Entry]:
    """The parts of the ledger that can hold rows of the page."""
    if cursor is not None:
        version = cursor.after[0]
        if not any((entry.ledger.version, entry.ledger.file.sha256) == (version, cursor.pin) for entry in entries):
            raise gone(f"Version {version} was rolled back from.")
        entries = [entry for entry in entries if entry.ledger.version >= int(version)]
    return [
        entry
        for entry in entries
        if query.since.before(entry.ledger.version, entry.ledger.created_us)
        and (query.until is None or not query.until.before(entry.ledger.version, entry.ledger.created_us))
        and (query.cause is None or entry.counts.get(query.cause))
    ]


def _select(
    paths: Sequence[str], early: Sequence[int], query: RestatementsQuery, cursor: Cursor | None
) -> tuple[str, list[Any]]:
    """`early` are the versions whose late trades are not told."""
    conditions, values = ["true"], list[Any]()
    if early:
        conditions.append(f"(cause <> ? OR version NOT IN ({', '.join('?' * len(early))}))")
        values += [LATE, *early]
    for name, value in query.filters.items():
        conditions.append(f"{name} = ?")
        values.append(value)
    if query.symbols:
        conditions.append(f"symbol IN ({', '.join('?' * len(query.symbols))})")
        values += query.symbols
    if cursor is not None:
        conditions.append("(version > ? OR (version = ? AND number > ?))")
        values += [cursor.after[0], *cursor.after]
    columns = ", ".join(f'"{name}"' for name in _COLUMNS)
    where = " AND ".join(conditions)
    order = f"ORDER BY version, number LIMIT {query.limit + 1}"
    return f"SELECT {columns} FROM {files_sql(paths)} WHERE {where} {order}", values
