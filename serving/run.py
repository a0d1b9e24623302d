"""Runs the service: the settings, the application, uvicorn."""

import gc
import sys

import uvicorn

from event_log.kafka_log import KafkaLog
from event_log.names import TopicNames
from serving.app import create_app
from serving.service import ServingOptions
from slackwater.settings import Settings
from versions.store import VersionStore
from views.registry import DEFINITIONS
from views.view import View

SWITCH_INTERVAL_S = 0.0005
"""How long the feed may keep the interpreter while a request waits; Python's 5 ms would be a third of the target."""

GC_THRESHOLDS = (20_000, 10, 1_000)
"""A full collection over millions of kept rows takes long and frees nothing: they hold no cycle. So it is made rare."""


def serve(settings: Settings, views: tuple[View, ...] = DEFINITIONS, options: ServingOptions | None = None) -> None:
    """Serve until the process is told to stop (SIGINT, SIGTERM)."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    log, names = KafkaLog(settings.servers), TopicNames(settings.prefix)
    app = create_app(log, names, VersionStore(settings.home), views, options=options)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
