"""`/v1/instruments`: what there is, in pages, in order of venue, symbol and partition.

A cursor is a place in that order, and a page is of its own moment: an instrument that was there at the first page is
in exactly one of the pages, one that came meanwhile is in a later page or in none.
"""

from functools import partial
from typing import Annotated, Any, Literal

import orjson
import pyarrow as pa
from fastapi import Query
from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed, Count, Next, Time, absent
from serving.http.reply import Reply, RequestHeaders, read_headers
from serving.http.route import Route
from serving.query.answer import time_json
from serving.query.basis import Bases, Basis
from serving.query.cursor import Cursor, decode_cursor
from serving.query.fields import CursorField, SymbolsField, TableParameters, TimeField, VenueField
from serving.query.output import TIME_TYPE, OutputForm
from serving.query.page import Page, page_reply
from serving.query.parameters import MOST_WORDS_TEXT, symbol_prefix, words
from serving.query.pool import Pool
from serving.query.questions import LIMIT_TEXT, Limit, fingerprint
from serving.store.hot import HotStore
from serving.store.listing import Place, Spans, Wanted, listed, quantity_unit
from slackwater.views.view import View

SCHEMA = pa.schema(
    [
        pa.field("venue", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("partition", pa.int64(), nullable=False),
        pa.field("first_start", TIME_TYPE, nullable=False),
        pa.field("last_start", TIME_TYPE, nullable=False),
        ("quantity_unit", pa.string()),
        pa.field("duplicates", pa.int64(), nullable=False),
    ]
)
"""Of a table of instruments."""


_Prefix = Annotated[str, BeforeValidator(symbol_prefix), WithJsonSchema({"type": "string"})]
_Words = Annotated[  # a tuple; FastAPI takes that type for a parameter that stands more than once
    Any, BeforeValidator(words), WithJsonSchema({"type": "string", "maxLength": MOST_WORDS_TEXT})
]


class InstrumentsQuery(TableParameters):
    """Which instruments: all conditions hold."""

    venue: VenueField = Field(None, description="The venue. Default: all.")
    symbol: SymbolsField = Field(
        default_factory=tuple, description="The symbol; several with commas between. Default: all."
    )
    prefix: _Prefix = Field("", description="How the symbol begins.")
    q: _Words = Field(
        default_factory=tuple,
        description="Words, each of which stands in the symbol or the venue, in large or small letters.",
    )
    active_since: TimeField = Field(None, description="Those with a trade in this second or later.")
    limit: Limit = Field(500, description=LIMIT_TEXT)
    cursor: CursorField = Field(None, description="`next` of the page before; every other parameter stays as it was.")

    def wanted(self, after: Place | None = None) -> Wanted:
        """The conditions, and where the page begins."""
        return Wanted(self.venue, frozenset(self.symbol), self.prefix, self.q, self.active_since, after)

    @property
    def fingerprint(self) -> str:
        """What a cursor of this question is bound to."""
        return fingerprint(("instruments", *self.wanted().facts, self.limit))


class Instrument(Closed):
    """An instrument in one partition."""

    venue: str
    symbol: str
    partition: Count
    first_start: Annotated[Time, Field(description="Start of its first second with a trade.")]
    last_start: Annotated[Time, Field(description="Start of its last second with a trade.")]
    quantity_unit: Literal["base", "contracts"]
    duplicates: Annotated[Count, Field(description="Of the instrument in the batch view, in all partitions together.")]


class InstrumentsMeta(Closed):
    """What the list stands on."""

    version: Count
    complete: Annotated[bool, Field(description="False where instruments may be missing; `reason` says why.")]
    reason: str = absent("Why it is not complete; only where it is not.")


class Instruments(Closed):
    """A page of the list."""

    instruments: list[Instrument]
    next: Next
    meta: InstrumentsMeta


class InstrumentsRoute:
    """Answers `GET /v1/instruments`."""

    def __init__(self, name: str, bases: Bases, hot: HotStore, pool: Pool) -> None:
        self._name = name
        self._bases = bases
        self._hot = hot
        self._pool = pool

    async def answer(self, request: Request, query: Annotated[InstrumentsQuery, Query()]) -> Response:
        """The page. Raises ProblemError.

        `duplicates` are those of the instrument in the batch view, in all partitions together.
        """
        request_headers = read_headers(request.scope)
        output = query.output.chosen(request_headers.accept)
        after = None
        if query.cursor is not None:
            venue, symbol, partition = decode_cursor(query.cursor, {query.fingerprint: (str, str, int)}).after
            after = Place(str(venue), str(symbol), int(partition))
        self._bases.snapshot()  # what is not served is refused before a thread is taken for it
        reply = await self._pool.run(partial(self._reply, query, after, output, request_headers, request.scope))
        return reply.response(request_headers, request.method == "HEAD")

    def _reply(
        self,
        query: InstrumentsQuery,
        after: Place | None,
        output: OutputForm,
        request_headers: RequestHeaders,
        scope: Any,
    ) -> Reply:
        basis, found = self._listed(query, after)
        snapshot, incomplete = basis.snapshot, basis.incomplete_reason
        following = None
        if len(found) > query.limit:
            found = dict(list(found.items())[: query.limit])
            place = next(reversed(found))
            following = Cursor(snapshot.version, "", {}, True, tuple(place)).encode(query.fingerprint)
        items = _items(basis, found, output)
        meta: dict[str, Any] = {"version": snapshot.version, "complete": incomplete is None}
        if incomplete is not None:
            meta["reason"] = incomplete
        document = {"instruments": items, "next": following, "meta": meta}
        page = Page(SCHEMA, lambda: items, lambda: orjson.dumps(document), meta, following)
        return page_reply(page, output, request_headers, scope)

    def _listed(self, query: InstrumentsQuery, after: Place | None) -> tuple[Basis, Spans]:
        """One place more than the page holds, if there is one, and what that stands on."""
        basis = self._bases.whole(self._name)
        wanted = query.wanted(after)
        return basis, listed(basis.snapshot, self._hot, basis.view, basis.ends, wanted, query.limit + 1)


def _items(basis: Basis, found: Spans, output: OutputForm) -> list[dict[str, Any]]:
    iso = output.iso and output.of.text
    duplicates = basis.snapshot.batch.duplicates
    return [
        {
            "venue": place.venue,
            "symbol": place.symbol,
            "partition": place.partition,
            "first_start": time_json(first, iso),
            "last_start": time_json(last, iso),
            "quantity_unit": quantity_unit(place.venue),
            "duplicates": duplicates.get((basis.view.stream.name, place[:2]), 0),
        }
        for place, (first, last) in found.items()
    ]


def routes(views: tuple[View, ...], bases: Bases, hot: HotStore, pool: Pool) -> list[Route]:
    """See `serving.http.route`."""
    text = "Instruments in order of venue and symbol, with the unit of their quantities and their duplicates."
    answer = InstrumentsRoute(views[0].name, bases, hot, pool).answer
    return [Route("/v1/instruments", answer, text, "data", Instruments, problems=(422, 504), table=True)]
