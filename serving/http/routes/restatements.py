"""`/v1/restatements`: closed bars whose answers changed, with the answers before and after, oldest first.

    the ledger's files, of the lineage that is served and of moves -> those between `since` and `until` -> DuckDB

A file's rows never change, so a cursor is a place in the ledger; where that version was rolled back from since and its
rows are in the file of another, it is gone. Rows of later versions and moves come after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import pyarrow as pa
from pydantic import BaseModel, Field, create_model
from starlette.requests import Request
from starlette.responses import Response

from serving.http.formats.table import TIME_TYPE, OutputForm
from serving.http.models import Closed, Time, entity_members, page_of
from serving.http.problems import unreadable
from serving.http.reply import read_headers
from serving.http.route import Route, asked
from serving.query.answer import Page, ids_json, page_reply, time_json
from serving.query.bases import Bases
from serving.query.cursor import Cursor, decode_cursor
from serving.query.pool import Pool
from serving.query.questions import check_names
from serving.query.read import reading
from serving.query.restatements import COLUMNS, CauseName, RestatementsQuery, entries_of, query_of, select_of
from serving.store.batch import sandbox
from serving.store.batch import whole as whole_files
from slackwater.restatements.ledger import Entry
from slackwater.store.instruments import entity_of
from slackwater.streams.stream import Stream
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import defaults, streams_of
from slackwater.views.view import View

Row = Mapping[str, Any]


_Row = Annotated[
    dict[str, Any] | None,
    Field(description="The bar as the route of its view gives it; null where there was none."),
]
_OfLate = Annotated[int | None, Field(description="Position of the first late event; null for other causes.")]


class Restatement(Closed):
    """One closed bar whose answer changed; the columns of its entity by name, such as venue and symbol."""

    version: Annotated[
        int, Field(description="The version that recorded it; a move of the pointer has a number of its own.")
    ]
    view: str
    interval: Annotated[str, Field(description="Length of the bar, one that batch publishes.")]
    created: Annotated[Time, Field(description="When the version was made, or the pointer moved.")]
    start: Annotated[Time, Field(description="Start of the bar.")]
    cause: CauseName
    partition: _OfLate
    offset: _OfLate
    trades: Annotated[int | None, Field(description="Events that changed it; null where it was none.")]
    before: _Row
    after: _Row


class RestatementsMeta(Closed):
    """What the page was read from."""

    version: int


_EXAMPLE: dict[str, Any] = {
    "restatements": [
        {
            **{"version": 8, "view": "bars", "venue": "binance", "symbol": "BTCUSDT", "interval": "1m"},
            **{"created": 1723161300000000, "start": 1723161240000000, "cause": "late_trade"},
            **{"partition": 2, "offset": 70411, "trades": 1},
            "before": {"start": 1723161240000000, "close": "60120.5", "trades": 2, "closed": True},
            "after": {"start": 1723161240000000, "close": "60121", "trades": 3, "closed": True},
        }
    ],
    "next": "eyJ2ZXJzaW9uIjo5fQ",
    "meta": {"version": 9},
}


def page_model(streams: tuple[Stream, ...]) -> type[BaseModel]:
    """A page."""
    item: Any = create_model("Restatement", __base__=Restatement, **entity_members(streams))
    with_trades = any(stream.name == "trades" for stream in streams)
    return page_of("Restatements", "restatements", item, RestatementsMeta, _EXAMPLE if with_trades else None)


def rows_schema(streams: Iterable[Stream]) -> pa.Schema:
    """Of a table. Outside JSON the bars before and after are JSON text: what they hold depends on the view."""
    text, whole = pa.string(), pa.int64()
    entities = dict.fromkeys(name for stream in streams for name in stream.entity)
    return pa.schema(
        [
            ("version", whole),
            *((name, text) for name in ("view", *entities, "interval")),
            *((name, TIME_TYPE) for name in ("created", "start")),
            ("cause", text),
            *((name, whole) for name in ("partition", "offset", "trades")),
            *((name, text) for name in ("before", "after")),
        ]
    )


@dataclass(frozen=True)
class RestatementsRoute:
    """Answers `GET /v1/restatements`. `views` by name; their keys are those of every definition."""

    views: Mapping[str, View]
    schema: pa.Schema
    bases: Bases
    pool: Pool
    home: Path
    inspector: Inspector

    async def answer(self, request: Request, query: RestatementsQuery) -> Response:
        """A page. Raises ProblemError."""
        request_headers = read_headers(request.scope)
        output = query.output.chosen(request_headers.accept)
        snapshot = self.bases.snapshot()
        manifest = snapshot.manifest
        if snapshot.ledger is None:
            raise unreadable(manifest.version)
        cursor = decode_cursor(query.cursor, {query.fingerprint: (int, int)}) if query.cursor else None
        entries = entries_of(snapshot.ledger, query, cursor)
        rows = await self.pool.run(lambda: self._rows(manifest, entries, query, cursor)) if entries else []
        following = None
        if len(rows) > query.limit:
            rows = rows[: query.limit]
            place = (rows[-1]["version"], rows[-1]["number"])
            pin = next(entry.ledger.file.sha256 for entry in entries if entry.ledger.version == place[0])
            following = Cursor(manifest.version, pin, {}, True, place).encode(query.fingerprint)
        created = {entry.ledger.version: entry.ledger.created_us for entry in entries}

        def items() -> list[dict[str, Any]]:
            return [self._item(row, created[row["version"]], output) for row in rows]

        page = Page("restatements", self.schema, items, {"version": manifest.version}, following)
        found = page_reply(page, output, request_headers, request.scope)
        return found.response(request_headers, request.method == "HEAD")

    def _rows(
        self, manifest: Manifest, entries: Sequence[Entry], query: RestatementsQuery, cursor: Cursor | None
    ) -> list[Row]:
        """One row more than asked for, if there is one. The files are whole before they are read and after."""
        files = [entry.ledger.file for entry in entries]
        paths = [file.checked(self.home) for file in files]
        early = [entry.ledger.version for entry in entries if not entry.late]
        select, values = select_of(paths, early, query, cursor, self.views.values())

        def read() -> list[tuple[Any, ...]]:
            with sandbox(paths, 1, on_damage=self.inspector.suspect) as con:
                return con.execute(select, values).fetchall()

        with reading(manifest.version):
            found = whole_files(self.inspector, files, read)
        return [dict(zip(COLUMNS, row, strict=True)) for row in found]

    def _item(self, row: Row, created_us: int, output: OutputForm) -> dict[str, Any]:
        iso = output.iso and output.of.text
        start = time_json(row["start"], iso)
        view = self.views[row["view"]]
        entity = entity_of(row["venue"], row["symbol"], len(view.entity))
        rest = view.key_columns[len(view.entity) :]
        head = {column.name: column.kind.python(text) for column, text in zip(rest, row["key"], strict=True)}
        head["start"] = start
        return {
            **{"version": row["version"], "view": view.name},
            **dict(zip(view.entity, entity, strict=True)),
            **{"interval": row["interval"], "created": time_json(created_us, iso), "start": start},
            **{name: row[name] for name in ("cause", "partition", "offset", "trades")},
            **{side: _bar(view, head, row[side], output) for side in ("before", "after")},
        }


def _bar(view: View, head: Mapping[str, Any], answers: str | None, output: OutputForm) -> dict[str, Any] | None:
    """A bar as the view's own route gives it."""
    if answers is None:
        return None
    kinds = view.answer_kinds
    found = {n: output.number(a) if kinds[n].scale and a is not None else a for n, a in orjson.loads(answers).items()}
    return {**head, **ids_json(view, found, output.text_ids), "closed": True}


def routes(views: tuple[View, ...], bases: Bases, pool: Pool, store: VersionStore, inspector: Inspector) -> list[Route]:
    """See `serving.http.route`."""
    for stream in streams_of(views):
        check_names(stream.name, stream.entity, RestatementsQuery, Restatement)
    text = "Closed bars whose answers changed, with the answers before and after, and why."
    by_name, streams = {view.name: view for view in defaults(views)}, streams_of(views)
    of = RestatementsRoute(by_name, rows_schema(streams), bases, pool, store.home, inspector)
    answer, page = asked(query_of(defaults(views)), of.answer), page_model(streams)
    return [Route("/v1/restatements", answer, text, "data", page, problems=(410, 422, 504), table=True)]
