"""Every setting: one list, read once from the environment into a frozen value.

The list feeds the command line's help, the documentation and its test. Nothing else reads the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slackwater.errors import SettingError


@dataclass(frozen=True)
class Setting:
    """One setting: its environment variable, default (as text), unit and help."""

    name: str
    default: str
    unit: str
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting("SLACKWATER_HOME", ".slackwater", "folder", "Holds archive/, versions/, broker/ and logs/."),
    Setting("KAFKA_BOOTSTRAP_SERVERS", "", "host:port,...", "Kafka to use; empty: `slackwater up` starts one."),
    Setting("SLACKWATER_PREFIX", "slackwater", "name", "The topics are <prefix>.trades, .deltas and .dead-letters."),
    Setting("SLACKWATER_PARTITIONS", "4", "partitions", "Partitions of topics that are created."),
    Setting("SLACKWATER_REPLICATION", "1", "replicas", "Replication factor of topics that are created."),
    Setting("SLACKWATER_BROKER_PORT", "9092", "port", "Port of the broker that `slackwater up` starts, on loopback."),
    Setting("SLACKWATER_HOST", "127.0.0.1", "address", "Address that the REST service listens on."),
    Setting("SLACKWATER_PORT", "8000", "port", "Port that the REST service listens on."),
    Setting("SLACKWATER_BATCH_SECONDS", "30", "seconds", "Time between two batch runs of `slackwater up`."),
    Setting("SLACKWATER_PROOF_SECONDS", "10", "seconds", "How long a batch run's proof waits for the speed layer."),
    Setting("SLACKWATER_STALL_SECONDS", "10", "seconds", "How long a partition may lag without progress."),
    Setting("SLACKWATER_SPEED_METRICS_PORT", "0", "port", "Port of the speed layer's /metrics; 0: none."),
    Setting("SLACKWATER_INGEST_METRICS_PORT", "0", "port", "Port of the door's /metrics; 0: none."),
    Setting("SLACKWATER_KEEP_VERSIONS", "24", "versions", "Newest versions that stay when a batch run has published."),
)


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
    keep_versions: int = 24

    @property
    def servers(self) -> str:
        """The bootstrap servers in force: the named cluster, else the broker of this machine."""
        return self.bootstrap or f"127.0.0.1:{self.broker_port}"


def from_environ(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` gives, the defaults elsewhere.

    Raises:
        SettingError: a number is not a number or out of range, or the prefix is no topic name.
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
        keep_versions=_whole(values, "SLACKWATER_KEEP_VERSIONS", 1, 100_000),
    )


def _whole(values: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = values[name]
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise SettingError(f"{name} is {text!r}.", f"Use a whole number from {low} to {high}.")
    return int(text)
