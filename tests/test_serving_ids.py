"""Trade ids beyond 2^53 reach every reader exactly: as text in JSON, as integers where a format has a type for them.

9007199254740991   number      2^53 - 1
9007199254740992   text        a double cannot tell it from the next one
"""

import io
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from slackwater_client import Client, Snapshot

from serving.http.routes.sql import plain_rows
from serving.options import ServingOptions
from slackwater.views.kinds import LARGEST_EXACT
from tests.page_server import NAMES, SECOND_US, VENUE, Market, PageServer
from tests.proof_kit import prove
from verify.client import Client as Prover

FIRST = LARGEST_EXACT - 2
IDS = ("first_sequence", "last_sequence")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """Trades a second each whose ids pass 2^53; a version below the cut, a late trade that it restated, and more."""
    found = Market(tmp_path_factory.mktemp("home"), time.time_ns() // 1000 - 3600 * SECOND_US)
    found._ids = FIRST - 1
    found.trade(10, step_us=SECOND_US)
    found.publish()
    found.trade(1, late_us=5 * SECOND_US)
    found.publish()
    found.now_us += 3 * SECOND_US  # bars without a trade, whatever the clock says
    found._ids = 2**63 - 6
    found.trade(5, step_us=SECOND_US)
    yield found
    found.close()


@pytest.fixture(scope="module")
def server(market: Market) -> Iterator[PageServer]:
    with PageServer(market, options=ServingOptions()) as server:
        for _ in range(2000):
            ready = httpx.get(server.url + "health/ready").json()
            if ready["ready"] and ready["layers"]["speed"]["applied"] == market.appended:
                break
            time.sleep(0.01)
        else:
            pytest.fail("The speed layer did not apply the log.")
        yield server


EXPECTED = {*range(FIRST, FIRST + 11), *range(2**63 - 5, 2**63)}


def get(server: PageServer, path: str, **query: Any) -> httpx.Response:
    asked = {"venue": VENUE, "symbol": "BTCUSDT", "start": "1970-01-01", "interval": "1s", "limit": 1000, **query}
    found = httpx.get(server.url + path, params={n: v for n, v in asked.items() if v is not None})
    assert found.status_code == 200, found.text
    return found


def ids_of(found: Any) -> list[Any]:
    """Every value of a document that is an id, wherever it stands."""
    if isinstance(found, dict):
        own = [value for name, value in found.items() if name.endswith("sequence")]
        return own + [each for value in found.values() for each in ids_of(value)]
    return [each for value in found for each in ids_of(value)] if isinstance(found, list) else []


def check(ids: list[Any], as_text: bool) -> None:
    """They are what was sent, numbers up to 2^53 - 1 and text beyond, or all text."""
    assert {int(each) for each in ids} <= EXPECTED
    assert max(map(int, ids)) > LARGEST_EXACT
    for each in ids:
        assert type(each) is (str if as_text or int(each) > LARGEST_EXACT else int), each


@pytest.mark.parametrize("ids", [None, "auto", "text"])
def test_json_has_text_where_a_double_would_not_hold_an_id(server: PageServer, ids: str | None) -> None:
    trades = get(server, "v1/trades", end="9999-12-31", interval=None, ids=ids).json()["trades"]
    assert {int(trade["trade_id"]) for trade in trades} == EXPECTED
    bars = get(server, "v1/bars", ids=ids).json()["bars"]
    assert {int(bars[0]["first_sequence"]), int(bars[-1]["last_sequence"])} == {FIRST, 2**63 - 1}
    explained = get(server, "v1/bars", ids=ids, explain="true").json()["bars"]
    filled = get(server, "v1/bars", ids=ids, fill="previous").json()["bars"]
    assert any(bar["first_sequence"] is None for bar in filled)
    restated = get(server, "v1/restatements", ids=ids, start=None, interval=None).json()["restatements"]
    assert restated
    for found in (trades, bars, explained, restated, [bar for bar in filled if bar["trades"]]):
        check(ids_of(found), ids == "text")


@pytest.mark.parametrize("ids", [None, "text"])
def test_lines_of_json_are_as_json(server: PageServer, ids: str | None) -> None:
    for path, query in (
        ("v1/bars", {}),
        ("v1/bars", {"limit": "all"}),
        ("v1/trades", {"end": "9999-12-31", "interval": None}),
        ("v1/restatements", {"start": None, "interval": None}),
    ):
        lines = get(server, path, ids=ids, format="ndjson", **query).text.splitlines()
        rows = [json.loads(line) for line in lines]
        sides = [json.loads(row[side]) for row in rows for side in ("before", "after") if row.get(side)]
        check(ids_of(sides or rows), ids == "text")


@pytest.mark.parametrize("ids", [None, "text"])
@pytest.mark.parametrize("limit", [1000, "all"])
def test_formats_with_types_have_integers(server: PageServer, ids: str | None, limit: Any) -> None:
    expected = get(server, "v1/bars").json()["bars"]
    arrow = pa.ipc.open_stream(get(server, "v1/bars", ids=ids, limit=limit, format="arrow").content).read_all()
    parquet = pq.read_table(io.BytesIO(get(server, "v1/bars", ids=ids, limit=limit, format="parquet").content))
    lines = get(server, "v1/bars", ids=ids, limit=limit, format="csv").text.splitlines()
    for name in IDS:
        wanted = [int(bar[name]) for bar in expected]
        assert arrow.schema.field(name).type == parquet.schema.field(name).type == pa.int64()
        assert arrow.column(name).to_pylist() == parquet.column(name).to_pylist() == wanted
        at = lines[0].split(",").index(name)
        assert [line.split(",")[at] for line in lines[1:]] == list(map(str, wanted))


@pytest.mark.parametrize("ids", [None, "text"])
def test_a_stream_gives_them_as_bars_do(server: PageServer, ids: str | None) -> None:
    query = {"venue": VENUE, "symbol": "BTCUSDT", "interval": "1s", **({"ids": ids} if ids else {})}
    with httpx.stream("GET", server.url + "v1/stream/bars", params=query) as found:
        data = next(line for line in found.iter_lines() if line.startswith("data: "))
    check(ids_of(json.loads(data.removeprefix("data: "))), ids == "text")


def test_results_of_sql_have_them_too() -> None:
    largest = [LARGEST_EXACT, LARGEST_EXACT + 1, -LARGEST_EXACT, -LARGEST_EXACT - 1, None]
    rows = plain_rows(pa.table({"id": pa.array(largest, pa.int64())}))
    assert rows == [(2**53 - 1,), (str(2**53),), (1 - 2**53,), (str(-(2**53)),), (None,)]


def test_the_client_has_integers(server: PageServer) -> None:
    with Client(server.url.rstrip("/")) as client:
        for limit in (1000, None):  # JSON, and Arrow
            bars = client.bars(VENUE, "BTCUSDT", interval="1s", start="1970-01-01", limit=limit)
            trades = client.trades(VENUE, "BTCUSDT", "1970-01-01", "9999-12-31", limit=limit)
            assert {int(trade.trade_id) for trade in trades} == EXPECTED
            assert (bars[0].first_sequence, bars[-1].last_sequence) == (FIRST, 2**63 - 1)
            assert bars.to_arrow().column("last_sequence").to_pylist() == [bar.last_sequence for bar in bars]
        (restated, *_) = client.restatements()
        assert restated.after is not None and restated.after.last_sequence == FIRST + 10
        with closing(client.stream("bars", venue=VENUE, symbol="BTCUSDT", interval="1s")) as stream:
            snapshot = next(event for event in stream if isinstance(event, Snapshot))
        assert snapshot.rows[-1].last_sequence == 2**63 - 1


def test_the_proof_compares_them_exactly(server: PageServer, market: Market) -> None:
    with Prover(server.url) as prover:
        proof = prove(prover, market.log, NAMES, market.store)
    assert proof.holds, proof.differences
    assert proof.events == 16
