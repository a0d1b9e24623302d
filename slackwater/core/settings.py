"""Every setting: one list, read once from the environment into a frozen value.

The list feeds the command line's help, the documentation and its test. Nothing else reads the environment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from slackwater.core.errors import SettingError
from slackwater.core.kafka_security import PLAIN_TEXT, KafkaSecurity, kafka_security
from slackwater.core.rate import Rate, parse_rate

_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9_.-]{1,253}(:[0-9]{1,5})?")
_OBJECT = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*")
_NETWORK = re.compile(r"[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?")


@dataclass(frozen=True)
class Setting:
    """One setting: its environment variable, default (as text), unit and help; a secret one is no option."""

    name: str
    default: str
    unit: str
    help: str
    secret: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting("SLACKWATER_HOME", ".slackwater", "folder", "Holds archive/, versions/, broker/ and logs/."),
    Setting("KAFKA_BOOTSTRAP_SERVERS", "", "host:port,...", "Kafka to use; empty: `slackwater up` starts one."),
    Setting("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", "word", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."),
    Setting("KAFKA_SSL_CAFILE", "", "file", "PEM certificates that Kafka's are verified with; empty: the system's."),
    Setting("KAFKA_SSL_CERTFILE", "", "file", "PEM certificate that is shown to Kafka."),
    Setting("KAFKA_SSL_KEYFILE", "", "file", "PEM private key of it; empty: it is in the same file."),
    Setting("KAFKA_SSL_KEY_PASSWORD", "", "secret", "Password of the private key.", secret=True),
    Setting(
        "KAFKA_SSL_KEY_PASSWORD_FILE", "", "file", "Holds that password; or the variable KAFKA_SSL_KEY_PASSWORD does."
    ),
    Setting("KAFKA_SSL_CHECK_HOSTNAME", "1", "0 or 1", "0: Kafka's certificate may be for another name."),
    Setting("KAFKA_SASL_MECHANISM", "", "word", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM."),
    Setting("KAFKA_SASL_USERNAME", "", "name", "User of PLAIN and SCRAM."),
    Setting("KAFKA_SASL_PASSWORD", "", "secret", "The user's password.", secret=True),
    Setting("KAFKA_SASL_PASSWORD_FILE", "", "file", "Holds that password; or the variable KAFKA_SASL_PASSWORD does."),
    Setting("KAFKA_SASL_TOKEN_PROVIDER", "", "module:name", "Callable that gives the tokens of OAUTHBEARER."),
    Setting(
        "SLACKWATER_PREFIX",
        "slackwater",
        "name",
        "The topics are <prefix>.<stream>, .<stream>.deltas and .dead-letters.",
    ),
    Setting("SLACKWATER_PARTITIONS", "4", "partitions", "Partitions of topics that are created."),
    Setting("SLACKWATER_REPLICATION", "1", "replicas", "Replication factor of topics that are created."),
    Setting("SLACKWATER_BROKER_PORT", "9092", "port", "Port of the broker that `slackwater up` starts, on loopback."),
    Setting(
        "SLACKWATER_VIEWS", "", "module:NAME,...", "Views outside the package: each name a View or a tuple of them."
    ),
    Setting("SLACKWATER_HOST", "127.0.0.1", "address", "Address that the REST service listens on."),
    Setting("SLACKWATER_PORT", "8000", "port", "Port that the REST service listens on."),
    Setting("SLACKWATER_BATCH_SECONDS", "30", "seconds", "Time between two batch runs of `slackwater up`."),
    Setting("SLACKWATER_PROOF_SECONDS", "10", "seconds", "How long a batch run's proof waits for the speed layer."),
    Setting("SLACKWATER_STALL_SECONDS", "10", "seconds", "How long a partition may lag without progress."),
    Setting("SLACKWATER_SPEED_METRICS_PORT", "0", "port", "Port of the speed layer's /metrics; 0: none."),
    Setting("SLACKWATER_INGEST_METRICS_PORT", "0", "port", "Port of the door's /metrics; 0: none."),
    Setting("SLACKWATER_LOG_FORMAT", "text", "word", "text for people, or json: one object a line."),
    Setting("SLACKWATER_ACCESS_LOG", "0", "0 or 1", "1: the REST service logs every request."),
    Setting("SLACKWATER_SLOW_MS", "1000", "milliseconds", "Requests that take longer are logged; 0: none."),
    Setting("SLACKWATER_KEEP_VERSIONS", "24", "versions", "Newest versions that stay when a batch run has published."),
    Setting("SLACKWATER_MAX_INSTRUMENTS", "0", "instruments", "Known at most; trades of new ones are refused; 0: any."),
    Setting("SLACKWATER_REQUIRE_KEY", "auto", "word", "auto (off loopback), always, or insecure-never."),
    Setting("SLACKWATER_PUBLISHED_HOST", "", "address", "Where a container publishes the service; empty: its host."),
    Setting(
        "SLACKWATER_ALLOWED_HOSTS", "", "name,...", "More names that a Host header may hold where no key is needed."
    ),
    Setting("SLACKWATER_CORS_ORIGINS", "", "origin,...", "Origins whose pages may read answers; empty: none."),
    Setting("SLACKWATER_TRUSTED_PROXIES", "", "address,...", "Proxies whose X-Forwarded-For is believed."),
    Setting("SLACKWATER_RATE_LIMIT", "", "requests/unit", "Per key or address: 100/second, 6000/minute; empty: none."),
    Setting("SLACKWATER_MAX_REQUESTS", "80", "requests", "In work and waiting at once; more are refused."),
    Setting("SLACKWATER_MAX_CONNECTIONS", "4000", "connections", "Open at once; more are refused."),
    Setting("SLACKWATER_MAX_STREAMS", "2000", "streams", "Open at once; more are refused."),
    Setting("SLACKWATER_DRAIN_SECONDS", "0", "seconds", "Served on, not ready, after SIGTERM; for load balancers."),
    Setting("SLACKWATER_INCOMPLETE", "answer", "word", "An answer that may miss deltas: answer and say so, or refuse."),
    Setting("SLACKWATER_TLS_CERT", "", "file", "PEM certificates of the REST service; empty: plain HTTP."),
    Setting("SLACKWATER_TLS_KEY", "", "file", "PEM private key of the certificate."),
    Setting("SLACKWATER_SQL", "0", "0 or 1", "1: `POST /v1/sql` answers keys of the scope admin."),
    Setting("SLACKWATER_KEY_FILE", "", "file", "Holds the key that commands show to the REST service."),
)

REQUIRE_KEY = ("auto", "always", "insecure-never")


@dataclass(frozen=True)
class Settings:
    """The settings as values. `bootstrap` is empty when no cluster was named."""

    home: Path
    bootstrap: str
    prefix: str
    partitions: int
    replication: int
    broker_port: int
    host: str
    port: int
    batch_seconds: int
    proof_seconds: int = 10
    stall_seconds: int = 10
    speed_metrics_port: int = 0
    ingest_metrics_port: int = 0
    log_format: str = "text"
    access_log: int = 0
    slow_ms: int = 1000
    keep_versions: int = 24
    max_instruments: int = 0
    require_key: str = "auto"
    published_host: str = ""
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    rate_limit: Rate | None = None
    max_requests: int = 80
    max_connections: int = 4000
    max_streams: int = 2000
    drain_seconds: int = 0
    incomplete: str = "answer"
    tls_cert: str = ""
    tls_key: str = ""
    key_file: str = ""
    sql: int = 0
    views: tuple[str, ...] = ()
    kafka: KafkaSecurity = PLAIN_TEXT

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


def from_environ(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` gives, the defaults elsewhere.

    Raises:
        SettingError: a number is not a number or out of range, a word is none of those there are, the prefix is no
            topic name, or settings contradict each other.
    """
    values = {setting.name: environ.get(setting.name) or setting.default for setting in SETTINGS}
    prefix = values["SLACKWATER_PREFIX"]
    if not prefix.replace("-", "").replace("_", "").replace(".", "").isalnum() or not prefix.isascii():
        raise SettingError(f"SLACKWATER_PREFIX is {prefix!r}.", "Use letters, digits, '.', '_' and '-'.")
    return Settings(
        home=Path(values["SLACKWATER_HOME"]).expanduser().absolute(),
        bootstrap=values["KAFKA_BOOTSTRAP_SERVERS"],
        prefix=prefix,
        partitions=_whole(values, "SLACKWATER_PARTITIONS", 1, 10_000),
        replication=_whole(values, "SLACKWATER_REPLICATION", 1, 100),
        broker_port=_whole(values, "SLACKWATER_BROKER_PORT", 1, 65_535),
        host=values["SLACKWATER_HOST"],
        port=_whole(values, "SLACKWATER_PORT", 0, 65_535),
        batch_seconds=_whole(values, "SLACKWATER_BATCH_SECONDS", 1, 86_400),
        proof_seconds=_whole(values, "SLACKWATER_PROOF_SECONDS", 0, 86_400),
        stall_seconds=_whole(values, "SLACKWATER_STALL_SECONDS", 1, 86_400),
        speed_metrics_port=_whole(values, "SLACKWATER_SPEED_METRICS_PORT", 0, 65_535),
        ingest_metrics_port=_whole(values, "SLACKWATER_INGEST_METRICS_PORT", 0, 65_535),
        log_format=_word(values, "SLACKWATER_LOG_FORMAT", ("text", "json")),
        access_log=_whole(values, "SLACKWATER_ACCESS_LOG", 0, 1),
        slow_ms=_whole(values, "SLACKWATER_SLOW_MS", 0, 3_600_000),
        keep_versions=_whole(values, "SLACKWATER_KEEP_VERSIONS", 1, 100_000),
        max_instruments=_whole(values, "SLACKWATER_MAX_INSTRUMENTS", 0, 100_000_000),
        require_key=_word(values, "SLACKWATER_REQUIRE_KEY", REQUIRE_KEY),
        published_host=values["SLACKWATER_PUBLISHED_HOST"],
        allowed_hosts=_list(values, "SLACKWATER_ALLOWED_HOSTS", _HOST, "names without a port"),
        cors_origins=_list(
            values, "SLACKWATER_CORS_ORIGINS", _ORIGIN, "origins such as https://desk.example.com, or *"
        ),
        trusted_proxies=_list(
            values, "SLACKWATER_TRUSTED_PROXIES", _NETWORK, "addresses, or networks such as 10.0.0.0/8"
        ),
        rate_limit=_rate(values, "SLACKWATER_RATE_LIMIT"),
        max_requests=_whole(values, "SLACKWATER_MAX_REQUESTS", 1, 100_000),
        max_connections=_whole(values, "SLACKWATER_MAX_CONNECTIONS", 1, 1_000_000),
        max_streams=_whole(values, "SLACKWATER_MAX_STREAMS", 0, 1_000_000),
        drain_seconds=_whole(values, "SLACKWATER_DRAIN_SECONDS", 0, 3_600),
        incomplete=_word(values, "SLACKWATER_INCOMPLETE", ("answer", "refuse")),
        tls_cert=_both(values, "SLACKWATER_TLS_CERT", "SLACKWATER_TLS_KEY"),
        tls_key=_both(values, "SLACKWATER_TLS_KEY", "SLACKWATER_TLS_CERT"),
        key_file=values["SLACKWATER_KEY_FILE"],
        sql=_whole(values, "SLACKWATER_SQL", 0, 1),
        views=_list(values, "SLACKWATER_VIEWS", _OBJECT, "module:NAME with commas between"),
        kafka=kafka_security(values),
    )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; of names, only localhost is."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _whole(values: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = values[name]
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise SettingError(f"{name} is {text!r}.", f"Use a whole number from {low} to {high}.")
    return int(text)


def _word(values: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    if values[name] not in words:
        raise SettingError(f"{name} is {values[name]!r}.", f"Use {' or '.join(words)}.")
    return values[name]


def _list(values: Mapping[str, str], name: str, pattern: re.Pattern[str], hint: str) -> tuple[str, ...]:
    found = tuple(each.strip() for each in values[name].split(",")) if values[name] else ()
    for each in found:
        if not pattern.fullmatch(each):
            raise SettingError(f"{name} holds {each!r}.", f"Use {hint}, with commas between.")
    return found


def _rate(values: Mapping[str, str], name: str) -> Rate | None:
    if not values[name]:
        return None
    try:
        return parse_rate(values[name])
    except ValueError as error:
        raise SettingError(f"{name} is {values[name]!r}.", str(error)) from error


def _both(values: Mapping[str, str], name: str, other: str) -> str:
    if values[name] and not values[other]:
        raise SettingError(f"{name} is set and {other} is not.", "TLS needs both.")
    return values[name]
