"""Series and directories against the slow obvious way: lists of what was given, searched each time."""

from random import Random
from typing import Any

import pytest

from serving.store.directory import Directory
from serving.store.series import LONG, Series
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS

State = tuple[int, ...]
SECOND = 1_000_000


def merge(a: State, b: State) -> State:
    """Keeps the order of the parts, so that a wrong one shows."""
    return a + b


def floored(given: list[tuple[int, int, State]], us: int) -> dict[int, State]:
    found: dict[int, State] = {}
    for _, start, state in given:
        found[start // us * us] = found.get(start // us * us, ()) + state
    return found


@pytest.mark.parametrize("seed", range(40))
def test_a_series_gives_what_was_given_to_it(seed: int) -> None:
    random = Random(seed)
    given: list[tuple[int, int, State]] = []
    series: Series | None = None
    number = 0
    for step in range(random.choice([1, 2, LONG - 1, LONG, 3 * LONG])):
        number += random.randrange(2)
        late = random.choice([0, 0, 0, 1, 70, 4000])
        start = max(0, step * random.choice([1, 50]) - late) * SECOND
        state = (step,)
        if series is None:
            series = Series(number, start, state)
        else:
            series.add(number, start, state, merge, BARS.intervals[1:])
        given.append((number, start, state))
    assert series is not None
    for count in (0, 1, number // 2, number, number + 1):
        starts = [start for of, start, _ in given if of < count]
        assert series.newest(count) == max(starts, default=None)
        assert series.oldest(count) == min(starts, default=None)
    low, high = sorted(random.sample(range(0, 4 * LONG * SECOND, SECOND // 2), 2))
    for newest_first in (False, True):
        parts: dict[int, Any] = {}
        for of, start, state in given:
            if low <= start < high:
                parts.setdefault(start, []).append((of, state))
        expected = sorted(parts.items(), reverse=newest_first)
        assert [(start, list(of)) for start, of in series.given(low, high, newest_first)] == expected
        for text in ("1s", "1m", "5m", "1h", "1d"):
            kept = BARS.coarsest[text]
            states = list(series.states(kept, 0, None, newest_first))
            starts = [start for start, _ in states]
            assert starts == sorted(set(starts), reverse=newest_first)
            merged: dict[int, list[int]] = {}
            for start, state in states:
                merged.setdefault(start // kept.us * kept.us, []).extend(state)
            whole = {start: sorted(state) for start, state in floored(given, kept.us).items()}
            assert {start: sorted(state) for start, state in merged.items()} == whole
    is_long = len({start for _, start, _ in given}) >= LONG
    hours = floored(given, PUBLISHED_INTERVALS[-1].us)
    if is_long:  # read from its own level, not from every second
        assert len(list(series.states(PUBLISHED_INTERVALS[-1], 0, None, False))) == len(hours)


@pytest.mark.parametrize("seed", range(10))
def test_a_directory_gives_instruments_in_order_with_their_partitions(seed: int) -> None:
    random = Random(seed)
    directory, expected = Directory(), {}
    for _ in range(200):
        name, partition = (random.choice("xyz"), f"S{random.randrange(40)}"), random.randrange(3)
        fresh = partition not in expected.get(name, set())
        assert directory.put(name, partition) == fresh
        expected.setdefault(name, set()).add(partition)
        if random.random() < 0.1:
            low = random.choice([(), ("x",), ("y", "S2"), ("y", "S2\0")])
            high = random.choice([None, ("y\0",), ("z", "S3")])
            most = random.choice([1, 5, 1000])
            names = sorted(n for n in expected if n >= low and (high is None or n < high))[:most]
            assert directory.page(low, high, most) == {n: expected[n] for n in names}
            assert list(directory.page(low, high, most)) == names
    assert len(directory) == len(expected)
    assert ("x", "none") not in directory
    assert directory == expected
