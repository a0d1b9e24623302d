"""The crash matrix of ingest: at each fault point SIGKILL, an I/O error and a full disk; the same file again.

    file -> killed at P -> EIO at P -> ENOSPC at P -> to its end: each id once in the log, each refused line a letter

`make test` ends with `verify` once; `make crash` adds the disk's errors.
"""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slackwater.core.faults import POINTS
from slackwater.log.events import decode
from slackwater.streams.trades import TRADES
from tests.beam_world import T0_US
from tests.crash_kit import AGAIN, House
from tests.test_batch_run import letters

pytestmark = pytest.mark.broker

POINTS_OF_INGEST = [p for p in POINTS if p.partition(".")[0] == "ingest"]
POINTS_OF_IMPORT = [p for p in POINTS if p.partition(".")[0] == "claim"]
COUNT = 40

AFTER = {"ingest.append": 1, "ingest.landed": 1}
"""Points that come by often are met in the middle."""


@pytest.fixture(scope="module", autouse=True)
def speed(house: House) -> Iterator[None]:
    with house.running("speed", "run"):
        yield


def write(path: Path, symbol: str) -> None:
    """A file of COUNT ids over four instruments, some of them twice, one with other content, and two bad lines.

    Every other id is text, so both kinds of index are in it.
    """

    def line(number: int, price: str = "7.25") -> bytes:
        at = {"venue": "writer", "symbol": f"{symbol}-{number % 4}", "time": T0_US + number * 50_000}
        at |= {"trade_id": f"01J9Z{number:04}", "sequence": number} if number % 2 else {"trade_id": number}
        return json.dumps({**at, "price": price, "quantity": "1.5", "side": "buy"}).encode()

    lines = [line(number) for number in range(COUNT)]
    lines[30:30] = [lines[3], lines[4], line(5, price="8"), b'{"venue":', b"[]"]
    path.write_bytes(b"\n".join(lines) + b"\n")


def taken(house: House, symbol: str) -> Counter[int]:
    """How often each id of `symbol` stands in the log."""
    found: Counter[int] = Counter()
    records = [record for _, record in house.world.records(house.world.names.topic("trades"))]
    for row in decode(TRADES, records).table.select(["symbol", "sequence"]).to_pylist():
        if row["symbol"].rpartition("-")[0] == symbol:
            found[row["sequence"]] += 1
    return found


def facts(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
    return found


@pytest.mark.parametrize("point", POINTS_OF_IMPORT)
def test_an_import_that_dies_leaves_its_ids_to_others(house: House, tmp_path: Path, point: str) -> None:
    symbol, path = f"IMPORT-{point}", tmp_path / "a.jsonl"
    write(path, symbol)
    ended = house.run("archive", "import", str(path), fault=f"{point}:kill")
    assert ended.code == -signal.SIGKILL, ended.text
    assert facts(house.run("ingest", str(path), "--json").text)["accepted"] == COUNT
    assert taken(house, symbol) == dict.fromkeys(range(COUNT), 1)
    again = facts(house.run("archive", "import", str(path), "--json").text)
    assert (again["accepted"], again["duplicates"], again["conflicts"]) == (0, COUNT + 2, 1)
    house.verify()


def killed(house: House, point: str, path: Path) -> Counter[int]:
    """Ingest dies at `point` over a new file; what it took of it."""
    after = f":after={AFTER[point]}" if point in AFTER else ""
    write(path, point)
    ended = house.run("ingest", str(path), fault=f"{point}:kill{after}")
    assert ended.code == -signal.SIGKILL, ended.text
    return taken(house, point)


def takes_the_rest(house: House, point: str, path: Path, known: Counter[int]) -> None:
    """Ingest gets the file again: each id is in the log once, each refused line is a letter."""
    ended = house.run("ingest", str(path), "--json")
    assert ended.code == 0, ended.text
    found = facts(ended.text)
    assert taken(house, point) == Counter(range(COUNT))
    assert found["accepted"] == COUNT - len(known)
    assert found["conflicts"] == 1 and sum(found["refused"].values()) == 2
    assert len([key for key in letters(house.world) if str(path) in key]) == 3


def test_an_ingest_killed_at_each_point_takes_each_trade_once_when_it_gets_the_file_again(
    house: House, tmp_path: Path
) -> None:
    for point in POINTS_OF_INGEST:
        path = tmp_path / f"{point}.jsonl"
        takes_the_rest(house, point, path, killed(house, point, path))
    house.verify()


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS_OF_INGEST)
def test_an_ingest_that_dies_there_in_every_way_takes_each_trade_once(point: str, house: House, tmp_path: Path) -> None:
    path, name = tmp_path / "ingest.jsonl", f"{point}-again"
    write(path, name)
    known: Counter[int] = Counter()
    for action in ("eio", "enospc"):
        ended = house.run("ingest", str(path), fault=f"{point}:{action}")
        # What needs a new record is not reached any more once all of them are there.
        if ended.code == 0:
            assert set(known.values()) == {1} and len(known) == COUNT, ended.text
        else:
            (line,) = ended.errors
            assert ended.code == AGAIN and f"(fault point {point})" in line and "run it again" in line
        known = taken(house, name)
    takes_the_rest(house, name, path, known)
    house.verify()


@pytest.mark.parametrize(
    "action", ["kill", *(pytest.param(name, marks=pytest.mark.crash) for name in ("eio", "enospc"))]
)
def test_history_whose_import_dies_is_imported_whole_the_next_time(action: str, house: House, tmp_path: Path) -> None:
    path = tmp_path / f"history-{action}.jsonl"
    write(path, f"history-{action}")
    served = house.world.store.pointer()
    ended = house.run("archive", "import", str(path), fault=f"archive.import:{action}")
    assert ended.code == (-signal.SIGKILL if action == "kill" else AGAIN), ended.text
    assert house.world.store.pointer() == served
    ended = house.run("archive", "import", str(path), "--json")
    assert ended.code == 0, ended.text
    found = facts(ended.text)
    assert (found["accepted"], found["conflicts"]) == (COUNT, 1)
    house.verify()
