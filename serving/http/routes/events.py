"""`GET /v1/<stream>`: the events behind a row, for audit. One route for each stream that a view is of.

    the archive below the cut + the log from the cut to what is applied     (`serving.query.events`)

The query, the columns and the models are made of the stream's declaration.
"""

from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, Field, WithJsonSchema, create_model, model_validator
from starlette.requests import Request
from starlette.responses import Response

from serving.http.formats.negotiation import JSON
from serving.http.formats.table import ID_FIELD, TIME_TYPE, OutputForm
from serving.http.models import DECIMAL, ID, META_EXAMPLE, TIME, Closed, Meta, page_of
from serving.http.problems import refuse_gone
from serving.http.reply import lag_header, read_headers
from serving.http.route import Route, asked
from serving.query.answer import Page, exact_json, page_reply, time_json
from serving.query.bases import Bases
from serving.query.cursor import decode_cursor
from serving.query.events import FIRST_PLACE, NO_PLACE, Events, EventsRequest, place_of
from serving.query.fields import CursorField, DecimalParameters, EndNeeded, TimeNeeded
from serving.query.keys import entity_fields, entity_of
from serving.query.pool import Pool
from serving.query.questions import LIMIT_TEXT, START, Limit, check_names, fingerprint, range_errors, refuse
from slackwater.core.decimals import plain_text
from slackwater.http.problems import ProblemError
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.streams.column import Column
from slackwater.streams.columns import Choice, Decimal, Integer, Time
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import defaults
from slackwater.views.view import View

LONG_PAGE = 1_000
"""Events from which a page is encoded in the pool."""

_SHAPE = (int, str, int, int, int)
"""Of a place in a cursor."""

_PLACES: dict[str, tuple[Any, str]] = {
    "partition": (int, "The partition of the log."),
    "offset": (int | None, "Null for imported history, which never was in the log."),
    "index": (int | None, "The place in the record."),
}
_TRADE: dict[str, Any] = {
    **{"trade_id": "5940165623", "sequence": 5940165623, "time": 1795263240012000, "price": "61632.13"},
    **{"quantity": "0.00162", "side": "buy", "time_unit": "us", "appended": 1795263240019000},
    **{"partition": 2, "offset": 421, "index": 0},
}


class EventsQuery(DecimalParameters):
    """A question for the events of one entity in [start, end), microseconds."""

    stream: ClassVar[Stream]

    start: TimeNeeded = Field(description=START)
    end: EndNeeded = Field(description="End time, exclusive.")
    limit: Limit = Field(500, description=LIMIT_TEXT)
    cursor: CursorField = Field(None, description="`next` of the page before; every other parameter stays as it was.")

    @model_validator(mode="after")
    def _together(self) -> "EventsQuery":
        refuse(range_errors(self.start, self.end))
        return self

    @property
    def entity(self) -> Entity:
        """Whose events these are."""
        return entity_of(self.stream, self)

    @property
    def fingerprint(self) -> str:
        """What a cursor of this question is bound to."""
        return fingerprint((self.stream.name, self.entity, self.start, self.end, self.limit))


@dataclass(frozen=True)
class EventsRoute:
    """Answers for the stream of a view, on the bases of that view."""

    view: View
    bases: Bases
    pool: Pool
    events: Events

    async def answer(self, request: Request, query: EventsQuery) -> Response:
        """The response. Raises ProblemError."""
        request_headers, stream = read_headers(request.scope), self.view.stream
        output = query.output.chosen(request_headers.accept)
        cursor = decode_cursor(query.cursor, {query.fingerprint: _SHAPE}) if query.cursor else None
        basis = self.bases.current(self.view.name, (query.entity,), "merged", cursor)
        after = FIRST_PLACE
        if cursor is not None:
            order, identity, *rest = cursor.after
            after = (int(order), str(identity), *map(int, rest))  # type: ignore[assignment]
        wanted = EventsRequest(stream, query.entity, query.start, query.end, query.limit + 1, after)  # one more
        try:
            found = await self.events.read(basis, wanted)
        except ProblemError as error:
            refuse_gone(cursor, error)
            raise
        following = None
        if found.num_rows > query.limit:
            found = found.slice(0, query.limit)
            following = self.bases.cursor(basis, place_of(found, query.limit - 1, wanted)).encode(query.fingerprint)
        meta = basis.meta()
        del meta["definition"]
        types, items = partial(events_types, stream), partial(_items, stream, found, output)
        page = Page(stream.name, types, items, meta, following)
        encoding = partial(page_reply, page, output, request_headers, request.scope)
        reply = encoding() if found.num_rows < LONG_PAGE else await self.pool.run(encoding)
        more = [lag_header(self.bases.lag(basis.view.name, basis.applied))]
        return reply.response(request_headers, request.method == "HEAD", more)


def columns_of(stream: Stream) -> list[Column]:
    """The columns of an event that the question does not name already, in order."""
    return [column for column in stream.wire if column.name not in stream.entity]


def events_types(stream: Stream) -> pa.Schema:
    """The types of a table of events."""
    fields = [_typed(column) for column in columns_of(stream)]
    places = [pa.field("partition", pa.int64(), nullable=False), ("offset", pa.int64()), ("index", pa.int64())]
    return pa.schema([*fields, ("appended", TIME_TYPE), *places])


def _typed(column: Column) -> pa.Field:
    if isinstance(column, Time):
        return pa.field(column.name, TIME_TYPE, nullable=False)
    is_id = isinstance(column, Integer)
    return pa.field(column.name, column.arrow, nullable=False, metadata=ID_FIELD if is_id else None)


def _items(stream: Stream, events: pa.Table, output: OutputForm) -> list[dict[str, Any]]:
    iso, as_json = output.iso and output.of.text, output.of is JSON
    columns: dict[str, list[Any]] = {}
    for column in columns_of(stream):
        values = events.column(column.name).to_pylist()
        if isinstance(column, Decimal):
            values = [output.number(plain_text(value)) for value in values]
        elif isinstance(column, Time):
            values = [time_json(value, iso) for value in values]
        elif isinstance(column, Integer) and as_json:
            values = [exact_json(value, output.text_ids) for value in values]
        columns[column.name] = values
    appended = events.column("appended").to_pylist()
    columns["appended"] = [None if at is None else time_json(at, iso) for at in appended]
    columns["partition"] = events.column("partition").to_pylist()
    for name in ("offset", "index"):
        columns[name] = [None if place == NO_PLACE else place for place in events.column(name).to_pylist()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _schema(column: Column, stream: Stream) -> dict[str, Any]:
    if isinstance(column, Time):
        return TIME
    if isinstance(column, Decimal):
        return DECIMAL
    if isinstance(column, Choice):
        return {"enum": list(column.values)}
    if isinstance(column, Integer):
        return {**ID, "description": "What orders the events."} if column.name == stream.order else ID
    return {"type": "string"}


@cache
def page_model(stream: Stream) -> type[BaseModel]:
    """A page of events."""
    members: dict[str, Any] = {c.name: _member(_schema(c, stream)) for c in columns_of(stream)}
    members["appended"] = _member({"anyOf": [TIME, {"type": "null"}], "description": "When the log took it."})
    members |= {name: (Annotated[kind, Field(description=text)], ...) for name, (kind, text) in _PLACES.items()}
    title = stream.name.title().replace("_", "")
    event: Any = create_model(f"{title}Event", __base__=Closed, **members)
    example = {"trades": [_TRADE], "next": "eyJ2ZXJzaW9uIjoxfQ", "meta": META_EXAMPLE}
    return page_of(f"{title}Page", stream.name, event, Meta, example if stream.name == "trades" else None)


def _member(schema: dict[str, Any]) -> tuple[Any, Any]:
    return Annotated[Any, WithJsonSchema(schema)], ...


def routes(
    views: tuple[View, ...],
    streams: tuple[Stream, ...],
    bases: Bases,
    pool: Pool,
    store: VersionStore,
    inspector: Inspector,
    log: Log,
    names: TopicNames,
) -> list[Route]:
    events = Events(pool, store.data.path, inspector, log, names)
    first = {view.stream.name: view for view in reversed(defaults(views))}
    found = [_route(view.stream, EventsRoute(view, bases, pool, events)) for view in first.values()]
    return [*found, *(_without_view(stream) for stream in streams if stream.name not in first)]


def _without_view(stream: Stream) -> Route:
    """The refusal of a stream that no view is over: without one the service does not follow its log."""

    async def refuse(request: Request) -> Response:
        detail = f"No view is over the stream {stream.name}: it is archived and not served."
        raise ProblemError(404, "stream-without-view", f"{detail} Declare one: SLACKWATER_VIEWS.")

    return Route(f"/v1/{stream.name}", refuse, "A stream without a view.", "data", cached=False, listed=False)


def _route(stream: Stream, of: EventsRoute) -> Route:
    check_names(stream.name, stream.entity, EventsQuery)
    model = create_model(f"{stream.name.title()}Query", __base__=EventsQuery, **entity_fields(stream))
    model.stream = stream

    text = f"The events of the stream `{stream.name}` behind a row, for audit."
    refusals, lag = (404, 410, 422, 504), ("Slackwater-Lag-Records",)
    return Route(
        *(f"/v1/{stream.name}", asked(model, of.answer), text, "data", page_model(stream), refusals),
        table=True,
        headers=lag,
    )
