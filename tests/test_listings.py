"""Instruments as venues list them: every recorded answer, read into facts, asked for and loaded into the ledger."""

import json
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from ingest.feeds.feed import FrameError
from ingest.feeds.listings import LISTINGS
from ingest.feeds.registry import FEEDS
from ops.cli import main
from slackwater.instruments.given import facts_of
from tests.feeds.dialects import DIALECTS
from tests.feeds.venue import Venue, running
from tests.test_feed_fixtures import FILES, messages
from tests.test_feeds import venue_of

AROUND = {
    **dict.fromkeys(("binance_spot", "binance_usdm", "binance_coinm"), '{"symbols":[%s]}'),
    **dict.fromkeys(("coinbase", "bitstamp"), "[%s]"),
    "okx": '{"code":"0","data":[%s]}',
    **dict.fromkeys(("bybit_spot", "bybit_linear", "bybit_inverse"), '{"retCode":0,"result":{"list":[%s]}}'),
    "hyperliquid": '{"universe":[%s]}',
}
"""What one entry of a list stands in."""


def answers(venue: str) -> list[bytes]:
    """The recorded answers of a venue; single entries together in one."""
    whole, entries = [], []
    for path in FILES:
        for message in messages(path):
            if venue_of(path.stem, message) == venue:
                if message["kind"] == "instruments":
                    whole.append(message["text"].encode())
                elif message["kind"] == "instruments_result":
                    whole.append(b'{"error":[],"result":%s}' % message["text"].encode())
                elif message["kind"] == "instrument":
                    entries.append(message["text"])
    return [*whole, *([(AROUND[venue] % ",".join(entries)).encode()] if entries else [])]


def given(venue: str) -> list[dict[str, Any]]:
    """The facts of all of them, without the venue."""
    listing = LISTINGS[venue]
    rows = [row for body in answers(venue) for row in listing.read(body, listing.first[0]).rows]
    found = [facts_of(row).given() for row in rows if not isinstance(row, FrameError)]
    assert {one.pop("venue") for one in found} == {venue}
    return [{name: value for name, value in one.items() if name != "effective"} for one in found]


def spot(symbol: str, base: str, quote: str, tick: str | None, lot: str) -> dict[str, Any]:
    found = {"symbol": symbol, "kind": "spot", "base": base, "quote": quote, "settlement": quote, "multiplier": "1"}
    return {**found, **({} if tick is None else {"tick": tick}), "lot": lot}


def of(symbol: str, kind: str, names: str, multiplier: str, tick: str, lot: str, **more: Any) -> dict[str, Any]:
    base, quote, settlement = names.split()
    found = {"symbol": symbol, "kind": kind, "base": base, "quote": quote, "settlement": settlement}
    return {**found, "multiplier": multiplier, "tick": tick, "lot": lot, **more}


EXPECTED: dict[str, list[dict[str, Any]]] = {
    "binance_spot": [spot("ETHBTC", "ETH", "BTC", "0.00001", "0.0001")],
    "binance_usdm": [of("BTCUSDT", "linear", "BTC USDT USDT", "1", "0.1", "0.001")],
    "binance_coinm": [
        of("BTCUSD_PERP", "inverse", "BTC USD BTC", "100", "0.1", "1"),
        of("BTCUSD_260925", "inverse", "BTC USD BTC", "100", "0.1", "1", expiry=1790323200000000),
    ],
    "coinbase": [spot("BTC-USD", "BTC", "USD", "0.01", "0.00000001")],
    "kraken": [
        spot("BTC/USD", "BTC", "USD", "0.1", "0.00000001"),
        spot("DOGE/USD", "DOGE", "USD", "0.0000001", "0.00000001"),
        spot("ETH/BTC", "ETH", "BTC", "0.000001", "0.00000001"),
        spot("SOL/USD", "SOL", "USD", "0.01", "0.00000001"),
        spot("ACA/EUR", "ACA", "EUR", "0.00001", "0.00000001"),
        spot("BTC/USDT", "BTC", "USDT", "0.1", "0.00000001"),
    ],
    "okx": [
        spot("BTC-USDT", "BTC", "USDT", "0.1", "0.00000001"),
        of("BTC-USDT-SWAP", "linear", "BTC USDT USDT", "0.01", "0.1", "0.01"),
        of("BTC-USD-SWAP", "inverse", "BTC USD BTC", "100", "0.1", "0.1"),
        of(
            *("BTC-USD-241217-92000-C", "option", "BTC BTC BTC", "0.01", "0.0001", "1"),
            **{"expiry": 1734422400000000, "strike": "92000", "right": "call", "underlying": "BTC-USD"},
        ),
    ],
    "bybit_spot": [
        spot("BTCUSDT", "BTC", "USDT", "0.01", "0.000001"),
        spot("ETHUSDT", "ETH", "USDT", "0.01", "0.00001"),
    ],
    "bybit_linear": [of("BTCUSDT", "linear", "BTC USDT USDT", "1", "0.1", "0.001")],
    "bybit_inverse": [of("BTCUSD", "inverse", "BTC USD BTC", "1", "0.1", "1")],
    "bitstamp": [spot("btcusd", "BTC", "USD", None, "0.00000001")],
    "deribit": [
        of("BTC-PERPETUAL", "inverse", "BTC USD BTC", "1", "0.5", "10"),
        of("BTC_USDC-PERPETUAL", "linear", "BTC USDC USDC", "1", "1", "0.001"),
        of(
            *("BTC-26JUN26-100000-C", "option", "BTC BTC BTC", "1", "0.0001", "0.1"),
            **{"expiry": 1782460800000000, "strike": "100000", "right": "call", "underlying": "btc_usd"},
        ),
    ],
}


@pytest.mark.parametrize("venue", EXPECTED)
def test_recorded_lists_are_these_facts(venue: str) -> None:
    assert given(venue) == EXPECTED[venue]


def test_hyperliquids_list_says_the_steps_of_quantities() -> None:
    body = answers("hyperliquid")[0]
    rows = LISTINGS["hyperliquid"].read(body, LISTINGS["hyperliquid"].first[0]).rows
    found = [facts_of(row).given() for row in rows if not isinstance(row, FrameError)]
    assert [(one["symbol"], one["lot"], one["quote"]) for one in found][:2] == [
        ("BTC", "0.00001", "USDC"),
        ("ETH", "0.0001", "USDC"),
    ]


def test_every_feed_lists_its_instruments() -> None:
    assert LISTINGS.keys() == FEEDS.keys()
    for venue in ("binance_spot", "binance_usdm", "binance_coinm"):
        listing = LISTINGS[f"{venue}_agg"]
        (row, *_) = listing.read(answers(venue)[0], listing.first[0]).rows
        assert not isinstance(row, FrameError) and facts_of(row).venue == f"{venue}_agg"


def test_an_entry_that_cannot_be_read_keeps_out_no_other() -> None:
    listing = LISTINGS["bitstamp"]
    body = answers("bitstamp")[0]  # the older form has no market_type
    good, bad = listing.read(body, listing.first[0]).rows
    assert not isinstance(good, FrameError) and isinstance(bad, FrameError) and "market_type" in str(bad)


def test_a_contract_that_is_worth_something_else_is_refused() -> None:
    listing = LISTINGS["okx"]
    body = orjson.loads(answers("okx")[0])
    swap = body["data"][1]
    swap["ctValCcy"] = "ETH"
    (row,) = listing.read(orjson.dumps({"code": "0", "data": [swap]}), listing.first[0]).rows
    assert isinstance(row, FrameError) and "worth some ETH" in str(row)


def test_a_list_in_pages_is_asked_for_to_its_end() -> None:
    listing = LISTINGS["bybit_linear"]
    body = orjson.loads(answers("bybit_linear")[0])
    body["result"]["nextPageCursor"] = "first%3DETH"
    more = listing.read(orjson.dumps(body), listing.first[0]).more
    assert more is not None and more.params == {**listing.first[0].params, "cursor": "first%3DETH"}
    body["result"]["nextPageCursor"] = ""
    assert listing.read(orjson.dumps(body), listing.first[0]).more is None


# ------------------------------------------------------------------------------------------------------------- command


def run(venue: Venue, home: Any, *words: str) -> Result:
    name = venue.dialect.venue
    settings = {"SLACKWATER_FEED_URLS": f"{name}.rest={venue.address.rest}", "SLACKWATER_HOME": str(home)}
    return CliRunner().invoke(main, ["capture", "instruments", name, *words, "--json"], env=settings)


def test_a_venues_list_is_declared_and_what_changes_holds_from_now_on(tmp_path: Any) -> None:
    venue = Venue(DIALECTS["coinbase"]("coinbase", "BTC-USD"))
    entry = orjson.loads(answers("coinbase")[0])[0]
    tiny = {**entry, "id": "X-USD", "quote_increment": "0.000000000001"}
    venue.dialect.rest = lambda path, asked, truth: orjson.dumps([entry, tiny])  # type: ignore[method-assign]
    with running(venue):
        found = run(venue, tmp_path, "--dry-run")
        assert found.exit_code == 0, found.output
        assert json.loads(found.stdout)["loaded"] is False
        first, again = (json.loads(run(venue, tmp_path).stdout) for _ in range(2))
        assert (first["added"], first["refused"], first["loaded"]) == (1, {"tick-too-small": 1}, True)
        assert "12 digits" in first["rows"][0]["error"]
        assert (again["added"], again["unchanged"]) == (0, 1)
        entry["quote_increment"] = "0.1"
        changed = json.loads(run(venue, tmp_path).stdout)
        assert (changed["added"], changed["unchanged"]) == (1, 0)
        for at, tick in (("2024-01-01T00:00Z", "0.01"), (None, "0.1")):
            words = ["instruments", "list", "--json", *(["--at", at] if at else [])]
            listed = CliRunner().invoke(main, words, env={"SLACKWATER_HOME": str(tmp_path)})
            assert [one["tick"] for one in json.loads(listed.stdout)["instruments"]] == [tick]


def test_a_venue_that_does_not_list_its_instruments_is_told(tmp_path: Any) -> None:
    venue = Venue(DIALECTS["coinbase"]("coinbase", "BTC-USD"))
    venue.dialect.rest = lambda path, asked, truth: b'{"message":"no"}'  # type: ignore[method-assign]
    with running(venue):
        venue.faults.busy = 0.0
        found = run(venue, tmp_path)
    assert found.exit_code == 1 and "coinbase does not list its instruments" in str(found.exception)
