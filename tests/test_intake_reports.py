"""What became of events, as events: reports by source, through the log and both layers, counted by `intake`."""

import json
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ingest.service.desk import BusyError, Desk
from ingest.service.reports import Reports, service_text, source_text
from ingest.verdicts import Summary
from ingest.writer import IngestWriter
from lesson.memory_log import MemoryLog
from ops.broker import free_port
from slackwater.core.clock import SystemClock
from slackwater.log.events import decode
from slackwater.log.names import TopicNames
from slackwater.streams.intake import INTAKE_REPORTS
from slackwater.versions.store import VersionStore
from tests.crash_kit import until
from tests.ingest_kit import line
from tests.test_crash_intake import ready
from tests.test_toy_stream import Desk as Installation

REGISTRY = {
    "SLACKWATER_STREAMS": "slackwater.streams.intake:INTAKE_REPORTS",
    "SLACKWATER_VIEWS": "slackwater.views.intake:INTAKE",
}


class Busy:
    """A desk that takes nothing, a number of times."""

    def __init__(self, desk: Desk, times: int) -> None:
        self._desk = desk
        self._times = times

    def offer(self, *given: object) -> object:
        if self._times:
            self._times -= 1
            raise BusyError("full", "later")
        return self._desk.offer(*given)  # type: ignore[arg-type]


def test_reports_are_added_up_by_source_and_outcome_and_wait_where_nobody_takes_them(tmp_path: Path) -> None:
    names, store, clock = TopicNames("t"), VersionStore(tmp_path / "home"), SystemClock()
    log = MemoryLog(clock.now_us() // 1000)
    for topic in names.all([INTAKE_REPORTS.name]):
        log.create(topic, 2)
    desk = Desk("intake_reports", lambda: IngestWriter(INTAKE_REPORTS, log, names, store, clock), 1 << 20)
    desk.start()
    try:
        until(lambda: not desk.error)
        reports = Reports(Busy(desk, 2), clock, "Desk 1")  # type: ignore[arg-type]
        reports.noted("trades", "capture kraken", Summary(3, 2, 1, Counter({"bad-time": 4})))
        reports.noted("trades", "capture kraken", Summary(5))
        reports.noted("trades", "a//b..c, d", Summary(1))
        reports.noted("intake_reports", "ingest service", Summary(9))  # these are not reported on
        reports.flush()
        reports.noted("trades", "capture kraken", Summary(7))
        for _ in range(4):
            reports.flush()
    finally:
        desk.stop()
    rows = [
        row
        for records in log.topics[names.topic("intake_reports")]
        for row in decode(INTAKE_REPORTS, [*records.records.values()]).table.to_pylist()
    ]
    found = Counter[tuple[str, str, str]]()
    for row in rows:
        found[row["source"], row["outcome"], row["reason"]] += row["events"]
    assert found == {
        ("capture kraken", "accepted", "accepted"): 15,
        ("capture kraken", "duplicate", "duplicate"): 2,
        ("capture kraken", "conflict", "conflict"): 1,
        ("capture kraken", "refused", "bad-time"): 4,
        ("a/b.c- d", "accepted", "accepted"): 1,
    }
    assert len({row["report_id"] for row in rows}) == len(rows)


def test_a_source_has_a_name_that_the_stream_takes() -> None:
    for text in ("trades.csv", "capture kraken", "", "..", "\x00", "é" * 300, "/tmp//x", "-", "a,b"):
        name = source_text(text)
        assert INTAKE_REPORTS.column("source").parse(name) == name


@pytest.fixture
def desk(broker: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(broker, tmp_path)
    made._environ |= REGISTRY
    made._environ |= {"SLACKWATER_INGEST_PORT": str(free_port())}
    made.run("topics", "create")
    yield made


def counts(desk: Installation, port: int, file: str) -> dict[tuple[str, str], int]:
    """(outcome, reason) -> events of the file, by the service's answer."""
    query = {
        "service": service_text(f"{socket.gethostname()}-{port}"),
        "source": source_text(file),
        "given_to": "trades",
        "interval": "1h",
        "start": 1_600_000_000_000_000,
    }
    found = httpx.get(f"{desk.url}/v1/intake", params=query, timeout=30.0)
    if found.status_code == httpx.codes.NOT_FOUND:
        return {}
    assert found.status_code == httpx.codes.OK, found.text
    total = Counter[tuple[str, str]]()
    for row in found.json()["intake"]:
        total[row["outcome"], row["reason"]] += int(row["events"])
    return dict(total)


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_the_view_counts_what_the_service_did_in_both_layers(desk: Installation) -> None:
    port = int(desk._environ["SLACKWATER_INGEST_PORT"])
    service, speed, intake = desk.start("serve"), desk.start("speed", "run"), desk.start("serve-ingest")
    until(lambda: ready(port))
    lines = [line(n) for n in range(30)] + [line(3), line(4, price="9"), b"{", line(40, side="x")]
    file = desk.file("".join(each.decode() + "\n" for each in lines))
    first = desk.run("ingest", file)
    (bad_side,) = [reason for reason in first["refused"] if reason not in {"not-json", "conflict"}]
    wanted = {
        ("accepted", "accepted"): 30,
        ("duplicate", "duplicate"): 1,
        ("conflict", "conflict"): 1,
        ("refused", "not-json"): 1,
        ("refused", bad_side): 1,
    }
    until(desk.ready, told=lambda: service.text + speed.text)
    until(lambda: counts(desk, port, file) == wanted, told=lambda: json.dumps(str(counts(desk, port, file))))
    assert desk.run("batch", "run")["counts"]["intake_reports"]["events"] == len(wanted)
    desk.run("ingest", file)
    again = {**wanted, ("duplicate", "duplicate"): 32, ("conflict", "conflict"): 2}
    again |= {("refused", "not-json"): 2, ("refused", bad_side): 2}
    until(lambda: counts(desk, port, file) == again, told=lambda: json.dumps(str(counts(desk, port, file))))
    proof = desk.run("verify", "--interval", "1h")
    assert proof["holds"] and proof["views"]["intake"]["rows"]
    assert intake.stop().code in {0, -signal.SIGTERM}
    assert speed.stop().code == 0
    assert service.stop().code in {0, -signal.SIGTERM}
