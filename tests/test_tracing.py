"""Traces: spans of requests and of a batch run's steps where they are asked for, and not even an import elsewhere."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from batch_layer.errors import BatchError
from batch_layer.run import BatchRun
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.core.errors import SettingError
from slackwater.core.tracing import TRACES, Traces
from tests.serving_world import NAMES, World, cut_in_a_minute

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROGRAM = """
import sys
from slackwater.core.tracing import TRACES
from slackwater.core.logs import set_up_logging
set_up_logging()
TRACES.start({environ!r}, "test")
with TRACES.span("nothing") as span:
    span.set({{"a": 1}})
assert not [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"] or {there}
print(TRACES.on)
TRACES.stop()
"""


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    TRACES.send_to(SimpleSpanProcessor(exporter), {}, "slackwater-test")
    yield exporter
    TRACES.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "home")
    yield made
    made.close()


def named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_request_is_a_span_with_its_route_status_version_and_whether_it_read_files(
    world: World, spans: InMemorySpanExporter
) -> None:
    cut_in_a_minute(world)
    query = "/v1/bars?venue=x&symbol=BTC&interval=1m&layer=batch&start=2025-10-06T12:00:00Z&end=2025-10-06T12:02:00Z"
    first = world.get(query, headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "q-1"})
    assert first.status_code == 200
    (cold,) = spans.get_finished_spans()
    assert (cold.name, cold.kind) == ("GET /v1/bars", SpanKind.SERVER)
    assert cold.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/bars",
        "http.response.status_code": 200,
        "slackwater.request_id": "q-1",
        "slackwater.read": "cold",
        "slackwater.version": 1,
    }
    assert cold.context is not None and cold.parent is not None
    assert format(cold.context.trace_id, "032x") == TRACE and format(cold.parent.span_id, "016x") == PARENT
    spans.clear()
    world.get(query)
    world.get("/nothing")
    hot, none = spans.get_finished_spans()
    assert (hot.attributes or {})["slackwater.read"] == "hot" and hot.parent is None
    assert none.name == "GET none" and (none.attributes or {})["http.response.status_code"] == 404
    assert hot.resource.attributes["service.name"] == "slackwater-test"


def test_a_batch_run_is_a_span_with_one_for_each_step_inside(world: World, spans: InMemorySpanExporter) -> None:
    world.trade("BTC")
    run = BatchRun(Context(world.log, NAMES, world.store, world.views, SystemClock()))
    manifest = run.run()
    found = named(spans)
    steps = ["check", "audit", "mark", "archive", "compute", "prove", "correct", "restate", "compact", "publish"]
    assert [span.name for span in spans.get_finished_spans()] == [
        *(f"slackwater.batch.{step}" for step in steps),
        "slackwater.batch",
    ]
    whole = found["slackwater.batch"]
    assert whole.attributes == {
        "slackwater.run_id": manifest.run_id,
        "slackwater.version": 1,
        "slackwater.proof": manifest.proof.outcome,
    }
    assert whole.context is not None
    for step in steps:
        parent = found[f"slackwater.batch.{step}"].parent
        assert parent is not None and parent.span_id == whole.context.span_id


def test_a_step_that_fails_says_so_in_its_span(
    world: World, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behind(*_: object) -> None:
        raise BatchError("A mark lies below the cut.")

    monkeypatch.setattr("batch_layer.run.mark_all", behind)
    world.trade("BTC")
    with pytest.raises(BatchError):
        BatchRun(Context(world.log, NAMES, world.store, world.views, SystemClock())).run()
    for name in ("slackwater.batch.mark", "slackwater.batch"):
        span = named(spans)[name]
        assert span.status.status_code is StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]


def test_without_being_asked_for_nothing_is_imported() -> None:
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    environs = [{}, {**there, "OTEL_SDK_DISABLED": "true"}, {**there, "OTEL_TRACES_EXPORTER": "none"}]
    run = _program("".join(PROGRAM.format(environ=environ, there=False) for environ in environs))
    assert (run.stdout, run.stderr, run.returncode) == ("False\n" * 3, "", 0)


def test_without_the_extra_it_says_so_once_and_goes_on() -> None:
    missing = "import sys; sys.modules['opentelemetry.sdk'] = None\n"
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    run = _program(missing + PROGRAM.format(environ=environ, there=True))
    assert run.stdout == "False\n" and run.stderr.count("Install slackwater[otel]") == 1 and run.returncode == 0


def test_the_environment_starts_an_exporter_and_names_the_process() -> None:
    environ = {"OTEL_TRACES_EXPORTER": "console", "OTEL_SERVICE_NAME": "mine"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(environ=environ, there=True)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environ,
    )
    assert "True\n" in run.stdout and '"name": "nothing"' in run.stdout and '"service.name": "mine"' in run.stdout
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(environ: dict[str, str], said: str) -> None:
    traces = Traces()
    with pytest.raises(SettingError, match=said):
        traces.start(environ, "test")
    assert not traces.on


def _program(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False)
