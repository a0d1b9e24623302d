"""`slackwater bench`: throughput, latency and memory on this machine, each part on a broker and a home of its own.

Not here: how a part is measured (`bench_batch`, `bench_speed`, `bench_latency` and so on), what is written about it
(`bench_table`). docs/benchmarks.md says what each figure means.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from bench.archive import measure_archive
from bench.batch import measure_batch
from bench.bulk import measure_import
from bench.capture import CAPTURE_SHAPE, CaptureShape, measure_capture
from bench.cold import COLD_SHAPE, ColdShape, measure_cold
from bench.export import EXPORT_BARS, measure_export
from bench.floor import FLOOR_SPAN, FloorSpan, measure_floor
from bench.full import FULL_SHAPE, FullShape, measure_full
from bench.history import HISTORY_SHAPE, HistoryShape, measure_history
from bench.house import House
from bench.idle import IDLE_SPAN, IdleSpan, measure_idle
from bench.instruments import INSTRUMENTS_SHAPE, InstrumentsShape, measure_instruments
from bench.intake import INTAKE_SHAPE, IntakeShape, measure_intake
from bench.latency import SPANS, Spans, measure_latency
from bench.overload import OVERLOAD_SPANS, OverloadSpans, measure_overload
from bench.serving import SERVING_SPANS, ServingSpans, measure_serving
from bench.speed import measure_speed
from bench.stream import STREAM_SPANS, StreamSpans, measure_stream
from bench.table import show
from bench.trades import Trades
from bench.versions import VERSIONS_SHAPE, VersionsShape, measure_versions
from ops.output import console, errors


@dataclass(frozen=True)
class Plan:
    """How much is measured, other than the batch layer's trades."""

    pairs: int = 5
    row_trades: int = 200_000
    speed_trades: int = 600_000
    packed_trades: int = 6_000_000
    per_record: int = 50
    spans: Spans = SPANS
    serving: ServingSpans = SERVING_SPANS
    export_bars: int = EXPORT_BARS
    overload: OverloadSpans = OVERLOAD_SPANS
    floor: FloorSpan = FLOOR_SPAN
    idle: IdleSpan = IDLE_SPAN
    streams: StreamSpans = STREAM_SPANS
    instruments: InstrumentsShape = INSTRUMENTS_SHAPE
    history: HistoryShape = HISTORY_SHAPE
    full: FullShape = FULL_SHAPE
    versions: VersionsShape = VERSIONS_SHAPE
    cold: ColdShape = COLD_SHAPE
    intake: IntakeShape = INTAKE_SHAPE
    capture: CaptureShape = CAPTURE_SHAPE


PLAN = Plan()


def run_bench(parts: Sequence[str], trades: int, quiet: bool, plan: Plan = PLAN) -> dict[str, Any]:
    """Measure `parts`, one after the other; the figures, and a table unless `quiet`.

    Raises:
        BenchError: a part could not be measured, or what it measured computed something wrong.
        BrokerError: no broker can be started here.
    """
    source = Trades()
    measures: dict[str, Callable[[House], dict[str, Any]]] = {
        "batch": lambda house: measure_batch(house, source, trades, plan.pairs, plan.row_trades),
        "speed": lambda house: measure_speed(house, source, plan.speed_trades, plan.packed_trades, plan.per_record),
        "floor": lambda house: measure_floor(house, plan.floor),
        "latency": lambda house: measure_latency(house, source, plan.spans),
        "serving": lambda house: measure_serving(house, source, trades, plan.serving),
        "export": lambda house: measure_export(house, source, plan.export_bars),
        "overload": lambda house: measure_overload(house, source, plan.overload),
        "stream": lambda house: measure_stream(house, source, plan.streams),
        "idle": lambda house: measure_idle(house, plan.idle),
        "instruments": lambda house: measure_instruments(house, plan.instruments),
        "history": lambda house: measure_history(house, source, plan.history),
        "full": lambda house: measure_full(house, source, trades, plan.full),
        "archive": lambda house: measure_archive(house, source, trades),
        "import": lambda house: measure_import(house, source, trades),
        "intake": lambda house: measure_intake(house, source, plan.intake),
        "capture": lambda house: measure_capture(house, plan.capture),
        "cold": lambda house: measure_cold(house, source, trades, plan.cold, plan.serving),
        "versions": lambda house: measure_versions(house, plan.versions),
    }
    results: dict[str, Any] = {"machine": _machine()}
    for part in dict.fromkeys(parts):
        with House(_silent if quiet else _say) as house:
            results[part] = measures[part](house)
        results[part]["peak_mb"] = {name: round(mb) for name, mb in sorted(house.watch.peak_mb.items())}
    if not quiet:
        show(results, console)
    return results


def _machine() -> dict[str, Any]:
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def _say(text: str) -> None:
    errors.print(text, style="dim", markup=False)


def _silent(_: str) -> None:
    pass
