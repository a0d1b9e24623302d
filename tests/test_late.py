"""Late events, found in arrays, against a loop that reads like the definition."""

from random import Random

import pyarrow as pa
import pytest

from slackwater.restatements.late import LATE_SCHEMA, Newest, find_late
from slackwater.views.interval import CLOSED_AFTER_US, parse_interval

SECONDS = parse_interval("1s")
BASE_US = 1_700_000_000_000_000

Event = tuple[str, str, int, int]


def table(events: list[Event]) -> pa.Table:
    venue, symbol, offset, time = zip(*events, strict=True)
    words = (pa.array(column).dictionary_encode() for column in (venue, symbol))
    return pa.table([*words, pa.array(offset), pa.array(time)], names=["venue", "symbol", "offset", "time"])


def by_the_definition(events: list[Event], newest: Newest) -> set[tuple[str, str, int, int, int]]:
    late = set()
    for venue, symbol, offset, time in events:
        before = [t for v, s, o, t in events if (v, s) == (venue, symbol) and o < offset]
        before += [newest[venue, symbol][1]] if (venue, symbol) in newest else []
        if before and SECONDS.floor(time) + SECONDS.us + CLOSED_AFTER_US <= max(before):
            late.add((venue, symbol, offset, time, max(before)))
    return late


@pytest.mark.parametrize("seed", range(40))
def test_random_events_are_late_as_the_definition_says(seed: int) -> None:
    random, newest = Random(seed), Newest()
    names = [(venue, symbol) for venue in "xy" for symbol in ("A", "B", "LONG")][: random.randrange(1, 7)]
    offset = lates = 0
    for _ in range(4):
        events: list[Event] = []
        for _ in range(random.randrange(1, 40)):
            venue, symbol = random.choice(names)
            offset += random.choice([0, 1, 1, 3])
            time = BASE_US + random.choice([0, 1, 2, 3, 9]) * 1_000_000 + random.choice([0, 0, -1, 1, 500_000])
            events.append((venue, symbol, offset, time))
        expected = by_the_definition(events, newest)
        times: dict[tuple[str, str], list[int]] = {name: [*newest.get(name, ())] for name in names}
        for venue, symbol, _, time in events:
            times[venue, symbol].append(time)
        found = find_late(table(events), newest, SECONDS)
        assert found.schema == LATE_SCHEMA
        assert {tuple(row.values()) for row in found.to_pylist()} == expected
        assert newest == {name: (min(all_of), max(all_of)) for name, all_of in times.items() if all_of}
        lates += len(expected)
        offset += 1  # a slice holds whole records
    assert lates or len(names) > 4


def test_a_bar_is_closed_two_seconds_behind_its_end_and_not_a_microsecond_before() -> None:
    newest: Newest = {("x", "A"): (BASE_US, BASE_US + 3_000_000 - 1)}
    assert not find_late(table([("x", "A", 7, BASE_US)]), newest, SECONDS).num_rows
    newest = {("x", "A"): (BASE_US, BASE_US + 3_000_000)}
    assert find_late(table([("x", "A", 7, BASE_US)]), newest, SECONDS).num_rows == 1
