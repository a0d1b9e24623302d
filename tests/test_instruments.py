"""The instruments of a version: found by name, in order, back from JSON as they were."""

import json
from random import Random

import pytest

from slackwater.store.instruments import SCHEMA, Instrument, Instruments


def drawn(seed: int) -> list[Instrument]:
    """Instruments of a few venues, some of them in several partitions, in no order."""
    random = Random(seed)
    names = {(random.choice(["x", "y", "yy", "a-b"]), random.choice("ABC") + str(n % 7)) for n in range(60)}
    places = {(*name, random.randrange(3)) for name in names for _ in range(2)}
    found = [Instrument(*place, first := random.randrange(10**15), first + random.randrange(99)) for place in places]
    return random.sample(found, len(found))


@pytest.mark.parametrize("seed", range(20))
def test_instruments_are_in_order_and_found_by_name(seed: int) -> None:
    given = drawn(seed)
    instruments = Instruments(given)
    ordered = sorted(given, key=lambda each: (each.venue, each.symbol, each.partition))
    assert [*instruments] == [instruments[at] for at in range(len(instruments))] == ordered
    assert instruments[-1] == ordered[-1]
    assert instruments[1:4] == ordered[1:4]
    for venue, symbol in {(each.venue, each.symbol) for each in given} | {("x", "none"), ("none", "A0"), ("zz", "A0")}:
        here = tuple(each for each in ordered if (each.venue, each.symbol) == (venue, symbol))
        assert instruments.of(venue, symbol) == here
        bounds = (min(e.first_start for e in here), max(e.last_start for e in here)) if here else None
        assert instruments.span(venue, symbol) == bounds
        assert instruments.place(venue, symbol) == len([e for e in ordered if (e.venue, e.symbol) < (venue, symbol)])
    first, last = sorted(Random(seed).sample(range(len(given)), 2))
    assert [*instruments.entries(first, last)] == ordered[first:last]


@pytest.mark.parametrize("seed", range(5))
def test_instruments_come_back_from_json_and_as_a_table(seed: int) -> None:
    instruments = Instruments(drawn(seed))
    assert Instruments.from_facts(json.loads(json.dumps(instruments.facts()))) == instruments
    table = instruments.table()
    assert table.schema == SCHEMA
    assert [Instrument(**row) for row in table.to_pylist()] == [*instruments]
    assert instruments != Instruments([*instruments][1:])
    assert len(Instruments().table()) == len(Instruments()) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": ["A"]},
        {"first_start": [1, 2, 3]},
        {"venues": {"x": 1}},
        {"venues": {"y": 1, "x": 1}},
        {"partition": ["0", "1"]},
        {"symbol": [1, 2]},
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    facts = Instruments([Instrument("x", "A", 0, 1, 2), Instrument("y", "B", 1, 3, 4)]).facts()
    with pytest.raises((TypeError, ValueError)):
        Instruments.from_facts({**facts, **change})
