"""New instruments beyond the cap are refused, those that are known go on: across restarts, batch runs and imports."""

import json
from pathlib import Path
from random import Random

import pytest

from ingest.archive_import import import_history
from ingest.chunk import of_lines
from ingest.figures import IngestFigures
from ingest.files.sources import open_source
from ingest.verdicts import Summary
from ingest.writer import IngestWriter, open_ingest
from slackwater.log.dead_letter import TOO_MANY_INSTRUMENTS
from slackwater.streams.trades import TRADES
from slackwater.versions.writer_lock import hold_import
from tests.ingest_kit import NAMES, House, event, letters, lines_of, memory_house, reasons, rows


@pytest.fixture
def house(tmp_path: Path) -> House:
    return memory_house(tmp_path / "home")


def ingested(house: House, lines: list[bytes], most: int) -> Summary:
    with open_ingest(TRADES, house.log, NAMES, house.store, house.clock, most_entities=most) as writer:
        writer.accept(of_lines("a", lines))
    return writer.summary()


def trades(first_id: int, *symbols: str) -> list[bytes]:
    return lines_of([event(first_id + at, symbol=symbol) for at, symbol in enumerate(symbols)])


def symbols(house: House) -> set[str]:
    return {row["symbol"] for row in rows(house.log)}


def test_the_first_instruments_are_taken_and_the_others_are_dead_letters(house: House) -> None:
    lines = trades(1, "B", "A", "B", "C", "A", "D", "C")
    summary = ingested(house, lines, 2)
    assert (summary.accepted, dict(summary.refused)) == (4, {TOO_MANY_INSTRUMENTS: 3})
    assert symbols(house) == {"A", "B"}
    assert reasons(house.log) == [TOO_MANY_INSTRUMENTS] * 3
    assert sorted(value for _, value in letters(house.log)) == sorted([lines[3], lines[5], lines[6]])
    assert all("SLACKWATER_MAX_INSTRUMENTS" in headers["error"] for headers, _ in letters(house.log))


@pytest.mark.parametrize("published", [False, True])
def test_what_is_known_goes_on_after_a_restart_even_beyond_a_smaller_cap(house: House, published: bool) -> None:
    ingested(house, trades(1, "A", "B", "C"), 0)
    if published:
        house.publish()
    summary = ingested(house, trades(10, "A", "B", "C", "D"), 2)
    assert (summary.accepted, dict(summary.refused)) == (3, {TOO_MANY_INSTRUMENTS: 1})
    again = ingested(house, trades(10, "A", "B", "C", "D"), 4)
    assert (again.accepted, again.duplicates, dict(again.refused)) == (1, 3, {})


def test_a_refused_line_takes_no_place(house: House) -> None:
    bad = [json.dumps({**json.loads(trades(1, "X")[0]), "price": "-1"}).encode()]
    summary = ingested(house, [*bad, *trades(2, "A")], 1)
    assert summary.accepted == 1
    assert dict(summary.refused) == {"bad-price": 1}


@pytest.mark.parametrize("seed", range(20))
def test_any_history_keeps_as_many_instruments_as_a_list_says(house: House, seed: int) -> None:
    random = Random(seed)
    most, known, accepted, refused = random.randrange(1, 8), [], 0, 0  # type: ignore[var-annotated]
    first_id = 1
    for _ in range(6):
        with open_ingest(TRADES, house.log, NAMES, house.store, house.clock, most_entities=most) as writer:
            for _ in range(random.randrange(4)):
                names = [f"S{random.randrange(12)}" for _ in range(random.randrange(1, 9))]
                for name in names:
                    if name not in known and len(known) < most:
                        known.append(name)
                    accepted += name in known
                    refused += name not in known
                writer.accept(of_lines("a", trades(first_id, *names)))
                first_id += len(names)
                if random.random() < 0.3:
                    writer.flush()
                    house.publish()
                    house.clock.sleep(5)
            assert len(writer.filter.known.entities) == len(known)
            assert figures(writer)["slackwater_ingest_entities"] == len(known)
        most = random.choice([most, most, most + 2, max(1, most - 1)])
    assert symbols(house) == set(known)
    assert len(rows(house.log)) == accepted
    assert reasons(house.log).count(TOO_MANY_INSTRUMENTS) == refused


def test_an_import_obeys_the_cap_together_with_the_log(house: House, tmp_path: Path) -> None:
    ingested(house, trades(1, "A"), 2)
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"\n".join(trades(10, "B", "C", "A", "B", "D")))
    with hold_import(house.store.home, house.log.topic_id(NAMES.topic("trades"))) as lock:
        done = import_history(
            TRADES,
            open_source(TRADES, str(path)),
            house.store,
            house.log,
            NAMES,
            house.clock,
            lock,
            roll_rows=2,
            most_entities=2,
        )
    assert (done.summary.accepted, dict(done.summary.refused)) == (3, {TOO_MANY_INSTRUMENTS: 2})
    assert {symbol for (_, symbol), _ in done.entities} == {"A", "B"}


def figures(writer: IngestWriter) -> dict[str, float]:
    return {each.name: each.samples[0].value for each in IngestFigures(writer).collect() if each.samples}
