"""Every setting: one table, whose rows are the fields of `Settings`, read once from the environment.

    home: Path = setting(".slackwater", "folder", "Holds archive/, ...", folder)     the variable SLACKWATER_HOME
                         default        unit      help                   reader

The command line's options, the environment of child processes, the documentation and its test come from the same
table. Nothing else reads the environment. Not here: how one value is read (`slackwater.core.values`), and what the
settings of Kafka mean together (`slackwater.core.kafka_security`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from slackwater.core.errors import SettingError
from slackwater.core.kafka_security import KafkaSecurity, kafka_security
from slackwater.core.kafka_settings import KafkaSettings
from slackwater.core.rate import Rate
from slackwater.core.setting import Setting, rows_of, setting
from slackwater.core.values import (
    FEED_FILE,
    FEED_URL,
    HOST,
    NAME,
    NETWORK,
    OBJECT,
    ORIGIN,
    flag,
    folder,
    listed,
    memory,
    rate,
    text,
    topic_prefix,
    whole,
    word,
)

LEAST_BATCH_BYTES = 512_000_000
"""Python, Beam and Arrow take most of that."""


@dataclass(frozen=True)
class Settings(KafkaSettings):
    """The settings as values."""

    home: Path = setting(".slackwater", "folder", "Archive, versions, broker and logs.", folder)
    prefix: str = setting(
        "slackwater", "name", "The topics are <prefix>.<stream>, .<stream>.deltas and .dead-letters.", topic_prefix
    )
    streams: tuple[str, ...] = setting(
        "",
        "module:NAME,...",
        "Streams outside the package: each names a Stream or a tuple of them.",
        listed(OBJECT, "module:NAME"),
    )
    views: tuple[str, ...] = setting(
        "",
        "module:NAME,...",
        "Views outside the package: each names a View or a tuple of them.",
        listed(OBJECT, "module:NAME"),
    )
    only_views: tuple[str, ...] = setting(
        "",
        "bars,flow,...",
        "Of all these views the ones that this program computes and serves; empty: all.",
        listed(NAME, "names"),
    )
    partitions: int = setting("4", "partitions", "Partitions of topics that are created.", whole(1, 10_000))
    replication: int = setting("1", "replicas", "Replication factor of topics that are created.", whole(1, 100))
    broker_port: int = setting(
        "9092", "port", "Port of the broker that `slackwater up` starts, on loopback.", whole(1, 65_535)
    )
    host: str = setting("127.0.0.1", "address", "Address that the REST service listens on.", text)
    port: int = setting("8000", "port", "Port that the REST service listens on.", whole(0, 65_535))
    ingest_port: int = setting("8001", "port", "Port that the ingest service listens on.", whole(0, 65_535))
    ingest_url: str = setting("", "URL", "Where the ingest service is; empty: the one that runs on this home.", text)
    batch_seconds: int = setting("30", "seconds", "Time between two batch runs of `slackwater up`.", whole(1, 86_400))
    proof_seconds: int = setting(
        "10", "seconds", "How long a batch run's proof waits for the speed layer.", whole(0, 86_400)
    )
    batch_memory: int = setting(
        "25%",
        "size or share",
        "Memory of a process of the batch layer, such as 4GB, or a share of the machine's; the rest spills.",
        memory(LEAST_BATCH_BYTES),
    )
    batch_threads: int = setting("0", "threads", "Threads of a batch run; 0: one a core.", whole(0, 1_024))
    stall_seconds: int = setting("10", "seconds", "How long a partition may lag without progress.", whole(1, 86_400))
    speed_metrics_port: int = setting("0", "port", "Port of the speed layer's /metrics; 0: none.", whole(0, 65_535))
    ingest_metrics_port: int = setting("0", "port", "Port of the ingest's /metrics; 0: none.", whole(0, 65_535))
    capture_metrics_port: int = setting("0", "port", "Port of the capture's /metrics; 0: none.", whole(0, 65_535))
    feed_urls: tuple[str, ...] = setting(
        "",
        "venue=URL,...",
        "Where feeds are instead: venue=wss://..., and venue.rest=https://...",
        listed(FEED_URL, "venue=wss://host/path or venue.rest=https://host"),
    )
    feed_key_files: tuple[str, ...] = setting(
        "",
        "venue=file,...",
        "Files of the API keys that feeds' REST interfaces ask for.",
        listed(FEED_FILE, "venue=/path/of/a/file"),
    )
    log_format: str = setting("text", "word", "text for people, or json: one object a line.", word("text", "json"))
    access_log: bool = setting("0", "0 or 1", "1: the REST service logs every request.", flag)
    slow_ms: int = setting(
        "1000", "milliseconds", "Requests that take longer are logged; 0: none.", whole(0, 3_600_000)
    )
    keep_versions: int = setting(
        "24", "versions", "Newest versions that stay when a batch run has published.", whole(1, 100_000)
    )
    snapshot_hours: int = setting(
        "24", "hours", "For so long the last version of each hour stays as a snapshot.", whole(0, 100_000)
    )
    snapshot_days: int = setting(
        "30", "days", "For so long the last version of each day stays as a snapshot.", whole(0, 100_000)
    )
    max_instruments: int = setting(
        "0", "instruments", "Known at most; trades of new ones are refused; 0: any.", whole(0, 100_000_000)
    )
    require_key: str = setting(
        "auto", "word", "auto (off loopback), always, or insecure-never.", word("auto", "always", "insecure-never")
    )
    published_host: str = setting("", "address", "Where a container publishes the service; empty: its host.", text)
    allowed_hosts: tuple[str, ...] = setting(
        "",
        "name,...",
        "More names that a Host header may hold where no key is needed.",
        listed(HOST, "names without a port"),
    )
    cors_origins: tuple[str, ...] = setting(
        "",
        "origin,...",
        "Origins whose pages may read answers; empty: none.",
        listed(ORIGIN, "origins such as https://desk.example.com, or *"),
    )
    trusted_proxies: tuple[str, ...] = setting(
        "",
        "address,...",
        "Proxies whose X-Forwarded-For is believed.",
        listed(NETWORK, "addresses, or networks such as 10.0.0.0/8"),
    )
    rate_limit: Rate | None = setting(
        "", "requests/unit", "Per key or address: 100/second, 6000/minute; empty: none.", rate
    )
    max_requests: int = setting("80", "requests", "In work and waiting at once; more are refused.", whole(1, 100_000))
    max_connections: int = setting("4000", "connections", "Open at once; more are refused.", whole(1, 1_000_000))
    max_streams: int = setting("2000", "streams", "Open at once; more are refused.", whole(0, 1_000_000))
    drain_seconds: int = setting(
        "0", "seconds", "Served on, not ready, after SIGTERM; for load balancers.", whole(0, 3_600)
    )
    incomplete: str = setting(
        "answer", "word", "An answer that may miss deltas: answer and say so, or refuse.", word("answer", "refuse")
    )
    tls_cert: str = setting("", "file", "PEM certificates of the REST service; empty: plain HTTP.", text)
    tls_key: str = setting("", "file", "PEM private key of the certificate.", text)
    sql: bool = setting("0", "0 or 1", "1: `POST /v1/sql` answers keys of the scope admin.", flag)
    key_file: str = setting("", "file", "Holds the key that commands show to the REST service.", text)

    @property
    def keys_required(self) -> bool:
        """Whether the REST service asks for a key: it is reached from other machines, or is told to."""
        if self.require_key == "auto":
            return not is_loopback(self.published_host or self.host)
        return self.require_key == "always"

    @property
    def servers(self) -> str:
        """The bootstrap servers in force: the named cluster, else the broker of this machine."""
        return self.bootstrap or f"127.0.0.1:{self.broker_port}"

    @cached_property
    def kafka(self) -> KafkaSecurity:
        """TLS and SASL to Kafka.

        Raises:
            SettingError: these settings contradict each other, or one is missing.
        """
        return kafka_security(self.environ())

    def environ(self) -> dict[str, str]:
        """The variables that give these settings."""
        return {row.name: _written(getattr(self, name)) for name, row in _ROWS.items()}


_ROWS = rows_of(Settings)

SETTINGS: tuple[Setting, ...] = tuple(_ROWS.values())
"""The table."""


def from_environ(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` gives, the defaults elsewhere.

    Raises:
        SettingError: a number is not a number or out of range, a word is none of those there are, the prefix is no
            topic name, or settings contradict each other.
    """
    found = Settings(**{name: row.value(environ.get(row.name) or row.default) for name, row in _ROWS.items()})
    if bool(found.tls_cert) != bool(found.tls_key):
        given, other = ("CERT", "KEY") if found.tls_cert else ("KEY", "CERT")
        raise SettingError(f"SLACKWATER_TLS_{given} is set and SLACKWATER_TLS_{other} is not.", "TLS needs both.")
    _ = found.kafka  # a contradiction is refused now, not where the first client is made
    return found


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; of names, only localhost is."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple) and not isinstance(value, Rate):
        return ",".join(value)
    return str(value)
