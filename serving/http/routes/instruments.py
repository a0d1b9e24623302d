"""`/v1/instruments`: what there is, in pages, in order of venue, symbol and partition.

A cursor is a place in that order, and a page is of its own moment: an instrument that was there at the first page is
in exactly one of the pages, one that came meanwhile is in a later page or in none.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from serving.http.reply import Asked, Reply, asked_headers
from serving.query.answer import time_json
from serving.query.basis import Bases, Basis
from serving.query.cursor import Cursor, decode_cursor
from serving.query.look import TIME_TYPE, Look
from serving.query.page import Page, page_reply
from serving.query.pool import Pool
from serving.query.questions import InstrumentsQuery, instruments_query
from serving.query.units import quantity_unit
from serving.store.hot import HotStore
from serving.store.listing import Place, Spans, listed
from serving.store.snapshot import Snapshot

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


class InstrumentsRoute:
    """Answers `GET /v1/instruments`."""

    def __init__(self, name: str, bases: Bases, hot: HotStore, pool: Pool) -> None:
        self._name = name
        self._bases = bases
        self._hot = hot
        self._pool = pool

    async def answer(self, request: Request) -> Response:
        """The page. Raises ProblemError.

        `duplicates` are those of the instrument in the batch view, in all partitions together.
        """
        query = instruments_query(request.query_params.multi_items())
        asked = asked_headers(request.scope)
        look = query.look.chosen(asked.accept)
        after = None
        if query.cursor is not None:
            venue, symbol, partition = decode_cursor(query.cursor, {query.fingerprint: (str, str, int)}).after
            after = Place(str(venue), str(symbol), int(partition))
        self._bases.snapshot()  # what is not served is refused before a thread is taken for it
        reply = await self._pool.run(partial(self._reply, query, after, look, asked, request.scope))
        return reply.response(asked, request.method == "HEAD")

    def _reply(self, query: InstrumentsQuery, after: Place | None, look: Look, asked: Asked, scope: Any) -> Reply:
        basis, found = self._listed(query, after)
        snapshot, incomplete = basis.snapshot, basis.incomplete_reason
        following = None
        if len(found) > query.limit:
            found = dict(list(found.items())[: query.limit])
            place = next(reversed(found))
            following = Cursor(snapshot.version, "", {}, True, tuple(place)).encode(query.fingerprint)
        items = _items(snapshot, found, look)
        about: dict[str, Any] = {"version": snapshot.version, "complete": incomplete is None}
        if incomplete is not None:
            about["reason"] = incomplete
        document = {"instruments": items, "next": following, **about}
        page = Page(SCHEMA, lambda: items, lambda: orjson.dumps(document), about, following)
        return page_reply(page, look, asked, scope)

    def _listed(self, query: InstrumentsQuery, after: Place | None) -> tuple[Basis, Spans]:
        """One place more than the page holds, if there is one, and what that stands on."""
        basis = self._bases.whole(self._name)
        wanted = replace(query.wanted, after=after)
        return basis, listed(basis.snapshot, self._hot, basis.view, basis.ends, wanted, query.limit + 1)


def _items(snapshot: Snapshot, found: Spans, look: Look) -> list[dict[str, Any]]:
    iso = look.iso and look.of.text
    duplicates = snapshot.batch.duplicates
    return [
        {
            "venue": place.venue,
            "symbol": place.symbol,
            "partition": place.partition,
            "first_start": time_json(first, iso),
            "last_start": time_json(last, iso),
            "quantity_unit": quantity_unit(place.venue),
            "duplicates": duplicates.get(place[:2], 0),
        }
        for place, (first, last) in found.items()
    ]
