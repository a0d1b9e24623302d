"""`/v1/instruments` says what is declared: by the row that holds, in every format, and nothing where nothing is."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.store.declared import TOLD
from slackwater.instruments.given import facts_of
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.versions.store import VersionStore
from tests.serving_world import NOON, SECOND, World

AGO = NOON - 86_400 * SECOND
OPTION = {
    **{"venue": "x", "symbol": "BTC-C", "kind": "option", "base": "BTC", "quote": "BTC", "settlement": "BTC"},
    **{"multiplier": "1", "expiry": NOON, "strike": "100000.5", "right": "call", "underlying": "BTC-USD"},
}
COIN = {"venue": "binance_coinm", "symbol": "BTCUSD_PERP", "kind": "inverse", "base": "BTC", "quote": "USD"}
SPOT = {"venue": "x", "symbol": "BTC", "kind": "spot", "base": "BTC", "quote": "USDT", "tick": "0.00000001"}


def declare(world: World, *rows: dict[str, Any]) -> None:
    """As another process does."""
    InstrumentsLedger(VersionStore(world.store.home)).declare([facts_of(row) for row in rows], 1, "me")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, partitions=2)
    for symbol, venue in (("BTC", "x"), ("BTC-C", "x"), ("ETH", "x"), ("BTCUSD_PERP", "binance_coinm")):
        found.trade(symbol, venue=venue)
    cut = found.mark("run-1")
    found.trade("BTC", at_s=60)
    found.emit()
    found.publish(cut, "run-1")
    found.step()
    yield found
    found.close()


def items(world: World, query: str = "") -> dict[str, dict[str, Any]]:
    found = world.get(f"/v1/instruments{query}").json()["instruments"]
    assert len(found) == 4
    return {each["symbol"]: each for each in found}


def test_nothing_is_guessed_where_nothing_is_declared(world: World) -> None:
    for item in items(world).values():
        assert not {"quantity_unit", *TOLD} & set(item)


def test_the_row_that_holds_is_told_as_soon_as_it_is_declared(world: World) -> None:
    declare(world, SPOT, {**COIN, "multiplier": 10, "effective": AGO}, {**COIN, "multiplier": 100, "effective": NOON})
    now = items(world)
    assert {name: now["BTC"][name] for name in ("quantity_unit", *TOLD) if name in now["BTC"]} == {
        **{"quantity_unit": "base", "kind": "spot", "base": "BTC", "quote": "USDT", "settlement": "USDT"},
        **{"multiplier": "1", "tick": "0.00000001", "effective": 0},
    }
    assert "kind" not in now["ETH"]
    coin = {at: items(world, f"?at={at}")["BTCUSD_PERP"].get("multiplier") for at in (AGO - 1, AGO, NOON - 1, NOON)}
    assert coin == {AGO - 1: None, AGO: "10", NOON - 1: "10", NOON: "100"}
    assert (now["BTCUSD_PERP"]["multiplier"], now["BTCUSD_PERP"]["quantity_unit"]) == ("100", "contracts")
    later = NOON + 5_000 * SECOND  # the clock stands before it
    declare(world, {**COIN, "multiplier": 7, "effective": later})
    assert items(world)["BTCUSD_PERP"]["multiplier"] == "100"
    world.clock.at_s += 5_000
    assert items(world)["BTCUSD_PERP"]["multiplier"] == "7"


def test_every_format_says_the_same(world: World) -> None:
    declare(world, SPOT, OPTION, {**COIN, "multiplier": "0.5", "effective": AGO})
    told = items(world)
    exact = {"multiplier", "tick", "lot", "strike"}
    lines = world.get("/v1/instruments?format=ndjson").text.splitlines()
    plain = [{name: value for name, value in json.loads(line).items() if value is not None} for line in lines]
    assert plain == [*told.values()]
    rows = list(csv.DictReader(io.StringIO(world.get("/v1/instruments?format=csv").text)))
    texts = [{name: value for name, value in row.items() if value} for row in rows]
    assert texts == [{name: str(value) for name, value in item.items()} for item in told.values()]
    for name, read in (("arrow", lambda data: pa.ipc.open_stream(data).read_all()), ("parquet", pq.read_table)):
        data = world.get(f"/v1/instruments?format={name}").content
        table = read(data if name == "arrow" else io.BytesIO(data))  # type: ignore[no-untyped-call]
        assert table.schema.field("strike").type == pa.decimal128(18, 8)
        for item, row in zip(told.values(), table.to_pylist(), strict=True):
            assert {column for column, value in row.items() if value is not None} == set(item)
            assert {column: row[column] for column in exact & set(item)} == {
                column: Decimal(item[column]) for column in exact & set(item)
            }
            if item["symbol"] == "BTC-C":
                assert row["expiry"] == datetime.fromtimestamp(NOON // SECOND, UTC)
    shown = items(world, "?times=iso")
    assert shown["BTC-C"]["expiry"] == "2025-10-06T12:00:00Z"
    assert shown["BTC"]["effective"] == "1970-01-01T00:00:00Z"


def test_a_time_in_another_unit_is_refused_and_a_cursor_keeps_its_time(world: World) -> None:
    assert world.get("/v1/instruments?at=1769851800").status_code == 422
    following = world.get(f"/v1/instruments?limit=1&at={NOON}").json()["next"]
    assert world.get(f"/v1/instruments?limit=1&at={NOON}&cursor={following}").status_code == 200
    assert world.get(f"/v1/instruments?limit=1&at={AGO}&cursor={following}").status_code == 422


def test_a_ledger_that_cannot_be_read_is_told_and_the_list_stays(world: World) -> None:
    declare(world, SPOT)
    assert items(world)["BTC"]["kind"] == "spot"
    assert world.get("/health/ready").status_code == 200
    declare(world, COIN | {"multiplier": 1})
    (world.store.home / "instruments" / "2.json").write_bytes(b"torn")
    found = world.get("/v1/instruments").json()
    assert len(found["instruments"]) == 4 and not any("kind" in item for item in found["instruments"])
    assert found["meta"]["complete"] is False
    assert "What is declared of instruments is not known" in found["meta"]["reason"]
    ready = world.get("/health/ready")
    assert ready.status_code == 503 and "2.json" in str(ready.json()["reasons"])
