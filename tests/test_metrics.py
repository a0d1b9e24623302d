"""Every figure of every process is in docs/metrics.md and the other way round, parses, and says what happened."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ingest.capture.figures import CaptureFigures
from ingest.capture.state import VenueState
from ingest.chunk import of_lines
from ingest.feeds.registry import FEEDS
from ingest.figures import IngestFigures
from ingest.late import LateCount
from ingest.service.app import IngestService
from lesson.memory_log import MemoryLog
from serving.status.metrics import Metrics
from slackwater.core.exposition import process_registry
from slackwater.deltas.cell import APPENDED_HEADER, appended_headers, appended_ms, decode_key
from slackwater.http.figures import BUCKETS
from slackwater.keys.keyring import KeyRing
from slackwater.versions.manifest import Duplicates
from slackwater.versions.store import VersionStore
from speed_layer.figures import FIGURES
from tests.ingest_kit import NAMES as INGEST_NAMES
from tests.ingest_kit import PARTITIONS, T0, House, line
from tests.serving_world import NAMES, NOON, FakeClock, World, cut_in_a_minute
from tests.speed_in_memory import Speed

PAGE = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|([^|]*)\| [^|]+ \|$", re.MULTILINE)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "home")
    yield made
    made.close()


def families(text: str) -> dict[str, Metric]:
    """The families of a page, read by the official parser, by the name that people write."""
    found = {}
    for family in text_string_to_metric_families(text):
        found[family.name + ("_total" if family.type == "counter" else "")] = family
    return found


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of that name and labels."""
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples if s.name == name]
    (found,) = [sample.value for sample in samples if sample.labels == labels]
    return found


def ingest_page(house: House, *lines: bytes) -> str:
    with house.writer() as writer:
        writer.accept(of_lines("test", list(lines)))
        registry = process_registry()
        registry.register(IngestFigures(writer))
        return generate_latest(registry).decode()


@pytest.fixture
def house(tmp_path: Path) -> House:
    log = MemoryLog(T0 // 1000)
    for topic in INGEST_NAMES.all(["trades"]):
        log.create(topic, PARTITIONS)
    return House(log, VersionStore(tmp_path / "house"))


def test_every_metric_is_documented_with_its_type_and_labels_and_every_documented_one_is_there(
    world: World, house: House
) -> None:
    cut_in_a_minute(world)
    run = world.mark("run-2")
    found = (Duplicates("trades", ("x", "BTC"), 1),)
    world.publish(
        run, "run-2", duplicates=found, timings_ms={"compute": 1250}, counts={"trades": {"events": 8, "refused": 2}}
    )
    speed = Speed(world.log, NAMES, world.store, world.views)
    speed.step()
    FIGURES.of_partitions("lag_records", "trades", {0: 0})
    FIGURES.failed("trades", False)
    speed.close()
    world.step()
    assert world.get("/v1/bars?venue=x&symbol=BTC").status_code == 200
    registry = process_registry()
    registry.register(FIGURES)
    captured = CollectorRegistry()
    captured.register(CaptureFigures([VenueState(FEEDS["kraken"], ["BTC/USD"])]))
    intake = IngestService([], KeyRing(house.store.home, world.clock), world.clock)
    intake.figures.observe("/v1/ingest/{stream}", 200, 0.01)
    pages = (
        world.get("/metrics").text,
        generate_latest(registry).decode(),
        intake.figures.text().decode(),
        generate_latest(captured).decode(),
        ingest_page(house, b"nonsense"),
    )
    exposed = {name: family for page in pages for name, family in families(page).items()}
    documented = {name: (kind, labels) for name, kind, labels in ROW.findall(PAGE)}
    assert exposed.keys() == documented.keys()
    for name, family in exposed.items():
        kind, labels = documented[name]
        assert family.type == kind, name
        assert family.documentation, name
        shown = {label for sample in family.samples for label in sample.labels if label != "le"}
        assert shown == set(re.findall("`([a-z_]+)`", labels)), name


def test_names_carry_their_base_unit() -> None:
    for name, kind, _ in ROW.findall(PAGE):
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|milliseconds|us|minutes|kb|mb|percent)(_|$)", name), name
        if kind == "histogram":
            assert name.endswith("_seconds"), name


def test_lag_and_position_are_shown_by_partition(world: World) -> None:
    for _ in range(3):
        world.trade("BTC")
    world.trade("ETHER", partition=0)
    world.emit(upto={0: 1, 1: 1})
    world.step()
    world.clock.sleep(2)
    world.step()
    text = world.get("/metrics").text
    assert value(text, "slackwater_applied_offset", stream="trades", view="bars", partition="1") == 1
    assert value(text, "slackwater_lag_records", stream="trades", view="bars", partition="1") == 2
    assert value(text, "slackwater_lag_records", stream="trades", view="bars", partition="0") == 0


def test_a_request_is_in_flight_until_it_is_done(world: World) -> None:
    world.step()
    assert value(world.get("/metrics").text, "slackwater_requests_in_flight") == 1  # this one
    assert value(world.get("/metrics").text, "slackwater_requests_in_flight") == 1  # the one before is done
    assert world.service.metrics.in_flight == 0


def test_the_cache_of_batch_rows_counts_hits_and_misses(world: World) -> None:
    cut_in_a_minute(world)
    for _ in range(3):
        world.get(f"/v1/bars?venue=x&symbol=BTC&interval=1m&layer=batch&start={NOON}&end={NOON + 120_000_000}")
    text = world.get("/metrics").text
    asked = [value(text, "slackwater_row_cache_requests_total", result=result) for result in ("hit", "miss")]
    assert asked[1] >= 1 and sum(asked) == world.service.row_cache.hits + world.service.row_cache.misses
    assert value(text, "slackwater_row_cache_rows") == world.service.row_cache.rows > 0


@given(seconds=st.lists(st.sampled_from(BUCKETS[:-1]) | st.floats(0, 100), max_size=30))
@settings(max_examples=50)
def test_requests_are_counted_as_the_client_library_counts(seconds: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timings = Metrics(FakeClock())
    ours.register(timings)
    labels = ["route", "status"]
    slow = Histogram("slackwater_request_seconds", "x", labels, registry=theirs, buckets=BUCKETS)
    count = Counter("slackwater_requests", "x", labels, registry=theirs)
    for each in seconds:
        timings.observe("/a", 200, each)
        slow.labels("/a", "200").observe(each)
        count.labels("/a", "200").inc()
    assert _samples(ours) == _samples(theirs)


def _samples(registry: CollectorRegistry) -> set[tuple[str, frozenset[tuple[str, str]], float]]:
    found = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in found for sample in family.samples if not sample.name.endswith("_created")]
    return {(sample.name, frozenset(sample.labels.items()), sample.value) for sample in samples}


# ------------------------------------------------------------------------------------------------------- latencies


def test_the_latency_is_from_the_append_of_the_event_to_its_being_visible_and_counts_what_is_new_once(
    world: World,
) -> None:
    # broker's clock   appended at 0 s, its delta at +0.3 s; this clock reads +1.5 s when it is put
    speed = Speed(world.log, NAMES, world.store, world.views)
    world.step()
    now_ms = world.clock.now_us() // 1000
    count, total = (f"slackwater_end_to_end_latency_seconds_{part}" for part in ("count", "sum"))
    assert value(world.get("/metrics").text, count) == 0

    world.log.now_ms = now_ms
    world.trade("BTC")
    world.log.now_ms = now_ms + 300
    speed.step()
    world.clock.sleep(1.5)
    world.service.lives["trades"].feed.step()
    text = world.get("/metrics").text
    assert (value(text, count), value(text, total)) == (1, 1.5)
    assert value(text, "slackwater_speed_latency_seconds_sum") == 0.3

    newest = list(world.log.topics[NAMES.deltas("trades")][1].records.values())[-1]
    world.log.append(
        NAMES.deltas("trades"), 1, newest.key, newest.value, newest.headers
    )  # the open cell, written again
    world.step()
    assert value(world.get("/metrics").text, count) == 1
    speed.close()


def test_deltas_from_before_the_service_are_no_latency(world: World) -> None:
    speed = Speed(world.log, NAMES, world.store, world.views)
    world.trade("BTC")
    speed.step()
    world.clock.sleep(3600)
    world.step()
    text = world.get("/metrics").text
    assert value(text, "slackwater_deltas_total", stream="trades") >= 1
    assert value(text, "slackwater_end_to_end_latency_seconds_count") == 0
    speed.close()


def test_a_broker_whose_clock_is_ahead_gives_no_negative_latency(world: World) -> None:
    speed = Speed(world.log, NAMES, world.store, world.views)
    world.step()
    world.log.now_ms = world.clock.now_us() // 1000 + 60_000
    world.trade("BTC")
    speed.step()
    world.service.lives["trades"].feed.step()
    text = world.get("/metrics").text
    assert value(text, "slackwater_end_to_end_latency_seconds_count") == 1
    assert value(text, "slackwater_end_to_end_latency_seconds_sum") == 0
    speed.close()


def test_a_delta_says_when_the_log_took_its_last_record_the_same_however_the_log_was_read(world: World) -> None:
    # offsets  0 .. 254  255 | 256     a record a millisecond; the cell ends at the grid line 256
    first = world.log.now_ms
    step_by_step = Speed(world.log, NAMES, world.store, world.views)
    for at in range(257):
        world.log.now_ms = first + at
        world.trade("BTC")
        if at % 50 == 0:
            step_by_step.step()
    step_by_step.step()
    at_once = Speed(world.log, NAMES, world.store, world.views)
    at_once.step()
    said = {}
    for record in world.log.topics[NAMES.deltas("trades")][1].records.values():
        start = decode_key(record.key)[1]
        upto = int((record.value or b"").partition(b'"upto":')[2].partition(b",")[0])
        said.setdefault((start, upto), set()).add(appended_ms(record.headers))
    assert said[0, 256] == {first + 255}
    assert said[None, 257] == {first + 256}
    assert said[None, 51] == {first + 50}
    step_by_step.close()
    at_once.close()


def test_a_header_of_other_writers_is_no_time() -> None:
    assert appended_headers(0) == []
    assert appended_ms(appended_headers(1_759_752_000_123)) == 1_759_752_000_123
    for other in (b"", b"-5", b"1e3", b"\xff", b"9" * 40):
        assert appended_ms([("trace", b"7"), (APPENDED_HEADER, other)]) is None


# -------------------------------------------------------------------------------------------------------- ingest


def test_ingest_shows_what_it_took_dropped_and_refused_by_reason(house: House) -> None:
    text = ingest_page(house, line(1), line(1), line(2), line(2, price="7"), b"{", line(3, side="x"), line(4, side="y"))
    assert value(text, "slackwater_ingest_events_total", stream="trades") == 2
    assert value(text, "slackwater_ingest_duplicates_total", stream="trades") == 1
    letters = families(text)["slackwater_ingest_dead_letters_total"].samples
    by_reason = {sample.labels["reason"]: sample.value for sample in letters if sample.name.endswith("_total")}
    assert by_reason["conflict"] == 1 and sorted(by_reason.values()) == [1, 1, 2]


def test_late_events_are_those_whose_bar_an_earlier_event_had_closed(house: House) -> None:
    # seconds    0    2.9   0.5 | 3     0.9   1.0
    # newest          0     2.9   2.9   3     3       the bar [0, 1) is closed from 3 on
    times = [0, 2_900_000, 500_000, 3_000_000, 900_000, 1_000_000]
    lines = [line(number, time=T0 + at) for number, at in enumerate(times)]
    assert value(ingest_page(house, *lines), "slackwater_ingest_late_events_total", stream="trades") == 1


def test_late_events_are_counted_the_same_in_any_chunks() -> None:
    times = [0, 9_000_000, 1, 4_000_000, 8_500_000, 20_000_000, 3]
    for cut in range(len(times) + 1):
        late = LateCount()
        for part in (times[:cut], times[cut:]):
            if part:
                late.take(("x", "Y"), np.array(part))
        late.take(("x", "Z"), np.array([0]))  # another instrument has a newest time of its own
        assert late.events == 3
