"""An export: all bars of a range as one stream (`limit=all`), in memory bounded by some parts of it.

    [low ............................. high)     the range, at one basis: one snapshot, one end of each chain
    [w0)[  w1  )[      w2       )[ ...           windows; each is read and merged in one call of the pool
    [p )[p )[p )[p )[ ...                        parts; each is finished and encoded in another

The first window is small, so that the first bytes come soon; then each holds about as many rows, however dense bars
are, and enough of them that few groups of rows in a file are read for two windows. While a window is encoded the next
one is read, while a part is sent the next one is encoded, and no more: a client that reads slowly is waited for. What
fails behind the first part cuts the connection, so that no client takes a part for the whole.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from serving.http.formats.encoders import encoder
from serving.http.formats.negotiation import IDENTITY, choose_coding, compressor
from serving.http.formats.table import table_of_typed
from serving.http.reply import IMMUTABLE, VARY, Header, RequestHeaders, Sent, lag_header, matches, raw
from serving.query.answer import bars_schema, described, fact_headers
from serving.query.bases import Bases
from serving.query.basis import Basis
from serving.query.parameters import Point
from serving.query.pool import Pool
from serving.query.questions import BarsQuery
from serving.query.read import read_states, reading
from serving.store.batch import whole
from serving.store.request import Range, RowRequest
from slackwater import __version__
from slackwater.core.errors import SlackwaterError
from slackwater.http.problems import ProblemError
from slackwater.versions.inspector import Inspector
from slackwater.views.finished import finish_table

_T = TypeVar("_T")

FIRST_ROWS = 2_000
WINDOW_ROWS = 131_072
PART_ROWS = 65_536


class ExportCutError(SlackwaterError):
    """An export failed behind its first part; the connection is cut."""


class Exporter:
    """Answers with exports, `most` at once. Each reads in `pool` while it encodes."""

    def __init__(self, bases: Bases, pool: Pool, inspector: Inspector, most: int) -> None:
        self._bases = bases
        self._pool = pool
        self._inspector = inspector
        self._most = most
        self._running = 0

    async def respond(self, scope: Scope, request_headers: RequestHeaders, query: BarsQuery, basis: Basis) -> Response:
        """The response. Its first part is read before it begins, so that what fails at once is a problem.

        Raises:
            ProblemError
        """
        coding = choose_coding(request_headers.accept_encoding, query.output.of.text)
        settled = isinstance(query.as_of, Point)  # a pin's name may be given to another version
        etag = _etag(query, basis, coding)
        again = [("etag", etag), ("cache-control", IMMUTABLE if settled else "no-cache"), ("vary", VARY)]
        headers = raw([*again, *fact_headers(basis.meta())])
        if query.as_of is None:
            headers += (lag_header(self._bases.lag(basis.view.name, basis.applied)),)
        if request_headers.if_none_match is not None and matches(request_headers.if_none_match, etag):
            return Sent(304, [*headers], b"")
        headers += ((b"content-type", query.output.of.media_type.encode()),)
        if coding != IDENTITY:
            headers += ((b"content-encoding", coding.encode()),)
        if scope["method"] == "HEAD":
            return Sent(200, [*headers], b"")
        if self._running >= self._most:
            raise ProblemError(503, "busy", "Too many exports are running.", retry_after_s=5)
        self._running += 1
        export = Export(query, basis, self._pool, self._inspector, coding)
        try:
            first = await export.part()
        except BaseException:
            await export.close()
            self.release()
            raise
        return _Exported(export, first, headers, self)

    def release(self) -> None:
        """One export is over."""
        self._running -= 1


class Export:
    """One export that runs. `part` gives its bytes one after the other."""

    def __init__(self, query: BarsQuery, basis: Basis, pool: Pool, inspector: Inspector, coding: str) -> None:
        self._query = query
        self._basis = basis
        self._pool = pool
        self._inspector = inspector
        self._closed_to = basis.closed_to(query.interval, query.keys.entities)
        self._schema = described(bars_schema(basis.view), basis.meta())
        self._encoder = encoder(query.output.of, query.output.schema(self._schema))
        self._compressor = None if coding == IDENTITY else compressor(coding)
        self._cursor = basis.snapshot.batch.cursor()
        self._windows = self._states()
        self._parts = self._read()

    async def part(self) -> bytes | None:
        """The next bytes; None behind the last. Raises ProblemError."""
        return await anext(self._parts, None)

    async def close(self) -> None:
        """End what is being read ahead."""
        await self._parts.aclose()

    async def _read(self) -> AsyncGenerator[bytes]:
        ahead = asyncio.create_task(self._next_window())
        try:
            while (states := await ahead) is not None:
                ahead = asyncio.create_task(self._next_window())
                for at in range(0, states.num_rows, PART_ROWS):
                    yield await self._pool.run(partial(self._encoded, states.slice(at, PART_ROWS)))
            yield await self._pool.run(self._end)
        finally:
            await _dismiss(ahead)

    async def _next_window(self) -> pa.Table | None:
        with reading(self._basis.snapshot.version):
            return await self._pool.run(lambda: next(self._windows, None), self._cursor.interrupt)

    def _encoded(self, states: pa.Table) -> bytes:
        return self._packed(self._encoder.add(self._table(states)))

    def _end(self) -> bytes:
        rest = self._packed(self._encoder.end())
        return rest + (self._compressor.flush() if self._compressor else b"")

    def _packed(self, data: bytes) -> bytes:
        return self._compressor.compress(data) if self._compressor else data

    def _states(self) -> Iterator[pa.Table]:
        """The states of each window that has some."""
        query, interval = self._query, self._query.interval
        spans = [span for entity in query.keys.entities if (span := self._basis.span(entity)) is not None]
        if not spans:
            return
        low = max(query.low, interval.floor(min(first for first, _ in spans)))
        end = interval.end(interval.floor(max(last for _, last in spans)))
        high = end if query.high is None else min(query.high, end)
        bars = max(1, FIRST_ROWS // len(query.keys.entities))
        while low < high:
            of = self._window(low, min(high, max(interval.end(low), interval.floor(low + bars * interval.us))))
            states = self._checked(of, partial(read_states, self._basis, query.keys, of, self._cursor))
            if states.num_rows:
                yield states
            low = of.high or high
            bars = max(1, min(4 * bars, bars * WINDOW_ROWS // max(1, states.num_rows)))

    def _window(self, low: int, high: int) -> Range:
        """The window, or a smaller one where it was chosen in a sparse range and holds too many rows."""
        interval, batch = self._query.interval, self._basis.batch
        while batch is not None and (bars := (high - low) // interval.us) > 2 * WINDOW_ROWS:
            request = RowRequest(self._basis.view, self._query.keys, Range(interval, low, high))
            if self._checked(request.range, partial(batch.count, request, self._cursor)) <= 2 * WINDOW_ROWS:
                break
            high = interval.floor(low + bars // 4 * interval.us)
        return Range(interval, low, high)

    def _checked(self, of: Range, read: Callable[[], _T]) -> _T:
        """What is read of files that are whole before it and after."""
        batch = self._basis.batch
        files = [] if batch is None else batch.files(RowRequest(self._basis.view, self._query.keys, of))
        return whole(self._inspector, files, read)

    def _table(self, states: pa.Table) -> pa.Table:
        """The finished rows in the requested form."""
        finished = finish_table(self._basis.view, states)
        start = finished.column("start")
        if len(self._closed_to) == 1:
            (limit,) = self._closed_to.values()
        else:
            name, order = self._basis.view.entity[-1], [entity[-1] for entity in self._closed_to]
            at = pc.index_in(finished.column(name), pa.array(order))
            limit = pc.take(pa.array(list(self._closed_to.values()), pa.int64()), at)
        columns = [*finished.columns, pc.less_equal(start, limit)]
        typed = pa.Table.from_arrays(
            [c.cast(f.type) for c, f in zip(columns, self._schema, strict=True)], schema=self._schema
        )
        return table_of_typed(typed.combine_chunks(), self._query.output)


class _Exported(StreamingResponse):
    """Sends an export, encoding one part ahead."""

    def __init__(self, export: Export, first: bytes | None, headers: Iterable[Header], exporter: Exporter) -> None:
        self._export = export
        self._exporter = exporter
        self._sent = self._parts(first)
        super().__init__(self._sent)
        self.raw_headers = [*headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            try:
                await self._sent.aclose()
                await self._export.close()
            finally:
                self._exporter.release()

    async def _parts(self, part: bytes | None) -> AsyncGenerator[bytes]:
        ahead: asyncio.Task[bytes | None] | None = None
        try:
            while part is not None:
                ahead = asyncio.create_task(self._export.part())
                yield part
                part = await ahead
        except ProblemError as error:  # a document of its own would stand in the middle of the stream
            raise ExportCutError(f"An export was cut: {error.detail}") from error
        finally:
            if ahead is not None:
                await _dismiss(ahead)


async def _dismiss(ahead: "asyncio.Task[Any]") -> None:
    """Nobody waits for it any more, nor for what it raises."""
    ahead.cancel()
    await asyncio.wait({ahead})
    if not ahead.cancelled():
        ahead.exception()


def _etag(query: BarsQuery, basis: Basis, coding: str) -> str:
    """Of what the bytes are made from: they are the same every time."""
    newest = sorted(basis.closed_to(query.interval, query.keys.entities).items())
    output = query.output.of.name, query.output.iso, query.output.floats, query.output.text_ids
    facts = (query.fingerprint(basis.view.definition), output, basis.snapshot.key, newest, __version__)
    digest = hashlib.blake2b(repr(facts).encode() + orjson.dumps(basis.meta()), digest_size=16).hexdigest()
    return f'"{digest}"' if coding == IDENTITY else f'"{digest}-{coding}"'
