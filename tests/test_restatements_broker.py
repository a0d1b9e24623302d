"""A late trade end to end, on the real broker: a bar is served as closed, changes at once, and the ledger says so.

e(10s) e(14s)   served: closed    v1    e(10s)   served: changed    v2    /v1/restatements?since=1
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.http.app import create_app
from slackwater.views.registry import VIEWS as REGISTERED
from tests.beam_world import T0_US, World, kafka_world, settle, speed_running
from tests.forked import call

pytestmark = pytest.mark.broker

VIEWS = sorted(view.name for view in REGISTERED)


class Served:
    """A world that a service answers from."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.app = create_app(world.log, world.names, world.store)

    def get(self, path: str) -> Any:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get(path)

        return asyncio.run(ask()).json()

    def bar(self, interval: str = "1s", view: str = "bars") -> Any:
        """The bar, or another view's only row, that holds the second 10; None as long as there is none."""
        seconds = {"1s": 10, "1m": 0}[interval]
        start = T0_US + seconds * 1_000_000
        found = self.get(f"/v1/{view}?venue=v&symbol=BTCUSDT&interval={interval}&start={start}&limit=1")
        return next((bar for bar in found.get(view, ()) if bar["start"] == start), None)

    def trade(self, second: float, price: str) -> int:
        """Its offset."""
        line = self.world.trade("BTCUSDT", T0_US + round(second * 1_000_000), price, "1", "buy")
        return self.world.append(0, line).offset()


@pytest.fixture
def served(broker: str, tmp_path: Path) -> Iterator[Served]:
    with kafka_world(broker, tmp_path / "home", partitions=1) as world:
        found = Served(world)
        service = found.app.state.service
        service.start()
        try:
            with speed_running(world.source()):
                yield found
        finally:
            service.stop()


@pytest.mark.timeout(200)
def test_a_late_trade_changes_a_closed_bar_at_once_and_the_next_version_tells_of_it(served: Served) -> None:
    for second, price in ((10, "5"), (10.5, "7"), (14, "6")):
        served.trade(second, price)
    settle(lambda: (served.bar() or {}).get("closed"))
    first = served.world.batch(proof_deadline_s=30.0)
    assert (first.proof.outcome, first.restated) == ("equal", {})
    settle(lambda: served.get("/v1/versions")["served"] == 1)
    before, old = served.bar(), {view: served.bar(view=view) for view in VIEWS}
    assert (before["trades"], before["high"], before["closed"]) == (2, "7", True)

    at = served.trade(10.7, "9")
    settle(lambda: served.bar()["trades"] == 3)
    after = served.bar()
    assert after["high"] == after["close"] == "9"
    assert served.get("/v1/restatements?since=1")["restatements"] == [], "no version absorbed it yet"

    second = served.world.batch(proof_deadline_s=30.0)
    assert (second.proof.outcome, second.restated) == ("equal", {"late_trade": len(VIEWS)})
    settle(lambda: served.get("/v1/versions")["served"] == 2)
    told = served.get("/v1/restatements?since=1")["restatements"]
    assert sorted(told, key=lambda row: row["view"]) == [
        {
            "version": 2,
            "view": view,
            "venue": "v",
            "symbol": "BTCUSDT",
            "interval": "1s",
            "created": second.created_us,
            "start": T0_US + 10_000_000,
            "cause": "late_trade",
            "partition": 0,
            "offset": at,
            "trades": 1,
            "before": old[view],
            "after": served.bar(view=view),
        }
        for view in VIEWS
    ], "the minute is not closed, so it was not restated"
    assert served.bar() == after

    served.trade(70, "6")
    served.trade(10.8, "1")
    settle(lambda: served.bar("1m")["trades"] == 5)
    third = served.world.batch(proof_deadline_s=30.0)
    assert third.restated == {"late_trade": 2 * len(VIEWS)}
    printed = call("batch", "restatements", "--since", "2", "--json", environ=served.world.environ())
    rows = [json.loads(row) for row in printed.stdout.splitlines()]
    assert [
        (r["version"], r["interval"], r["before"]["trades"], r["after"]["trades"]) for r in rows if r["view"] == "bars"
    ] == [
        (3, "1m", 4, 5),
        (3, "1s", 3, 4),
    ]
    shown = call("batch", "restatements", environ=served.world.environ()).stdout
    assert "late_trade" in shown and "high 7 -> 9" in shown
    listed = json.loads(call("batch", "list", "--json", environ=served.world.environ()).stdout)
    assert [version["restated"] for version in listed["versions"]] == [
        {"late_trade": 2 * len(VIEWS)},
        {"late_trade": len(VIEWS)},
        {},
    ]
    wrong = call("batch", "restatements", "--since", "x", environ=served.world.environ())
    assert wrong.returncode == 2 and "version's number" in wrong.stderr
