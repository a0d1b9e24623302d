"""The trades behind a bar, for audit: the archive below the cut, the event log from the cut to what is applied."""

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

import duckdb
import orjson
import pyarrow as pa
from fastapi import Query
from pydantic import ConfigDict, Field, WithJsonSchema, model_validator
from starlette.requests import Request
from starlette.responses import Response

from serving.http.formats.media import JSON
from serving.http.models import DECIMAL, ID, META_EXAMPLE, Closed, Count, Meta, Next, Time
from serving.http.problems import ProblemError, gone, out_of_memory, unreadable
from serving.http.reply import asked_headers, lag_header
from serving.http.route import Route
from serving.query.answer import document, time_json
from serving.query.archive import FIRST_PLACE, NO_PLACE, ArchiveReader, Trade, TradesWant
from serving.query.basis import Bases, Basis
from serving.query.cursor import Cursor, decode_cursor
from serving.query.fields import CursorField, DecimalParameters, SymbolField, TimeNeeded, VenueNeeded
from serving.query.ids import exact_json
from serving.query.log_trades import log_trades, runs_of
from serving.query.look import ID_FIELD, TIME_TYPE, Look
from serving.query.page import Page, page_reply
from serving.query.pool import Pool
from serving.query.questions import LIMIT_TEXT, START, Limit, fingerprint, range_errors, refuse
from serving.store.batch import OUT_OF_MEMORY, UNREADABLE, whole
from serving.store.snapshot import Snapshot
from slackwater.core.decimals import decimal_text
from slackwater.log.errors import LogError
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.streams.schema import PRICE_SCALE
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore
from slackwater.views.view import View

KEPT_READERS = 4
LONG_PAGE = 1_000
"""Trades from which a page is encoded in the pool."""

_DECIMAL = pa.decimal128(18, PRICE_SCALE)
SCHEMA = pa.schema(
    [
        pa.field("trade_id", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False, metadata=ID_FIELD),
        pa.field("time", TIME_TYPE, nullable=False),
        pa.field("price", _DECIMAL, nullable=False),
        pa.field("quantity", _DECIMAL, nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("time_unit", pa.string(), nullable=False),
        ("appended", TIME_TYPE),
        pa.field("partition", pa.int64(), nullable=False),
        ("offset", pa.int64()),
        ("index", pa.int64()),
    ]
)


class TradesQuery(DecimalParameters):
    """A question for the trades of one instrument in [start, end), microseconds."""

    venue: VenueNeeded = Field(description="The venue.")
    symbol: SymbolField = Field(description="The symbol.")
    start: TimeNeeded = Field(description=START)
    end: TimeNeeded = Field(description="End time, exclusive.")
    limit: Limit = Field(500, description=LIMIT_TEXT)
    cursor: CursorField = Field(None, description="`next` of the page before; every other parameter stays as it was.")

    @model_validator(mode="after")
    def _together(self) -> "TradesQuery":
        refuse(range_errors(self.start, self.end))
        return self

    @property
    def fingerprint(self) -> str:
        """What a cursor of this question is bound to."""
        return fingerprint(("trades", self.venue, self.symbol, self.start, self.end, self.limit))


_Decimal = Annotated[Any, WithJsonSchema(DECIMAL)]


class TradeItem(Closed):
    """One trade, and where it is in the log."""

    trade_id: Annotated[str, Field(description="What tells the trade from all others of its instrument.")]
    sequence: Annotated[Any, WithJsonSchema({**ID, "description": "What orders the trades of an instrument."})]
    time: Time
    price: _Decimal
    quantity: _Decimal
    side: Annotated[Literal["buy", "sell"], Field(description="The taker's side.")]
    time_unit: Annotated[Literal["us", "ms", "s"], Field(description="The unit in which the source measured the time.")]
    appended: Annotated[Time | None, Field(description="When the log took it; null for imported history.")]
    partition: Count
    offset: Annotated[int | None, Field(description="Null for imported history, which never was in the log.")]
    index: Annotated[int | None, Field(description="The place in the record.")]


_EXAMPLE: dict[str, Any] = {
    **{"trade_id": "5940165623", "sequence": 5940165623, "time": 1795263240012000, "price": "61632.13"},
    **{"quantity": "0.00162", "side": "buy", "time_unit": "us", "appended": 1795263240019000},
    **{"partition": 2, "offset": 421, "index": 0},
}


class Trades(Closed):
    """A page."""

    trades: list[TradeItem]
    next: Next
    meta: Meta

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"trades": [_EXAMPLE], "next": "eyJ2ZXJzaW9uIjoxfQ", "meta": META_EXAMPLE}]}
    )


class TradesRoute:
    """Answers `GET /v1/trades`."""

    def __init__(
        self, name: str, bases: Bases, pool: Pool, home: Path, inspector: Inspector, log: Log, topic: str
    ) -> None:
        self._name = name
        self._bases = bases
        self._pool = pool
        self._home = home
        self._inspector = inspector
        self._log = log
        self._topic = topic
        self._readers: OrderedDict[str, ArchiveReader] = OrderedDict()
        self._lock = Lock()

    async def answer(self, request: Request, query: Annotated[TradesQuery, Query()]) -> Response:
        """The response. Raises ProblemError."""
        asked = asked_headers(request.scope)
        look = query.look.chosen(asked.accept)
        cursor = decode_cursor(query.cursor, {query.fingerprint: (int,) * 5}) if query.cursor else None
        basis = self._bases.current(self._name, ((query.venue, query.symbol),), "merged", cursor)
        try:
            trades = await self._read(query, basis, cursor)
        except ProblemError as error:
            if cursor is not None and error.kind == "files-unreadable":
                raise gone("The files that this cursor stands on were removed.") from error
            raise
        following = None
        if len(trades) > query.limit:
            trades = trades[: query.limit]
            following = self._bases.cursor(basis, trades[-1].place).encode(query.fingerprint)
        meta = basis.meta()
        del meta["definition"]
        items = partial(_items, trades, look)
        page = Page(
            SCHEMA,
            items,
            lambda: document("trades", orjson.dumps(items()), following, meta),
            meta,
            following,
        )
        encoding = partial(page_reply, page, look, asked, request.scope)
        reply = encoding() if len(trades) < LONG_PAGE else await self._pool.run(encoding)
        more = [lag_header(self._bases.lag(basis.view.name, basis.applied))]
        return reply.response(asked, request.method == "HEAD", more)

    async def _read(self, query: TradesQuery, basis: Basis, cursor: Cursor | None) -> list[Trade]:
        """The first trades, one more than the page holds."""
        after = FIRST_PLACE if cursor is None else tuple(map(int, cursor.after))
        want = TradesWant(query.venue, query.symbol, query.start, query.end, query.limit + 1, after)
        trades: list[Trade] = []
        if basis.snapshot.manifest.archive:
            reader = self._readers.get(basis.snapshot.key)
            if reader is None:
                reader = await self._pool.run(partial(self._open, basis.snapshot))
            database = reader.cursor()
            call = partial(self._archived, reader, basis, want, database)
            trades = await self._pool.run(call, database.interrupt)
            database.close()
        runs = {p: found for p, ends in basis.ends.items() if (found := runs_of(ends, want))}
        if runs:
            read = partial(log_trades, self._log, self._topic, runs, want)
            try:
                trades += await self._pool.run(read)
            except LogError as error:
                raise ProblemError(503, "log", f"The event log cannot be read: {error}", retry_after_s=1) from error
        return sorted(trades)[: want.limit]

    def _archived(
        self, reader: ArchiveReader, basis: Basis, want: TradesWant, database: duckdb.DuckDBPyConnection
    ) -> list[Trade]:
        files = reader.files(basis.partitions)
        try:
            stored = [entry.file for entry in files]  # a flipped bit mostly reads back without an error
            return whole(self._inspector, stored, partial(reader.trades, files, want, database))
        except (DamagedFileError, *UNREADABLE) as error:
            raise unreadable(basis.snapshot.version) from error
        except OUT_OF_MEMORY as error:
            raise out_of_memory() from error

    def _open(self, snapshot: Snapshot) -> ArchiveReader:
        suspect = self._inspector.suspect
        reader = ArchiveReader(self._home, snapshot.manifest, on_damage=suspect)
        with self._lock:
            while len(self._readers) >= KEPT_READERS:
                self._readers.popitem(last=False)
            return self._readers.setdefault(snapshot.key, reader)


def _items(trades: Iterable[Trade], look: Look) -> list[dict[str, Any]]:
    iso = look.iso and look.of.text
    return [_trade_item(trade, look, iso) for trade in trades]


def _trade_item(trade: Trade, look: Look, iso: bool) -> dict[str, Any]:
    imported = trade.offset == NO_PLACE
    return {
        "trade_id": trade.trade_id,
        "sequence": exact_json(trade.sequence, look.text_ids) if look.of is JSON else trade.sequence,
        "time": time_json(trade.time, iso),
        "price": look.number(decimal_text(trade.price, PRICE_SCALE)),
        "quantity": look.number(decimal_text(trade.quantity, PRICE_SCALE)),
        "side": trade.side,
        "time_unit": trade.time_unit,
        "appended": None if trade.appended is None else time_json(trade.appended, iso),
        "partition": trade.partition,
        "offset": None if imported else trade.offset,
        "index": None if imported else trade.line,
    }


def routes(
    views: tuple[View, ...],
    bases: Bases,
    pool: Pool,
    store: VersionStore,
    inspector: Inspector,
    log: Log,
    names: TopicNames,
) -> list[Route]:
    """See `serving.http.route`."""
    of = TradesRoute(views[0].name, bases, pool, store.home, inspector, log, names.topic("trades"))
    text, lag, refusals = "The trades behind a bar, for audit.", ("Slackwater-Lag-Records",), (404, 410, 422, 504)
    return [Route("/v1/trades", of.answer, text, "data", Trades, refusals, table=True, headers=lag)]
