"""The route of the view of one name: from a query string to the bytes of its bars.

    read the snapshot once -> take the chains' ends (or the cursor's) -> read each instrument -> order, cut, encode
                  -> kept, and sent again while nothing that it depends on has changed

Generated for each name of the registry; which definition answers is said by the version, and nothing here knows what
it computes.
"""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from serving.answer import Bar, Form, document, encode_bars
from serving.coding import SMALL_BYTES, choose_coding
from serving.cursor import Cursor, decode_cursor
from serving.explain import explained
from serving.fill import filled_bars, fills
from serving.ground import Ground, Grounds
from serving.kept import KeptReplies, KeptReply
from serving.merge import place_of
from serving.problems import ProblemError, gone
from serving.query import BarsQuery, bars_query, cannot_fill
from serving.reply import Asked, asked_headers, encode, lag_header
from serving.service import Service
from serving.source import Source
from views.interval import CLOSED_AFTER_US
from views.view import View


class BarsRoute:
    """Answers `GET /v1/<view>`."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._views = tuple(view for view in service.views if view.name == name)
        self._grounds = Grounds(service, name)
        self._fills = any(map(fills, self._views))
        self._kept: KeptReplies[BarsQuery] = KeptReplies(service.options.kept_bytes)

    async def answer(self, request: Request) -> Response:
        """The response. Raises ProblemError."""
        return await self.respond(request.scope)

    async def respond(self, scope: Scope) -> Response:
        """The response to an ASGI request: kept bytes while they hold. Raises ProblemError."""
        asked = asked_headers(scope)
        key = scope["query_string"], asked.accept, asked.accept_encoding
        known = self._kept.get(key)
        kept = known.kept if known is not None else None
        if kept is None or kept.stamp is None or not kept.stamp.holds(self._service):
            items = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            query = known.question if known is not None else bars_query(items, self._fills)
            kept = await self._answer(query, asked)
            if kept.stamp is not None:
                self._kept.put(key, query, kept)
        elif kept.named:
            self._service.hot.remember(kept.named)
        more = () if kept.applied is None else (lag_header(self._service.watch.lag(kept.applied)),)
        return kept.reply.response(asked, scope["method"] == "HEAD", more)

    async def _answer(self, query: BarsQuery, asked: Asked) -> KeptReply:
        """The answer as it is now."""
        cursor = _cursor(query, self._views)
        try:
            ground = await self._ground(query, cursor)
            cursor = _cursor(query, (ground.view,))
            if query.fill and not fills(ground.view):
                raise cannot_fill()
            bars, more = await self._read(query, ground, cursor)
            question = _question(query, ground.view)
            following = self._grounds.cursor(ground, place_of(bars[-1])).encode(question) if more else None
            body = await self._body(query, ground, bars, following)
        except ProblemError as error:
            if cursor is not None and error.kind == "files-unreadable":
                raise gone("The files that this cursor stands on were removed.") from error
            if query.as_of is not None and error.kind == "files-unreadable":
                await self._grounds.refuse_retired(query.as_of)
            raise
        coding = choose_coding(asked.accept_encoding, len(body) > SMALL_BYTES)
        pinned = query.as_of is not None
        return KeptReply(
            encode(body, coding=coding, immutable=pinned),
            None if query.cursor else ground.stamp,
            None if pinned else ground.applied,
            tuple(ground.ends.values()) if following else (),
        )

    async def _ground(self, query: BarsQuery, cursor: Cursor | None) -> Ground:
        if query.as_of is not None:
            return await self._grounds.as_of(query.as_of, query.venue, query.symbols)
        return self._grounds.current(query.venue, query.symbols, query.layer, cursor)

    def _source(self, query: BarsQuery, ground: Ground) -> Source:
        batch = None if ground.layer == "speed" else ground.snapshot.batch
        instruments = {(query.venue, s): ground.snapshot.instruments(query.venue, s) for s in query.symbols}
        return Source(ground.view, batch, ground.ends, instruments, self._service.rows)

    async def _read(self, query: BarsQuery, ground: Ground, cursor: Cursor | None) -> tuple[list[Bar], bool]:
        """The bars of the page, and whether there are more behind them."""
        source = self._source(query, ground)
        newest_first = query.start is None
        limit = query.limit if newest_first else query.limit + 1
        bars: list[Bar] = []
        for symbol in query.symbols:
            instrument = query.venue, symbol
            low, after = _low(query, cursor, symbol)
            high = query.high
            if high is not None and low >= high:
                continue
            if query.fill:
                bars += await filled_bars(source, instrument, query.interval, low, high, limit, newest_first)
            else:
                bars += await source.bars(instrument, query.interval, low, high, limit, newest_first, after)
        if len(query.symbols) > 1:
            bars.sort(key=lambda bar: (bar.start, bar.key))
        if newest_first:
            return bars[-limit:], False
        return bars[: query.limit], len(bars) > query.limit

    async def _body(self, query: BarsQuery, ground: Ground, bars: list[Bar], following: str | None) -> bytes:
        source = self._source(query, ground)
        newest = {symbol: source.newest((query.venue, symbol)) for symbol in query.symbols}
        closed_to = {symbol: (at or 0) - CLOSED_AFTER_US - query.interval.us for symbol, at in newest.items()}
        closed = [bar.start <= closed_to[bar.key[1]] for bar in bars]
        more = await explained(source, query.interval, bars) if query.explain else []
        items = encode_bars(ground.view, Form(len(query.symbols) > 1, query.iso), bars, closed, more)
        return document(ground.view.name, items, following, ground.about())


def _question(query: BarsQuery, view: View) -> str:
    return query.fingerprint(f"{view.name} {view.definition}")


def _cursor(query: BarsQuery, views: Iterable[View]) -> Cursor | None:
    """The query's cursor, which must be of one of these views."""
    shapes = {_question(query, view): (int, *(str for _ in view.key[1:])) for view in views}
    return decode_cursor(query.cursor, shapes) if query.cursor else None


def _low(query: BarsQuery, cursor: Cursor | None, symbol: str) -> tuple[int, tuple[str, ...]]:
    """Where the page of an instrument starts: a bar start, and further key columns that it is behind at that start."""
    if cursor is None:
        return query.low, ()
    start, last, *rest = cursor.after
    at = query.interval.floor(int(start))
    if symbol < str(last) or (symbol == last and not rest):
        return max(query.low, at + query.interval.us), ()
    return max(query.low, at), tuple(map(str, rest)) if symbol == last else ()
