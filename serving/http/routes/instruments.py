"""`/v1/instruments`: what there is of every stream, in pages, in order of stream, entity and partition.

A cursor is a place in that order, and each page is read at its own time: an instrument that existed at the first page
is in exactly one of the pages, one that is new meanwhile is in a later page or in none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile, islice
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, create_model
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from serving.http.formats.table import TIME_TYPE, OutputForm
from serving.http.models import Closed, Count, Time, absent, entity_members, page_of
from serving.http.reply import Reply, read_headers
from serving.http.route import Route, asked
from serving.query.answer import Page, page_reply, time_json
from serving.query.bases import Bases
from serving.query.cursor import Cursor, decode_cursor
from serving.query.fields import CursorField, TableParameters, TimeField, parsed, word_field
from serving.query.keys import filter_fields, wanted_values
from serving.query.parameters import MOST_WORDS_TEXT, ValueRefusedError, words
from serving.query.pool import Pool
from serving.query.questions import LIMIT_TEXT, Limit, check_names, fingerprint
from serving.store.hot import HotStore
from serving.store.listing import Place, Wanted, instrument_items, instruments_schema, listed
from serving.store.snapshot import Snapshot
from slackwater.streams.stream import Stream
from slackwater.views.definitions import streams_of
from slackwater.views.view import View

_Words = Annotated[  # a tuple; FastAPI takes that type for a parameter that stands more than once
    Any, BeforeValidator(words), WithJsonSchema({"type": "string", "maxLength": MOST_WORDS_TEXT})
]


class InstrumentsQuery(TableParameters):
    """Which instruments: all conditions hold."""

    stream: str | None = None
    prefix: str = ""
    q: _Words = Field(
        default_factory=tuple,
        description="Words, each of which stands in the symbol or the venue (in some column of the entity), in large "
        "or small letters.",
    )
    active_since: TimeField = Field(None, description="Those with an event in this second or later.")
    limit: Limit = Field(500, description=LIMIT_TEXT)
    cursor: CursorField = Field(None, description="`next` of the page before; every other parameter stays as it was.")

    def wanted(self, stream: Stream, after: Place | None = None) -> Wanted | None:
        """The conditions on entities of a stream, and where the page begins; None where it can have none."""
        values = wanted_values(stream, self)
        if values is None or self.stream not in {None, stream.name}:
            return None
        return Wanted(values, self.prefix, self.q, self.active_since, after)

    def fingerprint(self, stream: Stream) -> str:
        """What a cursor of this question that goes on in a stream is bound to."""
        conditions = self.model_dump(exclude={"cursor", "format", "times"})
        return fingerprint(("instruments", stream.name, sorted(conditions.items())))


@cache
def query_of(streams: tuple[Stream, ...]) -> type[InstrumentsQuery]:
    """The query where there are these streams.

    Raises:
        SettingError: an entity's column has the name of another parameter or member.
    """
    for stream in streams:
        check_names(stream.name, stream.entity, InstrumentsQuery, Instrument)
    names = [stream.name for stream in streams]
    ends = [stream.column(stream.entity[-1]).forms[0][1] for stream in streams]

    def prefix(text: str) -> str:
        # What ends in the middle of "/" and the like begins a symbol, too.
        if not any(re.fullmatch(end, some) for end in ends for some in (text, f"{text}0")):
            raise ValueRefusedError(f"give how one begins of {' or '.join(ends)}")
        return text

    schema = {"type": "string", "pattern": f"^(?:{'|'.join(['', *ends])})$"}
    of_prefix: Any = Annotated[str, BeforeValidator(prefix), WithJsonSchema(schema)]
    last = ", ".join(dict.fromkeys(stream.entity[-1] for stream in streams))
    return create_model(
        "InstrumentsQuery",
        __base__=InstrumentsQuery,
        stream=(word_field(names), Field(None, description="The stream. Default: all.")),
        prefix=(of_prefix, Field("", description=f"How the {last} begins.")),
        **filter_fields(streams),
    )


class Instrument(Closed):
    """An instrument in one partition: the columns of its entity by name, such as venue and symbol."""

    stream: str
    partition: Count
    first_start: Annotated[Time, Field(description="Start of its first second with an event.")]
    last_start: Annotated[Time, Field(description="Start of its last second with an event.")]
    quantity_unit: Literal["base", "contracts"] = absent("Of a stream that has quantities.")
    duplicates: Annotated[Count, Field(description="Of the instrument in the batch view, in all partitions together.")]


class InstrumentsMeta(Closed):
    """What the list was read from."""

    version: Count
    complete: Annotated[bool, Field(description="False where instruments may be missing; `reason` says why.")]
    reason: str = absent("Why it is not complete; only where it is not.")


@cache
def page_model(streams: tuple[Stream, ...]) -> type[BaseModel]:
    """A page of the list."""
    item: Any = create_model("Instrument", __base__=Instrument, **entity_members(streams))
    return page_of("Instruments", "instruments", item, InstrumentsMeta)


@dataclass(frozen=True)
class InstrumentsRoute:
    """Answers `GET /v1/instruments`. `views` are the names of those of each stream."""

    views: Mapping[Stream, list[str]]
    schema: pa.Schema
    bases: Bases
    hot: HotStore
    pool: Pool

    async def answer(self, scope: Scope, query: InstrumentsQuery) -> Response:
        """The page. Raises ProblemError."""
        request_headers = read_headers(scope)
        output = query.output.chosen(request_headers.accept)
        wanted = self._wanted(query)
        self.bases.snapshot()  # what is not served is refused before a thread is taken for it

        def made() -> Reply:
            return page_reply(self._page(query, wanted, output), output, request_headers, scope)

        return (await self.pool.run(made)).response(request_headers, scope["method"] == "HEAD")

    def _wanted(self, query: InstrumentsQuery) -> dict[Stream, Wanted]:
        """What is wanted of each stream, from where the page begins."""
        begin, after = None, None
        if query.cursor is not None:
            shapes = {query.fingerprint(stream): (str, *[str] * len(stream.entity), int) for stream in self.views}
            begin, *entity, partition = decode_cursor(query.cursor, shapes).after
            after = Place(tuple(entity), int(partition))
        found: dict[Stream, Wanted] = {}
        for stream in dropwhile(lambda stream: begin not in {None, stream.name}, self.views):
            wanted = query.wanted(stream, after if stream.name == begin else None)
            found |= {} if wanted is None else {stream: wanted}
        return found

    def _page(self, query: InstrumentsQuery, wanted: dict[Stream, Wanted], output: OutputForm) -> Page:
        items: list[dict[str, Any]] = []
        reasons: list[str] = []
        following, last, snapshot = None, None, self.bases.snapshot()
        for stream, of_stream in wanted.items():
            basis = self.bases.whole(self._view(stream, snapshot))
            if basis.incomplete_reason is not None:
                several = len(self.views) > 1
                reasons.append(f"{stream.name}: {basis.incomplete_reason}" if several else basis.incomplete_reason)
            left = query.limit - len(items)
            found = listed(basis.snapshot, self.hot, basis.view, basis.ends, of_stream, left + 1)
            page = dict(islice(found.items(), left))
            items += instrument_items(basis.snapshot, basis.view, page)
            if page:
                last = stream, next(reversed(page))
            if len(found) > left and last is not None:
                (of, (entity, partition)), version = last, snapshot.version
                following = Cursor(version, "", {}, True, (of.name, *entity, partition)).encode(query.fingerprint(of))
                break
        for item in items if output.iso and output.of.text else ():
            item |= {name: time_json(item[name], True) for name in ("first_start", "last_start")}
        meta: dict[str, Any] = {"version": snapshot.version, "complete": not reasons}
        if reasons:
            meta["reason"] = " ".join(reasons)
        return Page("instruments", lambda: self.schema, lambda: items, meta, following)

    def _view(self, stream: Stream, snapshot: Snapshot) -> str:
        """A view that says what there is of a stream: one that the version can answer for, if there is one."""
        names = self.views[stream]
        return next((name for name in names if name not in snapshot.refused_views), names[0])


def routes(views: tuple[View, ...], bases: Bases, hot: HotStore, pool: Pool) -> list[Route]:
    text = "Instruments in order of stream and entity, with the unit of their quantities and their duplicates."
    streams = streams_of(views)
    names = {stream: [view.name for view in views if view.stream == stream] for stream in streams}
    of, model = InstrumentsRoute(names, instruments_schema(streams, TIME_TYPE), bases, hot, pool), query_of(streams)

    async def answer(request: Request, query: InstrumentsQuery) -> Response:
        return await of.answer(request.scope, query)

    async def respond(scope: Scope) -> Response:
        # Past the framework, whose reading of a query takes as long as the page.
        return await of.answer(scope, parsed(model, scope["query_string"]))

    page, problems = page_model(streams), (422, 504)
    return [Route("/v1/instruments", asked(model, answer), text, "data", page, problems, table=True, direct=respond)]
