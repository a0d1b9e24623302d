"""What a writer did since it was opened, in numbers, for `/metrics`. The counts are those of `ingest.verdicts`."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest.writer import IngestWriter
from slackwater.core.exposition import process_registry, serve_metrics
from slackwater.core.settings import Settings
from slackwater.log.dead_letter import CONFLICT


class IngestFigures(Collector):
    """Reads a writer. The counts are whole numbers that its thread changes one at a time, so no lock is needed."""

    def __init__(self, writer: IngestWriter) -> None:
        self._writer = writer

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        done, stream = self._writer.summary(), self._writer.stream.name
        for name, text, count in (
            ("events", "Events accepted: valid, new, and on their way into the log.", done.accepted),
            ("duplicates", "Events dropped, since their id was there with the same content.", done.duplicates),
            ("late_events", "Events accepted whose bar of one second was closed.", self._writer.late.events),
            ("records", "Records that hold what was accepted.", done.records),
        ):
            yield _with(CounterMetricFamily(f"slackwater_ingest_{name}", text, labels=["stream"]), {(stream,): count})
        letters = CounterMetricFamily("slackwater_ingest_dead_letters", "Lines refused.", labels=["stream", "reason"])
        refused = {**done.refused, CONFLICT: done.conflicts}
        yield _with(letters, {(stream, reason): count for reason, count in refused.items()})
        for name, text, count in (
            ("entities", "Entities known: of the archive, the log since the cut, and new.", self._writer.entities),
            (
                "unacknowledged_records",
                "Records sent to the log and not acknowledged yet.",
                self._writer.unacknowledged,
            ),
        ):
            yield _with(GaugeMetricFamily(f"slackwater_ingest_{name}", text, labels=["stream"]), {(stream,): count})


def _with(family: Any, values: Mapping[tuple[str, ...], int]) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    found: Metric = family
    return found


def ingest_metrics(writer: IngestWriter, settings: Settings) -> AbstractContextManager[None]:
    """Serve the figures of `writer` until the block ends, if the settings name a port. Raises SettingError."""
    registry = process_registry()
    registry.register(IngestFigures(writer))
    return serve_metrics(registry, settings.host, settings.ingest_metrics_port, "SLACKWATER_INGEST_METRICS_PORT")
