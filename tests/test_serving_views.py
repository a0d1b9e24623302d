"""Every registered view is served by its definition alone: pages of its rows at every interval, in every layer.

The views of this test besides the registered ones have what these lack: coarser published intervals than hours, a base
that is no second, a key that is an integer, states that are texts.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest
from jsonschema import Draft202012Validator

from serving.http.routes.bars import page_model
from serving.query.fields import parsed
from serving.stream.query import stream_query_of
from slackwater.core.decimals import decimal_text
from slackwater.log.events import decode
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column, Difference, Ratio
from slackwater.views.interval import parse_interval
from slackwater.views.keys import Bucket
from slackwater.views.measures import Count, Last, Max, Sum
from slackwater.views.quantiles import quantile_rows
from slackwater.views.registry import VIEWS
from slackwater.views.rows import Row
from slackwater.views.sizes import SIZES
from slackwater.views.view import View
from tests import naive
from tests.naive import DAY_US
from tests.serving_world import NOON, SECOND, World
from tests.sql_world import here

DEEP = View(
    name="deep",
    key=("venue", "symbol", "sequence", "side", "price_bucket"),
    derived={"price_bucket": Bucket("-price", digits=1)},
    base="5s",
    published=("5s", "1h", "1d", "1w", "1M", "1y", "total"),
    measures={
        "taker": Last("side", by="time"),
        "trades": Count(),
        "buys": Count(where="side = 'buy'"),
        "most": Max("price"),
    },
    answers={"taker": Column("taker"), "sells": Difference("trades", "buys"), "most": Column("most")},
    stream=TRADES,
)
PLAIN = View(
    name="plain",
    published=("1s", "1m", "1h", "1M", "total"),
    measures={"volume": Sum("quantity"), "last": Last("symbol", by="sequence"), "trades": Count()},
    answers={
        "volume": Column("volume", gap="0"),
        "last": Column("last", gap="last"),
        "trades": Column("trades", gap="0"),
    },
    stream=TRADES,
)
ALL = (*VIEWS, DEEP, PLAIN)
INTERVALS = ("5s", "4h", "1d", "1w", "1M", "1y", "total")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two years of trades in both partitions, below a cut and behind it, some of them late."""
    random = Random(13)
    found = World(Path(tmp_path_factory.mktemp("home")), partitions=2, views=ALL)
    cut: Any = None
    for step in range(240):
        if step == 120:
            cut = found.mark("run-1")
        at_s = random.choice([random.randrange(700 * 86_400), random.randrange(90), random.randrange(4 * 86_400)])
        found.trade(
            random.choice(["BTC", "ETHX"]),
            at_s - 600 * 86_400,
            decimal_text(random.choice([random.randrange(1, 10**5), random.randrange(1, 10**12)]), 8),
            trade_id=random.choice([random.randrange(6), 2**60 + step]),
            quantity=decimal_text(random.randrange(1, 10 ** random.randrange(1, 12)), 8),
            side=random.choice(["buy", "sell"]),
        )
    found.emit()
    found.publish(cut, "run-1")
    found.step()
    yield found
    found.close()


def events(world: World, symbol: str) -> list[Any]:
    """The events of an instrument, decimals in units."""
    partition = len(symbol) % world.partitions
    table = decode(TRADES, [r for r in world.records(partition) if r.value]).table
    rows = [row for row in table.to_pylist() if row["symbol"] == symbol]
    units = {"price": 8, "quantity": 8}
    return [
        SimpleNamespace(**{n: int(v.scaleb(units[n])) if n in units else v for n, v in row.items()}) for row in rows
    ]


def pages(world: World, view: View, query: str) -> list[dict[str, Any]]:
    """All rows of a question, by pages."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        response = world.get(f"/v1/{view.name}?venue=x&{query}{cursor}")
        assert response.status_code == 200, response.text
        page = response.json()
        found += page[view.name]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def expected(world: World, view: View, symbol: str, interval: str) -> list[dict[str, Any]]:
    """The rows as they are to be answered, without `closed`."""
    bars = naive.summarise(view, events(world, symbol), parse_interval(interval))
    wide = {name for name, kind in view.answer_kinds.items() if kind.wide}
    found = []
    for bar in sorted(bars, key=lambda bar: (bar.start, bar.key)):
        answers = naive.finish(view, bar.state)
        answers |= {name: str(answers[name]) for name in wide if int(answers[name]) >= 2**53}
        keys = {n: str(v) if isinstance(v, int) and v >= 2**53 else v for n, v in zip(view.key, bar.key, strict=True)}
        del keys["venue"], keys["symbol"]
        found.append({**keys, "start": bar.start, **answers})
    return found


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("view", ALL, ids=lambda view: view.name)
def test_pages_hold_all_rows_as_the_oracle_has_them(world: World, view: View, interval: str) -> None:
    for symbol in ("BTC", "ETHX"):
        rows = expected(world, view, symbol, interval)
        since = "" if interval == "total" else "&start=2009-01-04T00:00:00Z"  # its start is the epoch
        for limit in (1000,) if not since else (2, 7, 1000) if len(rows) < 25 else (9, 1000):
            found = pages(world, view, f"symbol={symbol}&interval={interval}&limit={limit}{since}")
            closed = [row.pop("closed") for row in found]
            assert found == rows
        newest = max(event.time for event in events(world, symbol))
        ends = [parse_interval(interval).end(row["start"]) for row in rows]
        assert closed == [
            end + 2 * SECOND <= newest - newest % (5 * SECOND if view is DEEP else SECOND) for end in ends
        ]


@pytest.mark.parametrize("interval", ["1h", "1M", "total"])
@pytest.mark.parametrize("view", ALL, ids=lambda view: view.name)
def test_the_newest_rows_and_a_range_are_parts_of_all(world: World, view: View, interval: str) -> None:
    rows = expected(world, view, "BTC", interval)
    newest = pages(world, view, f"symbol=BTC&interval={interval}&limit=3")
    assert [{k: v for k, v in row.items() if k != "closed"} for row in newest] == rows[-3:]
    low, high = NOON - 300 * DAY_US, NOON - 20 * DAY_US
    length = parse_interval(interval)
    found = pages(world, view, f"symbol=BTC&interval={interval}&start={low}&end={high}&limit=5")
    first = length.floor(low) if length.floor(low) == low else length.end(length.floor(low))
    assert [row["start"] for row in found] == [row["start"] for row in rows if first <= row["start"] < high]


@pytest.mark.parametrize("interval", ["1h", "1M", "1y"])
@pytest.mark.parametrize("view", ALL, ids=lambda view: view.name)
def test_an_export_holds_the_same_rows(world: World, view: View, interval: str) -> None:
    rows = expected(world, view, "ETHX", interval)
    url = f"/v1/{view.name}?venue=x&symbol=ETHX&interval={interval}&start=2009-01-04T00:00:00Z&limit=all"
    table = pa.ipc.open_stream(world.get(f"{url}&format=arrow").content).read_all()
    assert table.num_rows == len(rows)
    assert table.column_names == [*view.key, "start", *view.answers, "closed"]
    for name in view.key[2:]:
        assert list(map(str, table.column(name).to_pylist())) == [str(row[name]) for row in rows]
    for name, kind in view.answer_kinds.items():
        assert [str(kind.answer(v)) for v in kind.values(table.column(name))] == [str(row[name]) for row in rows]


@pytest.mark.parametrize("interval", ["5s", "1d"])
def test_an_export_does_not_depend_on_how_many_rows_of_a_chain_are_read_at_once(
    world: World, interval: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/bars?venue=x&symbol=BTC,ETHX&interval={interval}&layer=speed&limit=all&format=csv"
    whole = world.get(path).text
    assert whole.count("\n") > 20
    for rows in (1, 2, 7):
        monkeypatch.setattr("serving.query.read.ROWS_PER_LOCK", rows)
        assert world.get(path).text == whole


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.name)
def test_explained_parts_and_layers_make_up_the_rows(world: World, view: View) -> None:
    merged = pages(world, view, "symbol=BTC&interval=1M&explain=true&start=2009-01-04T00:00:00Z&limit=500")
    assert all(row["explain"]["merged"].keys() == view.answers.keys() for row in merged)
    for row in merged:
        assert bool(row["explain"]["batch"]) or row["explain"]["deltas"]
    for layer in ("batch", "speed"):
        url = f"symbol=BTC&interval=1M&layer={layer}&start=2009-01-04T00:00:00Z&limit=500"
        side = [row for row in merged if row["explain"]["batch" if layer == "batch" else "deltas"]]
        assert [row["start"] for row in pages(world, view, url)] == [row["start"] for row in side]


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.name)
def test_the_tables_of_a_query_hold_the_same_rows(world: World, view: View) -> None:
    with here(world) as database:
        for interval in (view.published[0], view.published[-1]):
            found = database.rows(
                f"FROM \"{view.name}_{interval}\" WHERE symbol = 'BTC' ORDER BY start, {', '.join(view.rest) or 1}"
            )
            assert all(row.pop("venue") == "x" and row.pop("symbol") == "BTC" for row in found)
            assert [{k: v for k, v in row.items() if k != "closed"} for row in found] == expected(
                world, view, "BTC", interval
            )


@pytest.mark.parametrize("interval", SIZES.published)
def test_the_quantiles_of_a_query_are_those_of_the_rows(world: World, interval: str) -> None:
    rows = [
        Row(bar.key, bar.start, bar.state)
        for symbol in ("BTC", "ETHX")
        for bar in naive.summarise(SIZES, events(world, symbol), parse_interval(interval))
    ]
    with here(world) as database:
        found = database.rows(f"FROM sizes_quantiles_{interval} ORDER BY start, symbol")
    assert [row.pop("closed") in (True, False) for row in found]
    assert found == [
        {"venue": "x", "symbol": each.key[1], "start": each.start, **each.answers}
        for each in quantile_rows(SIZES, rows)
    ]


def test_an_interval_that_the_base_does_not_divide_is_refused(world: World) -> None:
    response = world.get("/v1/deep?venue=x&symbol=BTC&interval=1s")
    assert response.status_code == 422
    assert "5s" in response.text


def test_gaps_of_months_are_filled(world: World) -> None:
    url = f"symbol=BTC&interval=1M&start={NOON - 600 * DAY_US}&end={NOON + 90 * DAY_US}&fill=previous&limit=1000"
    found = pages(world, PLAIN, url)
    starts = [row["start"] for row in found]
    month = parse_interval("1M")
    assert starts == [*month.starts(starts[0], month.end(starts[-1]))]
    there = {row["start"]: row for row in expected(world, PLAIN, "BTC", "1M")}
    for row in found:
        row.pop("closed")
        assert row == there.get(row["start"], {"start": row["start"], "volume": "0", "last": "BTC", "trades": 0})


def test_a_stream_of_a_view_without_minutes_is_of_its_base_where_none_is_said() -> None:
    hours = replace(PLAIN, published=("1h", "1d"), base="1h")
    for view, default in ((hours, "1h"), (DEEP, "1m")):
        query = parsed(stream_query_of(view), b"venue=x&symbol=BTC")
        assert [each.text for each in query.interval] == [default]


def test_a_ratio_without_a_divisor_is_null_in_every_format(tmp_path: Path) -> None:
    view = View(
        name="halves",
        measures={
            "volume": Sum("quantity"),
            "bought": Sum("CASE WHEN side = 'buy' THEN quantity ELSE 0 END"),
            "buys": Count(where="side = 'buy'"),
        },
        answers={"share": Ratio("volume", "bought", gap="0"), "mean": Ratio("volume", "buys")},
        stream=TRADES,
    )
    world = World(tmp_path, views=(view,))
    for at_s, side in ((0, "buy"), (1, "sell"), (3, "sell")):
        world.trade("BTC", at_s, "100", quantity="2", side=side)
        if at_s == 1:
            world.publish(world.mark("run"), "run")
    world.emit()
    world.step()
    asked = f"/v1/halves?venue=x&symbol=BTC&interval=1s&start={NOON}"
    rows = pages(world, view, f"symbol=BTC&interval=1s&start={NOON}")
    assert [(row["share"], row["mean"]) for row in rows] == [("1", "2"), (None, None), (None, None)]
    filled = pages(world, view, f"symbol=BTC&interval=1s&start={NOON}&fill=previous")
    assert [row["share"] for row in filled] == ["1", None, "0", None]
    for more in ("", "&limit=all"):
        csv = world.get(f"{asked}{more}", {"Accept": "text/csv"}).text.splitlines()
        assert [line.split(",")[3:5] for line in csv[1:]] == [['"1"', '"2"'], ["", ""], ["", ""]]
        arrow = world.get(f"{asked}{more}", {"Accept": "application/vnd.apache.arrow.stream"}).content
        table = pa.ipc.open_stream(arrow).read_all()
        assert table.column("share").null_count == table.column("mean").null_count == 2
    Draft202012Validator(page_model(view).model_json_schema()).validate(world.get(asked).json())
    with here(world) as database:
        assert [row["share"] for row in database.rows("FROM halves_1s ORDER BY start")] == ["1", None, None]
    world.close()
