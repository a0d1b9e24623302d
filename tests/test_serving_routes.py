"""The other routes: instruments, versions, trades, pages, metrics, and what every answer carries."""

import json
import platform
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from serving.http.app import create_app
from slackwater.core.errors import SettingError
from slackwater.streams.trades import TRADES
from slackwater.streams.words import ROUTES
from slackwater.versions.manifest import Duplicates
from slackwater.views.answers import Column
from slackwater.views.definitions import names_of
from slackwater.views.measures import Count
from slackwater.views.view import View
from tests.serving_world import NAMES, NOON, SECOND, World, cut_in_a_minute

MINUTE = 60 * SECOND


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, partitions=2)
    yield found
    found.close()


def test_a_view_cannot_take_another_routes_name(world: World) -> None:
    view = View("trades", {"events": Count()}, {"events": Column("events")}, stream=TRADES)
    with pytest.raises(SettingError, match="trades"):
        create_app(world.log, NAMES, world.store, (view,))


def test_instruments_are_those_of_both_layers(world: World) -> None:
    cut_in_a_minute(world)
    world.trade("BTCUSD_PERP", at_s=3, venue="binance_coinm")
    world.emit()
    world.step()
    found = world.get("/v1/instruments").json()["instruments"]
    assert found == [
        {
            "stream": "trades",
            "venue": "binance_coinm",
            "symbol": "BTCUSD_PERP",
            "partition": 1,
            "first_start": NOON + 3 * SECOND,
            "last_start": NOON + 3 * SECOND,
            "quantity_unit": "contracts",
            "duplicates": 0,
        },
        {
            "stream": "trades",
            "venue": "x",
            "symbol": "BTC",
            "partition": 1,
            "first_start": NOON + SECOND,
            "last_start": NOON + 540 * SECOND,
            "quantity_unit": "base",
            "duplicates": 0,
        },
    ]
    assert world.get("/v1/instruments?times=iso").json()["instruments"][1]["first_start"] == "2025-10-06T12:00:01Z"


def test_duplicates_of_the_batch_view_are_shown(world: World) -> None:
    world.trade("BTC", trade_id=7)
    world.trade("BTC", trade_id=7, partition=0)
    world.trade("ETHER", trade_id=7)
    cut = world.mark("run-1")
    world.emit()
    found = (Duplicates("trades", ("x", "BTC"), 1),)
    world.publish(cut, "run-1", duplicates=found, counts={"trades": {"events": 3, "duplicates": 1}})
    world.step()
    instruments = world.get("/v1/instruments").json()["instruments"]
    assert [(i["symbol"], i["partition"], i["duplicates"]) for i in instruments] == [
        ("BTC", 0, 1),
        ("BTC", 1, 1),
        ("ETHER", 1, 0),
    ]
    assert world.get("/v1/versions/1").json()["duplicates"] == [
        {"stream": "trades", "entity": ["x", "BTC"], "events": 1}
    ]
    assert world.get("/v1/versions").json()["versions"][0]["counts"]["trades"]["duplicates"] == 1
    text = world.get("/metrics").text
    assert "slackwater_batch_events 3.0" in text and "slackwater_batch_duplicates 1.0" in text
    assert 'slackwater_entity_duplicates{entity="x:BTC",stream="trades"} 1.0' in text
    assert 'symbol="ETHER"' not in text


def test_versions_are_listed_and_shown(world: World) -> None:
    cut_in_a_minute(world)
    found = world.get("/v1/versions").json()
    assert found["served"] == 1
    assert [(v["version"], v["parent"], v["cut"]) for v in found["versions"]] == [(1, 0, {"trades": {"0": 0, "1": 4}})]
    shown = world.get("/v1/versions/1").json()
    assert "ids" not in shown
    assert shown["run_id"] == "run-1"
    assert {part["interval"] for part in shown["parts"]} == {"1s", "1m", "1h"}
    assert {entry["partition"] for entry in shown["archive"]} == {1}


def test_pages_and_documents_need_no_other_host(world: World) -> None:
    for path in ("/", "/docs"):
        response = world.get(path)
        assert response.status_code == 200
        loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']?([^\"' >]*)", response.text)
        assert not [url for url in loaded if "//" in url]
    document = world.get("/openapi.json").json()
    names = {p["name"] for p in document["paths"]["/v1/bars"]["get"]["parameters"]}
    assert {
        "venue",
        "symbol",
        "interval",
        "start",
        "end",
        "limit",
        "cursor",
        "layer",
        "as_of",
        "explain",
        "fill",
    } <= names


@pytest.mark.parametrize("asked", ["bytes=a-b", "x", "bytes=9999999999-", "lines=1-2", "bytes=0-5", "bytes=5-1"])
@pytest.mark.parametrize("path", ["/", "/docs", "/static/app.js", "/openapi.json"])
def test_a_range_is_ignored_whatever_it_is(world: World, path: str, asked: str) -> None:
    whole, ranged = world.get(path), world.request("GET", path, [("Range", asked)])
    assert (ranged.status_code, ranged.content) == (200, whole.content)
    assert ranged.headers.get("accept-ranges", "none") == "none"


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/static/app.js", "/static/nothing.js", "/static/", "/static/%00", "/static"]
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_every_refusal_of_a_page_is_a_problem(world: World, path: str, method: str) -> None:
    for of, statuses in ((method, {404, 405}), ("GET", {200, 404})):
        found = world.get(path, method=of)
        assert found.status_code in statuses
        if found.status_code != 200:
            assert found.headers["content-type"] == "application/problem+json"
            assert found.json()["status"] == found.status_code


def test_no_answer_names_a_version_of_other_software(world: World) -> None:
    names = (
        "duckdb",
        "pyarrow",
        "fastapi",
        "starlette",
        "uvicorn",
        "orjson",
        "kafka-python",
        "httptools",
        "apache-beam",
    )
    versions = [version(name) for name in names] + [platform.python_version()]
    paths = ["/", "/docs", "/nothing", "/openapi.json", "/metrics", "/health/ready", "/v1/versions", "/v1/instruments"]
    for path in [*paths, "/v1/bars?venue=x&symbol=BTC&format=arrow", "/v1/bars?venue=x&symbol=BTC", "/v1/bars?a"]:
        answer = world.get(path)
        text = f"{answer.headers} {answer.content.decode('latin-1')}"
        assert not [each for each in versions if re.search(rf"(?<![0-9.]){re.escape(each)}(?![0-9.])", text)], path


def test_every_answer_has_the_headers_of_the_edge_and_is_counted(world: World) -> None:
    cut_in_a_minute(world)
    for path in ("/v1/bars?venue=x&symbol=BTC", "/nothing", "/health/live"):
        assert world.get(path).headers["x-content-type-options"] == "nosniff"
    text = world.get("/metrics").text
    assert 'slackwater_requests_total{route="/v1/bars",status="200"} 1.0' in text
    assert 'slackwater_requests_total{route="none",status="404"} 1.0' in text
    for name in (
        "lag_records",
        "applied_offset",
        "version",
        "batch_age_seconds",
        "batch_run_age_seconds",
        "deltas_total",
        "cell_conflicts_total",
    ):
        assert f"slackwater_{name}" in text


def test_an_error_of_the_service_is_a_problem_without_a_trace(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cut_in_a_minute(world)
    monkeypatch.setattr(world.service.rows, "_pool", None)
    response = world.get("/v1/bars?venue=x&symbol=BTC")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in response.text
    assert "NoneType" not in response.text
    assert "NoneType" in caplog.text


def all_trades(world: World) -> list[dict[str, Any]]:
    """Every trade of the log with its place, by the slow way."""
    found = []
    for p in range(world.partitions):
        for record in world.records(p):
            for i, line in enumerate((record.value or b"").splitlines()):
                event = json.loads(line)
                if event["symbol"] == "BTC":
                    del event["venue"], event["symbol"]
                    more = {
                        "time_unit": "us",
                        "appended": record.append_time_ms * 1000,
                        "offset": record.offset,
                        "index": i,
                    }
                    ident = event["trade_id"]
                    found.append({**event, "trade_id": str(ident), "sequence": ident, "partition": p, **more})
    return sorted(found, key=lambda one: one["sequence"])


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_trades_are_those_of_the_archive_and_the_log(world: World, limit: int) -> None:
    cut_in_a_minute(world)
    query = f"/v1/trades?venue=x&symbol=BTC&start={NOON}&end={NOON + 1000 * SECOND}&limit={limit}"
    expected = all_trades(world)
    found: list[Any] = []
    cursor = ""
    while True:
        page = world.get(query + cursor).json()
        assert page["meta"]["applied"] == {"1": 9}
        found += page["trades"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
        world.trade(at_s=2)
        world.emit()
        world.step()
    assert found == expected
    bar = world.bars(f"symbol=BTC&start={NOON + MINUTE}&limit=1")["bars"][0]
    behind = [t for t in expected if bar["start"] <= t["time"] < bar["start"] + MINUTE]
    assert bar["trades"] == len(behind) == 3


def test_a_damaged_archive_file_is_not_read(world: World) -> None:
    cut_in_a_minute(world)
    path = world.store.home / world.store.manifest(1).archive[0].file.path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    response = world.get(f"/v1/trades?venue=x&symbol=BTC&start={NOON}&end={NOON + SECOND}")
    assert response.status_code == 503
    assert str(world.store.home) not in response.text


def test_the_names_of_routes_are_those_that_no_view_may_have(world: World) -> None:
    served = {*names_of(world.views), *(view.stream.name for view in world.views)}
    paths = {match[1] for path in world.app.openapi()["paths"] if (match := re.fullmatch("/v1/([a-z]+)", path))}
    assert paths - served | {"sql"} == ROUTES  # the route of SQL is there where it is asked for
