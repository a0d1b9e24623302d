"""What the door did since it was opened, in numbers, for `/metrics`. The counts are those of `ingest.summary`."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest.door import Door
from slackwater.core.exposition import process_registry, serve_metrics
from slackwater.core.settings import Settings
from slackwater.log.dead_letter import CONFLICT


class DoorFigures(Collector):
    """Reads a door. The counts are whole numbers that the door's thread changes one at a time, so no lock is needed."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are looked up when asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        done = self._door.summary()
        for name, text, count in (
            ("events", "Events accepted: valid, new, and on their way into the log.", done.accepted),
            ("duplicates", "Events dropped, since their id was there with the same content.", done.duplicates),
            ("late_events", "Events accepted whose bar of one second was closed.", self._door.late.events),
            ("records", "Records that hold what was accepted.", done.records),
        ):
            yield CounterMetricFamily(f"slackwater_ingest_{name}", text, count)
        letters = CounterMetricFamily("slackwater_ingest_dead_letters", "Lines refused.", labels=["reason"])
        for reason, count in {**done.refused, CONFLICT: done.conflicts}.items():
            letters.add_metric([reason], count)
        yield letters
        text = "Instruments that are known: of the archive, of the log since the cut, and new ones."
        yield GaugeMetricFamily("slackwater_ingest_instruments", text, len(self._door.filter.known.instruments))
        text = "Records sent to the log and not acknowledged yet."
        yield GaugeMetricFamily("slackwater_ingest_unacknowledged_records", text, self._door.unacknowledged)


def ingest_metrics(door: Door, settings: Settings) -> AbstractContextManager[None]:
    """Serve the figures of `door` until the block ends, if the settings name a port. Raises SettingError."""
    registry = process_registry()
    registry.register(DoorFigures(door))
    return serve_metrics(registry, settings.host, settings.ingest_metrics_port, "SLACKWATER_INGEST_METRICS_PORT")
