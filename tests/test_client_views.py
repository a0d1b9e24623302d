"""The Python client over any view and any stream, against the real service: typed by the answer, as it came."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from slackwater_client import ArgumentError, BadRequestError, Changes, Row, Snapshot

from slackwater.views.bars import BARS
from slackwater.views.flow import FLOW
from slackwater.views.sizes import SIZES
from tests.client_kit import KINDS, Asker
from tests.live_service import LiveService
from tests.serving_world import NOON, SECOND, World, cut_in_a_minute

DAY = NOON - 43_200 * SECOND
HOURLY = replace(FLOW, name="hourly", base="1h", published=("1h", "1d"))


@contextmanager
def service(folder: Path) -> Iterator[LiveService]:
    world = World(folder, views=(BARS, FLOW, SIZES, HOURLY))
    world.trade("BTC", 61.0, "7", side="sell", quantity="0.00000001")
    cut_in_a_minute(world)
    with LiveService(world) as running:
        yield running
    world.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A service that tests only read from."""
    with service(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(params=KINDS)
def asker(request: pytest.FixtureRequest, live: LiveService) -> Iterator[Asker]:
    made = KINDS[request.param](live.url)
    yield made
    made.close()


@pytest.fixture(params=["arrow", "json"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Without pyarrow everything comes as JSON."""
    if request.param == "json":
        monkeypatch.setattr("slackwater_client.questions.has_arrow", lambda: False)
    return str(request.param)


def test_rows_have_the_columns_of_the_answer(asker: Asker, live: LiveService, way: str) -> None:
    rows = asker("view", "flow", venue="x", symbol="BTC", interval="1d", start=DAY)
    assert {row.side for row in rows} == {"buy", "sell"}
    (sold,) = [row for row in rows if row.side == "sell"]
    assert isinstance(sold, Row) and (sold.venue, sold.symbol, sold.trades) == ("x", "BTC", 5)
    assert (str(sold.volume), str(sold.vwap)) == ("6.80000001", "490.24999929")
    assert isinstance(sold.start, int) and sold.moment.hour == 0 and sold.closed is False
    assert rows.meta.version == 1
    served = live.world.get(f"/v1/flow?venue=x&symbol=BTC&interval=1d&start={DAY}").json()["flow"]
    assert [(row.start, row.side, str(row.volume)) for row in rows] == [
        (row["start"], row["side"], row["volume"]) for row in served
    ]


def test_everything_before_a_time_is_a_row_a_key(asker: Asker, live: LiveService, way: str) -> None:
    rows = asker("view", "flow", venue="x", symbol="BTC", at=NOON + 62 * SECOND)
    served = live.world.get(f"/v1/flow?venue=x&symbol=BTC&at={NOON + 62 * SECOND}").json()["flow"]
    assert [(row.side, row.volume, row.trades) for row in rows] == [
        (row["side"], Decimal(row["volume"]), row["trades"]) for row in served
    ]
    assert {row.start for row in rows} == {0} and len(rows) == 2


def test_a_view_without_minutes_is_asked_at_its_base(asker: Asker, way: str) -> None:
    rows = asker("view", "hourly", venue="x", symbol="BTC", start=DAY)
    assert {row.start % 3_600_000_000 for row in rows} == {0} and {row.side for row in rows} == {"buy", "sell"}


def test_quantiles_have_both_bounds(asker: Asker, way: str) -> None:
    (row,) = asker("view", "sizes", venue="x", symbol="BTC", interval="1d", start=DAY, quantiles=True)
    assert isinstance(row.p50_low, Decimal) and row.p50_low < row.p50_high <= row.p99_high


def test_a_table_holds_the_types_of_the_answer(asker: Asker) -> None:
    table = asker("view", "flow", venue="x", symbol="BTC", start=NOON).to_arrow()
    assert table.schema.field("volume").type == pa.decimal128(38, 16)
    assert table.schema.field("start").type == pa.timestamp("us", "UTC")
    assert table.column("side").unique().to_pylist() == ["buy", "sell"]
    empty = asker("view", "flow", venue="x", symbol="BTC", start=NOON - SECOND, end=NOON)
    assert len(empty) == 0 and empty.to_arrow().schema.names == table.schema.names


def test_bars_are_a_thin_name_over_their_view(asker: Asker, way: str) -> None:
    rows = asker("view", "bars", venue="x", symbol="BTC", interval="1m", start=NOON)
    bars = asker("bars", "x", "BTC", "1m", NOON)
    assert len(rows) == len(bars) > 0
    for row, bar in zip(rows, bars, strict=True):
        assert all(getattr(row, name) == getattr(bar, name) for name in ("start", "open", "vwap", "trades", "closed"))


def test_the_events_of_a_stream(asker: Asker, way: str) -> None:
    day = 86_400 * SECOND
    events = asker("events", "trades", NOON, NOON + day, venue="x", symbol="BTC")
    trades = asker("trades", "x", "BTC", NOON, NOON + day)
    assert len(events) == len(trades) > 0
    assert [(int(event.trade_id), event.offset) for event in events] == [
        (int(trade.trade_id), trade.offset) for trade in trades
    ]
    if way == "arrow":
        assert [event.price for event in events] == [trade.price for trade in trades]


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_is_followed(kind: str, tmp_path: Path) -> None:
    seen: list[Any] = []

    def stop(event: object) -> bool:
        seen.append(event)
        if isinstance(event, Snapshot):
            live.world.trade("BTC", 3600.0, "9", side="sell")
            live.world.emit()
            live.world.step()
        return isinstance(event, Changes)

    with service(tmp_path) as live:
        asker = KINDS[kind](live.url)
        asker.events(stop, "flow", venue="x", symbol="BTC", interval="1d")
        asker.close()
    rows = next(event for event in seen if isinstance(event, Snapshot)).rows
    assert {row.side for row in rows} == {"buy", "sell"} and all(isinstance(row.volume, Decimal) for row in rows)
    changed = {(row.symbol, row.side): row for row in seen[-1].rows}
    assert changed["BTC", "sell"].volume > 1 and changed["BTC", "sell"].trades == 6


@pytest.mark.parametrize("name", ["", "a/b", "../x", "bars?x"])
def test_a_name_that_is_none_is_not_sent(asker: Asker, name: str) -> None:
    with pytest.raises(ArgumentError, match="no name"):
        asker("view", name, venue="x", symbol="BTC")


def test_what_the_view_does_not_have_is_told_by_the_service(asker: Asker) -> None:
    with pytest.raises(BadRequestError, match="colour"):
        asker("view", "flow", venue="x", symbol="BTC", colour="red")
