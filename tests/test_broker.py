"""The broker from pip alone: starts, answers, keeps its data, refuses with clear errors, leaves nothing behind."""

import gc
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from ops import broker_artifacts, java
from ops.broker import Broker, BrokerSettings, free_port
from ops.broker_artifacts import Artifact
from ops.broker_config import HOST
from ops.errors import (
    ArtifactDownloadError,
    ArtifactLockError,
    ArtifactSumError,
    BrokerDiedError,
    BrokerHomeTakenError,
    BrokerNotReadyError,
    JavaStartError,
    PortTakenError,
)
from ops.supervisor import RestartingBroker
from slackwater.log.kafka_talk import serves

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")


def settle(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Whether `condition` held within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def create_topic(bootstrap: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        admin.close()


def append(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    try:
        for value in values:
            producer.send(topic, value, partition=0).get(timeout=30)
    finally:
        producer.close()


def read(bootstrap: str, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        values: list[bytes] = []
        deadline = time.monotonic() + 30
        while len(values) < end and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=500).values():
                values.extend(record.value for record in records)
        return values
    finally:
        consumer.close()


def cluster_id(home: Path) -> str:
    lines = (home / "broker" / "data" / "meta.properties").read_text().splitlines()
    return next(line for line in lines if line.startswith("cluster.id="))


def script(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def started_again(kept: RestartingBroker, killed: int) -> bool:
    kept.keep(time.monotonic())
    return kept.broker.running and kept.broker.pid != killed


# The real broker


@pytest.mark.broker
def test_the_shared_broker_answers_and_takes_records(broker: str) -> None:
    create_topic(broker, "broker-answers")
    append(broker, "broker-answers", [b"a", b"b"])
    assert read(broker, "broker-answers") == [b"a", b"b"]


@pytest.mark.broker
@pytest.mark.crash
def test_data_and_cluster_id_survive_a_restart_and_a_kill(tmp_path: Path) -> None:
    broker = Broker(BrokerSettings(tmp_path, free_port()))
    with broker:
        create_topic(broker.bootstrap, "kept")
        append(broker.bootstrap, "kept", [b"before the restart"])
        first = broker.pid
        broker.start()  # does nothing while it runs
        assert broker.pid == first
    assert not broker.running
    identity = cluster_id(tmp_path)

    with broker:
        assert read(broker.bootstrap, "kept") == [b"before the restart"]
        append(broker.bootstrap, "kept", [b"before the kill"])
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        assert settle(lambda: not broker.running)

    with broker:
        assert read(broker.bootstrap, "kept") == [b"before the restart", b"before the kill"]
    assert cluster_id(tmp_path) == identity
    lines: list[str] = []
    with RestartingBroker(broker, lines.append) as kept:
        for _ in range(2):  # the second one hits it while it starts
            killed = broker.pid
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            assert settle(partial(started_again, kept, killed))
        assert settle(lambda: kept.keep(time.monotonic()) or serves(HOST, broker.settings.port), 60)
        assert read(broker.bootstrap, "kept") == [b"before the restart", b"before the kill"]
    assert [line.split(" after ")[0] for line in lines[1:]] == ["ended", "ended"]
    assert not broker.running
    assert {child.name for child in tmp_path.iterdir()} == {"broker", "logs"}


@pytest.mark.broker
def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    port = free_port()
    with Broker(BrokerSettings(tmp_path, port)) as broker:
        listening = [
            connection.laddr
            for connection in psutil.Process(broker.pid).net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert len(listening) == 2  # clients, controller
        assert port in {address.port for address in listening}
        assert {address.ip.removeprefix("::ffff:") for address in listening} == {HOST}


@LINUX
@pytest.mark.broker
@pytest.mark.crash
def test_a_second_broker_on_the_same_home_is_refused_for_as_long_as_the_first_lives(tmp_path: Path) -> None:
    # Kafka alone lets the second one in, and the first one dies of it.
    second = Broker(BrokerSettings(tmp_path, free_port()))
    with Broker(BrokerSettings(tmp_path, free_port())) as first:
        with pytest.raises(BrokerHomeTakenError, match=rf"runs on .*broker already \(process {first.pid}\)"):
            second.start()
        assert second.pid is None
        assert first.running
        assert serves(HOST, first.settings.port)
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        assert settle(lambda: not first.running)
    with second:
        assert serves(HOST, second.settings.port)


@pytest.mark.broker
@pytest.mark.crash
def test_a_broker_that_dies_while_it_starts_gives_its_last_lines(tmp_path: Path) -> None:
    broker = Broker(BrokerSettings(tmp_path, free_port()))
    with broker:
        pass
    (tmp_path / "broker" / "data" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")
    with (
        pytest.raises(BrokerDiedError, match=r"(?s)ended with code 1 .*Stored node id 7 .*broker\.log") as caught,
        broker,
    ):
        raise AssertionError("unreachable")
    assert not broker.running
    assert "\tat " not in str(caught.value)


@pytest.mark.broker
def test_not_ready_in_time_says_so_and_stops_what_was_started(tmp_path: Path) -> None:
    broker = Broker(BrokerSettings(tmp_path, free_port(), ready_timeout_s=0))
    with pytest.raises(BrokerNotReadyError, match="no answer within 0 s") as caught, broker:
        raise AssertionError("unreachable")
    assert caught.value.retriable
    assert broker.pid is not None
    assert not psutil.pid_exists(broker.pid)


@LINUX
@pytest.mark.broker
def test_it_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from ops.broker import Broker, BrokerSettings, free_port\n"
        "broker = Broker(BrokerSettings(Path(sys.argv[1]), free_port()))\n"
        "broker.start(); print(broker.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert settle(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


# Refusals


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"Port {port} .*SLACKWATER_BROKER_PORT"):
            Broker(BrokerSettings(tmp_path, port)).start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="writes a shell script")
def test_a_java_that_cannot_start_carries_its_own_words(tmp_path: Path) -> None:
    program = script(tmp_path / "java", "echo 'libjvm.so: cannot open shared object file' >&2; exit 1\n")
    broker = Broker(BrokerSettings(tmp_path / "home", free_port(), java=program))
    with pytest.raises(JavaStartError, match=r"libjvm\.so: cannot open shared object file"):
        broker.start()
    assert broker.pid is None


def test_a_java_that_is_not_there_is_named(tmp_path: Path) -> None:
    program = tmp_path / "no-java"
    with pytest.raises(JavaStartError, match="no-java"):
        Broker(BrokerSettings(tmp_path, free_port(), java=program)).start()


def test_java_is_the_one_of_the_package_and_the_systems_options_do_not_reach_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:NoSuchOption")
    monkeypatch.setenv("PATH", "")
    assert java.check(java.bundled()).startswith('openjdk version "25')


@pytest.mark.skipif(os.name != "posix", reason="writes a shell script")
def test_a_format_that_fails_leaves_no_data_behind(tmp_path: Path, jars: Path) -> None:
    program = script(
        tmp_path / "java",
        'case "$*" in *-version*) exit 0;; *) echo "No space left on device"; exit 3;; esac\n',
    )
    home = tmp_path / "home"
    broker = Broker(BrokerSettings(home, free_port(), artifacts=jars, java=program))
    with pytest.raises(BrokerDiedError, match="No space left on device") as caught:
        broker.start()
    assert caught.value.returncode == 3
    assert not (home / "broker" / "data").exists()


def test_a_first_download_that_fails_carries_the_reason_and_what_to_do(tmp_path: Path) -> None:
    lines: list[str] = []
    folder = tmp_path / "cache"
    repository = f"http://{HOST}:{free_port()}"
    settings = BrokerSettings(tmp_path / "home", free_port(), artifacts=folder, repository=repository)
    with pytest.raises(
        ArtifactDownloadError, match=r"\.jar could not be downloaded: .*refused.* needs the network"
    ) as e:
        Broker(settings, lines.append).start()
    assert e.value.retriable
    assert lines == ["Downloading Apache Kafka 4.1.1 (46 jars, about 44 MB, once)"]
    assert list(folder.iterdir()) == []  # neither half a jar nor a working folder


# The jars


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    """A folder of this test's own with every locked jar."""
    shared = broker_artifacts.default_folder(os.environ)
    folder = tmp_path / "jars"
    folder.mkdir()
    for path in broker_artifacts.ensure(shared):
        shutil.copy(path, folder)
    return folder


def test_one_flipped_byte_in_a_jar_is_refused(tmp_path: Path, jars: Path) -> None:
    artifact = next(each for each in broker_artifacts.locked() if "kafka-clients" in each.name)
    jar = jars / artifact.name
    content = bytearray(jar.read_bytes())
    content[len(content) // 2] ^= 1
    jar.write_bytes(content)

    broker = Broker(BrokerSettings(tmp_path / "home", free_port(), artifacts=jars))
    with pytest.raises(ArtifactSumError, match=r"kafka-clients-4\.1\.1\.jar is not the file") as caught:
        broker.start()
    assert caught.value.expected == artifact.sha256
    assert caught.value.found in str(caught.value) != caught.value.expected
    assert broker.pid is None


def test_only_locked_jars_are_given_to_java(jars: Path) -> None:
    (jars / "uninvited-1.0.jar").write_bytes(b"")
    paths = broker_artifacts.ensure(jars)
    assert [path.name for path in paths] == [artifact.name for artifact in broker_artifacts.locked()]


def _publish(artifact: broker_artifacts.Artifact, jars: Path, repository: Path) -> Path:
    """Move a jar to where a repository has it; returns where it was."""
    group, name, version = artifact.coordinates.split(":")
    folder = repository / group.replace(".", "/") / name / version
    folder.mkdir(parents=True, exist_ok=True)
    shutil.move(jars / artifact.name, folder / artifact.name)
    return jars / artifact.name


def test_a_missing_jar_is_fetched_from_the_repository_and_checked(tmp_path: Path, jars: Path) -> None:
    # A Maven repository is files under group/artifact/version: one on loopback, first with a wrong jar, then the right.
    artifact = next(each for each in broker_artifacts.locked() if each.name.startswith("slf4j-simple"))
    right = (jars / artifact.name).read_bytes()
    (jars / artifact.name).unlink()
    group, name, version = artifact.coordinates.split(":")
    served = tmp_path / "repository" / group.replace(".", "/") / name / version / artifact.name
    served.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "http.server", "0", "--bind", HOST, "--directory", str(tmp_path / "repository")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as server:
        try:
            assert server.stdout is not None
            repository = server.stdout.readline().decode().split("(")[1].split(")")[0]
            with warnings.catch_warnings():
                # jgo leaves the answer of a 404 unread; its socket is closed by the garbage collector, which warns.
                warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
                with pytest.raises(ArtifactDownloadError, match="not found"):
                    broker_artifacts.ensure(jars, repository)
                gc.collect()
            served.write_bytes(right[:-1])
            with pytest.raises(ArtifactSumError, match=artifact.sha256):
                broker_artifacts.ensure(jars, repository)
            assert not (jars / artifact.name).exists()
            served.write_bytes(right)
            lines: list[str] = []
            broker_artifacts.ensure(jars, repository, lines.append)
            several = [_publish(each, jars, tmp_path / "repository") for each in broker_artifacts.locked()[:5]]
            quick: list[str] = []
            broker_artifacts.ensure(jars, repository, quick.append, now_s=lambda: 7.0)
            for jar in several:
                jar.unlink()
            slow: list[str] = []
            broker_artifacts.ensure(jars, repository, slow.append, now_s=itertools.count(0, 2).__next__)
        finally:
            server.kill()
    assert (jars / artifact.name).read_bytes() == right
    assert lines[-1] == "Downloaded 1 of 1 jars, 0 MB"
    told = [re.search(r"(\d+) of 5 jars", line) for line in (*quick, *slow)]
    assert [int(found[1]) for found in told if found] == [5, 2, 4, 5], "every few seconds, and at the end"
    assert (len(quick), len(slow)) == (2, 4)
    assert not [path for path in jars.iterdir() if path.name.startswith(".")]


def test_the_lock_names_one_version_of_kafka_and_each_file_once() -> None:
    artifacts = broker_artifacts.locked()
    ours = {each.coordinates.split(":")[2] for each in artifacts if each.coordinates.startswith("org.apache.kafka:")}
    assert ours == {broker_artifacts.KAFKA_VERSION}
    assert len({artifact.name for artifact in artifacts}) == len(artifacts) == 46
    assert broker_artifacts.parse_lock(broker_artifacts.format_lock(artifacts)) == artifacts


@pytest.mark.parametrize(
    "line",
    [
        "group:artifact:1.0",
        "group:artifact:1.0 sha256:abc",
        "group:artifact:1.0 sha1:" + "0" * 64,
        "group:artifact:1.0 sha256:" + "G" * 64,
        "group:artifact sha256:" + "0" * 64,
        "group:../artifact:1.0 sha256:" + "0" * 64,
    ],
)
def test_a_line_of_the_lock_that_says_nothing_is_refused(line: str) -> None:
    with pytest.raises(ArtifactLockError, match="Line 2 "):
        broker_artifacts.parse_lock(f"# a comment\n{line}\n")


def test_a_line_of_the_lock_is_an_artifact() -> None:
    digest = "0" * 64
    assert broker_artifacts.parse_lock(f"g:a:1 sha256:{digest}\n") == (Artifact("g:a:1", digest),)
    assert Artifact("g:a:1", digest).name == "a-1.jar"


# The probe


def test_a_port_with_another_program_does_not_serve() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        assert not serves(HOST, other.getsockname()[1], timeout_s=0.1)
    assert not serves(HOST, free_port())
