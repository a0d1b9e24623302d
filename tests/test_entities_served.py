"""Lists over several streams, whose entities have one, two and three columns: instruments, restatements, SQL's table.

fills   (account)                a, b
trades  (venue, symbol)          x:BTC, x:ETH, y:BTC
quotes  (desk, venue, symbol)    d:x:BTC, d:x:BTC/USD, d:y:ETH, e:x:BTC
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pyarrow as pa
import pytest

from batch_layer.run import BatchRun
from lesson.memory_log import MemoryLog
from ops.evidence import LogEvidence, claims
from serving.http.app import create_app
from serving.options import ServingOptions
from serving.service import Service
from serving.sql.tables import ReadPoint, paths_here, tables_of
from slackwater.context import Context
from slackwater.core.errors import SettingError
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Decimal, Identity, Sequence, Stream, Text, Time
from slackwater.versions.store import VersionStore
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.measures import Count, Sum
from slackwater.views.view import View
from tests.hand import HandClock
from tests.speed_in_memory import Speed
from tests.toy_stream import FILLS
from verify.client import Client
from verify.proof import Proof
from verify.run import verify

NAMES = TopicNames("t")
T0 = 1_700_000_000_000_000
SECOND = 1_000_000
QUOTES = Stream(
    name="quotes",
    columns=(
        Text("desk", "[a-z]{1,8}"),
        Text("venue", "[a-z]{1,8}"),
        Text("symbol", "[A-Z/]{1,16}"),
        Identity("quote_id"),
        Sequence("sequence"),
        Time("time"),
        Decimal("bid"),
    ),
    entity=("desk", "venue", "symbol"),
    identity="quote_id",
    time="time",
    order="sequence",
)
BIDS = View(
    name="bids",
    stream=QUOTES,
    key=QUOTES.entity,
    measures={"n": Count(), "bid": Sum("bid")},
    answers={"quotes": Column("n"), "bid": Column("bid")},
)
FILLED = View(name="filled", stream=FILLS, key=FILLS.entity, measures={"n": Count()}, answers={"fills": Column("n")})
VIEWS = (FILLED, BARS, BIDS)
STREAMS = tuple(view.stream for view in VIEWS)
FIRST = [("fills", "a"), ("trades", "x", "BTC"), ("trades", "y", "BTC"), ("quotes", "d", "x", "BTC")]
THEN = [("fills", "b"), ("trades", "x", "ETH"), ("quotes", "d", "y", "ETH"), ("quotes", "e", "x", "BTC")]
LAST = [("quotes", "d", "x", "BTC/USD")]
ALL = sorted([*FIRST, *THEN, *LAST], key=lambda each: ([s.name for s in STREAMS].index(each[0]), each[1:]))


class House:
    """Three streams in memory, with both layers and a service over them."""

    def __init__(self, home: Path) -> None:
        self.log, self.clock, self.store = MemoryLog(T0 // 1000 + 60_000), HandClock(), VersionStore(home)
        for stream in STREAMS:
            self.log.create(NAMES.topic(stream), 2)
            self.log.create(NAMES.deltas(stream), 2)
        self.speed = Speed(self.log, NAMES, self.store, VIEWS, self.clock)
        self.app = create_app(self.log, NAMES, self.store, VIEWS, self.clock, ServingOptions(poll_s=0.0))
        self.service: Service = self.app.state.service
        self._id = 0

    def append(self, entities: list[tuple[str, ...]], at_s: int) -> None:
        """An event of each entity."""
        more = {"fills": {"symbol": "S", "price": "1", "quantity": "1"}, "quotes": {"bid": "1"}}
        more["trades"] = {"price": "5", "quantity": "1", "side": "buy"}
        for name, *entity in entities:
            stream = next(each for each in STREAMS if each.name == name)
            self._id += 1
            own = {stream.identity: self._id, "time": T0 + at_s * SECOND, **more[name]}
            line = json.dumps({**dict(zip(stream.entity, entity, strict=True)), **own}).encode()
            self.log.append(NAMES.topic(stream), len(entity[-1]) % 2, ":".join(entity).encode(), line)

    def step(self) -> None:
        """What the speed layer publishes is read."""
        self.clock.sleep(1.0)
        self.speed.step()
        self.service.step()

    def batch(self) -> None:
        """A version."""
        BatchRun(Context(self.log, NAMES, self.store, VIEWS, self.clock)).run()
        self.step()

    def get(self, path: str) -> httpx.Response:
        """An answer, which never shows how an entity is listed inside."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get(path)

        found = asyncio.run(ask())
        if "json" in found.headers["content-type"]:
            assert "\x1f" not in found.text and "u001f" not in found.text
        return found

    def paged(self, path: str, name: str, limit: int) -> list[dict[str, Any]]:
        """The items of all pages."""
        found, following = [], ""
        while True:
            response = self.get(f"{path}&limit={limit}{following}")
            assert response.status_code == 200, response.text
            page = response.json()
            assert len(page[name]) <= limit
            found += page[name]
            if page["next"] is None:
                return found
            following = f"&cursor={page['next']}"

    def instruments(self, query: str = "", limit: int = 500) -> list[tuple[str, ...]]:
        """What is listed, as (stream, *entity)."""
        found = self.paged(f"/v1/instruments?{query}", "instruments", limit)
        return [(item["stream"], *(item[n] for n in entity(item["stream"]))) for item in found]


def entity(stream: str) -> tuple[str, ...]:
    return next(each.entity for each in STREAMS if each.name == stream)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Entities that only the version has, both have, and only the chains have; each first bar of `FIRST` is late."""
    made = House(tmp_path_factory.mktemp("home"))
    made.append(FIRST, 0)
    made.step()
    assert made.instruments() == FIRST
    made.append(FIRST, 10)
    made.append(THEN, 0)
    made.batch()
    made.append(FIRST, 0)
    made.step()
    made.batch()
    made.append(LAST, 0)
    made.append(THEN[:2], 1)
    made.step()
    yield made
    made.speed.close()
    made.service.stop()


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_instruments_of_every_stream_come_in_order_in_pages_of_any_size(house: House, limit: int) -> None:
    assert house.instruments(limit=limit) == ALL


@pytest.mark.parametrize("portion", [1, 2, 1024])
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        *((f"stream={stream.name}", lambda e, name=stream.name: e[0] == name) for stream in STREAMS),
        ("account=a", lambda e: e == ("fills", "a")),
        ("account=a,b", lambda e: e[0] == "fills"),
        ("venue=x", lambda e: (e[0] == "trades" and e[1] == "x") or (e[0] == "quotes" and e[2] == "x")),
        ("venue=x,y&symbol=ETH", lambda e: e[0] != "fills" and e[-1] == "ETH"),
        ("desk=d", lambda e: e[:2] == ("quotes", "d")),
        ("desk=d&venue=x", lambda e: e[:3] == ("quotes", "d", "x")),
        ("desk=d&venue=x&symbol=BTC", lambda e: e == ("quotes", "d", "x", "BTC")),
        ("desk=d&venue=x&prefix=BTC/", lambda e: e == LAST[0]),
        ("stream=trades&desk=d", lambda _: False),
        ("prefix=B", lambda e: e[-1].startswith("B")),
        ("prefix=b", lambda e: e[-1].startswith("b")),
        ("q=BTC+d", lambda e: "btc" in " ".join(e[1:]).lower() and "d" in " ".join(e[1:]).lower()),
        (f"active_since={T0 + SECOND}", lambda e: e in [*FIRST, *THEN[:2]]),
    ],
)
def test_each_column_of_an_entity_filters_by_its_name(
    house: House, query: str, wanted: Any, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.store.listing.PORTION", portion)
    for limit in (1, 500):
        assert house.instruments(query, limit) == [each for each in ALL if wanted(each)]


def test_a_table_of_instruments_has_a_column_of_every_entity(house: House) -> None:
    items = house.get("/v1/instruments").json()["instruments"]
    table = pa.ipc.open_stream(house.get("/v1/instruments?format=arrow").content).read_all()
    assert table.schema.names[:5] == ["stream", "account", "venue", "symbol", "desk"]
    rows = [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
    assert [
        {**row, **{n: item[n] for n in ("first_start", "last_start")}} for row, item in zip(rows, items, strict=True)
    ] == items
    assert {item["stream"] for item in items if "quantity_unit" in item} == {"fills", "trades"}
    read_point = ReadPoint(house.service.bases.every())
    given = tables_of(house.service.hot, read_point, paths_here(house.store)).given["given_instruments"]
    assert [{n: v for n, v in row.items() if v is not None} for row in given.to_pylist()] == items


def test_a_cursor_of_instruments_goes_on_in_its_own_question_alone(house: House) -> None:
    following = house.get("/v1/instruments?limit=2").json()["next"]
    assert house.get(f"/v1/instruments?limit=2&cursor={following}").status_code == 200
    for other in ("limit=3", "limit=2&stream=trades", "limit=2&venue=x"):
        assert house.get(f"/v1/instruments?{other}&cursor={following}").status_code == 422


@pytest.mark.parametrize(
    ("query", "wrong"),
    [("stream=orders", "stream"), ("desk=D", "desk"), ("account=a,a", "account"), ("prefix=%20", "prefix")],
)
def test_what_no_entity_can_be_is_refused_by_name(house: House, query: str, wrong: str) -> None:
    found = house.get(f"/v1/instruments?{query}")
    assert (found.status_code, [error["parameter"] for error in found.json()["errors"]]) == (422, [wrong])


def restated(house: House, query: str = "") -> set[tuple[str, ...]]:
    """The entities of restatements, as (stream, *entity)."""
    found = house.paged(f"/v1/restatements?{query}", "restatements", 3)
    streams = {view.name: view.stream for view in VIEWS}
    return {(streams[row["view"]].name, *(row[n] for n in streams[row["view"]].entity)) for row in found}


def test_restatements_name_and_filter_the_columns_of_each_entity(house: House) -> None:
    assert restated(house) == set(FIRST)
    assert restated(house, "view=bids") == {("quotes", "d", "x", "BTC")}
    assert restated(house, "account=a") == {("fills", "a")}
    assert restated(house, "venue=x") == {("trades", "x", "BTC"), ("quotes", "d", "x", "BTC")}
    assert restated(house, "desk=d&venue=x&symbol=BTC,ETH") == {("quotes", "d", "x", "BTC")}
    assert restated(house, "desk=d,e&venue=y") == set()
    assert restated(house, "view=filled&venue=x") == set()
    row = house.get("/v1/restatements?view=bids&interval=1s").json()["restatements"][0]
    assert row["before"] == {"start": T0, "quotes": 1, "bid": "1", "closed": True}
    assert row["after"] == {"start": T0, "quotes": 2, "bid": "2", "closed": True}
    table = pa.ipc.open_stream(house.get("/v1/restatements?format=arrow&interval=1s").content).read_all()
    names = ("view", "account", "venue", "symbol", "desk")
    assert sorted(tuple(row[name] or "" for name in names) for row in table.to_pylist()) == [
        ("bars", "", "x", "BTC", ""),
        ("bars", "", "y", "BTC", ""),
        ("bids", "", "x", "BTC", "d"),
        ("filled", "a", "", "", ""),
    ]


class Asked:
    """The service of a house as the proof asks it; an entity that it lists may have an invented name."""

    def __init__(self, house: House, invented: tuple[str, str] | None = None) -> None:
        self._house = house
        self._invented = invented

    def get(self, path: str, params: Mapping[str, str]) -> httpx.Response:
        found = self._house.get(f"{path}?{urlencode(params)}")
        if path != "/v1/instruments" or self._invented is None:
            return found
        return httpx.Response(found.status_code, text=found.text.replace(*self._invented))


def test_entities_of_every_stream_are_proven_and_so_are_those_that_the_service_alone_lists(house: House) -> None:
    def proven(*invented: str) -> Proof:
        client = Client("http://test", http=Asked(house, invented or None))  # type: ignore[arg-type]
        return verify(client, LogEvidence(house.log, NAMES, house.store), claims(VIEWS), 0.0)

    found = proven()
    assert found.holds, (found.differences, found.refusals, found.tail, found.not_proven)
    assert {"a", "x:BTC", "d:x:BTC/USD"} <= found.entities
    wrong = proven('"symbol":"BTC/USD"', '"symbol":"GHOST"')  # of the last stream alone
    assert not wrong.holds and not wrong.differ and "d:x:GHOST" in wrong.refusals[0]


def test_a_column_with_the_name_of_a_parameter_is_refused_at_the_start(house: House, tmp_path: Path) -> None:
    columns = (Text("cause", "[a-z]"), *FILLS.columns[1:])
    stream = Stream("odd", columns, ("cause",), FILLS.identity, FILLS.time, FILLS.order)
    view = View(name="odds", stream=stream, key=("cause",), measures={"n": Count()}, answers={"n": Column("n")})
    with pytest.raises(SettingError, match="cause"):
        create_app(house.log, NAMES, VersionStore(tmp_path), (BARS, view), house.clock)


def test_a_stream_without_a_view_is_refused_by_its_own_problem(house: House, tmp_path: Path) -> None:
    app = create_app(house.log, NAMES, VersionStore(tmp_path), (BARS,), house.clock, streams=STREAMS)

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.get(path) for path in ("/v1/quotes?desk=d", "/v1/trades", "/openapi.json")]

    refused, trades, document = asyncio.run(ask())
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:slackwater:problem:stream-without-view")
    assert "quotes" in refused.json()["detail"] and "SLACKWATER_VIEWS" in refused.json()["detail"]
    assert trades.status_code == 422
    assert "/v1/trades" in document.json()["paths"] and "/v1/quotes" not in document.json()["paths"]
