"""What an error of kafka-python means: a broker is away, does not let us in, or does not allow what was asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from slackwater.core.kafka_security import KafkaSecurity
from slackwater.log.errors import AccessRefusedError, LogUnreachableError
from slackwater.log.kafka_greeting import greet, listens

_AWAY = (KafkaConnectionError, KafkaTimeoutError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError)


class Reach:
    """Where the cluster is and who we are there; turns what the client raises into what it means."""

    def __init__(self, servers: str, security: KafkaSecurity) -> None:
        self._servers = servers
        self._security = security

    @contextmanager
    def new(self) -> Iterator[None]:
        """A client is made inside. One that is not let in would wait 30 s and leave a thread and its sockets behind."""
        greet(self._servers, self._security)
        with self.meant():
            yield

    @contextmanager
    def open(self) -> Iterator[None]:
        """A client that is open is asked inside."""
        listens(self._servers)
        with self.meant():
            yield

    @contextmanager
    def meant(self) -> Iterator[None]:
        """What is raised inside becomes an error of ours."""
        try:
            yield
        except AuthorizationError as error:
            raise AccessRefusedError(self._servers, self._security.named, _refused(error)) from error
        except _AWAY as error:
            greet(self._servers, self._security)  # a client that is not let in any more may say only that time is over
            raise LogUnreachableError(self._servers, error) from error


def of_cluster(error: Exception) -> bool:
    """Whether an error of the client is about the cluster and us, and not about what was read."""
    return isinstance(error, (AuthorizationError, *_AWAY))


def _refused(error: Any) -> str:
    """What Kafka does not allow, and to what where the client says so; it may quote a whole request instead."""
    about = error.args[0] if error.args else ""
    topics = ", ".join(sorted(about)) if isinstance(about, set | frozenset) else str(about)
    return f"{error.message} {topics}" if topics and not topics.startswith("Request") else str(error.message)
