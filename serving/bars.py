"""The route of one view: from a query string to the bytes of its bars.

    read the snapshot once -> take the chains' ends (or the cursor's) -> read each instrument -> order, cut, encode

Generated for each view of the registry; nothing here knows what a view computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.answer import CLOSED_AFTER_US, Bar, Form, document, encode_bars, partitions_json
from serving.cursor import Cursor, decode_cursor
from serving.ends import Ends
from serving.explain import explained
from serving.fill import filled_bars, fills
from serving.problems import ProblemError, gone, not_serving, unknown_instrument
from serving.query import BarsQuery, bars_query
from serving.reply import reply
from serving.service import Service
from serving.snapshot import Snapshot
from serving.source import Source
from views.view import View


@dataclass(frozen=True)
class Ground:
    """What one answer stands on: snapshot, layer, the partitions of what is asked, and the ends of their chains."""

    snapshot: Snapshot
    layer: str
    partitions: frozenset[int]
    ends: Mapping[int, Ends]

    @property
    def cut(self) -> dict[int, int]:
        """The cut in the asked partitions."""
        return {p: at for p, at in self.snapshot.cut.items() if p in self.partitions}

    @property
    def applied(self) -> dict[int, int]:
        """What is applied in the asked partitions."""
        return {**self.cut, **{p: ends.upto for p, ends in self.ends.items()}}


class BarsRoute:
    """Answers `GET /v1/<view>`."""

    def __init__(self, service: Service, view: View) -> None:
        self._service = service
        self._view = view
        self._fills = fills(view)
        self._shape = (int, *(str for _ in view.key[1:]))

    async def answer(self, request: Request) -> Response:
        """The response. Raises ProblemError."""
        query = bars_query(request.query_params.multi_items(), self._fills)
        fingerprint = query.fingerprint(f"{self._view.name} {self._view.definition}")
        cursor = decode_cursor(query.cursor, fingerprint, self._shape) if query.cursor else None
        try:
            ground = await self._ground(query, cursor)
            bars, more = await self._read(query, ground, cursor)
            body = await self._body(query, ground, bars, self._following(ground, bars, fingerprint) if more else None)
        except ProblemError as error:
            if cursor is not None and error.kind == "files-unreadable":
                raise gone("The files that this cursor stands on were removed.") from error
            raise
        if query.as_of is not None:
            return reply(request, body, immutable=True)
        return reply(request, body, self._service.watch.lag(ground.applied))

    async def _ground(self, query: BarsQuery, cursor: Cursor | None) -> Ground:
        if query.as_of is not None:
            return await self._ground_as_of(query, query.as_of)
        service, name = self._service, self._view.name
        for _ in range(3):  # a snapshot may be swapped away between two lines
            snapshot = service.snapshot() if cursor is None else service.watch.kept(cursor.pin)
            if snapshot is None:
                raise gone("The version that this cursor stands on is not kept any more.")
            if name in snapshot.refused_views:
                raise not_serving(snapshot.refused_views[name])
            partitions = self._partitions(query, snapshot, hot=True)
            if not snapshot.chain or query.layer == "batch":
                if query.layer == "speed":
                    raise not_serving(" ".join(snapshot.refusals))
                return Ground(snapshot, "batch", partitions, {})
            if cursor is not None:
                ends = service.hot.recall(snapshot.key, name, cursor.ends, cursor.complete)
            else:
                ends = service.hot.ends(snapshot.key, name, partitions)
            if ends is not None:
                return Ground(snapshot, query.layer, partitions if cursor is None else frozenset(ends), ends)
            if cursor is not None:
                raise gone("The cells that this cursor stands on are not kept any more.")
        raise not_serving("Versions change too fast.")

    async def _ground_as_of(self, query: BarsQuery, version: int) -> Ground:
        service = self._service
        snapshot = service.as_of.known(version)
        if snapshot is None:
            snapshot = await service.pool.run(lambda: service.as_of.snapshot(version))
        held = snapshot.manifest.definitions.get(self._view.name)
        if held != self._view.definition:
            detail = f"Version {version} holds definition {held} of {self._view.name}, not {self._view.definition}."
            raise ProblemError(409, "other-definition", detail)
        partitions = self._partitions(query, snapshot, hot=False)
        return Ground(replace(snapshot, cut=snapshot.manifest.cut, refusals=()), "batch", partitions, {})

    def _partitions(self, query: BarsQuery, snapshot: Snapshot, hot: bool) -> frozenset[int]:
        found: set[int] = set()
        unknown = []
        for symbol in query.symbols:
            where = {known.partition for known in snapshot.instruments(query.venue, symbol)}
            if hot:
                where |= self._service.hot.partitions_of(self._view.name, (query.venue, symbol))
            if not where:
                unknown.append(symbol)
            found |= where
        if unknown:
            raise unknown_instrument(query.venue, unknown)
        return frozenset(found)

    def _source(self, query: BarsQuery, ground: Ground) -> Source:
        batch = None if ground.layer == "speed" else ground.snapshot.batch
        instruments = {(query.venue, s): ground.snapshot.instruments(query.venue, s) for s in query.symbols}
        return Source(self._view, batch, ground.ends, instruments, self._service.rows)

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
        items = encode_bars(self._view, Form(len(query.symbols) > 1, query.iso), bars, closed, more)
        return document(self._view.name, items, following, self._about(query, ground))

    def _about(self, query: BarsQuery, ground: Ground) -> dict[str, Any]:
        asked_alone = query.as_of is not None or query.layer == "batch"
        whole = asked_alone or (ground.snapshot.chain and all(ends.complete for ends in ground.ends.values()))
        about = {
            "version": ground.snapshot.version,
            "definition": self._view.definition,
            "cut": partitions_json(ground.cut),
            "applied": partitions_json(ground.applied),
            "complete": whole,
            "layer": ground.layer,
        }
        if ground.snapshot.refusals:
            about["refusal"] = " ".join(ground.snapshot.refusals)
        return about

    def _following(self, ground: Ground, bars: list[Bar], fingerprint: str) -> str:
        self._service.hot.remember(ground.ends.values())
        last = bars[-1]
        uptos = {p: ends.upto for p, ends in ground.ends.items()}
        complete = all(ends.complete for ends in ground.ends.values())
        cursor = Cursor(ground.snapshot.version, ground.snapshot.key, uptos, complete, (last.start, *last.key[1:]))
        return cursor.encode(fingerprint)


def _low(query: BarsQuery, cursor: Cursor | None, symbol: str) -> tuple[int, tuple[str, ...]]:
    """Where the page of an instrument starts: a bar start, and further key columns that it is behind at that start."""
    if cursor is None:
        return query.low, ()
    start, last, *rest = cursor.after
    at = query.interval.floor(int(start))
    if symbol < str(last) or (symbol == last and not rest):
        return max(query.low, at + query.interval.us), ()
    return max(query.low, at), tuple(map(str, rest)) if symbol == last else ()
