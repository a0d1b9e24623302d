"""What runs a service: its bounds by the settings, what is said of its keys, and uvicorn around its application."""

import logging
import resource
from dataclasses import replace
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from slackwater.core.settings import Settings
from slackwater.http.connection import Gate
from slackwater.http.guard.admission import Admission
from slackwater.http.options import GuardOptions, Limits
from slackwater.http.server import Draining, Server
from slackwater.keys.keys import KeyStore, Scope


def guard_options(settings: Settings) -> GuardOptions:
    """Who may come in, by the settings. Where keys are required Host may be anything: a foreign page has no key."""
    hosts = None if settings.keys_required else frozenset(name.lower() for name in settings.allowed_hosts)
    return GuardOptions(settings.keys_required, hosts, settings.rate_limit, settings.cors_origins)


def limits_of(settings: Settings, log: logging.Logger, limits: Limits | None = None) -> Limits:
    """`limits` with those of the settings; as many connections as the process may have files, for which it asks."""
    spare = 256  # of the versions, the log and the rest
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_connections + settings.max_connections // 10 + spare
    if soft < needed:
        soft = min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = min(settings.max_connections, max((soft - spare) * 10 // 11, 1))
    if most < settings.max_connections:
        log.warning("At most %d connections: the process may have %d files open.", most, soft)
    return replace(limits or Limits(), requests=settings.max_requests, connections=most)


def warn_of_keys(settings: Settings, log: logging.Logger, port: int, does: str, scope: Scope = "read") -> None:
    """Say where no key is asked for, and what who reaches `port` `does` then; or that no key may `scope`."""
    if settings.require_key == "insecure-never":
        log.warning("No key is asked for: whoever reaches %s:%s %s.", settings.host, port, does)
    elif settings.keys_required and not any(
        key.may(scope) and not key.revoked_us for key in KeyStore(settings.home).all()
    ):
        log.warning("Keys are required and there is none yet. Make one with `slackwater key create`.")


def listening(settings: Settings, port: int) -> dict[str, Any]:
    """Where a server listens, whose word it takes for an address, and its certificate, as uvicorn's configuration."""
    return {
        "host": settings.host,
        "port": port,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "ssl_certfile": settings.tls_cert or None,
        "ssl_keyfile": settings.tls_key or None,
    }


def server_of(
    app: ASGIApp, limits: Limits, admission: Admission, draining: Draining, drain_s: float = 0.0, **more: Any
) -> Server:
    """A server of an application, with its bounds; `more` is uvicorn's configuration."""
    config = uvicorn.Config(
        app,
        http=Gate(limits, admission, draining).protocol(),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,  # its loggers say what they say in our form
        log_level="warning",
        server_header=False,
        **{"proxy_headers": False, **more},
    )
    return Server(config, draining, drain_s)
