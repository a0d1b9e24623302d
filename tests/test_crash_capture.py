"""`slackwater capture` as a process, on a real log: killed, ended, beside the ingest service, and a key for REST."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ops.broker import free_port
from slackwater.log.events import decode
from slackwater.streams.trades import TRADES
from tests.crash_kit import Ended, House, until
from tests.feeds.dialects import DIALECTS, Told
from tests.feeds.schedule import told
from tests.feeds.venue import Venue, running
from tests.test_crash_intake import ready

pytestmark = pytest.mark.broker

VENUE, SYMBOL, OTHER = "binance_spot", "BTCUSDT", "ETHUSDT"
NOW_US = 1_759_752_000_000_000


def known(house: House, symbol: str = SYMBOL) -> Counter[int]:
    """How often each id of a symbol is in the log."""
    records = [record for _, record in house.world.records(house.world.names.topic("trades"))]
    rows = decode(TRADES, records).table.select(["venue", "symbol", "sequence"]).to_pylist()
    return Counter(row["sequence"] for row in rows if (row["venue"], row["symbol"]) == (VENUE, symbol))


def summary(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(line for line in ended.text.splitlines() if line.startswith("{")))
    return found


def test_capture_loses_and_doubles_nothing_when_it_or_the_service_is_killed(house: House, tmp_path: Path) -> None:
    draw = Random(7)
    dialect = DIALECTS[VENUE](VENUE, SYMBOL)
    venue, port = Venue(dialect), free_port()

    def trades(first: int, count: int) -> list[Told]:
        return [told(SYMBOL, n, NOW_US + n * 1000, draw, dialect.unit_us) for n in range(first, first + count)]

    with running(venue) as run:
        settings = {"SLACKWATER_FEED_URLS": f"{VENUE}={venue.address.socket},{VENUE}.rest={venue.address.rest}"}
        start = lambda *more: house.start("capture", f"{VENUE}:{SYMBOL}", "--json", *more, **settings)  # noqa: E731
        # By itself: no service runs.
        program = start()
        until(lambda: venue.listeners > 0)
        run.tell(*trades(1, 500))
        until(lambda: len(known(house)) >= 500)
        program.kill()
        run.tell(*trades(501, 1_200))  # more than one page of REST
        program = start("--record", str(tmp_path / "raw"))
        until(lambda: venue.listeners > 0)
        run.tell(*trades(1701, 1))
        until(lambda: len(known(house)) == 1701)
        ended = program.stop()
        assert ended.code == 0, ended.text[-2000:]
        (facts,) = summary(ended)["venues"]
        assert (facts["refilled"], facts["missing_ids"], facts["gaps"]) == (1200, 0, [])
        # Beside the service, which is killed while trades come.
        own = {"SLACKWATER_INGEST_PORT": str(port)}
        service = house.start("serve-ingest", **own)
        until(lambda: ready(port))
        program = start()
        until(lambda: venue.listeners > 0)
        run.tell(*trades(1702, 300))
        service.kill()
        run.tell(*trades(2002, 300))
        service = house.start("serve-ingest", **own)
        until(lambda: len(known(house)) == 2301)
        ended = program.stop()
        assert ended.code == 0, ended.text[-2000:]
        assert (summary(ended)["refused"], summary(ended)["conflicts"]) == ({}, 0)
        # What was recorded is the same again.
        ended = house.run("capture", "replay", str(tmp_path / "raw"), "--json")
        assert ended.code == 0, ended.text[-2000:]
        assert (summary(ended)["accepted"], summary(ended)["duplicates"]) == (0, 1)
        assert service.stop().code in {0, -15}
    assert known(house) == Counter(range(1, 2302))


def test_what_was_said_by_the_end_is_handed_over_or_its_absence_is_told(house: House) -> None:
    draw, dialect = Random(8), DIALECTS[VENUE](VENUE, OTHER)
    venue, port = Venue(dialect), free_port()
    with running(venue) as run:
        urls = f"{VENUE}={venue.address.socket},{VENUE}.rest={venue.address.rest}"
        own = {"SLACKWATER_INGEST_PORT": str(port), "SLACKWATER_FEED_URLS": urls}
        for first, back in ((1, True), (101, False)):
            trades = [told(OTHER, n, NOW_US + n * 1000, draw, dialect.unit_us) for n in range(first, first + 100)]
            service = house.start("serve-ingest", **own)
            until(lambda: ready(port))
            program = house.start("capture", f"{VENUE}:{OTHER}", "--json", **own)
            until(lambda: venue.listeners > 0)
            run.tell(trades[0])
            until(lambda: known(house, OTHER)[first] == 1)  # noqa: B023
            service.kill()
            run.tell(*trades[1:])
            os.kill(program.pid, signal.SIGTERM)
            until(lambda: venue.listeners == 0)
            if back:
                service = house.start("serve-ingest", **own)
                assert program.wait().code == 0
                assert known(house, OTHER) == Counter(range(1, 101))
                service.stop()
            else:
                ended = program.wait()
                assert ended.code == 75 and "What was said last could not be handed over" in ended.text


def test_what_is_no_feed_is_said(house: House) -> None:
    ended = house.run("capture", "mtgox:BTCUSD")
    assert ended.code == 1 and "There is no feed 'mtgox'." in ended.text
    ended = house.run("capture", "kraken")
    assert ended.code == 2 and "'kraken' is not VENUE:SYMBOL" in ended.text
    ended = house.run("capture", "kraken:BTC/USD", SLACKWATER_FEED_URLS="mtgox=ws://127.0.0.1:1")
    assert ended.code == 1 and "SLACKWATER_FEED_URLS names 'mtgox'" in ended.text
