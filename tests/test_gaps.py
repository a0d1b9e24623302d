"""Gaps of dense ids: exactly what is missing, of runs and bars, of a version and a chain, in a list and beside bars."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.store.gaps import NO_GAPS, Gap, gaps_of, merged
from tests.serving_world import NOON, SECOND, World

VENUE = "binance_spot"


def runs(ids: set[int]) -> tuple[Any, Any]:
    """The runs of some ids."""
    order = sorted(ids)
    firsts = [n for n in order if n - 1 not in ids]
    lasts = [n for n in order if n + 1 not in ids]
    return np.array(firsts, np.int64), np.array(lasts, np.int64)


def missing_of(ids: set[int]) -> set[int]:
    return set(range(min(ids), max(ids) + 1)) - ids if ids else set()


def test_gaps_lie_between_runs() -> None:
    assert gaps_of(*runs(set())).gaps == NO_GAPS.gaps
    found = gaps_of(*runs({1, 2, 3, 7, 8, 20}))
    assert (found.first, found.last, found.missing) == (1, 20, 14)
    assert found.gaps == [Gap(4, 6, 3), Gap(9, 19, 11)]
    assert [found.within(*bar) for bar in ((1, 3), (1, 2), (7, 8), (2, 7), (20, 25), (21, 22))] == [3, 0, 14, 3, 11, 0]


def test_a_bar_says_how_many_and_where() -> None:
    found = gaps_of(*runs({1, 2}), [(5, 9, 3), (10, 11, 2)])
    assert found.gaps == [Gap(3, 4, 2), Gap(6, 8, 2)]
    assert [gap.exact for gap in found.gaps] == [True, False]
    # Two bars that overlap, since 8 is older than 7: together they are whole.
    assert gaps_of(*runs(set()), [(5, 8, 3), (7, 9, 2)]).gaps == []
    # What a bar of the chain brings into a hole of the archive.
    assert gaps_of(*runs({1, 2, 6, 7}), [(3, 4, 2)]).gaps == [Gap(5, 5, 1)]
    # A bar around what the archive holds.
    assert gaps_of(*runs({4}), [(3, 5, 2)]).missing == 0


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)), st.randoms(use_true_random=False))
def test_the_number_is_exact_however_ids_are_spread(known: set[int], live: set[int], draw: random.Random) -> None:
    live -= known
    bars: dict[int, list[int]] = {}
    for number in sorted(live):
        bars.setdefault((number + draw.randrange(-3, 4)) // 7, []).append(number)
    found = gaps_of(*runs(known), [(min(of), max(of), len(of)) for of in bars.values()])
    assert found.missing == len(missing_of(known | live))
    truly = missing_of(known | live)
    for gap in found.gaps:
        inside = truly & set(range(gap.first, gap.last + 1))
        assert len(inside) == gap.missing or not gap.exact
    assert {n for gap in found.gaps if gap.exact for n in range(gap.first, gap.last + 1)} <= truly
    order = [(gap.first, gap.last) for gap in found.gaps]
    assert order == sorted(order)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=20))
def test_runs_become_one_where_they_touch(given_runs: list[tuple[int, int]]) -> None:
    ids = {n for first, length in given_runs for n in range(first, first + length + 1)}
    firsts = np.array([first for first, _ in given_runs], np.int64)
    found = merged(firsts, firsts + np.array([length for _, length in given_runs], np.int64))
    assert [a.tolist() for a in found] == [a.tolist() for a in runs(ids)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "home")
    yield made
    made.close()


def gaps(world: World, query: str = "") -> dict[str, Any]:
    response = world.get(f"/v1/gaps{query}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def bars(world: World, query: str) -> list[dict[str, Any]]:
    response = world.get(f"/v1/bars?{query}")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["bars"]
    return found


def cut(world: World, run_id: str) -> None:
    world.emit()
    world.publish(world.mark(run_id), run_id)
    world.emit()
    world.step()


def test_a_gap_is_listed_the_moment_it_appears_and_until_it_is_filled(world: World) -> None:
    for number, at_s in ((1, 0), (2, 0.5), (3, 1), (7, 2.25)):
        world.trade("BTC", at_s, venue=VENUE, trade_id=number)
    world.trade("BTC", 0, venue="x", trade_id=1)
    world.trade("BTC", 0, venue="x", trade_id=9)  # its ids are not dense
    cut(world, "run-1")
    wanted = {
        **{"stream": "trades", "venue": VENUE, "symbol": "BTC", "first": 4, "last": 6, "missing": 3, "exact": True},
        **{"after": NOON + SECOND, "before": NOON + 2 * SECOND},
    }
    found = gaps(world)
    assert found["gaps"] == [wanted]
    assert (found["meta"]["gaps"], found["meta"]["missing"], found["meta"]["version"]) == (1, 3, 1)
    world.trade("BTC", 3, venue=VENUE, trade_id=10)
    world.trade("BTC", 3.5, venue=VENUE, trade_id=12)
    world.emit()
    world.step()
    inside, after = gaps(world)["gaps"][:2]
    assert (inside["first"], inside["last"], inside["missing"], inside["exact"]) == (11, 11, 1, True)
    assert (after["first"], after["last"], after["before"]) == (8, 9, NOON + 3 * SECOND)
    world.trade("BTC", 1.5, venue=VENUE, trade_id=4)  # comes late
    world.trade("BTC", 1.6, venue=VENUE, trade_id=5)
    world.emit()
    world.step()
    assert [(gap["first"], gap["last"]) for gap in gaps(world)["gaps"]] == [(11, 11), (8, 9), (6, 6)]
    assert [(gap["first"]) for gap in gaps(world, "?limit=1")["gaps"]] == [11]
    assert gaps(world, "?limit=1")["meta"]["missing"] == 4
    assert gaps(world, "?venue=x")["gaps"] == [] == gaps(world, "?symbol=ETH")["gaps"]


def test_bars_say_what_is_missing_in_them_and_beside_them(world: World) -> None:
    for number, at_s in ((1, 0), (2, 0.5), (5, 1.5), (6, 2.5), (8, 2.75), (9, 3.5)):
        world.trade("BTC", at_s, venue=VENUE, trade_id=number)
    cut(world, "run-1")
    world.trade("BTC", 4.5, venue=VENUE, trade_id=12)
    world.emit()
    world.step()
    asked = f"venue={VENUE}&symbol=BTC&interval=1s&gaps=true"
    assert [bar["gaps"] for bar in bars(world, asked)] == [2, 2, 1, 2, 2]
    assert [bar["gaps"] for bar in bars(world, f"{asked}&layer=batch")] == [2, 2, 1, 0]
    assert [bar["gaps"] for bar in bars(world, f"{asked}&as_of=1")] == [2, 2, 1, 0]
    assert [bar["gaps"] for bar in bars(world, asked.replace("1s", "1m"))] == [5]
    assert "gaps" not in bars(world, asked.replace("&gaps=true", ""))[0]
    table = pa.ipc.open_stream(world.get(f"/v1/bars?{asked}&format=arrow").content).read_all()
    assert table.column("gaps").to_pylist() == [2, 2, 1, 2, 2]
    world.trade("BTC", 0, venue="x", trade_id=1)
    world.emit()
    world.step()
    assert [bar["gaps"] for bar in bars(world, "venue=x&symbol=BTC&interval=1s&gaps=true")] == [None]
    for wrong in ("explain=true", "limit=all&format=csv"):
        assert world.get(f"/v1/bars?{asked}&{wrong}").status_code == 422


@pytest.mark.parametrize("seed", range(8))
def test_the_list_and_the_bars_are_right_at_every_moment(world: World, seed: int) -> None:
    draw = random.Random(seed)
    numbers = [n for n in range(1, 80) if draw.random() < 0.7]
    order = sorted(numbers, key=lambda n: n + draw.random() * draw.choice([0, 3, 40]))
    heard: dict[int, float] = {}
    for step, number in enumerate(order):
        heard[number] = number * 0.3 + draw.choice([0, 0, 0.4])
        world.trade("BTC", heard[number], venue=VENUE, trade_id=number)
        if step % 9 == 8:
            cut(world, f"run-{step}")
        elif step % 3 == 2:
            world.emit()
            world.step()
        else:
            continue
        truly = missing_of(set(heard))
        found = gaps(world, "?limit=1000")
        assert found["meta"]["missing"] == len(truly)
        exact = {n for gap in found["gaps"] if gap["exact"] for n in range(gap["first"], gap["last"] + 1)}
        assert exact <= truly
        if step % 9 == 8:  # a batch run has read all of it
            assert exact == truly
            for interval_s, text in ((1, "1s"), (60, "1m")):
                asked = f"venue={VENUE}&symbol=BTC&interval={text}&gaps=true&limit=1000"
                for bar in bars(world, asked):
                    low = (bar["start"] - NOON) / SECOND
                    own = [n for n, at_s in heard.items() if low <= at_s < low + interval_s]
                    assert bar["gaps"] == len(beside(own, set(heard), truly)), bar


def beside(own: list[int], heard: set[int], truly: set[int]) -> set[int]:
    """Ids missing between the first and last of some, and up to the neighbours of these."""
    low = max((n for n in heard if n < min(own)), default=min(own))
    high = min((n for n in heard if n > max(own)), default=max(own))
    return {n for n in truly if low < n < high}
