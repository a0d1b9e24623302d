"""The services of one machine: one list, from which `slackwater up` starts them and docker-compose.yml is checked."""

from collections.abc import Mapping
from dataclasses import dataclass

from slackwater.core.kafka_security import KafkaSecurity
from slackwater.core.secret import Secret
from slackwater.core.settings import SETTINGS, Settings


@dataclass(frozen=True)
class Service:
    """One process: `slackwater <arguments>`. `demo` services run in the demonstration only."""

    name: str
    arguments: tuple[str, ...]
    help: str
    demo: bool = False


def services(settings: Settings) -> tuple[Service, ...]:
    """What runs beside the broker, in the order in which it is started; it is stopped the other way round."""
    return (
        Service("speed", ("speed", "run"), "event log -> deltas"),
        Service("serving", ("serve",), "batch views and deltas -> REST and the page"),
        Service("batch", ("batch", "run", "--every", str(settings.batch_seconds)), "event log -> archive -> versions"),
        Service("ingest", ("ingest", "--preset", "sample", "--live"), "sample trades -> event log", demo=True),
    )


def to_environ(settings: Settings) -> Mapping[str, str]:
    """The environment that gives a child process these settings."""
    values = (
        settings.home,
        settings.servers,
        *_kafka(settings.kafka),
        settings.prefix,
        settings.partitions,
        settings.replication,
        settings.broker_port,
        settings.host,
        settings.port,
        settings.batch_seconds,
        settings.proof_seconds,
        settings.stall_seconds,
        settings.speed_metrics_port,
        settings.ingest_metrics_port,
        settings.log_format,
        settings.access_log,
        settings.slow_ms,
        settings.keep_versions,
        settings.max_instruments,
        settings.require_key,
        settings.published_host,
        ",".join(settings.allowed_hosts),
        ",".join(settings.cors_origins),
        ",".join(settings.trusted_proxies),
        settings.rate_limit or "",
        settings.max_requests,
        settings.max_connections,
        settings.max_streams,
        settings.drain_seconds,
        settings.incomplete,
        settings.tls_cert,
        settings.tls_key,
        settings.sql,
        settings.key_file,
    )
    return {setting.name: str(value) for setting, value in zip(SETTINGS, values, strict=True)}


def _kafka(kafka: KafkaSecurity) -> tuple[str, ...]:
    return (
        kafka.protocol,
        kafka.ca_file,
        kafka.cert_file,
        kafka.key_file,
        *_secret(kafka.key_password),
        str(int(kafka.check_hostname)),
        kafka.mechanism,
        kafka.username,
        *_secret(kafka.password),
        kafka.token_provider,
    )


def _secret(secret: Secret | None) -> tuple[str, str]:
    """Its value where no file holds it, and its file."""
    if secret is None:
        return "", ""
    return "" if secret.file else secret.text(), secret.file
