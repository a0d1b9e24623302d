"""The benchmark runs end to end at a tiny size and gives every figure; no time is asserted.

`make crash` runs all of it; `make test` three of its parts, and the trades that it is fed with.

What is compared is also checked by the benchmark itself: the chain holds every trade, plain DuckDB and the pipeline
write the same states, and the pipeline of rows finds the view's bars. Here the trades themselves are held to the rules.
"""

import json
import os
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from rich.console import Console

from bench import at_once, house
from bench import table as bench_table
from bench.archive import archive_lines
from bench.bulk import import_lines
from bench.cold import ColdShape, cold_lines
from bench.export import export_lines, thinned
from bench.floor import FloorSpan, floor_lines
from bench.full import FullShape, full_lines
from bench.history import HistoryShape, history_lines
from bench.house import House, Room
from bench.idle import IdleSpan, idle_lines
from bench.instruments import InstrumentsShape, instruments_lines
from bench.latency import Spans
from bench.overload import OverloadSpans
from bench.pairs import THIS
from bench.serving import ServingSpans, serving_lines
from bench.stream import StreamSpans
from bench.suite import Plan, run_bench
from bench.trades import Trades
from bench.versions import VersionsShape, versions_lines
from slackwater.log.events import decode
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.log import Record
from slackwater.streams.schema import MAX_LINES
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS
from slackwater.views.sizes import SIZES
from tests.turn import Turns

pytestmark = pytest.mark.timeout(1800)  # four parts are measured before the first test looks at them

COUNT = 20_000
TINY = Plan(
    pairs=1,
    row_trades=2_000,
    speed_trades=20_000,
    packed_trades=20_000,
    spans=Spans(warm_s=1.0, span_s=2.0),
    floor=FloorSpan(warm_s=0.5, span_s=1.0),
    idle=IdleSpan(trades_s=0.5, warm_s=0.5, span_s=1.0),
    streams=StreamSpans(warm_s=1.0, span_s=2.0, clients=20, stalled=2),
    instruments=InstrumentsShape(number=700, late=10, lists=2),
    history=HistoryShape(sizes=(2_000,), new=500, runs=1),
    full=FullShape(part=3, pairs=1, memory_bytes=600_000_000),
    versions=VersionsShape(60),
    cold=ColdShape(runs=3, emptied=5),
    overload=OverloadSpans(clients=20, capacity_s=2.0, overload_s=3.0, rude_s=3.0, after_s=2.0, idle=50, body_mb=2),
)
NOW_US = 1_800_000_000_000_000
PERCENTILES = {"p50", "p90", "p99", "max", "count"}


@pytest.fixture(scope="module")
def trades() -> Trades:
    return Trades()


@pytest.fixture
def shared_broker(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part takes the broker of all tests, with topics of its own: to start one costs more than to measure."""

    class Shared:
        bootstrap, pid = broker, os.getpid()

        def __init__(self, *_: object) -> None:
            """It runs."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            """It runs on."""

    def room(self: House, name: str) -> Room:
        return own(self, f"{name}-{uuid.uuid4().hex[:12]}")

    own = House.room
    monkeypatch.setattr(house, "Broker", Shared)
    monkeypatch.setattr(House, "room", room)


@pytest.fixture(scope="module")
def speed() -> dict[str, Any]:
    results = run_bench(("speed",), 0, quiet=True, plan=TINY)
    return dict(results["speed"])


@pytest.fixture(scope="module")
def results(speed: dict[str, Any]) -> dict[str, Any]:
    return {**run_bench(("batch", "latency", "stream", "overload"), COUNT, quiet=True, plan=TINY), "speed": speed}


def test_what_a_turn_of_the_speed_worker_costs_can_be_measured(trades: Trades, tmp_path: Path) -> None:
    turns = Turns((BARS, SIZES), tmp_path, trades)
    for records in (6, 1):
        turns.turn(records)
    assert turns.deltas() >= 2 * (4 + 1)
    assert all(seconds > 0 for seconds in turns.spent_s.values())


@pytest.mark.parametrize("per_record", [1, 50, MAX_LINES])
def test_the_repeated_sample_is_valid_unique_and_in_the_past(trades: Trades, per_record: int) -> None:
    size = trades.loop.events.num_rows
    count = size + 1_000
    found = list(trades.records(count, per_record, NOW_US))
    records = [Record(at, NOW_US // 1000, None, load.value, ()) for at, load in enumerate(found)]
    decoded = decode(TRADES, records)
    assert not decoded.refused
    table = decoded.table
    assert table.num_rows == count
    assert table.column("time").to_numpy().max() < NOW_US
    names = [trades.instruments[load.instrument] for load in found]
    last: dict[tuple[str, str], int] = {}
    for row in table.select(["offset", "venue", "symbol", "sequence"]).to_pylist():
        instrument = row["venue"], row["symbol"]
        assert names[row["offset"]] == instrument  # a record holds one instrument's trades
        assert row["sequence"] > last.get(instrument, -1)
        last[instrument] = row["sequence"]
    sizes = Counter(np.bincount(table.column("offset").to_numpy()).tolist())
    short = sum(number for lines, number in sizes.items() if lines != per_record)
    assert short <= 2 * len(trades.instruments)  # at most the last of an instrument in a pass


def test_spread_out_each_trade_is_a_bar(trades: Trades) -> None:
    thin = Trades(thinned(trades.loop))
    count = thin.loop.events.num_rows + 1_000
    found = list(thin.records(count, MAX_LINES, NOW_US))
    table = decode(TRADES, [Record(0, NOW_US // 1000, None, load.value, ()) for load in found]).table
    rows = table.select(["venue", "symbol", "trade_id", "time"]).to_pylist()
    assert len(rows) == len({(row["venue"], row["symbol"], row["trade_id"]) for row in rows}) == count
    assert len({(row["venue"], row["symbol"], row["time"] // 1_000_000) for row in rows}) == count
    assert Counter((row["venue"], row["symbol"]) for row in rows).keys() == set(trades.instruments)
    assert max(row["time"] for row in rows) < NOW_US


def test_records_stand_in_order_of_their_last_trade(trades: Trades) -> None:
    found = list(trades.records(5_000, 50, NOW_US))
    tables = [decode(TRADES, [Record(0, NOW_US // 1000, None, load.value, ())]).table for load in found]
    ends = [table.column("time").to_numpy()[-1] for table in tables]
    assert ends == sorted(ends)


def test_an_instrument_has_the_partition_of_its_key(trades: Trades) -> None:
    log = KafkaLog("nowhere:1")
    for number, (venue, symbol) in enumerate(trades.instruments):
        assert trades.partitions(log, 4)[number] == log.partition_of(f"{venue}:{symbol}".encode(), 4)


@pytest.mark.broker
@pytest.mark.crash
def test_the_floor_is_two_hops_of_every_record_with_the_client_in_force() -> None:
    floor = run_bench(("floor",), 0, quiet=True, plan=TINY)["floor"]
    assert floor["client"] == KafkaLog("nowhere:1").client
    assert floor["records"] > 0 and 0 < floor["p50"] <= floor["p90"] <= floor["p99"] <= floor["max"]
    ((what, figure, _),) = floor_lines(floor)
    assert floor["client"] in what and "p99" in figure


@pytest.mark.broker
@pytest.mark.crash
def test_two_services_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "WARM_S", 0.2)
    monkeypatch.setattr(at_once, "SPAN_S", 0.5)
    found = at_once.run_at_once(THIS, COUNT, 1)
    names = {name.partition(".")[0] for name in found}
    assert names == {"latest 100 bars", "500 bars of a range"} and len(found) == 3 * len(names)
    for of in found.values():
        assert len(of["before"]) == len(of["now"]) == 1 and of["speed"][0] > 0


@pytest.mark.broker
@pytest.mark.crash
def test_an_idle_system_is_measured_with_all_its_processes() -> None:
    idle = run_bench(("idle",), 0, quiet=True, plan=TINY)["idle"]
    assert set(idle["cores"]) == {"broker", "speed", "serving", "batch"}
    assert idle["trades"] > 0 and idle["all"] == pytest.approx(sum(idle["cores"].values()), abs=0.002)
    ((what, figure, _),) = idle_lines(idle)
    assert idle["client"] in what and "speed" in figure


@pytest.mark.broker
@pytest.mark.crash
def test_the_batch_layer_is_measured_in_its_steps_and_beside_duckdb_and_rows(results: dict[str, Any]) -> None:
    batch = results["batch"]
    assert batch["trades"] == COUNT
    assert set(batch["seconds"]) == {
        "check",
        "audit",
        "mark",
        "archive",
        "compute",
        "prove",
        "correct",
        "restate",
        "compact",
        "publish",
    }
    assert len(batch["pairs"]) == TINY.pairs
    assert batch["bars"] > 500
    for figure in (
        "ratio",
        "ratio_by_cpu",
        "ratio_to_query_alone",
        "rows_trades_per_s",
        "compute_trades_per_s",
        "duckdb_trades_per_s",
    ):
        assert batch[figure] > 0
    assert batch["rows_trades"] == TINY.row_trades
    assert {"bench", "broker", "batch", "compute", "duckdb", "rows"} <= set(batch["peak_mb"])


@pytest.mark.broker
@pytest.mark.crash
def test_both_drains_of_the_speed_layer_are_measured(speed: dict[str, Any]) -> None:
    assert (speed["one_per_record"]["records"], speed["one_per_record"]["trades"]) == (20_000, 20_000)
    assert speed["packed"]["trades"] == 20_000
    assert speed["packed"]["records"] < 500
    for drain in (speed["one_per_record"], speed["packed"]):
        assert 0 < drain["trades_per_s_with_start"] <= drain["trades_per_s"]
        assert drain["ratio_to_decoding"] > 0
        assert set(drain["cpu_s"]) == {"speed", "broker", "bench"}
    assert {"broker", "speed, 1 a record", "speed, 50 a record"} <= set(speed["peak_mb"])


@pytest.mark.broker
@pytest.mark.crash
def test_latency_is_measured_without_and_with_batch_runs(results: dict[str, Any]) -> None:
    latency = results["latency"]
    for span in ("without_batch", "with_batch", "answer"):
        assert set(latency[span]) >= PERCENTILES
        assert latency[span]["p50"] <= latency[span]["p99"] <= latency[span]["max"]
    assert "count" in latency["around_new_versions"]
    assert set(latency["cores"]) == {"broker", "speed", "serving", "producer", "client"}
    assert {"broker", "speed", "serving", "batch", "producer", "client"} <= set(latency["peak_mb"])


@pytest.mark.broker
@pytest.mark.crash
def test_streams_are_measured_with_one_client_with_many_and_with_some_that_are_stuck(results: dict[str, Any]) -> None:
    spans = results["stream"]["spans"]
    assert [(span["clients"], span["stalled"]) for span in spans] == [(1, 0), (20, 0), (20, 2)]
    for span in spans:
        assert set(span["latency"]) >= PERCENTILES
        assert span["events_per_s"] > 0
        assert set(span["cores"]) == {"broker", "speed", "serving", "producer", "client"}
        assert set(span["memory"]) == {"before", "first", "last"}


@pytest.mark.broker
@pytest.mark.crash
def test_overload_is_measured_with_clients_who_wait_and_who_do_not(results: dict[str, Any]) -> None:
    overload = results["overload"]
    for span in ("capacity", "overload", "after", "rude", "after_rude"):
        assert overload[span]["malformed"] == overload[span]["lost"] == 0
        assert overload[span]["admitted"]["count"] > 0
    assert overload["rude"]["refused"]["count"] > 0
    told = {name: each["told"] for name, each in overload["hostile"].items()}
    assert (told["header"], told["drip"], told["idle"]) == ("431", "408", "50 of 50 closed")
    assert told["body"] in {"cut off", "405", "413"}


@pytest.mark.broker
@pytest.mark.crash
def test_the_tables_say_all_of_it_on_a_terminal_and_in_the_document(results: dict[str, Any], tmp_path: Path) -> None:
    console = Console(width=160, record=True, file=(tmp_path / "terminal").open("w"))
    with console.file:
        bench_table.show(results, console)
    text = console.export_text()
    file, document = tmp_path / "bench.json", tmp_path / "page.md"
    file.write_text(json.dumps(results))
    page = f"before\n{bench_table.BEGIN}\nold\n{bench_table.END}\nafter\n"
    document.write_text(page)
    assert bench_table.main([str(file), str(document)]) == 0
    written = document.read_text()
    assert written.startswith("before\n") and written.endswith("\nafter\n") and "old" not in written
    for what, measured, _ in bench_table.figures(results):
        assert what in text and measured in text
        assert what in written and measured in written
    assert bench_table.main([str(file), str(document)]) == 0
    assert document.read_text() == written


def test_a_document_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps({"machine": {}}))
    (tmp_path / "page.md").write_text("no marks")
    assert bench_table.main([str(tmp_path / "bench.json"), str(tmp_path / "page.md")]) == 1
    assert (tmp_path / "page.md").read_text() == "no marks"


@pytest.mark.broker
@pytest.mark.crash
def test_the_service_is_measured_hot_and_cold() -> None:
    spans = ServingSpans(
        hot_trades=5_000, hot_connections=4, cold_connections=2, warm_s=0.5, span_s=1.0, cold_paths=500
    )
    found = run_bench(("serving",), COUNT, quiet=True, plan=replace(TINY, serving=spans))["serving"]
    assert len(found["load"]) == 7
    for span in found["load"].values():
        assert span["per_s"] > 0 and 0 < span["p50"] <= span["p99"] <= span["max"]
    assert all(("read_files" in span) == name.startswith("cold") for name, span in found["load"].items())
    assert len(serving_lines(found)) == 7


@pytest.mark.broker
@pytest.mark.crash
def test_an_export_is_measured_over_as_many_bars_as_were_asked_for() -> None:
    found = run_bench(("export",), 0, quiet=True, plan=replace(TINY, export_bars=5_000))["export"]
    assert found["bars"] >= 5_000 and found["rows_per_s"] > 0 and found["first_ms"] > 0
    ((what, _, _),) = export_lines(found)
    assert f"{found['bars']:,} bars" in what


@pytest.mark.broker
@pytest.mark.crash
def test_many_instruments_are_measured_in_memory_listing_and_restatements() -> None:
    found = run_bench(("instruments",), 0, quiet=True, plan=TINY)["instruments"]
    assert found["instruments"] == 700
    assert found["restated"] == 3 * found["late"]  # a bar of each published interval
    assert set(found["memory_mb"]) == {"empty", "chains", "both", "batch", "listed", "swapped"}
    for walk in found["list"].values():
        assert walk["pages"] == 2 and 0 < walk["page_bytes"] < walk["bytes"]
        assert set(walk["page_ms"]) == set(walk["all_ms"]) == set(walk["others_ms"]) == PERCENTILES
    assert len(instruments_lines(found)) == 8


@pytest.mark.broker
@pytest.mark.crash
def test_a_full_compute_is_measured_beside_duckdb_within_a_memory() -> None:
    found = run_bench(("full",), 90_000, quiet=True, plan=TINY)["full"]
    assert [each["trades"] for each in found["sizes"]] == [30_000, 90_000]
    for each in found["sizes"]:
        assert each["bars"] > 0
        assert each["ratio"] > 0
        assert 0 < each["peak_mb"] < 600
    assert len(full_lines(found)) == 5


@pytest.mark.broker
@pytest.mark.usefixtures("shared_broker")
@pytest.mark.parametrize(
    "shape", [TINY.history, pytest.param(HistoryShape((2_000, 90_000), 500, 2), marks=pytest.mark.crash)]
)
def test_runs_over_much_history_are_measured_in_what_they_read_and_write(shape: HistoryShape) -> None:
    found = run_bench(("history",), 0, quiet=True, plan=replace(TINY, history=shape))["history"]
    assert [each["trades"] for each in found["sizes"]] == list(shape.sizes)
    for size, each in zip(shape.sizes, found["sizes"], strict=True):
        assert each["events"] == size + shape.new * shape.runs
        assert each["read_mb"] > 0 and each["written_mb"] > 0 and each["parts"] > 0
        assert {"check", "audit", "compact"} < set(each["steps_s"])
    first, last = found["sizes"][0], found["sizes"][-1]
    assert len(history_lines({**found, "sizes": [first, last]})) == 7
    for each in found["sizes"]:
        assert each["storage"] >= 1 and each["storage_after_merge"] >= 1


@pytest.mark.broker
@pytest.mark.usefixtures("shared_broker")
def test_an_import_is_measured_with_all_that_it_accepts() -> None:
    found = run_bench(("import",), 150_000, quiet=True, plan=TINY)["import"]
    assert found["trades"] == 150_000
    assert found["trades_per_s"] > 0 and found["cpu_ns_per_trade"] > 0 and found["bytes_per_trade"] > 1
    assert len(import_lines(found)) == 1


@pytest.mark.broker
@pytest.mark.crash
def test_an_archive_step_over_a_filled_log_is_measured() -> None:
    found = run_bench(("archive",), 100_000, quiet=True, plan=TINY)["archive"]
    assert found["trades"] == 100_000
    assert found["trades_per_s"] > 0 and found["cpu_ns_per_trade"] > 0 and found["bytes_per_trade"] > 1
    assert found["peak_mb"]["archive"] > 0
    assert len(archive_lines(found)) == 1


@pytest.mark.broker
@pytest.mark.crash
def test_cold_reads_of_several_parts_are_measured() -> None:
    found = run_bench(("cold",), 100_000, quiet=True, plan=TINY)["cold"]
    assert found["read_at_once"] == 3
    assert found["cold"]["per_s"] > 0 and found["cold"]["read_files"] > 0
    assert found["emptied"]["questions"] == 5 and found["emptied"]["p50"] > 0
    assert len(cold_lines(found)) == 2


@pytest.mark.broker
@pytest.mark.usefixtures("shared_broker")
def test_publications_are_measured_after_simulated_runs() -> None:
    found = run_bench(("versions",), 0, quiet=True, plan=TINY)["versions"]
    assert (found["runs"], found["archive_files"]) == (60, 240)
    assert found["parts"] > 60 and 1 <= found["read_at_once"] <= 8
    assert found["manifest_kb"] > 1 and found["publish_ms"] > 0
    assert len(versions_lines(found)) == 2
