"""The trades behind a bar, for audit: the archive below the cut, the event log from the cut to what is applied."""

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from serving.http.formats.media import JSON
from serving.http.problems import ProblemError, gone, out_of_memory, unreadable
from serving.http.reply import asked_headers, lag_header
from serving.query.answer import document, time_json
from serving.query.archive import FIRST_PLACE, NO_PLACE, ArchiveReader, Trade, TradesWant
from serving.query.basis import Bases, Basis
from serving.query.cursor import Cursor, decode_cursor
from serving.query.ids import exact_json
from serving.query.log_trades import log_trades, runs_of
from serving.query.look import ID_FIELD, TIME_TYPE, Look
from serving.query.page import Page, page_reply
from serving.query.pool import Pool
from serving.query.questions import TradesQuery, trades_query
from serving.store.batch import OUT_OF_MEMORY, UNREADABLE, whole
from serving.store.snapshot import Snapshot
from slackwater.core.decimals import decimal_text
from slackwater.log.errors import LogError
from slackwater.log.log import Log
from slackwater.streams.schema import PRICE_SCALE
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector

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

    async def answer(self, request: Request) -> Response:
        """The response. Raises ProblemError."""
        query = trades_query(request.query_params.multi_items())
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
        more = [lag_header(self._bases.lag(basis.applied))]
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
