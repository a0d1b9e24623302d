"""Adding a view is one declaration and one line in a registry: a toy view through both layers, merged over REST.

log     e e e e M e e e e          M: the mark of the batch run
batch   [------)                   flow states below the cut
speed           [- - - - >         flow cells from the cut on
REST    GET /v1/flow               batch (+) cells == one naive recomputation over the log
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.http.app import create_app
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column, Ratio
from slackwater.views.bars import BARS
from slackwater.views.measures import Count, First, Last, Max, Min, Sum
from slackwater.views.view import View
from tests.beam_world import SYMBOLS, T0_US, World, kafka_world, settle, speed_running

pytestmark = pytest.mark.broker

# The one declaration: every kind of measure, and a ratio.
FLOW = View(
    name="flow",
    measures={
        "buys": Sum("CASE WHEN side = 'buy' THEN quantity ELSE 0 END"),
        "volume": Sum("quantity"),
        "trades": Count(),
        "largest": Max("quantity"),
        "smallest": Min("quantity"),
        "opening": First("quantity", by="sequence"),
        "closing": Last("quantity", by="sequence"),
    },
    answers={
        "buys": Column("buys", gap="0"),
        "buy_share": Ratio("buys", "volume"),
        "trades": Column("trades", gap="0"),
        "largest": Column("largest"),
        "smallest": Column("smallest"),
        "opening": Column("opening"),
        "closing": Column("closing"),
        "last_sequence": Column("closing_id"),
    },
    stream=TRADES,
)
REGISTRY = (BARS, FLOW)  # the one line

MINUTE_US = 60_000_000


@pytest.fixture
def kafka(broker: str, tmp_path: Path) -> Iterator[World]:
    with kafka_world(broker, tmp_path / "home") as world:
        yield world


Offset = tuple[int, int]


def trades(world: World) -> list[tuple[Offset, dict[str, Any]]]:
    """((partition, offset), trade) of every line in the log."""
    return [
        ((partition, record.offset), json.loads(line))
        for partition, record in world.records(world.names.topic("trades"))
        if record.value
        for line in record.value.split(b"\n")
    ]


def text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def sequence(trade: dict[str, Any]) -> int:
    """Where a trade stands in its instrument's order: its integer id, unless the event says."""
    return int(trade.get("sequence", trade["trade_id"]))


def naive(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer columns of one bar's trades."""
    ordered = sorted(found, key=sequence)
    sizes = [Decimal(trade["quantity"]) for trade in ordered]
    buys = sum((Decimal(trade["quantity"]) for trade in ordered if trade["side"] == "buy"), Decimal(0))
    share = round(Fraction(buys) / Fraction(sum(sizes)) * 10**8)
    return {
        "buys": text(buys),
        "buy_share": text(Decimal(share).scaleb(-8)),
        "trades": len(ordered),
        "largest": text(max(sizes)),
        "smallest": text(min(sizes)),
        "opening": text(sizes[0]),
        "closing": text(sizes[-1]),
        "last_sequence": sequence(ordered[-1]),
    }


def recomputed(world: World) -> dict[tuple[str, int], dict[str, Any]]:
    bars = defaultdict(list)
    for _, trade in trades(world):
        bars[trade["symbol"], trade["time"] - trade["time"] % MINUTE_US].append(trade)
    return {at: naive(found) for at, found in bars.items()}


class Client:
    """Requests to the application, whose threads run while it is open."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __enter__(self) -> "Client":
        self._app.state.service.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._app.state.service.stop()

    def get(self, url: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get(url)

        return asyncio.run(ask())


def rows(client: Client, symbol: str, layer: str = "merged") -> tuple[list[dict[str, Any]], dict[str, Any]]:
    start, end = T0_US - 60 * MINUTE_US, T0_US + 60 * MINUTE_US
    query = f"venue=v&symbol={symbol}&interval=1m&start={start}&end={end}&limit=10000&layer={layer}"
    found = client.get(f"/v1/{FLOW.name}?{query}")
    assert found.status_code == 200, found.text
    body = found.json()
    return body[FLOW.name], body["meta"]


def test_a_second_view_is_merged_over_rest_without_touching_either_layer(kafka: World) -> None:
    kafka.produce(150, bad=False)
    with speed_running(kafka.source(REGISTRY)):
        settle(kafka.reached)
        manifest = kafka.batch(REGISTRY)
        assert manifest.definitions == {view.name: view.definition for view in REGISTRY}
        kafka.produce(150, bad=False)
        ends = kafka.ends
        app = create_app(kafka.log, kafka.names, kafka.store, REGISTRY)
        with Client(app) as client:

            def applied() -> bool:
                if client.get("/health/ready").status_code != 200:
                    return False
                found: dict[str, int] = {}
                for symbol in SYMBOLS:
                    found |= rows(client, symbol)[1]["applied"]
                return {int(p): at for p, at in found.items()} == ends

            settle(applied)
            expected = recomputed(kafka)
            both = 0
            for symbol in SYMBOLS:
                merged, about = rows(client, symbol)
                assert about["definition"] == FLOW.definition
                assert about["version"] == manifest.version and about["complete"] is True
                found = {(symbol, row["start"]): {name: row[name] for name in FLOW.answers} for row in merged}
                assert found == {at: row for at, row in expected.items() if at[0] == symbol}
                parts = [{row["start"] for row in rows(client, symbol, layer)[0]} for layer in ("batch", "speed")]
                both += len(parts[0] & parts[1])
            assert both >= len(SYMBOLS), "too few rows have a batch and a speed part"
            assert f"/v1/{FLOW.name}" in client.get("/openapi.json").json()["paths"]
