"""The configuration of the one-node Kafka broker: `server.properties` and the options of its Java.

Topics are not configured here: each is created with its own settings (DESIGN section 5), so that they hold on any
cluster. Starting and stopping is `broker.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

HOST = "127.0.0.1"
DATA_NAME = "data"

JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # it would leave a file in the system's temporary folder when killed
    "-Djava.awt.headless=true",
    "--enable-native-access=ALL-UNNAMED",  # the codecs load native code, which Java 25 warns about
    "-Dorg.slf4j.simpleLogger.logFile=System.out",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",  # hundreds of lines of defaults a start
)


SHORT_LIVED = ("-XX:TieredStopAtLevel=1",)
"""For a Java that ends soon: the second compiler costs more than it can give back."""


LISTS = ("listeners", "advertised.listeners", "listener.security.protocol.map")


def properties(
    port: int, controller_port: int, data: str = DATA_NAME, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What `server.properties` says. `data` is relative to the folder in which Java runs: a path may hold a comma.

    `more` comes on top; a value of LISTS is added to the list that is there.
    """
    found = _properties(port, controller_port, data)
    for name, value in (more or {}).items():
        found[name] = f"{found[name]},{value}" if name in LISTS else value
    return found


def _properties(port: int, controller_port: int, data: str) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        # A static quorum: it is not written into the data, so the controller may have another port at every start.
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        # The event log keeps everything from the smallest retained cut: nothing expires by age.
        "log.retention.ms": "-1",
        "group.initial.rebalance.delay.ms": "0",
        # After a kill, the controller takes the new process for a second broker until the old one's session has ended:
        # with the default of 9 s a restart takes 12 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Internal topics: one replica, and few partitions, since each costs time at every start.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        # The cleaner holds this buffer from the start; the default of 128 MiB is a quarter of the heap.
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    }


def properties_text(values: Mapping[str, str]) -> str:
    """`values` as a Java properties file. Every value is ASCII without a backslash, so nothing is escaped."""
    return "".join(f"{name}={value}\n" for name, value in values.items())


def java_command(
    java: Path, class_path: Sequence[Path], main_class: str, *arguments: str, short_lived: bool
) -> list[str]:
    """The command that runs `main_class` of Kafka with the jars of `class_path` and no others."""
    options = (*JAVA_OPTIONS, *SHORT_LIVED) if short_lived else JAVA_OPTIONS
    separator = ";" if java.suffix.lower() == ".exe" else ":"
    jars = separator.join(str(path) for path in class_path)
    return [str(java), *options, "-cp", jars, main_class, *arguments]
