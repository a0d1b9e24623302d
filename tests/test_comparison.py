"""The proof's comparison by itself: shards that one statement compares are not mixed up, and large ones go alone."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batch_layer.comparison import Compared, Comparison, Side
from batch_layer.together import TOGETHER_ROWS, together
from slackwater.deltas.cell import DeltaKey
from slackwater.versions.manifest import Part
from slackwater.versions.store import VersionStore
from slackwater.views.flow import FLOW
from slackwater.views.interval import parse_interval
from slackwater.views.limits import UNLIMITED
from slackwater.views.rows import Row, table_of

KEY = ("binance", "BTCUSDT", "buy")
Shards = Mapping[int, int]
"""Shard -> trades of its one bar."""


def bar(trades: int, start: int = 0) -> Row:
    return Row(KEY, start, (trades, trades * 10**16, trades * 10**16))


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path)


def part(store: VersionStore, shard: int, trades: int, interval: str = "1s") -> Part:
    path = store.home / "states" / "run" / f"{interval}-{shard}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table_of(FLOW, [bar(trades)]), path)
    return Part(store.stored(path, 1), FLOW.name, interval, shard, 0, 0, (1, 1), 1)


def compared(store: VersionStore, cells: Shards, own: Shards) -> Compared:
    with Comparison(store.data.fetch, UNLIMITED) as comparison:
        sides = []
        for shard in cells.keys() | own.keys():
            delta_key = DeltaKey(FLOW.name, FLOW.definition, "topic", shard)
            if shard in cells:
                comparison.add(delta_key, FLOW, [bar(cells[shard])])
            sides.append(Side(delta_key, (), [part(store, shard, own[shard])] if shard in own else [], ()))
        comparison.base(FLOW, sides)
        return comparison.compared


def test_shards_that_hold_what_the_cells_give_are_equal(store: VersionStore) -> None:
    assert compared(store, {0: 3, 1: 5}, {0: 3, 1: 5}) == Compared(2, 0, [])


@pytest.mark.parametrize(
    ("own", "wrong"),
    [({0: 5, 1: 3}, {0, 1}), ({0: 8}, {0, 1}), ({0: 3, 1: 6}, {1}), ({0: 3, 1: 5, 2: 1}, {2})],
    ids=["exchanged", "all in one", "one too many", "a shard that has no cell"],
)
@pytest.mark.parametrize("rows", [TOGETHER_ROWS, 0], ids=["at once", "one by one"])
def test_a_wrong_shard_is_named_though_the_sum_of_all_be_right(
    store: VersionStore, own: Shards, wrong: set[int], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_layer.together.TOGETHER_ROWS", rows)
    found = compared(store, {0: 3, 1: 5}, own)
    assert found.differ == len(wrong)
    assert {each.partition for each in found.first} == wrong
    assert {each.key for each in found.first} == {KEY}


def test_a_coarser_level_is_compared_shard_by_shard(store: VersionStore) -> None:
    base, minutes = ([part(store, shard, n, text) for shard, n in {0: 3, 1: 5}.items()] for text in ("1s", "1m"))
    for hours, wrong in (({0: 3, 1: 5}, set[int]()), ({0: 5, 1: 3}, {0, 1})):
        coarser = [part(store, shard, trades, "1h") for shard, trades in hours.items()]
        with Comparison(store.data.fetch, UNLIMITED) as comparison:
            comparison.coarser(FLOW, [*base, *minutes, *coarser])
            told = [each for each in comparison.compared.first if each.interval == "1h"]
        assert {each.partition for each in told} == wrong


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("missing", [None, 0, 3, 9])
def test_a_large_shard_is_compared_in_ranges_of_time_with_the_same_result(
    store: VersionStore, missing: int | None, flushed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = 1_000_000
    starts = [second * at * 40 for at in range(10)]  # several of them in a minute

    def whole() -> Compared:
        parts = []
        for text, step in (("1s", second), ("1m", 60 * second), ("1h", 3_600 * second)):
            counted = Counter(start - start % step for start in starts)
            if missing is not None and text == "1s":
                counted[starts[missing]] += 1
            path = store.home / "states" / "run" / f"{text}-{len(list(store.home.rglob('*.parquet')))}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table_of(FLOW, [bar(n, start) for start, n in counted.items()]), path)
            ends = min(counted), max(counted)
            parts.append(Part(store.stored(path, len(counted)), FLOW.name, text, 0, *ends, (1, 1), 1))
        with Comparison(store.data.fetch, UNLIMITED) as comparison:
            delta_key = DeltaKey(FLOW.name, FLOW.definition, "topic", 0)
            comparison.add(delta_key, FLOW, [bar(1, start) for start in starts])
            comparison.base(FLOW, [Side(delta_key, (), parts[:1], ())])
            comparison.coarser(FLOW, parts)
            return comparison.compared

    if flushed:
        monkeypatch.setattr("batch_layer.comparison.CHUNK_ROWS", 1)
    at_once = whole()
    monkeypatch.setattr("batch_layer.ranges.RANGE_ROWS", 3)
    assert whole() == at_once
    assert at_once.differ == (0 if missing is None else 2)  # the second, and its minute


def test_those_with_many_rows_are_handled_alone_and_all_of_them_once() -> None:
    rows = [10, TOGETHER_ROWS, 20, 30, 2 * TOGETHER_ROWS]
    assert list(together(rows, int)) == [[10], [TOGETHER_ROWS], [20, 30], [2 * TOGETHER_ROWS]]
    assert list(together([], int)) == []


def test_a_view_apart_has_one_more_key_and_is_the_same_else() -> None:
    apart = FLOW.apart("_number")
    assert apart.key == (*FLOW.key, "_number")
    assert apart.columns == FLOW.columns
    assert apart.state_schema.names == [*FLOW.key, "_number", "start", *(each.name for each in FLOW.columns)]
    assert parse_interval("1h") in apart.intervals
