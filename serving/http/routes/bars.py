"""The route of the view of one name: from a query string to the bytes of its bars.

    read the snapshot once -> take the chains' ends (or the cursor's) -> read each instrument -> order, cut, encode
                  -> cached, and sent again while nothing that it depends on has changed

Generated for each name of the registry; which definition answers is said by the version, and nothing here knows what
it computes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, WithJsonSchema, create_model
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from serving.http.formats.export import Exporter
from serving.http.models import META_EXAMPLE, TIME, Closed, Count, Meta, absent, page_of, row_fields, types_of
from serving.http.problems import refuse_gone
from serving.http.reply import CachedReplies, CachedReply, RequestHeaders, lag_header, read_headers
from serving.http.route import Route, asked
from serving.options import ServingOptions
from serving.query.answer import Bar, Form, Page, bar_item, bars_schema, encode_bars, page_reply
from serving.query.bases import Bases
from serving.query.basis import Basis
from serving.query.cursor import Cursor, decode_cursor
from serving.query.explain import explained
from serving.query.fields import parsed
from serving.query.id_gaps import gaps_by_entity, id_places
from serving.query.parameters import Point
from serving.query.pool import Pool
from serving.query.questions import MOST_BARS, BarsQuery, cannot_fill, query_of
from serving.query.read import BatchRows, filled, fills, place_of, read, read_prefix, read_quantiles, reading
from serving.store.archived_ids import ArchivedIds
from serving.store.request import Entity, Range
from slackwater.http.problems import ProblemError, refusal
from slackwater.store.gaps import IdGaps
from slackwater.versions.inspector import Inspector
from slackwater.views.definitions import names_of
from slackwater.views.interval import CLOSED_AFTER_US
from slackwater.views.quantiles import quantile_key, quantile_kinds, quantile_rows
from slackwater.views.rows import Row
from slackwater.views.view import View

LONG_PAGE = 1_000
"""Bars from which a page is encoded in the pool."""


@dataclass(frozen=True)
class BarsRoute:
    """Answers `GET /v1/<view>`. `views` are all definitions of the view of this name, `model` reads a query."""

    name: str
    views: tuple[View, ...]
    model: type[BarsQuery]
    bases: Bases
    rows: BatchRows
    pool: Pool
    cached: CachedReplies[BarsQuery]
    exporter: Exporter
    ids: ArchivedIds

    @cached_property
    def _fills(self) -> bool:
        return any(map(fills, self.views))

    async def respond(self, scope: Scope) -> Response:
        """The response to an ASGI request: cached bytes while they hold. Raises ProblemError."""
        request_headers = read_headers(scope)
        key = self.name, scope["query_string"], request_headers.accept, request_headers.accept_encoding
        known = self.cached.get(key)
        cached = known.cached if known is not None else None
        if cached is None or cached.basis_id is None or not self.bases.holds(cached.basis_id):
            query = known.question if known is not None else self._query(scope, request_headers)
            if query.limit is None:
                basis = await self._basis(query, None)
                return await self.exporter.respond(scope, request_headers, query, basis)
            cached = await self._answer(scope, query, request_headers)
            if cached.basis_id is not None:
                self.cached.put(key, query, cached)
        elif cached.named:
            self.bases.remember(cached.named)
        more = () if cached.applied is None else (lag_header(self.bases.lag(self.name, cached.applied)),)
        return cached.reply.response(request_headers, scope["method"] == "HEAD", more)

    def _query(self, scope: Scope, request_headers: RequestHeaders) -> BarsQuery:
        query = parsed(self.model, scope["query_string"])
        if query.fill and not self._fills:
            raise cannot_fill()
        return query.chosen(request_headers.accept)

    async def _answer(self, scope: Scope, query: BarsQuery, request_headers: RequestHeaders) -> CachedReply:
        """The answer as it is now."""
        cursor, basis = _cursor(query, self.views), None
        try:
            basis = await self._basis(query, cursor)
            cursor = _cursor(query, (basis.view,))
            if query.fill and not fills(basis.view):
                raise cannot_fill()
            bars, more = await self._read(query, basis, cursor)
            following = None
            if more:
                following = self.bases.cursor(basis, place_of(bars[-1])).encode(_question(query, basis.view))
            page = await self._page(query, basis, bars, following)
        except ProblemError as error:
            refuse_gone(cursor, error)
            if basis is not None and query.as_of is not None and error.kind == "files-unreadable":
                await self.bases.refuse_retired(basis.snapshot.version)
            raise
        settled = isinstance(query.as_of, Point)  # a pin's name may be given to another version
        encoding = partial(page_reply, page, query.output, request_headers, scope, settled)
        # A long page would hold up all other requests while it is encoded.
        reply = encoding() if len(bars) < LONG_PAGE else await self.pool.run(encoding)
        return CachedReply(
            reply,
            None if query.cursor or isinstance(query.as_of, str) else basis.basis_id,
            basis.applied if query.as_of is None else None,
            tuple(basis.ends.values()) if following else (),
        )

    async def _basis(self, query: BarsQuery, cursor: Cursor | None) -> Basis:
        if query.as_of is not None:
            return await self.bases.as_of(self.name, query.as_of, query.keys.entities, cursor)
        return self.bases.current(self.name, query.keys.entities, query.layer, cursor)

    async def _read(self, query: BarsQuery, basis: Basis, cursor: Cursor | None) -> tuple[list[Bar], bool]:
        """The bars of the page, and whether there are more behind them."""
        newest_first = query.start is None
        most = query.limit or MOST_BARS
        low, after = query.low, () if cursor is None else cursor.after
        if after:
            low = max(low, query.interval.floor(int(after[0])))
        of = Range(query.interval, low, query.high, most if newest_first else most + 1, newest_first, after)
        if of.high is not None and low >= of.high:
            return [], False
        bars = list(await self._rows_of(query, basis, of))
        if query.at is not None:
            bars, newest_first = [bar for bar in bars if not after or place_of(bar) > after], False
        if newest_first:
            return bars[-most:], False
        return bars[:most], len(bars) > most

    async def _rows_of(self, query: BarsQuery, basis: Basis, of: Range) -> Sequence[Bar]:
        if query.at is not None:
            rows = await read_prefix(basis, query.keys, query.at, self.rows)
            return quantile_rows(basis.view, rows) if query.quantiles else rows
        how = read_quantiles if query.quantiles else filled if query.fill else read
        return await how(basis, query.keys, of, self.rows)

    async def _page(self, query: BarsQuery, basis: Basis, bars: list[Bar], following: str | None) -> Page:
        view, output, wide = basis.view, query.output, len(basis.view.entity)
        closed_to = basis.closed_to(query.interval, query.keys.entities)
        if query.at is not None:  # the row of everything before it is one bar, which ends there
            closed_to = {e: 0 if (basis.newest(e) or 0) >= query.at + CLOSED_AFTER_US else -1 for e in closed_to}
        if len(closed_to) == 1:
            (limit,) = closed_to.values()
            closed = [bar.start <= limit for bar in bars]
        else:
            closed = [bar.start <= closed_to[bar.key[:wide]] for bar in bars]
        more = await explained(basis, query.interval, bars, output.text_ids, self.rows) if query.explain else []
        if query.gaps:
            more = [{"gaps": missing} for missing in await self._gaps(query, basis, bars)]

        def schema() -> pa.Schema:
            typed = bars_schema(view, query.quantiles)
            return typed.append(pa.field("gaps", pa.int64())) if query.gaps else typed

        def encoded() -> bytes:
            form = Form(len(query.keys.entities) > 1, output.iso, output.floats, output.text_ids)
            return encode_bars(view, form, bars, closed, more)

        def items() -> list[dict[str, Any]]:
            form = Form(False, output.iso and output.of.text, output.floats, None)
            rows = [bar_item(view, form, bar, shut) for bar, shut in zip(bars, closed, strict=True)]
            return [{**row, **each} for row, each in zip(rows, more, strict=True)] if query.gaps else rows

        return Page(view.name, schema, items, basis.meta(), following, encoded)

    async def _gaps(self, query: BarsQuery, basis: Basis, bars: Sequence[Bar]) -> list[int | None]:
        """How many ids are missing in and beside each bar; None where its venue's ids are not dense."""
        places, wide = id_places(basis.view), len(basis.view.entity)
        if places is None:
            raise refusal({"gaps": "this view does not say which ids its bars hold"})

        def read_ids() -> dict[Entity, IdGaps]:
            with reading(basis.snapshot.version):
                return gaps_by_entity(basis, self.ids, query.keys.entities)

        found = await self.pool.run(read_ids)
        missing: list[int | None] = []
        for bar in bars:
            gaps = found.get(bar.key[:wide])
            ends = places.of(bar)[:2] if isinstance(bar, Row) else None
            missing.append(None if gaps is None else gaps.within(*ends) if ends is not None else 0)
        return missing


def _question(query: BarsQuery, view: View) -> str:
    return query.fingerprint(f"{view.name} {view.definition}")


def _cursor(query: BarsQuery, views: Iterable[View]) -> Cursor | None:
    """The query's cursor, which must be of one of these views."""
    if query.cursor is None:
        return None
    shapes = {}
    for view in views:
        names = quantile_key(view) if query.quantiles else view.key
        kinds = (column.kind.python for column in view.key_columns if column.name in names)
        shapes[_question(query, view)] = (int, *kinds)
    return decode_cursor(query.cursor, shapes)


_EXAMPLE: dict[str, Any] = {
    **{"start": 1795263240000000, "open": "61632.13", "high": "61700", "low": "61626.2", "close": "61683.83"},
    **{"volume": "26.96074", "notional": "1662765.726949", "vwap": "61673.59378671", "buy_volume": "15.10691"},
    **{"trades": 1106, "first_sequence": 5940165623, "last_sequence": 5940166728, "closed": False},
}


class ExplainedDelta(Closed):
    """What one delta adds to a bar."""

    partition: int
    start: int
    upto: int
    part: dict[str, Any]


class Explanation(Closed):
    """With `explain=true`: the batch part of a bar, each delta's part, and their merge."""

    batch: dict[str, Any] | None
    deltas: list[ExplainedDelta]
    merged: dict[str, Any] | None


def _spread_fields(view: View) -> dict[str, Any]:
    """The members of a row of quantiles."""
    keys = {c.name: c.kind.schema for c in view.key_columns if c.name in quantile_key(view)[len(view.entity) :]}
    bounds = {name: {"type": [*types_of(kind.schema), "null"]} for name, kind in quantile_kinds(view).items()}
    schemas: dict[str, Any] = {**keys, "start": TIME, **bounds, "closed": {"type": "boolean"}}
    return {name: (Annotated[Any, WithJsonSchema(schema)], ...) for name, schema in schemas.items()}


def title(view: View) -> str:
    """The view's name in the names of models."""
    return "".join(part.capitalize() for part in view.name.split("_"))


@cache
def page_model(view: View) -> type[BaseModel]:
    """A page of rows: `{"<name>": [...], "next": ..., "meta": {...}}`."""
    more: dict[str, Any] = {
        view.entity[-1]: (str, absent("Where several were requested.")),
        "explain": (Explanation, absent()),
        "gaps": (Count | None, absent("With `gaps=true`: ids missing in it and beside it.")),
    }
    members: dict[str, Any] = {name: (kind, ...) for name, kind in row_fields(view).items()}
    row: Any = create_model(f"{title(view)}Row", __base__=Closed, **members, **more)
    if view.quantiles:
        several: dict[str, Any] = {**_spread_fields(view), view.entity[-1]: more[view.entity[-1]]}
        row |= create_model(f"{title(view)}Quantiles", __base__=Closed, **several)
    example = {"bars": [_EXAMPLE], "next": "eyJ2ZXJzaW9uIjoxfQ", "meta": META_EXAMPLE}
    return page_of(f"{title(view)}Page", view.name, row, Meta, example if view.name == "bars" else None)


def routes(
    views: tuple[View, ...],
    bases: Bases,
    rows: BatchRows,
    pool: Pool,
    exports: Pool,
    inspector: Inspector,
    cached: CachedReplies[Any],
    options: ServingOptions,
    archived_ids: ArchivedIds,
) -> list[Route]:
    """See `serving.http.route`: one for each name of the registry."""
    exporter, found = Exporter(bases, exports, inspector, options.exports), []
    for name in names_of(views):
        named = tuple(view for view in views if view.name == name)
        found.append(
            _route(BarsRoute(name, named, query_of(named[0]), bases, rows, pool, cached, exporter, archived_ids))
        )
    return found


def _route(of: BarsRoute) -> Route:
    async def answer(request: Request, _: BarsQuery) -> Response:
        return await of.respond(request.scope)  # by the framework

    view = of.views[0]
    text = f"Rows of the view `{view.name}`: {', '.join(view.answers)}."
    refusals, lag = (404, 409, 410, 422, 504), ("Slackwater-Lag-Records",)
    return Route(
        *(f"/v1/{view.name}", asked(of.model, answer), text, "data", page_model(view), refusals),
        table=True,
        headers=lag,
        direct=of.respond,
    )
