"""Runs the service: the settings, the application, uvicorn."""

import gc
import logging
import sys

import uvicorn

from event_log.kafka_log import KafkaLog
from event_log.names import TopicNames
from serving.app import create_app
from serving.guard import GuardOptions
from serving.keys import KeyStore
from serving.service import ServingOptions
from slackwater.settings import Settings
from versions.store import VersionStore
from views.registry import DEFINITIONS
from views.view import View

_LOG = logging.getLogger("slackwater.serving")

SWITCH_INTERVAL_S = 0.0005
"""How long the feed may keep the interpreter while a request waits; Python's 5 ms would be a third of the target."""

GC_THRESHOLDS = (20_000, 10, 1_000)
"""A full collection over millions of kept rows takes long and frees nothing: they hold no cycle. So it is made rare."""


def guard_options(settings: Settings) -> GuardOptions:
    """Who may come in, by the settings. Where keys are required Host may be anything: a foreign page has no key."""
    hosts = None if settings.keys_required else frozenset(name.lower() for name in settings.allowed_hosts)
    return GuardOptions(settings.keys_required, hosts, settings.rate_limit, settings.cors_origins)


def serve(settings: Settings, views: tuple[View, ...] = DEFINITIONS, options: ServingOptions | None = None) -> None:
    """Serve until the process is told to stop (SIGINT, SIGTERM)."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    log, names = KafkaLog(settings.servers), TopicNames(settings.prefix)
    options = options or ServingOptions(guard=guard_options(settings))
    _warn(settings)
    app = create_app(log, names, VersionStore(settings.home), views, options=options)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )


def _warn(settings: Settings) -> None:
    if settings.require_key == "insecure-never":
        _LOG.warning("No key is asked for: whoever reaches %s:%s reads everything.", settings.host, settings.port)
    elif settings.keys_required and not any(not key.revoked_us for key in KeyStore(settings.home).all()):
        _LOG.warning("Keys are required and there is none yet. Make one with `slackwater key create`.")
