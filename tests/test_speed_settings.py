"""The settings of the speed layer are the project's."""

import pickle
from pathlib import Path

import pytest

from slackwater.core.errors import SettingError
from slackwater.core.settings import from_environ
from slackwater.log.clients import CONFLUENT, KAFKA_PYTHON
from slackwater.log.names import TopicNames
from speed_layer.settings import source_settings


def test_they_hold_where_to_read_and_with_which_client(tmp_path: Path) -> None:
    settings = from_environ(
        {
            "SLACKWATER_HOME": str(tmp_path),
            "SLACKWATER_KAFKA_CLIENT": KAFKA_PYTHON,
            "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092",
            "SLACKWATER_PREFIX": "other",
            "SLACKWATER_STALL_SECONDS": "7",
        }
    )
    found = pickle.loads(pickle.dumps(source_settings(settings)))
    log = found.open_log()
    assert (log.servers, log.client) == ("kafka.example:9092", KAFKA_PYTHON)
    assert (found.names, found.home, found.stall_s) == (TopicNames("other"), tmp_path, 7)


def test_a_client_that_cannot_be_used_is_refused_before_a_worker_is_made() -> None:
    kafka = {
        "KAFKA_BOOTSTRAP_SERVERS": "k:9092",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM",
    }
    with pytest.raises(SettingError, match="AWS_MSK_IAM"):
        source_settings(from_environ({**kafka, "SLACKWATER_KAFKA_CLIENT": CONFLUENT}))


def test_a_stream_that_no_view_is_of_is_refused() -> None:
    with pytest.raises(SettingError, match="quotes"):
        source_settings(from_environ({}), "trades,quotes")
