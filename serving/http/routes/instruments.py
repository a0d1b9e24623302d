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

from serving.http.problems import not_serving
from serving.http.reply import Asked, Reply, asked_headers
from serving.query.answer import time_json
from serving.query.basis import apart
from serving.query.cursor import Cursor, decode_cursor
from serving.query.look import TIME_TYPE, Look
from serving.query.page import Page, page_reply
from serving.query.questions import InstrumentsQuery, instruments_query
from serving.query.units import quantity_unit
from serving.service import Service
from serving.store.listing import Place, Spans, listed
from serving.store.snapshot import Snapshot
from serving.watch.completeness import REFUSED

_TRIES = 3
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

    def __init__(self, service: Service) -> None:
        self._service = service

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
        self._service.snapshot()  # what is not served is refused before a thread is taken for it
        reply = await self._service.pool.run(partial(self._reply, query, after, look, asked, request.scope))
        return reply.response(asked, request.method == "HEAD")

    def _reply(self, query: InstrumentsQuery, after: Place | None, look: Look, asked: Asked, scope: Any) -> Reply:
        snapshot, found, incomplete = self._listed(query, after)
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

    def _listed(self, query: InstrumentsQuery, after: Place | None) -> tuple[Snapshot, Spans, str | None]:
        """One place more than the page holds, if there is one; and why instruments may be missing."""
        wanted = replace(query.wanted, after=after)
        hot, name = self._service.hot, self._service.views[0].name
        for _ in range(_TRIES):  # a snapshot may be swapped away between two lines
            snapshot = self._service.snapshot()
            incomplete = self._service.completeness.lacking(snapshot.cut) if snapshot.chain else REFUSED
            if incomplete is not None and self._service.options.incomplete == "refuse":
                raise not_serving(incomplete)
            ends = hot.ends(snapshot.key, name, snapshot.cut) if snapshot.chain else {}
            if ends is not None:
                found = listed(snapshot, hot, snapshot.views[name], ends, wanted, query.limit + 1)
                return snapshot, found, incomplete or apart(ends)
        raise not_serving("Versions change faster than they can be read.")


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
