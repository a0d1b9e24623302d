"""Formats: every table in each format has the rows of its JSON, page by page and as an export of one moment."""

import asyncio
import csv
import http.client
import io
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn

from serving.http.formats import export
from serving.http.formats.encoders import json_lines
from serving.http.formats.export import ExportCutError
from serving.http.formats.negotiation import BY_NAME, FORMATS
from serving.http.formats.table import decimals_text
from serving.options import ServingOptions
from serving.query import read as query_read
from serving.query.answer import exact_json
from tests.serving_world import NOON, SECOND, World

TABLES = ("ndjson", "csv", "arrow", "parquet")
MINUTE = 60 * SECOND


def filled(home: Path) -> World:
    """Two instruments, one of them in both partitions; a hole of a day, a late trade, a version in the middle."""
    world = World(home)
    for i in range(40):
        world.trade("BTC", i * 7.3, f"{100 + i % 7}.5", quantity=f"0.{i + 1:08d}", side="buy" if i % 3 else "sell")
        world.trade("ETHX", i * 11.9, f"{50 + i % 5}.25", quantity="0.00000003")
    world.trade("BTC", 90_000, "0.00000001", quantity="0.00000001")
    cut = world.mark("run-1")
    for i in range(12):
        world.trade("BTC", 90_001 + i * 41, f"{99 + i % 7}", quantity="3.7")
        world.trade("BTC", i * 2.5, "250.00000001", partition=0)
    world.emit()
    world.publish(cut, "run-1")
    world.step()
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = filled(tmp_path_factory.mktemp("formats"))
    yield found
    found.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """A world that a test may change."""
    found = filled(tmp_path)
    yield found
    found.close()


def plain(value: Any) -> Any:
    """A typed value as JSON gives it."""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return value


def rows_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The rows of any format with JSON's values; CSV has texts alone, so an empty one is null."""
    kind = response.headers["content-type"]
    if kind == BY_NAME["json"].media_type:
        (rows,) = (value for value in response.json().values() if isinstance(value, list))
        return list(rows)
    if kind == BY_NAME["ndjson"].media_type:
        return [json.loads(line) for line in response.text.splitlines()]
    if kind == BY_NAME["csv"].media_type:
        return list(csv.DictReader(io.StringIO(response.text)))
    assert kind in {BY_NAME["arrow"].media_type, BY_NAME["parquet"].media_type}
    if kind == BY_NAME["arrow"].media_type:
        table = pa.ipc.open_stream(response.content).read_all()
    else:
        table = pq.read_table(io.BytesIO(response.content))
    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            assert field.type == pa.timestamp("us", "UTC")
            table = table.set_column(i, field.name, table.column(i).cast(pa.int64()))
    return [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]


def texts(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows as CSV has them."""

    def text(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return "" if value is None else value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    return [{name: text(value) for name, value in row.items()} for row in rows]


def same(of: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Whether a format's rows are those of JSON."""
    if of == "csv":
        return texts(found) == texts(expected)
    return found == expected


def with_instrument(rows: list[dict[str, Any]], symbol: str = "BTC") -> list[dict[str, Any]]:
    """Bars of JSON as rows of a table that stands alone."""
    return [
        {"venue": "x", "symbol": row.get("symbol", symbol), **{k: row[k] for k in row if k != "symbol"}} for row in rows
    ]


BARS = [
    "symbol=BTC&interval=1m",
    "symbol=BTC&interval=1h&layer=batch",
    "symbol=BTC&interval=5s&layer=speed",
    "symbol=BTC,ETHX&interval=15s&start=1970-01-01",
    f"symbol=BTC&interval=1m&start={NOON}&limit=4&fill=previous",
    "symbol=BTC&interval=1d&as_of=1",
]


@pytest.mark.parametrize("query", BARS)
@pytest.mark.parametrize("of", TABLES)
def test_a_page_of_bars_has_the_rows_of_json(world: World, of: str, query: str) -> None:
    expected = world.bars(query)
    response = world.get(f"/v1/bars?venue=x&{query}&format={of}")
    assert response.status_code == 200, response.text
    assert same(of, rows_of(response), with_instrument(expected["bars"]))
    assert expected["bars"]


@pytest.mark.parametrize("of", TABLES)
@pytest.mark.parametrize(
    "path", ["/v1/instruments?", f"/v1/trades?venue=x&symbol=BTC&start={NOON}&end={NOON + MINUTE}&"]
)
def test_other_tables_have_the_rows_of_json(world: World, of: str, path: str) -> None:
    expected = rows_of(world.get(path))
    assert len(expected) > 2
    assert same(of, rows_of(world.get(f"{path}format={of}")), expected)


def test_json_lines_of_columns_are_those_of_rows() -> None:
    table = pa.table(
        {
            "text": pa.array(["plain", 'a"b', "\\", "\x01\n", "é☃", None, ""]),
            "safe": pa.array(["1.5", "x", None, "", "é", "-", "/"]),
            "whole": pa.array([1, -(2**63), 2**63 - 1, None, 0, 2**53 - 1, 2**53], pa.int64()),
            "double": pa.array([1.0, 1e-8, 1e22, None, 0.1, -0.0, 5e-324]),
            "truth": pa.array([True, False, None, True, False, True, False]),
        }
    )
    for found in (table, table.slice(2, 3), pa.concat_tables([table, table.slice(1)]), table.slice(0, 0)):
        rows = [{name: exact_json(value) for name, value in row.items()} for row in found.to_pylist()]
        assert json_lines(found) == b"".join(orjson.dumps(row) + b"\n" for row in rows)


EXPORTS = [
    "symbol=BTC&interval=1s",
    "symbol=BTC&interval=1m",
    "symbol=BTC,ETHX&interval=5s",
    "symbol=BTC&interval=1m&layer=speed",
    "symbol=BTC&interval=1m&layer=batch",
    "symbol=BTC&interval=1w&as_of=1",
    f"symbol=BTC&interval=1s&start={NOON + 3 * SECOND}&end={NOON + 90_100 * SECOND + 1}",
    f"symbol=BTC&interval=1s&start={NOON + 1000 * SECOND}&end={NOON + 1001 * SECOND}",
]


@pytest.mark.parametrize("query", EXPORTS)
@pytest.mark.parametrize("of", TABLES)
def test_an_export_is_all_pages(world: World, monkeypatch: pytest.MonkeyPatch, of: str, query: str) -> None:
    """In parts of a few rows, so that a window is sparse, dense and too large in turn."""
    monkeypatch.setattr(export, "FIRST_ROWS", 2)
    monkeypatch.setattr(export, "WINDOW_ROWS", 6)
    monkeypatch.setattr(export, "PART_ROWS", 4)
    monkeypatch.setattr(query_read, "ROWS_PER_LOCK", 3)
    expected = world.bars(f"{query}&limit=10000" + ("" if "start" in query else "&start=1970-01-01"))
    response = world.get(f"/v1/bars?venue=x&{query}&limit=all&format={of}")
    assert response.status_code == 200, response.text
    assert same(of, rows_of(response), with_instrument(expected["bars"]))
    assert response.headers["slackwater-applied"] == json.dumps(expected["meta"]["applied"], separators=(",", ":"))


def test_numbers_can_be_the_nearest_doubles_in_every_format(world: World) -> None:
    exact = world.bars("symbol=BTC")["bars"]
    decimals = [name for name, value in exact[0].items() if isinstance(value, str)]
    assert {"open", "vwap", "notional"} <= set(decimals)
    nearest = [{k: float(v) if k in decimals else v for k, v in row.items()} for row in exact]
    assert world.bars("symbol=BTC&numbers=float")["bars"] == nearest
    for limit in ("500", "all"):
        for of in TABLES:
            found = rows_of(world.get(f"/v1/bars?venue=x&symbol=BTC&numbers=float&limit={limit}&format={of}"))
            if of == "csv":
                found = [{k: float(v) if k in decimals else v for k, v in row.items()} for row in found]
            assert same(of, found, with_instrument(nearest)), (of, limit)
    trade = world.get(f"/v1/trades?venue=x&symbol=BTC&start={NOON}&end={NOON + MINUTE}&numbers=float").json()["trades"][
        0
    ]
    assert isinstance(trade["price"], float)


def test_times_can_be_text(world: World) -> None:
    for limit in ("500", "all"):
        for of in ("ndjson", "csv"):
            rows = rows_of(world.get(f"/v1/bars?venue=x&symbol=BTC&times=iso&limit={limit}&format={of}"))
            assert rows[0]["start"] == "2025-10-06T12:00:00Z"


def test_what_json_says_around_the_rows_stands_in_headers_and_metadata(world: World) -> None:
    answer = world.bars("symbol=BTC")["meta"]
    for limit in ("500", "all"):
        response = world.get(f"/v1/bars?venue=x&symbol=BTC&format=arrow&limit={limit}")
        for name, value in answer.items():
            text = response.headers[f"slackwater-{name}"]
            assert (text if isinstance(value, str) else json.loads(text)) == value
        assert response.headers["slackwater-lag-records"] == "0"
        assert json.loads(pa.ipc.open_stream(response.content).schema.metadata[b"slackwater"]) == answer


@pytest.mark.parametrize("of", ["json", *TABLES])
def test_a_link_leads_to_the_next_page(world: World, of: str) -> None:
    url = f"/v1/bars?venue=x&symbol=BTC&interval=1s&start={NOON}&limit=30&format={of}"
    expected = world.bars(f"symbol=BTC&interval=1s&start={NOON}&limit=10000")["bars"]
    found: list[dict[str, Any]] = []
    while True:
        response = world.get(url)
        found += rows_of(response)
        if "next" not in response.links:
            break
        url = response.links["next"]["url"]
        assert url.count("cursor=") == 1
    assert same(of, found, expected if of == "json" else with_instrument(expected))


@pytest.mark.parametrize(
    ("accept", "of"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("text/csv", "csv"),
        ("text/*", "csv"),
        ("text/csv; header=present", "csv"),
        ("application/*", "json"),
        ("application/x-ndjson;q=0.5, text/csv;q=0.4", "ndjson"),
        ("application/json;q=0.1, application/vnd.apache.arrow.stream", "arrow"),
        ("application/vnd.apache.parquet", "parquet"),
        ("application/json;q=0, */*", "ndjson"),
        ("text/csv;q=nonsense, application/ndjson", "ndjson"),
        ("text/csv; header=absent", None),
        ("image/png", None),
        ("application/json;q=0", None),
    ],
)
def test_accept_chooses_the_format(world: World, accept: str | None, of: str | None) -> None:
    headers = {"accept": accept} if accept is not None else {"accept": ""}
    response = world.get("/v1/bars?venue=x&symbol=BTC", headers)
    assert world.get("/v1/bars?venue=x&symbol=BTC&format=csv", headers).headers["content-type"].startswith("text/csv")
    if of is None:
        assert response.status_code == 406
        assert [each["format"] for each in response.json()["available"]] == [each.name for each in FORMATS]
        return
    assert response.headers["content-type"] == BY_NAME[of].media_type
    assert response.headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("format=xml", "format"),
        ("limit=all", "limit"),
        ("limit=all&format=json", "limit"),
        ("limit=all&format=csv&fill=previous", "fill"),
        ("limit=all&format=csv&explain=true", "explain"),
        ("limit=all&format=csv&start=1970-01-01&cursor=abc", "cursor"),
        ("explain=true&format=csv", "explain"),
        ("numbers=double", "numbers"),
        ("limit=ALL", "limit"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(world: World, query: str, parameter: str) -> None:
    response = world.get(f"/v1/bars?venue=x&symbol=BTC&{query}")
    assert response.status_code == 422
    assert parameter in [error["parameter"] for error in response.json()["errors"]]
    by_accept = world.get("/v1/bars?venue=x&symbol=BTC&explain=true", {"accept": "text/csv"})
    assert by_accept.status_code == 422


CODED = [("identity", None), ("gzip", "gzip"), ("zstd", "zstd"), ("gzip;q=0.5, zstd;q=0.4", "gzip"), ("br", None)]


@pytest.mark.parametrize("query", ["format=json", "format=csv", "format=csv&limit=all", "format=ndjson&limit=all"])
@pytest.mark.parametrize(("accepted", "coding"), CODED)
def test_codings_are_negotiated_and_each_has_a_tag_of_its_own(
    world: World, query: str, accepted: str, coding: str | None
) -> None:
    url = f"/v1/bars?venue=x&symbol=BTC&interval=1s&{query}"
    bare = world.get(url, {"accept-encoding": "identity"})
    response = world.get(url, {"accept-encoding": accepted})
    assert response.headers.get("content-encoding") == coding
    assert response.content == bare.content  # as the client decodes it
    assert (response.headers["etag"] == bare.headers["etag"]) == (coding is None)
    assert world.get(url, {"accept-encoding": accepted}).headers["etag"] == response.headers["etag"]
    again = world.get(url, {"accept-encoding": accepted, "if-none-match": f'"a", {response.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["vary"] == "Accept, Accept-Encoding"
    head = world.get(url, {"accept-encoding": accepted}, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    drop = {"transfer-encoding", "x-request-id"}
    told, got = ({k: v for k, v in each.headers.items() if k not in drop} for each in (head, response))
    assert told == got


def test_what_is_small_or_typed_is_sent_as_it_is_unless_that_is_refused(world: World) -> None:
    url = "/v1/bars?venue=x&symbol=BTC&limit="
    offered = {"accept-encoding": "gzip, zstd"}
    assert "content-encoding" not in world.get(f"{url}1", offered).headers
    assert "content-encoding" not in world.get(f"{url}500&format=arrow", offered).headers
    refused = {"accept-encoding": "gzip, identity;q=0"}
    assert world.get(f"{url}1", refused).headers["content-encoding"] == "gzip"
    assert world.get(f"{url}500&format=arrow", refused).headers["content-encoding"] == "gzip"
    assert world.get(f"{url}1", {"accept-encoding": "*;q=0"}).status_code == 406


def test_every_representation_has_a_tag_of_its_own(world: World) -> None:
    asked = [(of, coding) for of in BY_NAME for coding in ("identity", "gzip", "zstd")]
    tags = {
        world.get(f"/v1/bars?venue=x&symbol=BTC&interval=1s&format={of}", {"accept-encoding": coding}).headers["etag"]
        for of, coding in asked
        if BY_NAME[of].text or coding == "identity"
    }
    assert len(tags) == 3 * 3 + 2
    assert not any(tag.startswith("W/") for tag in tags)


@pytest.mark.parametrize(
    "path",
    ["/v1/instruments", "/v1/versions", "/v1/versions/1", "/health/live", "/v1/restatements", "/v1/bars?venue=x"],
)
def test_head_says_what_get_would(world: World, path: str) -> None:
    got, head = world.get(path), world.get(path, method="HEAD")
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    assert world.get(path, method="DELETE").status_code == 405


def test_pinned_answers_alone_are_immutable(world: World) -> None:
    for query, immutable in (
        ("", False),
        ("&as_of=1", True),
        ("&limit=all&format=csv", False),
        ("&limit=all&format=csv&as_of=1", True),
    ):
        found = world.get(f"/v1/bars?venue=x&symbol=BTC{query}").headers["cache-control"]
        assert ("immutable" in found) == immutable


async def parts_of(world: World, query: str, between: Any) -> list[bytes]:
    """The parts that an export sends; `between` is called behind the first."""
    parts: list[bytes] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/bars",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
        "client": ("127.0.0.1", 1),
        "raw_path": b"/v1/bars",
        "root_path": "",
        "asgi": {"version": "3.0"},
        "query_string": f"venue=x&{query}".encode(),
    }

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            parts.append(message["body"])
            if len(parts) == 1 and (waiting := between()) is not None:
                await waiting

    await world.app(scope, receive, send)
    return parts


def test_an_export_is_of_one_moment(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FIRST_ROWS", 2)
    monkeypatch.setattr(export, "WINDOW_ROWS", 6)
    monkeypatch.setattr(export, "PART_ROWS", 4)
    expected = own.get("/v1/bars?venue=x&symbol=BTC&interval=1s&limit=all&format=ndjson").content

    def more() -> None:
        for i in range(10):
            own.trade("BTC", 30 + i * 20, "777")
            own.trade("BTC", 90_300 + i * 20, "777")
        cut = own.mark("run-2")
        own.emit()
        own.publish(cut, "run-2")
        own.step()

    parts = asyncio.run(parts_of(own, "symbol=BTC&interval=1s&limit=all&format=ndjson", more))
    assert len(parts) > 5
    assert b"".join(parts) == expected
    assert own.get("/v1/bars?venue=x&symbol=BTC&interval=1s&limit=all&format=ndjson").content != expected


def test_an_export_that_fails_half_way_is_cut_not_ended(
    own: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(export, "FIRST_ROWS", 2)
    monkeypatch.setattr(export, "WINDOW_ROWS", 6)
    monkeypatch.setattr(export, "PART_ROWS", 4)

    def damage() -> None:
        for file in own.store.manifest(1).parts:
            (own.store.home / file.file.path).write_bytes(b"x")

    query = "symbol=BTC&interval=1s&limit=all&format=csv"
    with pytest.raises(ExportCutError, match="cannot be read"):
        asyncio.run(parts_of(own, query, damage))
    assert "ExportCutError" in caplog.text
    assert own.get(f"/v1/bars?venue=x&{query}").status_code == 503, "before the first part it is a problem"
    assert own.get("/v1/bars?venue=x&symbol=BTC&layer=speed&limit=all&format=csv").status_code == 200, (
        "its place is free"
    )


def test_exports_are_bounded_and_give_their_place_back(own: World) -> None:
    own.serve(ServingOptions(poll_s=0.0, exports=1))
    own.step()
    query = "symbol=BTC&interval=1s&limit=all&format=csv"
    found: list[httpx.Response] = []

    async def another() -> None:
        transport = httpx.ASGITransport(app=own.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            found.append(await client.get(f"/v1/bars?venue=x&{query}"))

    asyncio.run(parts_of(own, query, another))
    assert [(each.status_code, each.headers["retry-after"]) for each in found] == [(503, "5")]
    assert own.get(f"/v1/bars?venue=x&{query}", method="HEAD").status_code == 200
    assert own.get(f"/v1/bars?venue=x&{query}").status_code == 200


def test_a_client_sees_that_an_export_was_cut(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real socket: the chunks end without the last one, which is what no HTTP client takes for an end."""
    monkeypatch.setattr(export, "FIRST_ROWS", 2)
    monkeypatch.setattr(export, "WINDOW_ROWS", 6)
    monkeypatch.setattr(export, "PART_ROWS", 4)
    given = export.table_of_typed

    def damaged(*arguments: Any) -> pa.Table:
        for file in own.store.manifest(1).parts:
            (own.store.home / file.file.path).write_bytes(b"x")
        return given(*arguments)

    monkeypatch.setattr(export, "table_of_typed", damaged)
    config = uvicorn.Config(own.app, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    host, port = server.servers[0].sockets[0].getsockname()
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("GET", "/v1/bars?venue=x&symbol=BTC&interval=1s&limit=all&format=csv")
        response = connection.getresponse()
        assert response.status == 200
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
        assert caught.value.partial.startswith(b"venue,symbol,start,")
    finally:
        connection.close()
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize(
    ("precision", "scale", "given", "text"),
    [
        (38, 8, ["0.00000001", "100.00000000", "1.50000000", "0.00000000"], ["0.00000001", "100", "1.5", "0"]),
        (38, 16, ["0.0000000000000001", "10.0000000000000000"], ["0.0000000000000001", "10"]),
        (38, 0, ["100", "0", "7"], ["100", "0", "7"]),
    ],
)
def test_decimals_are_text_without_exponent_and_trailing_zeros(
    precision: int, scale: int, given: list[str], text: list[str]
) -> None:
    column = pa.array(given).cast(pa.decimal128(precision, scale))
    assert decimals_text(column).to_pylist() == text
