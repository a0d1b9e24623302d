"""Fixtures that several test modules share. Fakes of one room live next to that room's tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.broker import Broker, BrokerSettings, free_port


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka: the cluster of KAFKA_BOOTSTRAP_SERVERS, else one broker for the session.

    Its topics are shared by all tests: take names that no other test takes.
    """
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    home: Path = tmp_path_factory.mktemp("broker")
    with Broker(BrokerSettings(home, free_port(), die_with_parent=True)) as running:
        yield running.bootstrap
