"""Which of the two Kafka clients is taken, what both are told of TLS and SASL, and that they write the same records."""

import importlib.util
import pickle
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from slackwater.core.errors import SettingError
from slackwater.core.settings import from_environ
from slackwater.log import clients
from slackwater.log.clients import AUTO, CONFLUENT, KAFKA_PYTHON, client_of
from slackwater.log.confluent_client import security_configs
from slackwater.log.errors import CredentialsError
from slackwater.log.kafka_log import KafkaLog, log_of
from slackwater.log.log import read_range
from slackwater.log.names import TopicNames
from slackwater.log.topics import create_topics


def test_confluent_is_taken_where_it_is_installed_and_speaks_the_mechanism(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client_of(AUTO, "") == CONFLUENT == client_of(CONFLUENT, "PLAIN")
    assert client_of(KAFKA_PYTHON, "") == KAFKA_PYTHON == client_of(AUTO, "AWS_MSK_IAM")
    with pytest.raises(SettingError, match="does not speak AWS_MSK_IAM"):
        client_of(CONFLUENT, "AWS_MSK_IAM")
    monkeypatch.setattr(clients.importlib.util, "find_spec", lambda _: None)
    assert client_of(AUTO, "") == KAFKA_PYTHON
    with pytest.raises(SettingError, match="is not installed") as caught:
        client_of(CONFLUENT, "")
    assert "slackwater[fast]" in caught.value.hint


def test_the_setting_names_the_client_and_a_worker_elsewhere_has_the_same() -> None:
    assert importlib.util.find_spec("confluent_kafka") is not None
    assert log_of(from_environ({})).client == CONFLUENT
    named = log_of(from_environ({"SLACKWATER_KAFKA_CLIENT": "kafka-python"}))
    assert pickle.loads(pickle.dumps(named)).client == KAFKA_PYTHON
    with pytest.raises(SettingError, match="SLACKWATER_KAFKA_CLIENT"):
        from_environ({"SLACKWATER_KAFKA_CLIENT": "librdkafka"})


def test_what_kafka_is_told_of_us_in_the_words_of_librdkafka(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("do-not-show-me\n")
    scram = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.example.com:9096",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": "desk",
        "KAFKA_SASL_PASSWORD_FILE": str(secret),
    }
    assert security_configs(from_environ({}).kafka) == {"security.protocol": "PLAINTEXT"}
    found = security_configs(from_environ(scram).kafka)
    trusted = found.pop("ssl.ca.location")
    assert trusted and Path(trusted).exists()
    assert found == {
        "security.protocol": "SASL_SSL",
        "ssl.endpoint.identification.algorithm": "https",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "desk",
        "sasl.password": "do-not-show-me",
    }
    unchecked = security_configs(from_environ({**scram, "KAFKA_SSL_CHECK_HOSTNAME": "0"}).kafka)
    assert unchecked["ssl.endpoint.identification.algorithm"] == "none"
    iam = {**scram, "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_SASL_USERNAME": "", "KAFKA_SASL_PASSWORD_FILE": ""}
    with pytest.raises(CredentialsError, match="does not speak"):
        security_configs(from_environ(iam).kafka)


@pytest.mark.broker
def test_what_one_client_writes_the_other_reads_byte_for_byte(broker: str) -> None:
    logs = [KafkaLog(broker, client=name) for name in (KAFKA_PYTHON, CONFLUENT)]
    names = TopicNames(f"clients-{uuid4().hex[:12]}")
    create_topics(logs[0], names, ["x"], 2)
    records = [(b"k", b"v" * n, [("h", b"\x00"), ("h", b"")]) for n in (0, 1, 100_000)] + [(b"", None, [])]
    for partition, log in enumerate(logs):
        with closing(log.writer()) as writer:
            for key, value, headers in records:
                writer.append(names.topic("x"), partition, key, value, headers)
            writer.flush()
    for log in logs:
        found: dict[int, list[object]] = {0: [], 1: []}
        for one in read_range(log, names.topic("x"), {0: 0, 1: 0}, {0: len(records), 1: len(records)}):
            found[one.partition] += [(r.offset, r.key, r.value, list(r.headers)) for r in one.records]
        assert found[0] == found[1] == [(at, *record) for at, record in enumerate(records)]
