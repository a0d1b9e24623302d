"""A second stream and a view over it, each one file outside the package, and two settings: nothing else knows of them.

readings   ingest -> speed, batch -> GET, SSE, SQL, client, verify      every process real, on a real broker
           the speed worker and a batch run are killed with SIGKILL in between
"""

import json
import os
import random
import signal
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from slackwater_client import Changes, Client, Snapshot

from ops.broker import free_port
from slackwater.core.faults import VARIABLE
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.names import TopicNames
from tests import toy_levels, toy_readings
from tests.crash_kit import until
from tests.forked import Program, call

pytestmark = pytest.mark.broker

REGISTRY = {"SLACKWATER_STREAMS": "tests.toy_readings:READINGS", "SLACKWATER_VIEWS": "tests.toy_levels:LEVELS"}
MINUTE_US = 60_000_000
T0_US = 1_723_161_600_000_000
END_US = T0_US + 10 * MINUTE_US
SENSORS = [(station, sensor) for station in ("north", "south") for sensor in ("air", "water")]

TRADES = "".join(
    f'{{"venue":"v","symbol":"BTC","trade_id":{n},"time":{T0_US + n},"price":"5","quantity":"1","side":"buy"}}\n'
    for n in range(20)
)

Event = dict[str, Any]
Key = tuple[str, str, str, int]


class Readings:
    """What was measured so far, and what `levels` must be of it: plain Python."""

    def __init__(self) -> None:
        self._random = random.Random(7)
        self.events: list[Event] = []

    def more(self, count: int) -> str:
        """So many lines of new events."""
        r = self._random
        for number in range(len(self.events), len(self.events) + count):
            station, sensor = r.choice(SENSORS)
            # The times of an entity differ in milliseconds, so that its order by time is plain.
            time = T0_US + r.randrange(8) * MINUTE_US + number * 1000
            value = Decimal(r.randrange(-500_000_000, 500_000_000)).scaleb(-r.randrange(9))
            made = {"station": station, "sensor": sensor, "reading_id": f"r-{number:x}", "time": time}
            self.events.append({**made, "value": f"{value:f}", "quality": r.choice(["good", "poor"])})
        return "".join(json.dumps(event) + "\n" for event in self.events[-count:])

    def levels(self, station: str, sensor: str) -> dict[tuple[str, int], dict[str, Any]]:
        """(quality, minute) -> what the view answers."""
        found: dict[tuple[str, int], list[Event]] = {}
        for event in sorted(self.events, key=lambda each: each["time"]):
            if (event["station"], event["sensor"]) == (station, sensor):
                minute = event["time"] - event["time"] % MINUTE_US
                found.setdefault((event["quality"], minute), []).append(event)
        return {at: _level([Decimal(event["value"]) for event in events]) for at, events in found.items()}


def _level(values: list[Decimal]) -> dict[str, Any]:
    total = sum(values)
    mean = (total / len(values)).quantize(Decimal("1e-8"), ROUND_HALF_EVEN)
    decimals = {"total": total, "mean": mean, "low": min(values), "high": max(values), "last": values[-1]}
    return {"readings": len(values), **decimals}


class Desk:
    """The processes of one installation, with a stream and a view more than the package has."""

    def __init__(self, broker: str, folder: Path) -> None:
        self.port = free_port()
        self.log, self.names = KafkaLog(broker), TopicNames(f"toy-{self.port}")
        self.url = f"http://127.0.0.1:{self.port}"
        self.readings = Readings()
        self._folder = folder
        self._count = 0
        self._environ = {
            **os.environ,
            **REGISTRY,
            "KAFKA_BOOTSTRAP_SERVERS": broker,
            "SLACKWATER_PREFIX": self.names.prefix,
            "SLACKWATER_HOME": str(folder / "home"),
            "SLACKWATER_PORT": str(self.port),
            "SLACKWATER_PARTITIONS": "2",
            "SLACKWATER_REPLICATION": "1",
            "SLACKWATER_SQL": "1",
            "SLACKWATER_PROOF_SECONDS": "20",
        }

    def start(self, *arguments: str, fault: str = "") -> Program:
        """Start a process."""
        self._count += 1
        log = self._folder / f"{self._count:02d}-{arguments[0]}.log"
        return Program(arguments, {**self._environ, VARIABLE: fault}, log)

    def run(self, *arguments: str) -> Any:
        """What a command says, as JSON, at its end."""
        ended = call(*arguments, "--json", environ=self._environ)
        assert ended.returncode == 0, ended.stderr + ended.stdout
        return json.loads(ended.stdout)

    def file(self, lines: str) -> str:
        """A file of these lines."""
        found = self._folder / "lines.jsonl"
        found.write_text(lines, encoding="utf-8")
        return str(found)

    def ingest(self, count: int) -> None:
        """Take in new readings, and the same once more."""
        file = self.file(self.readings.more(count))
        first = self.run("ingest", "--stream", "readings", file)
        assert (first["accepted"], first["refused"]) == (count, {})
        assert self.run("ingest", "--stream", "readings", file)["duplicates"] == count

    def get(self, path: str, **query: object) -> Any:
        """A JSON answer."""
        found = httpx.get(self.url + path, params={name: str(value) for name, value in query.items()}, timeout=30.0)
        assert found.status_code == httpx.codes.OK, found.text
        return found.json()

    def ready(self) -> bool:
        """Whether the service keeps its full promise."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def counted(self) -> int:
        """How many events the answers of the view hold."""
        found = 0
        for station, sensor in SENSORS:
            query = {"station": station, "sensor": sensor, "at": END_US}
            answer = httpx.get(f"{self.url}/v1/levels", params=query, timeout=30.0)
            found += sum(row["readings"] for row in answer.json().get("levels", ()))
        return found

    def caught_up(self) -> None:
        """Wait until the answers hold every event."""
        until(lambda: self.counted() == len(self.readings.events), told=lambda: f"{self.counted()} events are answered")


@pytest.fixture
def desk(broker: str, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(broker, tmp_path)
    topics = made.run("topics", "create")["created"]
    assert sum("readings" in name for name in topics) == 2
    yield made


def check_rows(desk: Desk) -> None:
    """REST, the client and a stream of rows give what plain Python makes of the events."""
    with Client(desk.url) as client:
        for station, sensor in SENSORS:
            entity = {"station": station, "sensor": sensor}
            expected = desk.readings.levels(station, sensor)
            body = desk.get("/v1/levels", **entity, interval="1m", start=T0_US, end=END_US)
            assert body["meta"]["stream"] == "readings" and body["meta"]["complete"] is True
            as_numbers = {
                (row["quality"], row["start"]): {
                    name: Decimal(row[name]) if name != "readings" else row[name] for name in toy_levels.LEVELS.answers
                }
                for row in body["levels"]
            }
            assert as_numbers == expected
            snapshot = next(e for e in client.stream("levels", **entity, interval="1m") if isinstance(e, Snapshot))
            for rows in (client.view("levels", **entity, start=T0_US, end=END_US), snapshot.rows):
                given = {(row.quality, row.start): {n: getattr(row, n) for n in expected_names()} for row in rows}
                assert given == expected
            events = client.events("readings", T0_US, END_US, **entity)
            assert {(e.reading_id, e.value, e.quality) for e in events} == {
                (e["reading_id"], Decimal(e["value"]), e["quality"])
                for e in desk.readings.events
                if (e["station"], e["sensor"]) == (station, sensor)
            }


def check_changes(desk: Desk) -> None:
    """Who follows the rows is told of new events, until what is known is what plain Python makes of all."""
    entity = {"station": "south", "sensor": "water"}
    known, before = dict[tuple[str, int], dict[str, Any]](), len(desk.readings.events)
    with Client(desk.url) as client:
        for event in client.stream("levels", station="south", sensor=["air", "water"], interval="1m"):
            if isinstance(event, Snapshot | Changes):
                rows = [row for row in event.rows if row.sensor == "water"]
                known |= {(r.quality, r.start): {name: getattr(r, name) for name in expected_names()} for r in rows}
            if isinstance(event, Snapshot) and len(desk.readings.events) == before:
                assert known == desk.readings.levels(**entity)
                desk.ingest(50)
            elif known == desk.readings.levels(**entity):
                return


def expected_names() -> list[str]:
    """The columns of an answer."""
    return list(toy_levels.LEVELS.answers)


def check_sql(desk: Desk) -> None:
    """SQL over the view, and what it stands on: each stream by its name."""
    key = desk.run("key", "create", "--name", "toy", "--scope", "admin")["key"]
    sql = "SELECT sum(readings)::BIGINT AS n, min(low) AS low, max(high) AS high FROM levels_1m"
    headers = {"Authorization": f"Bearer {key}"}
    found = httpx.post(f"{desk.url}/v1/sql", json={"sql": sql}, headers=headers, timeout=30.0)
    assert found.status_code == httpx.codes.OK, found.text
    values = [Decimal(event["value"]) for event in desk.readings.events]
    ((count, low, high),) = found.json()["rows"]
    assert (count, Decimal(low), Decimal(high)) == (len(values), min(values), max(values))
    meta = found.json()["meta"]
    assert set(meta["streams"]) == {"trades", "readings"}
    for stream in meta["streams"]:
        ends = {str(p): bounds.end for p, bounds in desk.log.bounds(desk.names.topic(stream)).items()}
        assert meta["streams"][stream]["applied"] == ends


def check_lists(desk: Desk) -> None:
    """The lists name an entity by the columns of its stream, and take them as filters."""
    listed = desk.get("/v1/instruments", stream="readings")["instruments"]
    assert sorted({(each["station"], each["sensor"]) for each in listed}) == sorted(SENSORS)
    assert {each["stream"] for each in desk.get("/v1/instruments")["instruments"]} == {"trades", "readings"}
    restated = desk.get("/v1/restatements", view="levels")["restatements"]
    assert {(each["station"], each["sensor"]) for each in restated} == set(SENSORS)
    north = desk.get("/v1/restatements", station="north", sensor="air,water")["restatements"]
    assert north == [each for each in restated if each["station"] == "north"]


def test_the_files_of_a_stream_and_of_a_view_are_short() -> None:
    for module, most in ((toy_readings, 60), (toy_levels, 25)):
        assert len(Path(module.__file__ or "").read_text(encoding="utf-8").splitlines()) <= most


@pytest.mark.timeout(120)
def test_a_second_stream_goes_through_both_layers_and_every_way_to_read(desk: Desk) -> None:
    service, speed = desk.start("serve"), desk.start("speed", "run")
    assert desk.run("ingest", desk.file(TRADES))["accepted"] == 20
    desk.ingest(400)
    until(desk.ready, told=lambda: service.text + speed.text)
    desk.caught_up()
    assert desk.run("batch", "run")["counts"]["readings"]["events"] == 400

    desk.ingest(300)
    assert speed.kill().code == -signal.SIGKILL
    desk.ingest(200)
    speed = desk.start("speed", "run")
    assert desk.start("batch", "run", fault="publish.pointer:kill").wait().code == -signal.SIGKILL
    version = desk.run("batch", "run")
    assert version["counts"]["readings"]["events"] == 900
    imported = desk.run("archive", "import", "--stream", "readings", desk.file(desk.readings.more(50)))
    assert (imported["accepted"], imported["version"]) == (50, version["version"] + 1)
    desk.caught_up()
    check_changes(desk)

    check_rows(desk)
    check_sql(desk)
    check_lists(desk)
    (log,) = [found for found in desk.run("doctor")["findings"] if found["what"] == "The log"]
    assert log["verdict"] == "ok"
    proof = desk.run("verify", "--interval", "1m", "--interval", "1h")
    rows = {name: part["rows"] for name, part in proof["views"].items()}
    assert proof["holds"] and rows["levels"] and (rows["readings"], rows["trades"]) == (1000, 20)
    assert speed.stop().code == 0
    assert service.stop().code in {0, -signal.SIGTERM}
