"""Runs the service: the settings, the application, uvicorn."""

import gc
import logging
import sys
from typing import Any

from fastapi import FastAPI

from serving.http.app import create_app
from serving.options import ServingOptions, SqlOptions, StreamOptions
from serving.service import Service
from slackwater.core.heap import give_back
from slackwater.core.settings import Settings
from slackwater.http import run
from slackwater.http.options import ObservedOptions
from slackwater.http.run import guard_options, limits_of, listening, warn_of_keys
from slackwater.http.server import Server
from slackwater.log.compression import check_codecs
from slackwater.log.kafka_log import log_of
from slackwater.log.names import TopicNames
from slackwater.streams.registry import registered as registered_streams
from slackwater.versions.store import VersionStore
from slackwater.views.registry import views_of
from slackwater.views.view import View

_LOG = logging.getLogger("slackwater.serving")

SWITCH_INTERVAL_S = 0.0005
"""How long the feed may keep the interpreter while a request waits; Python's 5 ms would be a third of the target."""

GC_THRESHOLDS = (20_000, 10, 1_000)
"""A full collection over millions of cached rows takes long and frees nothing, as they hold no cycle: it is rare."""


def serve(settings: Settings, views: tuple[View, ...] | None = None, options: ServingOptions | None = None) -> None:
    """Serve until the process is told to stop (SIGINT, SIGTERM).

    Raises:
        CodecMissingError: batches in some codec could not be read.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    give_back()
    check_codecs()
    views = views_of(settings) if views is None else views
    streams = registered_streams(settings.streams)
    log, names = log_of(settings), TopicNames(settings.prefix)
    limits = limits_of(settings, _LOG)
    observed = ObservedOptions(bool(settings.access_log), settings.slow_ms / 1000)
    sql = SqlOptions() if settings.sql else None
    options = options or ServingOptions(
        guard=guard_options(settings),
        limits=limits,
        observed=observed,
        streams=StreamOptions(most=settings.max_streams),
        sql=sql,
        incomplete="refuse" if settings.incomplete == "refuse" else "answer",
    )
    warn_of_keys(settings, _LOG, settings.port, "reads everything")
    app = create_app(log, names, VersionStore(settings.home), views, options=options, streams=streams)
    server_of(app, drain_s=settings.drain_seconds, **listening(settings, settings.port)).run()


def server_of(app: FastAPI, drain_s: float = 0.0, **more: Any) -> Server:
    """A server of an application of `create_app`; `more` is uvicorn's configuration."""
    service: Service = app.state.service
    return run.server_of(app, service.options.limits, service.admission, service.draining, drain_s, **more)
