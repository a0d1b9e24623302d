"""What answers say besides the bars: explain, fill, as_of, closed, times, ETags, any view, the other routes."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.options import ServingOptions
from slackwater.core.decimals import decimal_text
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column, Ratio
from slackwater.views.bars import BARS
from slackwater.views.measures import Count, Last, Max, Sum
from slackwater.views.view import View
from tests.serving_world import NAMES, NOON, SECOND, World, cut_in_a_minute

MINUTE = 60 * SECOND

FLOW = View(
    name="flow",
    measures={
        "volume": Sum("quantity"),
        "notional": Sum("price::DECIMAL(19,8) * quantity"),
        "last": Last("price", by="sequence"),
    },
    answers={"volume": Column("volume"), "vwap": Ratio("notional", "volume"), "last": Column("last")},
    stream=TRADES,
)
SIDES = View(
    name="sides",
    key=("venue", "symbol", "side"),
    measures={"trades": Count(), "high": Max("price")},
    answers={"trades": Column("trades"), "high": Column("high")},
    stream=TRADES,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, partitions=2)
    yield found
    found.close()


def summed(parts: list[dict[str, Any]], name: str) -> str:
    """The sum of a decimal over finished parts."""
    total = 0
    for part in parts:
        whole, _, fraction = part[name].partition(".")
        total += int(whole + fraction.ljust(16, "0"))
    return decimal_text(total, 16)


def test_explained_parts_sum_up_to_the_bar(world: World) -> None:
    cut_in_a_minute(world)
    found = world.bars(f"symbol=BTC&explain=true&start={NOON}")
    assert len(found["bars"]) == 5
    for bar in found["bars"]:
        explain = bar.pop("explain")
        assert explain["merged"] == {k: v for k, v in bar.items() if k not in {"start", "closed"}}
        parts = ([explain["batch"]] if explain["batch"] else []) + [delta["part"] for delta in explain["deltas"]]
        assert parts
        for name in ("volume", "notional", "buy_volume"):
            assert summed(parts, name) == bar[name]
        assert sum(part["trades"] for part in parts) == bar["trades"]
        assert min(part["first_sequence"] for part in parts) == bar["first_sequence"]
    assert found["bars"] == world.oracle().bars("x", "BTC", MINUTE)
    layers = world.bars("symbol=BTC&explain=true&interval=1d")["bars"][0]["explain"]
    assert (layers["batch"]["trades"], [d["part"]["trades"] for d in layers["deltas"]]) == (4, [4])
    assert (layers["deltas"][0]["start"], layers["deltas"][0]["upto"]) == (4, 9)


@pytest.mark.parametrize("layer", ["batch", "speed"])
def test_a_layer_alone_explains_itself_alone(world: World, layer: str) -> None:
    cut_in_a_minute(world)
    explain = world.bars(f"symbol=BTC&explain=true&interval=1d&layer={layer}")["bars"][0]["explain"]
    assert (explain["batch"] is not None, len(explain["deltas"])) == ((True, 0) if layer == "batch" else (False, 1))


def slow_fill(bars: list[dict[str, Any]], low: int | None, high: int | None) -> list[dict[str, Any]]:
    """Filling, said slowly: every minute between the first bar and the last, then the range."""
    by_start = {bar["start"]: bar for bar in bars}
    found = []
    for start in range(bars[0]["start"], bars[-1]["start"] + MINUTE, MINUTE):
        bar = by_start.get(start)
        if bar is None:
            close = found[-1]["close"]
            same = dict.fromkeys(("open", "high", "low", "close"), close)
            none = {"volume": "0", "notional": "0", "vwap": None, "buy_volume": "0", "trades": 0}
            ids = {"first_sequence": None, "last_sequence": None}
            closed = start + MINUTE + 2 * SECOND <= bars[-1]["start"]
            bar = {"start": start, **same, **none, **ids, "closed": closed}
        found.append(bar)
    return [b for b in found if (low is None or b["start"] >= low) and (high is None or b["start"] < high)]


RANGES = [
    (low, high)
    for low in (None, 0, 1, 90, 120, 150, 540, 541, 10_000)
    for high in (None, 1, 91, 180, 400, 541, 100_000)
    if high is None or (low or 0) < high
]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_filled_bars_are_those_of_the_slow_fill(world: World, low: int | None, high: int | None) -> None:
    cut_in_a_minute(world)
    bars = world.oracle().bars("x", "BTC", MINUTE)
    start, end = (None if at is None else NOON + at * SECOND for at in (low, high))
    query = "symbol=BTC&fill=previous" + (f"&start={start}" if start else "") + (f"&end={end}" if end else "")
    expected = slow_fill(bars, start, end)
    assert world.bars(query)["bars"] == expected
    assert world.bars(f"{query}&limit=3")["bars"] == (expected[:3] if start else expected[-3:])


def test_filled_pages_join_to_the_whole_while_trades_flow(world: World) -> None:
    cut_in_a_minute(world)
    world.trade("ETHX", 30)
    world.trade("ETHX", 260)
    world.emit()
    world.step()
    query = f"symbol=BTC,ETHX&fill=previous&start={NOON}"
    whole = world.bars(query)["bars"]
    assert len(whole) == 10 + 5
    pages: list[Any] = []
    cursor = ""
    while True:
        found = world.bars(f"{query}&limit=2{cursor}")
        pages += found["bars"]
        if not found["next"]:
            break
        cursor = f"&cursor={found['next']}"
        world.trade(at_s=140)
        world.trade(at_s=700)
        world.emit()
        world.step()
    assert pages == whole


def test_a_bar_is_closed_two_seconds_behind_its_end_and_not_before(world: World) -> None:
    world.trade(at_s=1)
    world.trade(at_s=61.999999)
    world.emit()
    world.step()
    assert [bar["closed"] for bar in world.bars("symbol=BTC")["bars"]] == [False, False]
    world.trade(at_s=62)
    world.trade("ETHX", at_s=1000)
    world.emit()
    world.step()
    assert [bar["closed"] for bar in world.bars("symbol=BTC")["bars"]] == [True, False]


def test_closed_belongs_to_the_position_of_the_answer(world: World) -> None:
    world.trade(at_s=1)
    cut = world.mark("run-1")
    world.trade(at_s=100)
    world.emit()
    world.publish(cut, "run-1")
    world.step()
    assert world.bars("symbol=BTC")["bars"][0]["closed"] is True
    assert world.bars("symbol=BTC&layer=batch")["bars"][0]["closed"] is False
    assert world.bars("symbol=BTC&as_of=1")["bars"][0]["closed"] is False
    assert [bar["closed"] for bar in world.bars("symbol=BTC&layer=speed")["bars"]] == [False]


def test_a_version_answers_at_its_own_cut_for_ever(world: World) -> None:
    cut_in_a_minute(world)
    first = world.get("/v1/bars?venue=x&symbol=BTC&as_of=1")
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "slackwater-lag-records" not in first.headers
    assert first.json()["meta"]["applied"] == first.json()["meta"]["cut"]
    assert first.json()["bars"] == world.oracle({1: 4}).bars("x", "BTC", MINUTE)
    for number in range(2, 9):
        world.trade(at_s=600 + number)
        cut = world.mark(f"run-{number}")
        world.emit()
        world.publish(cut, f"run-{number}")
        world.step()
        again = world.get("/v1/bars?venue=x&symbol=BTC&as_of=1")
        assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert world.bars("symbol=BTC")["meta"]["version"] == 8
    assert world.bars("symbol=BTC")["bars"] == world.oracle().bars("x", "BTC", MINUTE)


def test_an_etag_answers_304_until_the_answer_changes(world: World) -> None:
    cut_in_a_minute(world)
    url = "/v1/bars?venue=x&symbol=BTC"
    first = world.get(url)
    assert first.headers["slackwater-lag-records"] == "0"
    for tag in (first.headers["etag"], f"W/{first.headers['etag']}", f'"a", {first.headers["etag"]}', "*"):
        again = world.get(url, {"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    world.trade(at_s=600)
    world.step()
    lagging = world.get(url, {"If-None-Match": first.headers["etag"]})
    assert (lagging.status_code, lagging.headers["slackwater-lag-records"]) == (304, "1")
    world.emit()
    world.step()
    assert world.get(url, {"If-None-Match": first.headers["etag"]}).status_code == 200


def test_a_cursor_is_bound_to_its_question(world: World) -> None:
    cut_in_a_minute(world)
    found = world.bars(f"symbol=BTC&start={NOON}&limit=2")
    other = [f"symbol=BTC&start={NOON}&limit=3", f"symbol=BTC&start={NOON + 1}&limit=2", "symbol=BTC&limit=2"]
    for query in other:
        world.bars(f"{query}&cursor={found['next']}", expect=422)
    world.bars(f"symbol=BTC&start={NOON}&limit=2&cursor={found['next'][:-2]}", expect=422)


def test_a_cursor_that_was_made_up_is_refused(world: World) -> None:
    cut_in_a_minute(world)
    query = f"symbol=BTC&start={NOON}&limit=2"
    token = world.bars(query)["next"]
    good = json.loads(base64.urlsafe_b64decode(token + "=="))
    wrong: list[Any] = [
        None,
        [],
        {},
        "",
        "x",
        -1,
        7,
        2**63,
        2**70,
        1.5,
        True,
        [1],
        ["x", 1],
        {"x": 1},
        {"1": -1},
        {"9": 5},
    ]
    for name in good:
        for value in wrong:
            made_up = base64.urlsafe_b64encode(json.dumps({**good, name: value}).encode()).rstrip(b"=").decode()
            response = world.get(f"/v1/bars?venue=x&{query}&cursor={made_up}")
            assert response.status_code in {200, 410, 422}, (name, value, response.text)
            if response.status_code == 200:
                assert name in {"version", "whole", "ends", "after"}, "those that still name something that is kept"


def test_pages_of_one_cursor_are_not_mixed_when_the_chain_is_refused_between_them(world: World) -> None:
    cut_in_a_minute(world)
    query = f"symbol=BTC&start={NOON}&limit=2"
    merged = world.bars(query)["next"]
    end = world.log.bounds(NAMES.topic("trades"))[1].end
    lost = [world.log.topics[NAMES.topic("trades")][1].records[end - 1]]
    world.log.truncate(NAMES.topic("trades"), 1, end - 1)
    world.step()
    world.bars(f"{query}&cursor={merged}", expect=410)
    alone = world.bars(query)
    assert (alone["meta"]["layer"], alone["meta"]["complete"]) == ("batch", False)
    world.log.append(NAMES.topic("trades"), 1, None, lost[0].value)
    cut = world.mark("run-2")
    world.publish(cut, "run-2")
    world.step()
    second = world.bars(f"{query}&cursor={alone['next']}")
    assert alone["bars"] + second["bars"] == world.oracle({1: 4}).bars("x", "BTC", MINUTE)


def test_a_cursor_whose_version_or_cells_are_gone_is_410(world: World) -> None:
    cut_in_a_minute(world)
    query = f"symbol=BTC&start={NOON}&limit=2"
    old = world.bars(query)["next"]
    for number in range(2, 7):
        world.publish(world.mark(f"run-{number}"), f"run-{number}")
        world.emit()
        world.step()
    assert "cursor" in world.bars(f"{query}&cursor={old}", expect=410)["detail"]
    now = world.bars(query)["next"]
    world.serve()
    world.trade(at_s=800)
    world.trade(at_s=801)
    world.emit()
    world.step()
    world.bars(f"{query}&cursor={now}", expect=410)


def test_a_cursor_outlives_a_restart_where_its_ends_are_borders_of_cells(world: World) -> None:
    for at_s in range(0, 300, 40):
        world.trade(at_s=at_s)
    for start, upto in ((0, 4), (4, 8)):
        world.send(world.cell(BARS, 1, start, upto), sealed=True)
    world.step()
    query = f"symbol=BTC&start={NOON}&limit=2"
    first = world.bars(query)
    world.serve()
    world.step()
    found = world.bars(f"{query}&cursor={first['next']}")
    assert first["bars"] + found["bars"] == world.oracle().bars("x", "BTC", MINUTE)[:4]


def test_files_that_were_expired_under_a_cursor_are_410(world: World) -> None:
    world.serve(ServingOptions(poll_s=0.0, cached_row_bytes=0))  # else the rows that it needs are kept
    cut_in_a_minute(world)
    query = f"symbol=BTC&start={NOON}&limit=2"
    old = world.bars(query)["next"]
    world.publish(world.mark("run-2"), "run-2")
    world.step()
    for file in world.store.manifest(1).parts:
        (world.store.home / file.file.path).unlink()
    world.bars(f"{query}&cursor={old}", expect=410)
    assert world.bars("symbol=BTC")["bars"] == world.oracle().bars("x", "BTC", MINUTE)


def test_times_are_written_as_asked(world: World) -> None:
    cut_in_a_minute(world)
    found = world.bars("symbol=BTC&times=iso&limit=1&start=2025-10-06T12:01:00Z")
    assert found["bars"][0]["start"] == "2025-10-06T12:01:00Z"
    same = world.bars(f"symbol=BTC&limit=1&start={NOON + MINUTE}")
    assert same["bars"][0]["start"] == NOON + MINUTE


def test_a_range_holds_the_bars_that_start_in_it(world: World) -> None:
    cut_in_a_minute(world)
    for low, high in [(0, 60), (1, 61), (60, 61), (59, 241), (241, 10_000), (0, 1)]:
        start, end = NOON + low * SECOND, NOON + high * SECOND
        found = world.bars(f"symbol=BTC&start={start}&end={end}")["bars"]
        assert found == world.oracle().bars("x", "BTC", MINUTE, start, end)


def test_an_instrument_in_two_partitions_is_counted_as_it_stands(world: World) -> None:
    """A writer past ingest may put events of one instrument anywhere."""
    for at_s in range(5):
        world.trade(at_s=at_s, partition=at_s % 2)
    cut = world.mark("run-1")
    for at_s in range(3, 9):
        world.trade(at_s=at_s * 10, partition=at_s % 2)
    world.emit()
    world.publish(cut, "run-1")
    world.step()
    found = world.bars("symbol=BTC&interval=5s")
    assert found["bars"] == world.oracle().bars("x", "BTC", 5 * SECOND)
    assert set(found["meta"]["applied"]) == {"0", "1"}


def test_a_new_partition_is_read_from_its_first_offset(world: World) -> None:
    cut_in_a_minute(world)
    for topic in (NAMES.deltas("trades"), NAMES.topic("trades")):
        world.log.topics[topic].append(type(world.log.topics[topic][0])())
    world.partitions = 3
    world.trade("NEW", at_s=5, partition=2)
    world.emit()
    world.step(seconds=10)
    world.step()
    found = world.bars("symbol=NEW")
    assert found["bars"] == world.oracle().bars("x", "NEW", MINUTE)
    assert (found["meta"]["cut"], found["meta"]["applied"]) == ({"2": 0}, {"2": 1})


def test_a_second_view_is_one_declaration(tmp_path: Path) -> None:
    world = World(tmp_path, views=(BARS, FLOW, SIDES))
    cut_in_a_minute(world)
    found = world.get("/v1/flow?venue=x&symbol=BTC&interval=1d").json()
    assert found["flow"] == [
        {"start": NOON - NOON % (86_400 * SECOND), "volume": "8", "vwap": "445.775", "last": "740", "closed": False}
    ]
    assert found["meta"]["definition"] == FLOW.definition
    assert world.get("/v1/flow?venue=x&symbol=BTC&fill=previous").status_code == 422
    assert "/v1/flow" in world.get("/openapi.json").json()["paths"]
    world.close()


def test_a_view_with_further_key_columns_has_a_row_for_each(tmp_path: Path) -> None:
    world = World(tmp_path, views=(BARS, SIDES))
    cut_in_a_minute(world)
    query = f"/v1/sides?venue=x&symbol=BTC&start={NOON}"
    whole = world.get(query).json()["sides"]
    places = [((row["start"] - NOON) // MINUTE, row["side"], row["trades"]) for row in whole]
    assert places == [
        (0, "buy", 1),
        (1, "buy", 2),
        (1, "sell", 1),
        (4, "buy", 1),
        (4, "sell", 1),
        (5, "sell", 1),
        (9, "sell", 1),
    ]
    for limit in range(1, 8):
        pages, cursor = [], ""
        while True:
            found = world.get(f"{query}&limit={limit}{cursor}").json()
            pages += found["sides"]
            if found["next"] is None:
                break
            cursor = f"&cursor={found['next']}"
        assert pages == whole
    assert world.get("/v1/sides?venue=x&symbol=BTC&limit=3").json()["sides"] == whole[-3:]
    world.close()
