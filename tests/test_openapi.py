"""The OpenAPI document is valid, complete and true: real answers of every route fit what it says of them."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from slackwater_client.sse import Message, Parser

from docs.http_reference import resolved
from serving.http import routes
from serving.http.openapi import responses
from serving.options import ServingOptions
from serving.query.parameters import MOST_SYMBOLS, ValueRefusedError, interval, point, time_us
from slackwater.core.rate import Rate
from slackwater.http.edge import ANSWER_HEADERS
from slackwater.http.options import GuardOptions
from slackwater.streams.trades import SYMBOL, VENUE
from tests.live_service import LiveService
from tests.serving_world import NOON, SECOND, World, cut_in_a_minute

ROOMS = [Path(__file__).parent.parent / room for room in ("serving", "slackwater/http")]
BTC = "venue=x&symbol=BTC"
RANGE = f"start={NOON}&end={NOON + 600 * SECOND}"

NOT_DECLARED = {"content-type", "content-length", "content-encoding"} | {name.decode() for name, _ in ANSWER_HEADERS}

# A request for every operation, and more for what changes an answer's form.
ASKED = [
    ("/v1/bars", f"?{BTC}"),
    ("/v1/bars", f"?{BTC}&{RANGE}&limit=1"),
    ("/v1/bars", f"?{BTC}&{RANGE}&fill=previous&times=iso"),
    ("/v1/bars", f"?{BTC}&explain=true"),
    ("/v1/bars", f"?{BTC}&numbers=float"),
    ("/v1/bars", "?venue=x&symbol=BTC,ETHER"),
    ("/v1/bars", f"?{BTC}&as_of=1"),
    ("/v1/bars", f"?{BTC}&as_of=99"),
    ("/v1/bars", "?venue=x&symbol=NOPE"),
    ("/v1/bars", f"?{BTC}&interval=7m&limit=0"),
    ("/v1/trades", f"?{BTC}&{RANGE}"),
    ("/v1/trades", f"?{BTC}&{RANGE}&times=iso&limit=2"),
    ("/v1/trades", f"?{BTC}"),
    ("/v1/gaps", ""),
    ("/v1/gaps", "?venue=binance_spot&limit=1&times=iso&ids=text"),
    ("/v1/gaps", "?limit=0"),
    ("/v1/instruments", ""),
    ("/v1/instruments", "?times=iso"),
    ("/v1/instruments", "?limit=1&venue=x"),
    ("/v1/instruments", "?prefix=BT&q=b&active_since=2025-01-01"),
    ("/v1/instruments", "?a=1"),
    ("/v1/restatements", ""),
    ("/v1/restatements", "?since=x"),
    ("/v1/versions", ""),
    ("/v1/versions/{version}", "1"),
    ("/v1/versions/{version}", "99"),
    ("/v1/versions/{version}/handoff", "1"),
    ("/v1/versions/{version}/handoff", "99"),
    ("/health/live", ""),
    ("/health/ready", ""),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("home"))
    cut_in_a_minute(found)
    found.trade("ETHER", at_s=9)
    found.emit()
    found.step()
    yield found
    found.close()


@pytest.fixture(scope="module")
def document(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, facts in methods.items():
            yield path, method, facts


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema that stands in the document."""
    whole = {**schema, "components": document["components"]}  # what its references point at
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_says_what_it_answers_and_every_problem(document: dict[str, Any]) -> None:
    names = [facts["operationId"] for _, _, facts in operations(document)]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, facts in operations(document):
        assert set(facts["tags"]) <= tags, path
        for status, given in facts["responses"].items():
            response = resolved(document, given)
            assert response["description"]
            for content in response.get("content", {}).values():
                assert content.get("schema"), (path, status)
            if status not in {"200", "304"} and (path, status) != ("/health/ready", "503"):
                (problem,) = response["content"].values()
                assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert problem["examples"]
        assert "500" in facts["responses"], path
        assert method == "get" or "403" in facts["responses"]


def test_every_parameter_has_a_schema_and_a_description(document: dict[str, Any]) -> None:
    for path, _, facts in operations(document):
        for parameter in facts.get("parameters", ()):
            schema = parameter["schema"]
            assert parameter["description"], (path, parameter["name"])
            assert {"enum", "pattern", "anyOf", "maximum"} & schema.keys() or schema["type"] in {"boolean", "string"}


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    checked = 0
    for component in document["components"]["schemas"].values():
        for example in component.get("examples", [component["example"]] if "example" in component else []):
            validator(document, component).validate(example)
            checked += 1
    problem = document["components"]["schemas"]["Problem"]
    for response in responses().values():
        (content,) = response["content"].values()
        for example in content["examples"].values():
            validator(document, problem).validate(example["value"])
            checked += 1
    assert checked > 20


@pytest.mark.parametrize(("path", "rest"), ASKED, ids="".join)
def test_a_real_answer_fits_what_is_said_of_it(world: World, document: dict[str, Any], path: str, rest: str) -> None:
    response = world.get(path.replace("{version}", rest) if "{" in path else path + rest)
    declared = document["paths"][path]["get"]["responses"]
    assert str(response.status_code) in declared
    given = resolved(document, declared[str(response.status_code)])
    content = given["content"][response.headers["content-type"]]
    validator(document, content["schema"]).validate(response.json())
    for name, header in given.get("headers", {}).items():
        assert name in response.headers or not resolved(document, header)["required"], name


def undeclared(document: dict[str, Any], path: str, response: httpx.Response) -> set[str]:
    given = resolved(document, document["paths"][path]["get"]["responses"][str(response.status_code)])
    return {name.lower() for name in response.headers} - {name.lower() for name in given["headers"]} - NOT_DECLARED


@pytest.mark.parametrize(("path", "rest"), ASKED, ids="".join)
def test_an_answer_has_no_header_that_is_not_declared(
    world: World, document: dict[str, Any], path: str, rest: str
) -> None:
    asked = path.replace("{version}", rest) if "{" in path else path + rest
    responses = [world.get(asked)]
    if "etag" in responses[0].headers:
        responses.append(world.get(asked, {"If-None-Match": responses[0].headers["etag"]}))
    if path.rpartition("/")[2] in {"bars", "trades", "instruments", "restatements"}:
        responses.append(world.get(asked, {"Accept": "text/csv"}))
    if path == "/v1/bars":
        responses.append(world.get(f"{asked}&limit=all&format=csv"))
    for response in responses:
        assert not undeclared(document, path, response), response.status_code


def test_nor_have_the_metrics(world: World, document: dict[str, Any]) -> None:
    assert not undeclared(document, "/metrics", world.get("/metrics"))


def test_nor_has_one_whose_rate_is_limited_or_that_needs_a_key(tmp_path: Path, document: dict[str, Any]) -> None:
    world = World(tmp_path)
    cut_in_a_minute(world)
    try:
        for guard in (GuardOptions(rate=Rate(2, 60)), GuardOptions(require_key=True)):
            world.serve(ServingOptions(poll_s=0.0, guard=guard))
            world.step()
            world.step()
            answers = [world.get(f"/v1/bars?{BTC}") for _ in range(3)]
            assert {answer.status_code for answer in answers} == ({401} if guard.require_key else {200, 429})
            for answer in answers:
                assert not undeclared(document, "/v1/bars", answer)
    finally:
        world.close()


def test_real_events_fit_what_is_said_of_them(world: World, document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/stream/bars"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    kinds = {one["properties"]["event"]["const"]: one for one in resolved(document, content["schema"])["oneOf"]}
    with LiveService(world) as live:
        for query in (BTC, "venue=x&symbol=BTC,ETHER&interval=1s,1m&times=iso"):
            message = first_message(document, f"{live.url}/v1/stream/bars?{query}")
            event = {"event": message.event, "id": message.id, "data": message.data}
            validator(document, content["schema"]).validate(event)
            data = kinds[message.event]["properties"]["data"]["contentSchema"]
            validator(document, data).validate(json.loads(message.data))


def first_message(document: dict[str, Any], url: str) -> Message:
    """The first event of a stream, whose headers are all declared."""
    parser = Parser()
    with httpx.stream("GET", url) as response:
        assert not undeclared(document, "/v1/stream/bars", response) - {"date", "server", "transfer-encoding"}
        return next(message for piece in response.iter_bytes() for message in parser.feed(piece))


def test_every_operation_is_asked_above(document: dict[str, Any]) -> None:
    asked = {path for path, _ in ASKED}
    left = {path for path, method, _ in operations(document) if method == "get"} - asked
    elsewhere = {"/metrics", "/v1/dead-letters"}  # tests/test_serving_dead_letters.py
    assert {path for path in left if not path.startswith("/v1/stream/")} == elsewhere


def test_every_kind_of_problem_in_the_code_is_in_the_document() -> None:
    listed = {
        kind
        for response in responses().values()
        for content in response["content"].values()
        for kind in content["examples"]
    }
    raised = {
        kind
        for room in ROOMS
        for path in room.rglob("*.py")
        for kind in re.findall(r'ProblemError\(\s*[45][0-9]{2},\s*"([a-z-]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(raised) > 10
    assert raised <= listed


_TEXTS = """
x X é binance_spot BTCUSDT A,B A, A,,B 1m 7m 90m 1440m 24h 86400s 1w 2w 01m 0 1 01 -1 1e3 1230508799999999
1230508799 1230508800 1230508800000000 1769851800 1769851800000 1769851800000000000 253402300799999999
253402300800000000 2025-10-06 2025-02-29 2024-02-29 2000-02-29 2100-02-29 1969-12-31 1970-01-01 1972-02-29 0000-01-01
2025-04-31 2025-04-30 2025-01-31 2025-10-06T12 2025-10-06T12:00Z 2025-10-06T25:00Z 2025-10-06T12:00
2025-10-06T12:00:00.1234567Z 2025-10-06T12:00:00+00:00 2025-10-06T12:00:00+02:00 9999-12-31T23:59:59.999999Z
"""
TEXTS = ["", "a" * 33, ",".join("A" * 65), *_TEXTS.split()]


def matching(pattern: str, most: int) -> Callable[[str], None]:
    """Reads a text, or several with commas between."""

    def read(text: str) -> None:
        found = text.split(",") if most > 1 else [text]
        if len(found) > most or not all(re.fullmatch(pattern, each) for each in found):
            raise ValueRefusedError(text)

    return read


@pytest.mark.parametrize(
    ("path", "name", "read"),
    [
        ("/v1/bars", "venue", matching(VENUE, 1)),
        ("/v1/bars", "symbol", matching(SYMBOL, MOST_SYMBOLS)),
        ("/v1/bars", "interval", interval),
        ("/v1/bars", "start", time_us),
        ("/v1/trades", "symbol", matching(SYMBOL, 1)),
        ("/v1/instruments", "venue", matching(VENUE, MOST_SYMBOLS)),
        ("/v1/instruments", "active_since", time_us),
        ("/v1/restatements", "since", point),
    ],
)
def test_a_schema_takes_what_the_parameter_takes(document: dict[str, Any], path: str, name: str, read: Any) -> None:
    """Symbols that stand twice are the one thing that the schema cannot say."""
    listed = document["paths"][path]["get"]["parameters"]
    schema = Draft202012Validator(next(each["schema"] for each in listed if each["name"] == name))
    for text in TEXTS:
        number = [int(text)] if re.fullmatch("0|[1-9][0-9]*", text) else []
        takes = any(schema.is_valid(value) for value in (text, *number))
        try:
            read(text)
        except ValueRefusedError:
            assert not takes, text
        else:
            assert takes, text


def test_a_route_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is laid into the package is served, described and guarded like every other; nothing names it."""
    (tmp_path / "ping.py").write_text(ROUTE, encoding="utf-8")
    monkeypatch.setattr(routes, "__path__", [*routes.__path__, str(tmp_path)])
    world = World(tmp_path / "home")
    try:
        assert world.get("/v1/ping?times=3").json() == {"pong": [0, 1, 2]}
        refused = world.get("/v1/ping?times=99&tmes=1")
        assert [each["parameter"] for each in refused.json()["errors"]] == ["times", "tmes"]
        document = world.get("/openapi.json").json()
        OpenAPIV31SpecValidator(document).validate()
        described = document["paths"]["/v1/ping"]["get"]
        assert [each["name"] for each in described["parameters"]] == ["times"]
        assert "422" in described["responses"]
    finally:
        world.close()
        sys.modules.pop("serving.http.routes.ping", None)


ROUTE = '''
"""`/v1/ping`: counts."""

from typing import Annotated

import orjson
from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from serving.http.models import Closed
from serving.http.reply import reply
from serving.http.route import Route
from serving.query.fields import Parameters, whole_field
from slackwater.core.clock import Clock


class PingQuery(Parameters):
    times: whole_field(0, 9) = Field(1, description="How often.")


class Pong(Closed):
    pong: list[int]


async def answer(request: Request, query: Annotated[PingQuery, Query()]) -> Response:
    return reply(request, orjson.dumps({"pong": list(range(query.times))}))


def routes(clock: Clock) -> list[Route]:
    return [Route("/v1/ping", answer, "Counts.", "health", Pong, problems=(422,))]
'''
