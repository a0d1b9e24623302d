"""`POST /v1/instruments` of the ingest service: counted when it is durable, refused with place and reason."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from slackwater_client import ArgumentError

from ingest.service.bodies import ARROW, CSV, JSON, NDJSON
from slackwater.core.clock import SystemClock
from slackwater.http.options import GuardOptions, Limits
from slackwater.instruments.given import facts_of
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.keys.keys import KeyStore
from slackwater.versions.store import VersionStore
from tests.client_kit import KINDS
from tests.ingest_kit import House, memory_house
from tests.test_declared_instruments import INVERSE, SPOT, T0, row
from tests.test_ingest_service import ask, served


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = memory_house(tmp_path / "home")
    house.clock = SystemClock()  # type: ignore[assignment]
    return house


def declared(house: House) -> InstrumentsLedger:
    """As another process reads it."""
    return InstrumentsLedger(VersionStore(house.store.home))


def post(port: int, body: bytes, kind: str = NDJSON, query: str = "", **headers: str) -> tuple[int, Any]:
    status, _, facts = ask(port, "POST", f"/v1/instruments{query}", body, kind, **headers)
    return status, facts


def lines(*rows: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(each).encode() for each in rows)


BAD = {**SPOT, "symbol": "SMALL", "tick": "1e-10"}
HEADER = "venue,symbol,kind,base,quote,multiplier,tick\n"


@pytest.mark.parametrize(
    ("kind", "body", "place"),
    [
        (NDJSON, lines(SPOT, BAD, INVERSE), "line 2"),
        (JSON, b" " + json.dumps([SPOT, BAD, INVERSE]).encode(), "element 2"),
        (JSON, lines(SPOT, BAD, INVERSE), "line 2"),
        (
            CSV,
            (HEADER + "x,BTCUSDT,spot,BTC,USDT,,\nx,S,spot,A,B,,1e-10\nx,BTCUSD_PERP,inverse,BTC,USD,100,\n").encode(),
            "line 3",
        ),
    ],
)
def test_a_body_of_each_type_is_counted_when_it_is_durable(house: House, kind: str, body: bytes, place: str) -> None:
    with served(house) as (port, _):
        for added in (2, 0):
            status, found = post(port, body, kind, **{"Slackwater-Source": "capture at host 7"})
            assert status == 200, found
            assert (found["added"], found["unchanged"], found["refused"]) == (added, 2 - added, {"tick-too-small": 1})
            example = found["examples"]["tick-too-small"]
            assert example["position"] == place and "10 digits behind the point" in example["error"]
            assert "1e-10" in example["line"]
            assert [*declared(house).table()] == [facts_of(SPOT), facts_of(INVERSE)]
    (one,) = declared(house).all()
    assert one.by == "capture at host 7"


def test_a_conflict_keeps_no_other_row_out_and_replaces_nothing(house: House) -> None:
    with served(house) as (port, _):
        post(port, lines(INVERSE))
        status, found = post(
            port, lines({**INVERSE, "multiplier": 7}, SPOT, {**INVERSE, "multiplier": 8, "effective": T0})
        )
        assert (status, found["added"], found["refused"]) == (200, 2, {"conflict": 1})
        assert found["examples"]["conflict"]["position"] == "line 1"
    assert [*declared(house).table()] == [facts_of(SPOT), row(), row(T0, multiplier=8)]


@pytest.mark.parametrize(
    ("body", "kind", "query", "headers", "status", "problem"),
    [
        (b"", NDJSON, "", {}, 422, "no-instruments"),
        (b"\n \n", NDJSON, "", {}, 422, "no-instruments"),
        (b"{}", "text/plain", "", {}, 415, "media-type"),
        (b"{}", ARROW, "", {}, 415, "media-type"),
        (b"{}", NDJSON, "", {"Content-Encoding": "gzip"}, 415, "content-encoding"),
        (b"{}", NDJSON, "?replace=true", {}, 422, "parameters"),
        (b"[{}", JSON, "", {}, 422, "unreadable"),
        (b"\xff", NDJSON, "", {}, 422, "unreadable"),
        (b"venue,price\n", CSV, "", {}, 422, "unreadable"),
        (b"x" * 3000, NDJSON, "", {}, 413, "too-large"),
        (b"{}", NDJSON, "", {"Slackwater-Source": "x" * 300}, 422, "parameters"),
        (b"{}", NDJSON, "", {"Host": "evil.example"}, 421, "misdirected"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    house: House, body: bytes, kind: str, query: str, headers: dict[str, str], status: int, problem: str
) -> None:
    with served(house, limits=Limits(body=2048), guard=GuardOptions(hosts=frozenset())) as (port, _):
        found, facts = post(port, body, kind, query, **headers)
        assert (found, facts["type"]) == (status, f"urn:slackwater:problem:{problem}"), facts
        assert ask(port, "GET", "/v1/instruments")[0] == 405
        assert post(port, lines(SPOT))[1]["added"] == 1


def test_a_key_of_the_scope_write_is_needed(house: House) -> None:
    keys = KeyStore(house.store.home)
    texts = {scope: keys.create(scope, scope, 0)[1] for scope in ("read", "write")}
    with served(house, guard=GuardOptions(require_key=True)) as (port, _):
        assert post(port, lines(SPOT))[0] == 401
        found = {scope: post(port, lines(SPOT), Authorization=f"Bearer {text}")[0] for scope, text in texts.items()}
        assert found == {"read": 403, "write": 200}


def test_a_ledger_that_cannot_be_read_takes_nothing(house: House) -> None:
    with served(house) as (port, _):
        post(port, lines(SPOT))
        declared(house).declare([row()], 1, "me")
        (house.store.home / "instruments" / "2.json").write_bytes(b"torn")
        status, found = post(port, lines({**SPOT, "symbol": "NEW"}))
        assert (status, found["type"]) == (503, "urn:slackwater:problem:not-writable")
        assert "Nothing was declared" in found["detail"] and "2.json" in found["detail"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_client_declares_any_number_of_rows(house: House, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slackwater_client.intake.MOST_EVENTS", 3)
    rows: Sequence[Any] = [{**SPOT, "symbol": f"S{n}", "tick": facts_of(INVERSE).multiplier} for n in range(8)]
    with served(house) as (port, _):
        client = KINDS[kind](f"http://127.0.0.1:{port}")
        found = client("ingest_instruments", [*rows, json.dumps(INVERSE), BAD, "{"], source="a notebook")
        assert (found.added, found.unchanged, found.refused) == (9, 0, {"tick-too-small": 1, "not-json": 1})
        assert found.examples["not-json"]["line"] == "{"
        again = client("ingest_instruments", rows)
        assert (again.added, again.unchanged, again.refused) == (0, 8, {})
        with pytest.raises(ArgumentError, match="holds a line feed"):
            client("ingest_instruments", ["{}\n{}"])
        client.close()
    assert len(declared(house).table()) == 9 and {one.by for one in declared(house).all()} == {"a notebook"}
