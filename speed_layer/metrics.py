"""`/metrics` of this process, in Prometheus' text format; off unless a port is set.

The figures are `speed_layer.figures`. The service's own are in `serving.status.metrics`.
"""

from contextlib import AbstractContextManager

from slackwater.core.exposition import process_registry, serve_metrics
from slackwater.core.settings import Settings
from speed_layer.figures import FIGURES


def speed_metrics(settings: Settings) -> AbstractContextManager[None]:
    """Serve FIGURES until the block ends, if the settings name a port. Raises SettingError."""
    registry = process_registry()
    registry.register(FIGURES)
    return serve_metrics(registry, settings.host, settings.speed_metrics_port, "SLACKWATER_SPEED_METRICS_PORT")
