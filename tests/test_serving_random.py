"""Random logs, cuts, cells and orders of arrival: whatever is answered equals the oracle at the positions it names.

    log      e e m e e | e e e m e e e        e: events, m: marks
    deltas   cells over it, open and sealed, in any order, twice, with holes
    versions at some of the marks

Every answer says which offsets are applied; the oracle is shown exactly those records.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.query.parameters import FIRST_US
from serving.store.batch import BatchReader, windows
from serving.store.fold import Fold
from serving.store.request import Keys, Range, RowRequest
from slackwater.deltas.chain import Chain
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS
from slackwater.views.interval import NAMED_INTERVALS, Interval
from tests.laws import merge_all
from tests.profiles import examples
from tests.serving_world import NOON, SECOND, World, offsets

SYMBOLS = ("BTC", "ETHX", "SOL")


def grow(world: World, random: Random, count: int) -> None:
    """Append random events, late ones among them, and now and then a record that does not decode."""
    for _ in range(count):
        at_s = random.choice([random.random() * 10, random.random() * 4000, random.random() * 200_000])
        price = f"{random.randrange(1, 10**6)}.{random.randrange(10**8):08d}"
        quantity = f"{random.randrange(10**3)}.{random.randrange(1, 10**8):08d}"
        side = random.choice(["buy", "sell"])
        symbol = random.choice(SYMBOLS)
        partition = len(symbol) % 2 if random.random() < 0.9 else random.randrange(2)
        world.trade(symbol, at_s, price, quantity=quantity, side=side, partition=partition)
        if random.random() < 0.05:
            world.log.append("slackwater.trades", random.randrange(2), None, random.choice([b"", b"{", None]))


def deliver(world: World, random: Random, start: dict[int, int]) -> None:
    """Publish cells from `start` on, in any order, some as they were when they were smaller, some twice, some not."""
    cells = [cell for p in range(2) for cell in world.cells(BARS, p, start.get(p, 0))]
    for cell in list(cells):
        if cell.upto - cell.start > 1 and random.random() < 0.5:
            cells.append(
                world.cell(BARS, cell.delta_key.partition, cell.start, random.randrange(cell.start + 1, cell.upto))
            )
        if random.random() < 0.2:
            cells.append(cell)
    random.shuffle(cells)
    for cell in cells[: random.choice([len(cells), len(cells), random.randrange(len(cells) + 1)])]:
        world.send(cell, sealed=random.random() < 0.5)


def check(world: World, random: Random) -> None:
    """One random question, answered in pages, against the oracle at the applied positions."""
    symbol, interval = random.choice(SYMBOLS), random.choice(NAMED_INTERVALS)
    layer = random.choice(["merged", "merged", "batch"])
    start = random.choice([None, FIRST_US, NOON, NOON + random.randrange(4000) * SECOND])
    end = random.choice([None, (start or NOON) + random.randrange(1, 300_000) * SECOND + random.randrange(3)])
    limit = random.choice([1, 3, 50, 10_000])
    query = f"symbol={symbol}&interval={interval.text}&layer={layer}&limit={limit}"
    query += (f"&start={start}" if start is not None else "") + (f"&end={end}" if end is not None else "")
    response = world.get(f"/v1/bars?venue=x&{query}")
    if response.status_code == 404:
        return
    first = response.json()
    pages, following = list(first["bars"]), first["next"]
    while following and len(pages) < 40:
        if random.random() < 0.3:
            grow(world, random, 2)
            world.emit()
            world.step(random.choice([0.0, 2.0]))
        found = world.bars(f"{query}&cursor={following}")
        assert found["meta"] == first["meta"]
        pages, following = pages + found["bars"], found["next"]
    expected = world.oracle(offsets(first["meta"]["applied"])).bars("x", symbol, interval.us, start, end)
    if start is None:
        expected = expected[-limit:]
    elif following:
        expected = expected[: len(pages)]
    assert pages == expected


@given(st.integers(0, 2**32))
@examples(6)
def test_every_answer_equals_the_oracle_at_its_positions(seed: int) -> None:
    random = Random(seed)
    with tempfile.TemporaryDirectory() as home:
        world = World(Path(home))
        cuts: list[dict[int, int]] = [{}]
        for turn in range(3):
            grow(world, random, random.randrange(40))
            if random.random() < 0.7:
                cut = world.mark(f"run-{turn}")
                grow(world, random, random.randrange(20))
                if random.random() < 0.8:
                    world.publish(cut, f"run-{turn}")
                    cuts.append(cut)
            deliver(world, random, random.choice(cuts))
            world.step()
            for _ in range(3):
                check(world, random)
        world.close()


@given(st.integers(0, 2**32))
@examples(10)
def test_an_end_of_a_chain_gives_the_same_bars_for_ever(seed: int) -> None:
    """A fold grows cell by cell; at each step its end is noted, and all ends are read again at the end."""
    random = Random(seed)
    with tempfile.TemporaryDirectory() as home:
        world = World(Path(home))
        noted = []
        for turn in range(6):
            grow(world, random, random.randrange(1, 12))
            if random.random() < 0.4:
                world.mark(f"run-{turn}")
            world.emit()
            world.step(2.0)
            key = world.service.watch.snapshot.key  # type: ignore[union-attr]
            ends = world.service.hot.ends(key, "bars", [0, 1])
            assert ends is not None
            world.service.hot.remember(ends.values())
            noted.append((key, {p: end.upto for p, end in ends.items()}))
        for key, uptos in noted:
            recalled = world.service.hot.recall(key, "bars", uptos, complete=True)
            assert recalled is not None
            for p, end in recalled.items():
                cells = world.cells(BARS, p, 0, uptos[p])
                for symbol in SYMBOLS:
                    interval: Interval = random.choice(NAMED_INTERVALS)
                    rows = [row for cell in cells for row in cell.rows if row.key == ("x", symbol)]
                    expected: dict[int, Any] = {}
                    for row in rows:
                        expected.setdefault(interval.floor(row.start), []).append(row.state)
                    found = end.bars(("x", symbol), interval, 0, None, 10_000, random.random() < 0.5)
                    assert found == {start: merge_all(BARS, states) for start, states in expected.items()}
                    assert end.newest(("x", symbol)) == max((row.start for row in rows), default=None)
        world.close()


def test_a_settled_cell_that_is_replaced_asks_for_a_new_fold(world: World) -> None:
    for i in range(6):
        world.trade(at_s=i)
    chain = Chain()
    delta_key = world.cell(BARS, 1, 0, 2).delta_key
    fold = Fold(BARS, delta_key, 0, chain)
    for start, upto in ((0, 2), (2, 4)):
        cell = world.cell(BARS, 1, start, upto)
        chain.put(cell)
        assert fold.take(cell)
    longer = world.cell(BARS, 1, 0, 3)
    chain.put(longer)
    assert not fold.take(longer)
    assert Fold(BARS, delta_key, 0, chain).end == 3


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.close()


def test_windows_grow_to_the_whole_range() -> None:
    interval = NAMED_INTERVALS[0]
    for newest_first in (False, True):
        of = Range(interval, 0, None, 10, newest_first)
        found = list(windows(of, 0, 10_000 * interval.us))
        assert found[-1] == (0, 10_000 * interval.us)
        assert all(low >= 0 and high <= 10_000 * interval.us for low, high in found)
        assert [high - low for low, high in found] == sorted(high - low for low, high in found)
        assert all(
            (high if newest_first else low) == (10_000 * interval.us if newest_first else 0) for low, high in found
        )


@pytest.mark.parametrize("newest_first", [False, True])
def test_sparse_bars_are_found_however_wide_the_holes(world: World, newest_first: bool) -> None:
    times = [0, 1, 100, 5_000, 80_000, 80_001]
    for at_s in times:
        world.trade(at_s=-at_s if newest_first else at_s)
    world.publish(world.mark("run-1"), "run-1")
    reader = BatchReader(world.store.data.fetch, world.store.manifest(1))
    for limit in range(1, 8):
        request = RowRequest(BARS, Keys((("x", "BTC"),)), Range(NAMED_INTERVALS[0], 0, None, limit, newest_first))
        starts = [(row.start - NOON) // SECOND for row in reader.rows(request, reader.cursor())]
        assert starts == (sorted(-at for at in times[:limit]) if newest_first else times[:limit])
    reader.close()


def test_files_of_several_shards_are_merged_where_an_instrument_lies_in_both(world: World) -> None:
    for at_s in (0, 0.5, 1, 3600):
        for partition in (0, 1):
            world.trade(at_s=at_s, partition=partition)
    world.publish(world.mark("run-1"), "run-1")
    world.step()
    for interval in NAMED_INTERVALS:
        found = world.bars(f"symbol=BTC&layer=batch&interval={interval.text}")["bars"]
        cut = world.store.manifest(1).cut(TRADES)
        expected = world.oracle(cut).bars("x", "BTC", interval.us)
        assert found == expected
