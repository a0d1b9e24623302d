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
    """Reads writers. The counts are whole numbers that their threads change one at a time, so no lock is needed."""

    def __init__(self, *writers: IngestWriter) -> None:
        self._writers = writers

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        done = {writer: writer.summary() for writer in self._writers}
        for name, text, counts in (
            (
                "events",
                "Events accepted: valid, new, and on their way into the log.",
                {writer: of.accepted for writer, of in done.items()},
            ),
            (
                "duplicates",
                "Events dropped, since their id was there with the same content.",
                {writer: of.duplicates for writer, of in done.items()},
            ),
            (
                "late_events",
                "Events accepted whose bar of one second was closed.",
                {writer: writer.late.events for writer in done},
            ),
            ("records", "Records that hold what was accepted.", {writer: of.records for writer, of in done.items()}),
        ):
            family = CounterMetricFamily(f"slackwater_ingest_{name}", text, labels=["stream"])
            yield _with(family, {(writer.stream.name,): count for writer, count in counts.items()})
        letters = CounterMetricFamily("slackwater_ingest_dead_letters", "Lines refused.", labels=["stream", "reason"])
        yield _with(
            letters,
            {
                (writer.stream.name, reason): count
                for writer, of in done.items()
                for reason, count in {**of.refused, CONFLICT: of.conflicts}.items()
            },
        )
        for name, text, counts in (
            (
                "entities",
                "Entities known: of the archive, the log since the cut, and new.",
                {writer: writer.entities for writer in done},
            ),
            (
                "unacknowledged_records",
                "Records sent to the log and not acknowledged yet.",
                {writer: writer.unacknowledged for writer in done},
            ),
        ):
            gauge = GaugeMetricFamily(f"slackwater_ingest_{name}", text, labels=["stream"])
            yield _with(gauge, {(writer.stream.name,): count for writer, count in counts.items()})


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
