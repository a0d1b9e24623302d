"""Reads of everything before a time, of quantiles, and of some keys alone, of every registered view.

events with time < at     --summarise, merge-->  a row a key        == GET /v1/<view>?at=<time>
all rows of each start    --spreads-->           p50_low, p50_high  == GET /v1/sizes?quantiles=true
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.compute as pc
import pytest

from slackwater.core.decimals import decimal_text
from slackwater.log.events import decode
from slackwater.streams.trades import TRADES
from slackwater.views.interval import parse_interval
from slackwater.views.quantiles import quantile_rows
from slackwater.views.registry import VIEWS
from slackwater.views.rows import Row
from slackwater.views.sizes import SIZES
from slackwater.views.view import View
from tests.laws import merge_all
from tests.serving_world import NOON, SECOND, World

DAILY = View(
    name="daily",
    key=("venue", "symbol", "side"),
    measures=VIEWS[0].measures,
    answers=VIEWS[0].answers,
    published=("1s", "1m", "1h", "1d", "1M", "total"),
    stream=TRADES,
)
ALL = (*VIEWS, DAILY)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A year of trades, half of them below a cut, some late; one instrument lies in both partitions."""
    random, cut = Random(5), None
    found = World(Path(tmp_path_factory.mktemp("home")), partitions=2, views=ALL)
    for step in range(300):
        if step == 150:
            cut = found.mark("run-1")
        at_s = random.choice([random.randrange(400 * 86_400), random.randrange(90), random.randrange(86_400)])
        size = decimal_text(random.randrange(1, 10 ** random.randrange(1, 12)), 8)
        found.trade(random.choice(["BTC", "ETHX"]), at_s, quantity=size, side=random.choice(["buy", "sell"]))
    found.trade("BTC", 5.0, partition=0)
    found.emit()
    assert cut is not None
    found.publish(cut, "run-1")
    found.step()
    yield found
    found.close()


def rows_before(world: World, view: View, at: int | None, symbol: str) -> list[Row]:
    """The rows of the base of all events before a time."""
    rows: list[Row] = []
    for p in range(world.partitions):
        events = decode(TRADES, world.records(p)).table
        mine = pc.equal(events.column("symbol"), symbol)
        mine = mine if at is None else pc.and_(mine, pc.less(events.column("time"), at))
        rows += world.summariser.rows(view, events.filter(mine).select(view.stream.schema.names))
    return rows


def document(world: World, view: View, query: str) -> dict[str, Any]:
    response = world.get(f"/v1/{view.name}?venue=x&{query}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.name)
def test_a_prefix_is_all_events_before_its_time(world: World, view: View) -> None:
    random = Random(3)
    for _ in range(6):
        at = NOON + random.choice([random.randrange(420 * 86_400), random.randrange(100), 3_600, 86_400 * 30]) * SECOND
        expected: dict[tuple[Any, ...], list[Any]] = {}
        for row in rows_before(world, view, at, "BTC"):
            expected.setdefault(row.key[2:], []).append(row.state)
        whole = {key: view.finish(merge_all(view, states) or ()) for key, states in sorted(expected.items())}
        found = document(world, view, f"symbol=BTC&at={at}&limit=10000")[view.name]
        assert [tuple(row[name] for name in view.rest) for row in found] == list(whole)
        assert [{name: row[name] for name in view.answers} for row in found] == list(whole.values())


def test_pages_of_a_prefix_are_one_answer(world: World) -> None:
    query = f"symbol=BTC,ETHX&at={NOON + 86_400 * SECOND}"
    whole = document(world, SIZES, f"{query}&limit=10000")["sizes"]
    pages, page = [], document(world, SIZES, f"{query}&limit=7")
    while True:
        pages += page["sizes"]
        if page["next"] is None:
            break
        page = document(world, SIZES, f"{query}&limit=7&cursor={page['next']}")
    assert pages == whole and len(whole) > 20


@pytest.mark.parametrize("query", [f"at={NOON + 1}", f"at={NOON}&start={NOON}", f"at={NOON}&interval=1m"])
def test_what_cannot_stand_with_at_is_refused(world: World, query: str) -> None:
    assert world.get(f"/v1/bars?venue=x&symbol=BTC&{query}").status_code == 422


@pytest.mark.parametrize("layer", ["merged", "batch", "speed"])
def test_a_key_column_filters_by_name(world: World, layer: str) -> None:
    for interval in ("1s", "1m", "1d"):
        query = f"symbol=BTC,ETHX&interval={interval}&limit=10000&layer={layer}"
        whole = document(world, DAILY, query)["daily"]
        for side in ("buy", "sell"):
            found = document(world, DAILY, f"{query}&side={side}")["daily"]
            assert found == [row for row in whole if row["side"] == side] and found
    assert world.get("/v1/daily?venue=x&symbol=BTC&side=both").status_code == 422


@pytest.mark.parametrize("interval", ["1s", "1m", "1d", "1M"])
def test_quantiles_are_of_all_rows_of_a_start(world: World, interval: str) -> None:
    at = parse_interval(interval)
    rows = [Row(row.key, at.floor(row.start), row.state) for row in rows_before(world, SIZES, None, "BTC")]
    expected = [{"start": each.start, **each.answers} for each in quantile_rows(SIZES, rows)]
    query = f"symbol=BTC&interval={interval}&quantiles=true"
    found = document(world, SIZES, f"{query}&start={NOON - SECOND * 10**6}&limit=10000")["sizes"]
    assert [{name: row[name] for name in expected[0]} for row in found] == expected
    newest = document(world, SIZES, f"{query}&limit=5")["sizes"]
    assert newest == found[-5:]
    first = document(world, SIZES, f"{query}&start={NOON - SECOND * 10**6}&limit=5")
    assert first["sizes"] == found[:5]
    if first["next"]:
        second = document(world, SIZES, f"{query}&start={NOON - SECOND * 10**6}&limit=5&cursor={first['next']}")
        assert second["sizes"] == found[5:10]


@pytest.mark.parametrize("interval", ["1s", "1m", "1d"])
def test_quantiles_do_not_depend_on_how_many_rows_are_read_at_once(
    world: World, interval: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = parse_interval(interval)
    places = {(row.key, at.floor(row.start)) for row in rows_before(world, SIZES, None, "BTC")}
    starts = Counter(start for _, start in places)
    query = f"symbol=BTC&interval={interval}&quantiles=true"
    begin = NOON - SECOND * 10**6
    whole = document(world, SIZES, f"{query}&start={begin}&limit=10000")["sizes"]
    assert len(whole) == len(starts)
    densest = max(starts.values())
    for more in (1, 2, 5):
        monkeypatch.setattr("serving.query.read.ROOM", densest + more)
        assert document(world, SIZES, f"{query}&start={begin}&limit={9990 + more}")["sizes"] == whole
        for limit in (1, 3, 7):
            newest = document(world, SIZES, f"{query}&limit={limit}&end={begin + 10**15 + more}")["sizes"]
            assert newest == whole[-limit:]
    assert document(world, SIZES, f"{query}&start={begin - 10**12}&end={begin - 10**11}")["sizes"] == []
    monkeypatch.setattr("serving.query.read.ROOM", densest)
    response = world.get(f"/v1/sizes?venue=x&{query}&start={begin}&limit=9980")
    assert response.status_code == 422, response.text
    assert "too-many-rows" in response.text
