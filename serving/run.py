"""Runs the service: the settings, the application, uvicorn."""

import gc
import logging
import resource
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

from serving.http.app import create_app
from serving.http.connection import Gate
from serving.http.server import Server
from serving.options import GuardOptions, Limits, ObservedOptions, ServingOptions, SqlOptions, StreamOptions
from serving.service import Service
from slackwater.core.heap import give_back
from slackwater.core.settings import Settings
from slackwater.keys.keys import KeyStore
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


def guard_options(settings: Settings) -> GuardOptions:
    """Who may come in, by the settings. Where keys are required Host may be anything: a foreign page has no key."""
    hosts = None if settings.keys_required else frozenset(name.lower() for name in settings.allowed_hosts)
    return GuardOptions(settings.keys_required, hosts, settings.rate_limit, settings.cors_origins)


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
    limits = _limits(settings)
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
    _warn(settings)
    app = create_app(log, names, VersionStore(settings.home), views, options=options, streams=streams)
    server_of(
        app,
        drain_s=settings.drain_seconds,
        host=settings.host,
        port=settings.port,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    ).run()


def server_of(app: FastAPI, drain_s: float = 0.0, **more: Any) -> Server:
    """A server of an application of `create_app`, with its bounds; `more` is uvicorn's configuration."""
    service: Service = app.state.service
    gate = Gate(service.options.limits, service.admission, service.draining)
    config = uvicorn.Config(
        app,
        http=gate.protocol(),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,  # its loggers say what they say in our form
        log_level="warning",
        server_header=False,
        **{"proxy_headers": False, **more},
    )
    return Server(config, service.draining, drain_s)


def _limits(settings: Settings) -> Limits:
    """The limits of the settings; as many connections as the process may have files, which it may have more of."""
    spare = 256  # of the versions, the log and the rest
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_connections + settings.max_connections // 10 + spare
    if soft < needed:
        soft = min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = min(settings.max_connections, max((soft - spare) * 10 // 11, 1))
    if most < settings.max_connections:
        _LOG.warning("At most %d connections: the process may have %d files open.", most, soft)
    return Limits(requests=settings.max_requests, connections=most)


def _warn(settings: Settings) -> None:
    if settings.require_key == "insecure-never":
        _LOG.warning("No key is asked for: whoever reaches %s:%s reads everything.", settings.host, settings.port)
    elif settings.keys_required and not any(not key.revoked_us for key in KeyStore(settings.home).all()):
        _LOG.warning("Keys are required and there is none yet. Make one with `slackwater key create`.")
