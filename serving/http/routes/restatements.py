"""`/v1/restatements`: closed bars whose answers changed, with the answers before and after, oldest first.

    the ledger's files, of the lineage that is served and of moves -> those between `since` and `until` -> DuckDB

A file's rows never change, so a cursor is a place in the ledger; where that version was rolled back from since and its
rows are in the file of another, it is gone. Rows of later versions and moves come after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
import pyarrow as pa
from pydantic import BaseModel, Field, create_model, model_validator
from starlette.requests import Request
from starlette.responses import Response

from serving.http.formats.table import TIME_TYPE, OutputForm
from serving.http.models import Closed, Time, entity_members, page_of
from serving.http.problems import gone, unreadable
from serving.http.reply import read_headers
from serving.http.route import Route, asked
from serving.query.answer import Page, ids_json, page_reply, time_json
from serving.query.bases import Bases
from serving.query.cursor import Cursor, decode_cursor
from serving.query.fields import CursorField, DecimalParameters, PointField, UntilField, word_field
from serving.query.keys import filter_fields, wanted_values
from serving.query.parameters import Point
from serving.query.pool import Pool
from serving.query.questions import LIMIT_TEXT, Limit, check_names, fingerprint, refuse
from serving.query.read import reading
from serving.store.batch import sandbox
from serving.store.batch import whole as whole_files
from slackwater.restatements.ledger import CAUSES, LATE, Entry
from slackwater.store.files import Locate
from slackwater.store.instruments import entity_of
from slackwater.streams.stream import Stream
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import defaults, streams_of
from slackwater.views.session import files_sql
from slackwater.views.view import View

COLUMNS = (
    *("version", "number", "view", "venue", "symbol", "key", "interval", "start"),
    *("cause", "partition", "offset", "trades", "before", "after"),
)

_POINT = "a version's number, or a time: ISO 8601 UTC or microseconds since the epoch"
CauseName = Literal[*CAUSES]  # type: ignore[valid-type]


class RestatementsQuery(DecimalParameters):
    """Which restatements."""

    since: PointField = Field(
        None,
        description=f"What changed since then: {_POINT}. A number means the versions behind it, a time those made "
        "at or after it. Default: everything.",
    )
    until: UntilField = Field(None, description="Up to and with this version, or before this time.")
    cause: word_field(CAUSES) = Field(None, description="Why it changed. Default: all.")  # type: ignore[valid-type]
    limit: Limit = Field(500, description=LIMIT_TEXT)
    cursor: CursorField = Field(None, description="`next` of the page before; every other parameter stays as it was.")

    @model_validator(mode="after")
    def _together(self) -> "RestatementsQuery":
        since, until = self.since or Point(0, True), self.until
        behind = until is None or until.is_version != since.is_version or until.value > since.value
        refuse({} if behind else {"until": "is not behind since"})
        return self

    @property
    def fingerprint(self) -> str:
        """What a cursor of this question is bound to."""
        conditions = self.model_dump(exclude={"cursor", "format", "times", "numbers", "ids"})
        return fingerprint(("restatements", sorted(conditions.items())))


def query_of(views: tuple[View, ...]) -> type[RestatementsQuery]:
    """The query where there are these views."""
    names = [view.name for view in views]
    lengths = list(dict.fromkeys(interval.text for view in views for interval in view.intervals))
    return create_model(
        "RestatementsQuery",
        __base__=RestatementsQuery,
        view=(word_field(names), Field(None, description="The view. Default: all.")),
        interval=(word_field(lengths), Field(None, description="Length of a bar. Default: all that batch publishes.")),
        **filter_fields(streams_of(views)),
    )


def entries_of(entries: Sequence[Entry], query: RestatementsQuery, cursor: Cursor | None) -> list[Entry]:
    """The parts of the ledger that can hold rows of the page."""
    if cursor is not None:
        version = cursor.after[0]
        if not any((entry.ledger.version, entry.ledger.file.sha256) == (version, cursor.pin) for entry in entries):
            raise gone(f"Version {version} was rolled back from.")
        entries = [entry for entry in entries if entry.ledger.version >= int(version)]
    return [
        entry
        for entry in entries
        if (query.since or Point(0, True)).before(entry.ledger.version, entry.ledger.created_us)
        and (query.until is None or not query.until.before(entry.ledger.version, entry.ledger.created_us))
        and (query.cause is None or entry.counts.get(query.cause))
    ]


def select_of(
    paths: Sequence[str], early: Sequence[int], query: RestatementsQuery, cursor: Cursor | None, views: Iterable[View]
) -> tuple[str, list[Any]]:
    """`early` are the versions whose late events are not listed."""
    condition, values = _of_views(views, query)
    conditions = [condition]
    if early:
        conditions.append("(cause <> ? OR NOT list_contains(?, version))")
        values += [LATE, [*early]]
    for name in ("interval", "cause"):
        if (value := getattr(query, name)) is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    if cursor is not None:
        conditions.append("(version, number) > (?, ?)")
        values += cursor.after
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    where = " AND ".join(conditions)
    order = f"ORDER BY version, number LIMIT {query.limit + 1}"
    return f"SELECT {columns} FROM {files_sql(paths)} WHERE {where} {order}", values


def _of_views(views: Iterable[View], query: Any) -> tuple[str, list[Any]]:
    """The condition of rows of the wanted views and entities: a view has the columns of its own stream."""
    conditions, found = ["false"], list[Any]()
    for view in views:
        wanted = wanted_values(view.stream, query)
        if wanted is None or query.view not in {None, view.name}:
            continue
        own, values = ["view = ?"], list[Any]([view.name])
        for number, several in enumerate(wanted):
            if several:
                text = f"split_part(symbol, chr(31), {number})" if number else "venue"
                own.append(f"list_contains(?, {text})")
                values.append([*several])
        conditions.append(f"({' AND '.join(own)})")
        found += values
    return f"({' OR '.join(conditions)})", found


Row = Mapping[str, Any]

_BAR_TEXT = "The bar as the route of its view gives it; null where there was none."
_OfLate = Annotated[int | None, Field(description="Position of the first late event; null for other causes.")]


class Restatement(Closed):
    """One closed bar whose answer changed; the columns of its entity by name, such as venue and symbol."""

    version: int = Field(description="The version that recorded it; a move of the pointer has a number of its own.")
    view: str
    interval: Annotated[str, Field(description="Length of the bar, one that batch publishes.")]
    created: Annotated[Time, Field(description="When the version was made, or the pointer moved.")]
    start: Annotated[Time, Field(description="Start of the bar.")]
    cause: CauseName
    partition: _OfLate
    offset: _OfLate
    trades: Annotated[int | None, Field(description="Events that changed it; null where it was none.")]
    before: dict[str, Any] | None = Field(description=_BAR_TEXT)
    after: dict[str, Any] | None = Field(description=_BAR_TEXT)


class RestatementsMeta(Closed):
    """What the page was read from."""

    version: int


_BAR = {"start": 1723161240000000, "close": "60120.5", "trades": 2, "closed": True}
_EXAMPLE: dict[str, Any] = {
    **{"version": 8, "view": "bars", "venue": "binance", "symbol": "BTCUSDT", "interval": "1m"},
    **{"created": 1723161300000000, "start": 1723161240000000, "cause": "late_trade"},
    **{"partition": 2, "offset": 70411, "trades": 1, "before": _BAR, "after": {**_BAR, "close": "60121", "trades": 3}},
}


def page_model(streams: tuple[Stream, ...]) -> type[BaseModel]:
    """A page."""
    item: Any = create_model("Restatement", __base__=Restatement, **entity_members(streams))
    example = {"restatements": [_EXAMPLE], "next": "eyJ2ZXJzaW9uIjo5fQ", "meta": {"version": 9}}
    with_trades = any(stream.name == "trades" for stream in streams)
    return page_of("Restatements", "restatements", item, RestatementsMeta, example if with_trades else None)


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
    path: Locate
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

        page = Page("restatements", lambda: self.schema, items, {"version": manifest.version}, following)
        found = page_reply(page, output, request_headers, request.scope)
        return found.response(request_headers, request.method == "HEAD")

    def _rows(
        self, manifest: Manifest, entries: Sequence[Entry], query: RestatementsQuery, cursor: Cursor | None
    ) -> list[Row]:
        """One row more than asked for, if there is one. The files are whole before they are read and after."""
        files = [entry.ledger.file for entry in entries]
        paths = [file.checked(self.path) for file in files]
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
    for stream in streams_of(views):
        check_names(stream.name, stream.entity, RestatementsQuery, Restatement)
    text = "Closed bars whose answers changed, with the answers before and after, and why."
    by_name, streams = {view.name: view for view in defaults(views)}, streams_of(views)
    of = RestatementsRoute(by_name, rows_schema(streams), bases, pool, store.data.path, inspector)
    answer, page = asked(query_of(defaults(views)), of.answer), page_model(streams)
    return [Route("/v1/restatements", answer, text, "data", page, problems=(410, 422, 504), table=True)]
