"""`slackwater gaps`: what is missing is listed, and filled from a venue or a file, exactly and as a repair."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.beam_world import T0_US
from tests.crash_kit import Ended, House
from tests.feeds.dialects import DIALECTS, Told
from tests.feeds.schedule import told
from tests.feeds.venue import Faults, Venue, running

pytestmark = pytest.mark.broker

VENUE, SYMBOL = "binance_spot", "GAPUSDT"  # no other test of this session has it
WANTED = f"{VENUE}:{SYMBOL}"


def answer(ended: Ended, code: int = 0) -> dict[str, Any]:
    assert ended.code == code, ended.text[-3000:]
    found: dict[str, Any] = json.loads(next(line for line in ended.text.splitlines() if line.startswith("{")))
    return found


def lines_of(trades: list[Told]) -> bytes:
    return b"".join(
        json.dumps(
            {
                **{"venue": VENUE, "symbol": trade.symbol, "trade_id": trade.number, "time": trade.time_us},
                **{"price": trade.price, "quantity": trade.quantity, "side": trade.taker},
            }
        ).encode()
        + b"\n"
        for trade in trades
    )


def test_gaps_are_listed_and_filled_from_the_venue_and_from_files(house: House, tmp_path: Path) -> None:
    draw, gone = Random(3), {*range(40, 50), 60, 61, 90}
    dialect = DIALECTS[VENUE](VENUE, SYMBOL)
    truth = [told(SYMBOL, n, T0_US + n * 250_000, draw, 1000) for n in range(1, 101)]
    (tmp_path / "live.jsonl").write_bytes(lines_of([trade for trade in truth if trade.number not in gone]))
    with house.running("speed", "run"):
        answer(house.run("ingest", str(tmp_path / "live.jsonl"), "--json"))
        answer(house.run("batch", "run", "--json"))
        found = answer(house.run("gaps", "list", WANTED, "--json"))
        (entity,) = found["entities"]
        assert (found["missing"], entity["symbol"], entity["gaps"]) == (13, SYMBOL, [[40, 49], [60, 61], [90, 90]])
        venue = Venue(dialect, Faults(busy=0.3, broken=0.3), draw, truth, hidden={61})
        with running(venue):
            urls = f"{VENUE}.rest={venue.address.rest}"
            ended = house.run("gaps", "repair", WANTED, "--from-venue", "--json", SLACKWATER_FEED_URLS=urls)
        found = answer(ended, 1)  # one stays missing
        assert (found["missing_before"], found["missing"], found["sources"][0]["accepted"]) == (13, 1, 12)
        assert found["entities"][0]["gaps"] == [[61, 61]]
        # Of a file, what is missing alone is taken.
        (tmp_path / "dump.jsonl").write_bytes(
            lines_of([*truth, told(SYMBOL, 200, T0_US + 60_000_000, draw, 1000)]) + b"{\n"
        )
        found = answer(house.run("gaps", "repair", WANTED, "--from", str(tmp_path / "dump.jsonl"), "--json"))
        assert (found["missing"], found["sources"][0]["accepted"]) == (0, 1)
        assert found["sources"][0]["refused"] == {"not-json": 1}
        assert found["sources"][0]["left_out"] == ["100 lines whose ids are not missing"]
        assert answer(house.run("gaps", "list", WANTED, "--json"))["missing"] == 0
        house.verify()
        restated = house.run("batch", "restatements", "--json")
        assert restated.code == 0
        entries = [json.loads(line) for line in restated.text.splitlines() if line.startswith("{")]
        own = [entry for entry in entries if (entry["venue"], entry["symbol"]) == (VENUE, SYMBOL)]
        assert {entry["cause"] for entry in own} == {"repair"}


def test_what_cannot_be_repaired_is_said(house: House) -> None:
    ended = house.run("gaps", "repair", "bitstamp", "--from-venue")
    assert ended.code == 2 and "The ids of 'bitstamp' are not dense" in ended.text
    ended = house.run("gaps", "repair", VENUE)
    assert ended.code == 2 and "Give --from FILE or --from-venue" in ended.text
    found = answer(house.run("gaps", "repair", WANTED, "--from-venue", "--json"))
    assert (found["missing_before"], found["missing"]) == (0, 0)
