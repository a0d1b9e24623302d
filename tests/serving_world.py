"""A small world around the service: a log in lists, events, cells and versions, all made by hand, and a client.

    world.trade(...)           a record of one event in the log
    world.mark(...)            a batch run's mark, the cut of the next version
    world.emit()               what a speed layer would publish: every cell over the log, sealed and open
    world.publish(...)         a version at a cut: real Parquet files, real manifest, real pointer
    world.get("/v1/bars?...")  a request to the real application, without threads

The cells are made by `Summariser` from the log's own bytes; what answers must be is said by `verify.oracle`.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from lesson.memory_log import MemoryLog
from serving.http.app import create_app
from serving.options import ServingOptions
from serving.service import Service
from slackwater.deltas.cell import Cell, delta_key_of, encode_key, encode_value
from slackwater.log.errors import LogUnreachableError
from slackwater.log.events import decode
from slackwater.log.log import Bounds, Record
from slackwater.log.mark import MARK_HEADER, mark_of
from slackwater.log.names import TopicNames
from slackwater.store.instruments import Instrument, Instruments
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.schema import GRID
from slackwater.streams.trades import TRADES
from slackwater.versions.epoch_ids import EpochIds
from slackwater.versions.manifest import ArchiveFile, IdFile, Manifest, Mark, Part, StreamCut
from slackwater.versions.proof import Proof
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.interval import NAMED_INTERVALS
from slackwater.views.rows import Row, rows_of, table_of
from slackwater.views.session import Summariser, connect
from slackwater.views.sql import bounds_sql, merge_sql
from slackwater.views.view import View
from tests.bars_oracle import Oracle

SECOND = 1_000_000
NOON = 1_759_752_000 * SECOND  # 2025-10-06T12:00:00Z, a Monday
NAMES = TopicNames("slackwater")
EQUAL = Proof("equal", "")


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_us(self) -> int:
        return NOON + int(self.at_s * SECOND)

    def elapsed_s(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.at_s += seconds


class Cluster(MemoryLog):
    """A log in memory that can be out of reach."""

    down = False

    def topic_id(self, topic: str) -> str:
        self._reach()
        return super().topic_id(topic)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        self._reach()
        return super().bounds(topic)

    def _reach(self) -> None:
        if self.down:
            raise LogUnreachableError("nowhere", "down")


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    """One for all worlds: a database costs 10 ms, and a version takes one for each view and partition."""
    return connect(threads=1)


@cache
def _summariser(views: tuple[View, ...]) -> Summariser:
    """One for all worlds of these views, for the same reason."""
    return Summariser(views)


class World:
    """See the module."""

    def __init__(self, home: Path, partitions: int = 2, views: tuple[View, ...] = (BARS,)) -> None:
        self.views = views
        self.partitions = partitions
        self.log = Cluster(NOON // 1000 + 86_400_000)
        self.log.create(NAMES.deltas("trades"), partitions)
        self.log.create(NAMES.topic("trades"), partitions)
        self.clock = FakeClock()
        self.store = VersionStore(home)
        self.summariser = _summariser(views)
        self._next_id = 1
        self.app: Any = None
        self.serve()

    def serve(self, options: ServingOptions | None = None) -> Any:
        """A new application over the same log and home."""
        if self.app is not None:
            self.service.stop()
        options = options or ServingOptions(poll_s=0.0)
        self.app = create_app(self.log, NAMES, self.store, self.views, self.clock, options)
        return self.app

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    def close(self) -> None:
        self.service.stop()

    # the log

    def trade(self, symbol: str = "BTC", at_s: float = 0.0, price: str = "100", **fields: Any) -> int:
        """Append one event and return its offset; `partition` is chosen by the symbol."""
        partition = fields.pop("partition", len(symbol) % self.partitions)
        event = {
            "venue": "x",
            "symbol": symbol,
            "trade_id": self._next_id,
            "time": NOON + int(at_s * SECOND),
            "price": price,
            "quantity": "1",
            "side": "buy",
            **fields,
        }
        self._next_id += 1
        return self.log.append(
            NAMES.topic("trades"), partition, None, json.dumps(event, separators=(",", ":")).encode()
        )

    def mark(self, run_id: str) -> dict[int, int]:
        """Append a mark everywhere: a cut."""
        headers = [(MARK_HEADER, run_id.encode())]
        return {p: self.log.append(NAMES.topic("trades"), p, None, b"", headers) for p in range(self.partitions)}

    def records(self, partition: int, start: int = 0, upto: int | None = None) -> list[Record]:
        records = self.log.topics[NAMES.topic("trades")][partition].records.values()
        return [r for r in records if start <= r.offset and (upto is None or r.offset < upto)]

    # the speed layer

    def cells(self, view: View, partition: int, start: int = 0, upto: int | None = None) -> list[Cell]:
        """The cells that tile [start, upto) of a partition; they start at `start`, marks and grid lines."""
        upto = self.log.bounds(NAMES.topic("trades"))[partition].end if upto is None else upto
        borders = {start, upto, *range(-(-start // GRID) * GRID, upto, GRID)}
        borders |= {r.offset for r in self.records(partition, start, upto) if mark_of(r) is not None}
        ordered = sorted(b for b in borders if start <= b <= upto)
        return [self.cell(view, partition, a, b) for a, b in pairwise(ordered)]

    def cell(self, view: View, partition: int, start: int, upto: int) -> Cell:
        """The cell over [start, upto) of a partition."""
        events = decode(TRADES, self.records(partition, start, upto)).table.select(TRADES.schema.names)
        delta_key = delta_key_of(view, self.log.topic_id(NAMES.topic("trades")), partition)
        return Cell(delta_key, start, upto, tuple(self.summariser.rows(view, events)))

    def send(self, cell: Cell, sealed: bool = False) -> None:
        """Publish a delta."""
        self.log.append(NAMES.deltas("trades"), cell.delta_key.partition, encode_key(cell, sealed), encode_value(cell))

    def emit(self, start: Mapping[int, int] | None = None, upto: Mapping[int, int] | None = None) -> None:
        """Publish every cell over the log, the last one of each partition open."""
        for view in self.views:
            for p in range(self.partitions):
                at = (start or {}).get(p, self.log.bounds(NAMES.topic("trades"))[p].start)
                cells = self.cells(view, p, at, upto and upto[p])
                for cell in cells[:-1]:
                    self.send(cell, sealed=True)
                for cell in cells[-1:]:
                    self.send(cell)

    # the batch layer

    def publish(
        self,
        cut: Mapping[int, int],
        run_id: str | None,
        proof: Proof = EQUAL,
        delta_start: Mapping[int, int] | None = None,
        topic_id: str = "",
        **changes: Any,
    ) -> Manifest:
        """Publish a version whose batch view holds everything below `cut`."""
        version = self.store.reserve()
        folder = self.store.folder / str(version)
        views: list[Part] = []
        archive: list[ArchiveFile] = []
        ids = EpochIds(TRADES, self.store, str(version))
        instruments: list[Instrument] = []
        for p, upto in cut.items():
            table = decode(TRADES, self.records(p, 0, upto)).table
            if not table.num_rows:
                continue
            path = self.store.home / "archive" / str(version) / f"{p}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.add_column(0, "partition", pa.array([p] * table.num_rows, pa.int32())), path)
            stored = self.store.stored(path, table.num_rows)
            archive.append(ArchiveFile(stored, "trades", run_id or "", p, 0, upto, 0, MAX_ID))
            ids.add(table)
            states = {view.name: self.summariser.rows(view, table.select(TRADES.schema.names)) for view in self.views}
            views += [f for view in self.views for f in self._view_files(folder, view, p, states[view.name])]
            instruments += _bounds(table_of(self.views[0], states[self.views[0].name]), p)
        own = StreamCut(
            topic_id or self.log.topic_id(NAMES.topic("trades")),
            self.log.topic_id(NAMES.deltas("trades")),
            tuple(Mark(p, at, run_id) for p, at in sorted(cut.items())),
            dict.fromkeys(cut, 0) if delta_start is None else delta_start,
        )
        manifest = Manifest(
            **{
                "version": version,
                "parent": self.store.pointer().version,
                "run_id": run_id or "",
                "created_us": self.clock.now_us(),
                "streams": {"trades": own},
                "definitions": {view.name: view.definition for view in self.views},
                "sources": {view.name: "trades" for view in self.views},
                "counts": {},
                "archive": tuple(archive),
                "ids": tuple(IdFile(file, "trades") for file in ids.finish()),
                "parts": tuple(views),
                "instruments": {"trades": Instruments(instruments)},
                "proofs": {"trades": proof},
                "timings_ms": {},
                **changes,
            }
        )
        return self.store.publish(manifest)

    def _view_files(self, folder: Path, view: View, partition: int, rows: list[Row]) -> Iterable[Part]:
        with _connection().cursor() as con:
            con.register("base", table_of(view, rows))
            for interval in view.intervals:
                starts = [interval.floor(row.start) for row in rows]
                merged = con.sql(merge_sql(view, "base", interval)).to_arrow_table()
                path = folder / "views" / view.name / interval.text / f"{partition}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table_of(view, rows_of(view, merged)), path)
                stored, number = self.store.stored(path, merged.num_rows), int(folder.name)
                yield Part(
                    stored, view.name, interval.text, partition, min(starts), max(starts), (number, number), number
                )

    # the service

    def step(self, seconds: float = 1.1) -> None:
        """Let time pass and the service's threads do one step."""
        self.clock.sleep(seconds)
        self.service.step()

    def get(self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> httpx.Response:
        """A request to the application."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, url, headers=dict(headers or {}))

        return asyncio.run(ask())

    def post(self, url: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> httpx.Response:
        """A request with a body; headers may stand twice."""
        return self.request("POST", url, headers, body)

    def request(
        self, method: str, url: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None
    ) -> httpx.Response:
        """Any request; headers may stand twice."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, url, content=body, headers=list(headers))

        return asyncio.run(ask())

    def bars(self, query: str, expect: int = 200) -> dict[str, Any]:
        """The document of `GET /v1/bars?venue=x&...`."""
        response = self.get(f"/v1/bars?venue=x&{query}")
        assert response.status_code == expect, response.text
        found: dict[str, Any] = response.json()
        return found

    def oracle(self, applied: Mapping[int, int] | None = None) -> Oracle:
        """The oracle over everything below `applied`, or over the whole log."""
        oracle = Oracle([interval.us for interval in NAMED_INTERVALS])
        for p in range(self.partitions):
            for record in self.records(p, 0, None if applied is None else applied.get(p, 0)):
                if mark_of(record) is None:
                    oracle.record(record.value, record.append_time_ms)
        return oracle


def _bounds(states: pa.Table, partition: int) -> list[Instrument]:
    with _connection().cursor() as con:
        con.register("states", states)
        found = con.execute(bounds_sql(TRADES, "states")).fetchall()
    return [Instrument(venue, symbol, partition, first, last) for venue, symbol, first, last, _ in sorted(found)]


def cut_in_a_minute(world: World) -> None:
    """Trades in minutes 0, 1, 1, 4 below a cut that lies in minute 4, and in 4, 5, 1 (late), 9 behind it.

    minute   0  1  2  3  4 | 4  5  1  9
    """
    for at_s in (1, 61, 70, 241):
        world.trade(at_s=at_s, price=f"{100 + at_s}.5", quantity="0.3")
    cut = world.mark("run-1")
    for at_s in (245, 301, 75, 540):
        world.trade(at_s=at_s, price=f"{200 + at_s}", quantity="1.7", side="sell")
    world.emit()
    world.publish(cut, "run-1")
    world.step()


def offsets(found: Mapping[str, int]) -> dict[int, int]:
    """`cut` or `applied` of an answer, with the partitions as numbers."""
    return {int(p): at for p, at in found.items()}
