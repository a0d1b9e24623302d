"""`GET /v1/bars` over a log in lists: every answer equals what the oracle recomputes from the log's bytes.

log     [0 ............ mark ............ end)
batch   [0 ............ cut)
speed                   [cut ... applied)
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.views.interval import parse_interval
from tests.serving_world import NOON, SECOND, World, offsets

MINUTE = 60 * SECOND


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.close()


def filled(world: World) -> World:
    """Two instruments, a version in the middle, a late trade behind the cut, and an open cell at the end."""
    for i in range(40):
        world.trade("BTC", i * 3.7, f"{100 + i % 7}.5", quantity=f"0.{i + 1}", side="buy" if i % 3 else "sell")
        world.trade("ETHX", i * 2.9, f"{50 + i % 5}.25", quantity="0.00000001")
    cut = world.mark("run-1")
    for i in range(20):
        world.trade("BTC", 140 + i * 4.1, f"{99 + i % 7}", quantity="3")
        world.trade("BTC", i * 2.5, "250.00000001")
    world.emit()
    world.publish(cut, "run-1")
    return world


def test_before_anything_is_published_the_chain_from_the_first_offset_answers(world: World) -> None:
    world.trade("BTC", 1)
    world.trade("BTC", 2, "101")
    world.emit()
    world.step()
    found = world.bars("symbol=BTC&interval=1m")
    assert found["bars"] == world.oracle().bars("x", "BTC", MINUTE)
    assert found["meta"]["version"] == 0
    assert found["meta"]["applied"] == {"1": 2}
    assert found["meta"]["complete"] is True
    assert found["meta"]["layer"] == "merged"
    assert found["next"] is None


@pytest.mark.parametrize("interval", ["1s", "5s", "1m", "3m", "1h", "1d", "1w"])
@pytest.mark.parametrize("symbol", ["BTC", "ETHX"])
def test_merged_bars_equal_one_recomputation(world: World, interval: str, symbol: str) -> None:
    filled(world).step()
    found = world.bars(f"symbol={symbol}&interval={interval}")
    us = parse_interval(interval).us
    assert found["meta"]["version"] == 1
    assert found["bars"] == world.oracle().bars("x", symbol, us)[-500:]


def test_the_layers_alone_are_the_two_sides_of_the_cut(world: World) -> None:
    filled(world).step()
    batch = world.bars("symbol=BTC&layer=batch")
    assert batch["meta"]["applied"] == batch["meta"]["cut"] == {"1": 40}
    assert batch["bars"] == world.oracle({0: 40, 1: 40}).bars("x", "BTC", MINUTE)
    speed = world.bars("symbol=BTC&layer=speed")
    assert sum(bar["trades"] for bar in speed["bars"]) == 40
    assert offsets(speed["meta"]["applied"]) == {1: 81}


def test_several_symbols_come_in_order_of_start_then_symbol(world: World) -> None:
    filled(world).step()
    found = world.bars("symbol=ETHX,BTC&interval=1s&start=1970-01-01&limit=10000")["bars"]
    assert [(bar["start"], bar["symbol"]) for bar in found] == sorted((bar["start"], bar["symbol"]) for bar in found)
    for symbol in ("BTC", "ETHX"):
        alone = [{k: v for k, v in bar.items() if k != "symbol"} for bar in found if bar["symbol"] == symbol]
        assert alone == world.oracle().bars("x", symbol, SECOND)


@pytest.mark.parametrize("symbols", ["BTC", "BTC,ETHX"])
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_join_to_the_whole_while_trades_flow_and_versions_are_published(
    world: World, symbols: str, limit: int
) -> None:
    filled(world).step()
    query = f"symbol={symbols}&interval=5s&start={NOON}"
    whole = world.bars(f"{query}&limit=10000")
    pages: list[object] = []
    cursor = ""
    for turn in range(1000):
        found = world.bars(f"{query}&limit={limit}{cursor}")
        assert found["meta"] == whole["meta"]
        pages += found["bars"]
        if found["next"] is None:
            break
        cursor = f"&cursor={found['next']}"
        if turn == 1:
            world.trade("BTC", 3)
            world.emit()
        if turn == 3:
            cut = world.mark("run-2")
            world.trade("BTC", 4)
            world.emit()
            world.publish(cut, "run-2")
        world.step()
    assert pages == whole["bars"]
