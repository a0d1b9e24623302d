"""The services of one machine: one list, from which `slackwater up` starts them and docker-compose.yml is checked."""

from collections.abc import Mapping
from dataclasses import dataclass

from slackwater.core.settings import Settings


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
        Service("intake", ("serve-ingest",), "events over HTTP -> event log"),
        Service("serving", ("serve",), "batch views and deltas -> REST and the page"),
        Service("batch", ("batch", "run", "--every", str(settings.batch_seconds)), "event log -> archive -> versions"),
        Service("ingest", ("ingest", "--preset", "sample", "--live"), "sample trades -> event log", demo=True),
    )


def to_environ(settings: Settings) -> Mapping[str, str]:
    """The environment that gives a child process these settings; it names the broker of this machine, if that is it."""
    return {**settings.environ(), "KAFKA_BOOTSTRAP_SERVERS": settings.servers}
