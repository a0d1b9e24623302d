"""A look at a source: what it shows is what ingest takes and refuses, and nothing is written for it."""

import gzip
import json
from pathlib import Path

import pytest

from ingest.chunk import Chunk, Source, of_lines
from ingest.rehearsal import MOST_LINES, rehearse
from slackwater.streams.trades import TRADES
from tests.forked import call
from tests.ingest_kit import NAMES, HandClock, House, letters, line, memory_house, records


class Lines(Source):
    name = "a file"

    def __init__(self, *chunks: list[bytes]) -> None:
        self.left = list(chunks)
        self.first = 1

    def read(self, timeout_s: float) -> Chunk | None:
        if not self.left:
            return None
        lines = self.left.pop(0)
        self.first += len(lines)
        return of_lines(self.name, lines, first=self.first - len(lines))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return memory_house(tmp_path)


def test_it_shows_what_ingest_does(house: House) -> None:
    lines = [line(1), b"no event", b" " + line(2, price="007.50"), line(3, price="0"), b"none either", line(4)]
    found = rehearse(TRADES, Lines(lines[:3], lines[3:]), 100, HandClock())
    summary = house.ingest(lines, "a file")
    assert [at for at, _ in found.events] == ["line 1", "line 3", "line 6"]
    taken = [record.value or b"" for _, record in records(house.log, NAMES.topic("trades"))]
    assert [event for _, event in found.events] == [one for value in taken for one in value.splitlines()]
    assert (found.lines, found.ended) == (6, True)
    assert found.tally.refused == summary.refused and found.tally.examples == summary.examples
    assert len(letters(house.log)) == 3


def test_it_ends_at_the_last_event_that_is_asked_for() -> None:
    source = Lines([line(1), b"bad", line(2), b"bad too", line(3)], [line(4)])
    found = rehearse(TRADES, source, 2, HandClock())
    assert [at for at, _ in found.events] == ["line 1", "line 3"]
    assert (found.lines, found.ended, found.tally.refused) == (3, False, {"not-json": 1})
    assert len(source.left) == 1


def test_it_does_not_read_on_for_ever_where_nothing_is_an_event() -> None:
    source = Lines(*[[b"bad"] * 1_000] * 20)
    found = rehearse(TRADES, source, 5, HandClock())
    assert found.lines == MOST_LINES and not found.ended and found.tally.examples["not-json"].position == "line 1"


@pytest.mark.parametrize("command", [["ingest"], ["archive", "import"]])
def test_the_command_needs_no_broker_and_leaves_nothing(command: list[str], tmp_path: Path) -> None:
    path, environ = (
        tmp_path / "a.jsonl",
        {"SLACKWATER_HOME": str(tmp_path / "home"), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
    )
    path.write_bytes(line(1) + b"\n[bold]\n")
    done = call(*command, str(path), "--dry-run", environ=environ)
    assert done.returncode == 0, done.stderr
    assert line(1).decode() in done.stdout and "    [bold]\n" in done.stdout
    facts = json.loads(call(*command, str(path), "--dry-run", "1", "--json", environ=environ).stdout)
    assert (facts["lines"], facts["whole"], facts["accepted"]) == (1, False, 1)
    assert facts["events"][0]["event"]["trade_id"] == 1
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(line(2)))
    (tmp_path / "c.jsonl").write_bytes(b"nothing\n")
    several = call(*command, str(tmp_path / "*.jsonl*"), "--dry-run", "1", "--json", environ=environ)
    names = [Path(json.loads(text)["file"]).name for text in several.stdout.splitlines()]
    assert (several.returncode, names) == (1, ["a.jsonl", "b.jsonl.gz", "c.jsonl"]), "each file is looked at"
    path.write_bytes(b"nothing\n")
    assert call(*command, str(path), "--dry-run", environ=environ).returncode == 1
    assert not (tmp_path / "home").exists()
