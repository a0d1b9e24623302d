"""Logs for people and for programs: times in UTC, the request's id everywhere, and no key in any of them."""

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving.options import ServingOptions
from slackwater.core.errors import SettingError
from slackwater.core.logs import JsonLines, TextLines, in_json, set_up_logging
from slackwater.core.request import REQUEST, Request, request_id
from slackwater.core.settings import from_environ
from slackwater.http.observed import Observed
from slackwater.http.options import ObservedOptions
from tests.serving_world import World, cut_in_a_minute

KEY = "slackwater_3f9a0c41d2e7_" + "Ab1_-" * 8 + "xyz"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("logs") / "home")
    cut_in_a_minute(made)
    yield made
    made.close()


@pytest.fixture
def root() -> Iterator[io.StringIO]:
    """The lines that the handler of `set_up_logging` writes; what was set up before comes back."""
    before, level = logging.getLogger().handlers, logging.getLogger().level
    stream = io.StringIO()
    set_up_logging("json")
    logging.getLogger().handlers[0].stream = stream  # type: ignore[attr-defined]
    yield stream
    logging.getLogger().handlers, logging.getLogger().level = before, level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def record(text: str, *values: object, **more: Any) -> logging.LogRecord:
    about = {"msg": text, "args": values, "levelno": 30, "levelname": "WARNING", "name": "serving"}
    return logging.makeLogRecord({**about, "created": 1_759_752_000.123456, "msecs": 123.456, **more})


def test_a_line_for_people_is_in_utc() -> None:
    assert TextLines().format(record("%d of %d", 3, 4)) == "2025-10-06T12:00:00.123Z WARNING serving  3 of 4"


def test_a_line_for_programs_is_one_object_whatever_is_in_it() -> None:
    try:
        raise ValueError('two\n"lines"')
    except ValueError:
        made = record("%s", 'a\nb "c" \udcff', exc_info=sys.exc_info(), partition=3, where=Path("/x"))
    text = JsonLines().format(made)
    assert "\n" not in text
    found = json.loads(text)
    assert list(found)[:4] == ["time", "level", "logger", "message"]
    assert datetime.fromisoformat(found["time"]) == datetime(2025, 10, 6, 12, 0, 0, 123456, UTC)
    assert (found["level"], found["logger"], found["message"]) == ("WARNING", "serving", 'a\nb "c" \udcff')
    assert found["partition"] == 3 and found["exception"].endswith('ValueError: two\n"lines"')


def test_a_key_is_in_no_line() -> None:
    token = REQUEST.set(Request("r-1"))
    try:
        raise ValueError(KEY)
    except ValueError:
        made = record("sent %s", KEY, exc_info=sys.exc_info(), path=f"/v1/{KEY}")
    try:
        for formatter in (TextLines(), JsonLines()):
            shown = formatter.format(made)
            assert KEY not in shown and KEY[-20:] not in shown and shown.count("slackwater_(removed)") >= 2
            assert "r-1" in shown
    finally:
        REQUEST.reset(token)


def test_a_well_formed_id_of_the_client_is_taken(world: World) -> None:
    for given in ("a", "7f3c-22", "A.b_c-9", "x" * 128):
        assert request_id(given.encode()) == given
    for given, path in (("a", "/health/live"), ("7f-2", "/v1/bars?venue=x&symbol=BTC"), ("b.c", "/nothing")):
        assert world.get(path, headers={"X-Request-Id": given}).headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"a b", b"a\tb", b'"', b"-a", b"\xff", b"<script>", KEY.encode()])
def test_any_other_is_replaced(given: bytes) -> None:
    made = {request_id(given) for _ in range(10)}
    assert len(made) == 10 and all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


def test_two_ids_are_none(world: World) -> None:
    found = world.post("/v1/versions/1/rollback", b"", [("X-Request-Id", "a"), ("X-Request-Id", "b")])
    assert re.fullmatch("[0-9a-f]{32}", found.headers["x-request-id"])


def test_a_problem_names_its_request_but_one_about_a_key_has_the_same_bytes_always(world: World) -> None:
    found = world.get("/v1/bars?venue=x&symbol=NONE", headers={"X-Request-Id": "q-7"})
    assert (found.status_code, found.json()["request_id"]) == (404, "q-7")
    refused = [world.post("/v1/versions/1/rollback", b'{"reason": "x"}') for _ in range(2)]
    assert {answer.status_code for answer in refused} == {401}
    assert refused[0].content == refused[1].content and "request_id" not in refused[0].json()
    assert refused[0].headers["x-request-id"] != refused[1].headers["x-request-id"]


def test_an_id_changes_no_entity(world: World) -> None:
    one, other = (world.get("/v1/bars?venue=x&symbol=BTC", headers={"X-Request-Id": name}) for name in ("a", "b"))
    assert one.content == other.content and one.headers["etag"] == other.headers["etag"]


def test_what_fails_far_below_a_route_is_logged_with_the_request_and_no_other_is(
    world: World, root: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        logging.getLogger("serving.store.batch").warning("in the pool")
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("serving.store.row_cache.whole_rows", broken)
    answer = world.get("/v1/bars?venue=x&symbol=BTC&interval=15m", headers={"X-Request-Id": "q-8"})
    assert answer.status_code == 500 and answer.json()["request_id"] == "q-8"
    logging.getLogger("serving").warning("later")
    found = {line["message"]: line for line in lines(root)}
    assert found["in the pool"]["request_id"] == "q-8"  # on another thread
    failed = next(line for message, line in found.items() if "failed" in message)
    assert failed["request_id"] == "q-8" and "disk on fire" in failed["exception"]
    assert "request_id" not in found["later"]


def test_slow_requests_are_logged_without_their_query_and_quick_ones_are_not(
    world: World, root: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve(ServingOptions(poll_s=0.0, observed=ObservedOptions(slow_s=0.5)))
    world.step()
    world.get("/v1/versions")
    slow = world.service.readiness.check

    def readiness() -> Any:
        world.clock.sleep(0.75)
        return slow()

    monkeypatch.setattr(world.service.readiness, "check", readiness)
    world.get("/health/ready?token=hush&x=1")
    (found,) = [line for line in lines(root) if "Slow" in line["message"]]
    assert (found["route"], found["status"], found["seconds"], found["level"]) == (
        "/health/ready",
        200,
        0.75,
        "WARNING",
    )
    assert "?" not in found["message"] and "hush" not in root.getvalue()


def test_requests_are_logged_only_if_that_is_asked_for_and_a_path_is_one_line(world: World, root: io.StringIO) -> None:
    world.serve(ServingOptions(poll_s=0.0))
    world.step()
    world.get("/v1/versions")
    assert [line for line in lines(root) if line["logger"] == "slackwater.access"] == []
    world.serve(ServingOptions(poll_s=0.0, observed=ObservedOptions(access_log=True)))
    world.step()
    world.get("/v1/versions/1", headers={"X-Request-Id": "q-9"})
    world.get("/a%0Ab" + "c" * 500)
    first, second = [line for line in lines(root) if line["logger"] == "slackwater.access"]
    assert (first["method"], first["path"], first["status"]) == ("GET", "/v1/versions/1", 200)
    assert (first["route"], first["request_id"]) == ("/v1/versions/{version}", "q-9")
    assert second["path"].startswith("/a%0Abccc") and len(second["path"]) == 200


def test_a_client_that_goes_before_its_answer_is_counted(world: World) -> None:
    async def gone(_scope: Any, _receive: Any, _send: Any) -> None:
        """Answers nothing."""

    seen = Observed(gone, world.service.metrics, ObservedOptions(), logging.getLogger())
    asyncio.run(seen({"type": "http", "method": "GET", "path": "/", "headers": []}, None, None))  # type: ignore[arg-type]
    assert 'slackwater_requests_total{route="none",status="499"} 1.0' in world.get("/metrics").text
    assert world.service.metrics.in_flight == 0


def test_the_program_logs_an_error_as_json_where_that_is_asked_for(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ops",
        "--log-format",
        "json",
        "--home",
        str(tmp_path),
        "key",
        "revoke",
        "no",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    (line,) = run.stderr.splitlines()
    found = json.loads(line)
    assert run.returncode == 1 and found["level"] == "ERROR" and "No key of that name" in found["message"]


def test_the_format_is_a_word_of_two(root: io.StringIO) -> None:
    assert in_json()
    set_up_logging("text")
    assert not in_json()
    with pytest.raises(SettingError, match="SLACKWATER_LOG_FORMAT is 'xml'"):
        from_environ({"SLACKWATER_LOG_FORMAT": "xml"})
