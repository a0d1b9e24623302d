"""confluent-kafka: its settings, TLS and SASL in librdkafka's words, and what its errors mean.

librdkafka's words are those of https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md. Certificates
and passwords are read anew for each client. Not here: reading and writing (`slackwater.log.confluent_reader`,
`slackwater.log.confluent_writer`).
"""

import logging
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from slackwater.core.kafka_security import PASSWORD_MECHANISMS, KafkaSecurity
from slackwater.log.errors import AccessRefusedError, CredentialsError, LogUnreachableError
from slackwater.log.kafka_client import Tokens, secrets_read, tls_context
from slackwater.log.kafka_greeting import greet

logger = logging.getLogger(__name__)
librdkafka = logging.getLogger(f"{__name__}.librdkafka")

AGAIN_S = 60.0
"""Until librdkafka is heard with the same words again."""

_T = TypeVar("_T")

TOKEN_S = 60.0
"""A token's life as librdkafka is told: it asks again when most of it is over. The provider keeps what is still
good."""

FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)

NOT_LET_IN = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})


class SaidBefore(logging.Filter):
    """While a broker is away, each consumer says so at each try, 37 times a second: once a minute will do."""

    def __init__(self) -> None:
        super().__init__()
        self._said_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # FAIL [slackwater#consumer-2] [thrd:b:9092/1]: b:9092/1: Connect to ... failed: ... (after 0ms in CONNECT)
        words = record.getMessage().rpartition("]: ")[2].partition(" (after")[0]
        now = time.monotonic()
        self._said_s = {said: at for said, at in self._said_s.items() if now - at < AGAIN_S}
        return self._said_s.setdefault(words, now) == now


librdkafka.addFilter(SaidBefore())


class ConfluentClient:
    """What every client of one cluster is made with. `configs` holds secrets: never logged."""

    def __init__(self, servers: str, security: KafkaSecurity) -> None:
        self.servers = servers
        self.security = security
        self.refused: KafkaError | None = None
        """Why the cluster does not let this client in any more; it tries again all the same."""
        self.fatal: KafkaError | None = None
        """Why the client is of no use any more: what it says of a record is then only that this is so."""

    def configs(self, **more: Any) -> dict[str, Any]:
        """The settings of a new client. Raises CredentialsError, CredentialsAwayError."""
        return {
            "bootstrap.servers": self.servers,  # it goes on with the next one by itself
            "client.id": "slackwater",
            "allow.auto.create.topics": False,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,  # a broker that is back is found at once
            "error_cb": self._heard,
            "logger": librdkafka,
            **security_configs(self.security),
            **more,
        }

    def check(self) -> None:
        """Raise if the cluster did not let the client in. Raises LogRefusedError, LogUnreachableError."""
        if self.refused is not None:
            error, self.refused = self.refused, None
            greet(self.servers, self.security)  # it says why; where it lets us in, a broker was just starting
            logger.info("a broker that refused this client lets it in: %s", error.str())

    def meaning(self, error: KafkaError, topic: str = "") -> Exception:
        """The error of ours that an error of librdkafka's is, about a topic."""
        if error.code() in FORBIDDEN:
            return AccessRefusedError(self.servers, self.security.named, f"{error.name()} {topic}".rstrip())
        return LogUnreachableError(self.servers, error.str())

    def make(self, kind: Callable[[dict[str, Any]], _T], **more: Any) -> _T:
        """A new consumer or producer. Raises CredentialsError, LogUnreachableError."""
        configs = self.configs(**more)
        try:
            return kind(configs)
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() == KafkaError._INVALID_ARG:  # a file was replaced since it was checked
                raise CredentialsError(f"Kafka's client cannot be made: {cause.str()}.") from error
            raise self.meaning(cause) from error

    def _heard(self, error: KafkaError) -> None:
        if error.code() in NOT_LET_IN:
            self.refused = error
        elif error.fatal():
            self.fatal = self.fatal or error
            logger.error("Kafka: %s", error.str())
        else:
            logger.debug("Kafka: %s", error.str())


def security_configs(security: KafkaSecurity) -> dict[str, Any]:
    """TLS and SASL of librdkafka.

    Raises:
        CredentialsError: a file or the provider of tokens cannot be used, or the mechanism is kafka-python's alone.
        CredentialsAwayError: a secret cannot be read now.
    """
    with secrets_read():
        return _configs(security)


def _configs(security: KafkaSecurity) -> dict[str, Any]:
    found: dict[str, Any] = {"security.protocol": security.protocol}
    if security.tls:
        tls_context(security)  # it says what is wrong with a file better than librdkafka does
        name = "https" if security.check_hostname else "none"
        found |= {"ssl.endpoint.identification.algorithm": name, **_trusted(security.ca_file)}
        if security.cert_file:
            found |= {
                "ssl.certificate.location": security.cert_file,
                "ssl.key.location": security.key_file or security.cert_file,
            }
        if security.key_password:
            found["ssl.key.password"] = security.key_password.text()
    if security.mechanism == "AWS_MSK_IAM":
        raise CredentialsError(
            "KAFKA_SASL_MECHANISM is AWS_MSK_IAM, which confluent-kafka does not speak.",
            "Set SLACKWATER_KAFKA_CLIENT to kafka-python.",
        )
    if security.sasl:
        found["sasl.mechanism"] = security.mechanism
    if security.mechanism in PASSWORD_MECHANISMS and security.password:
        found |= {"sasl.username": security.username, "sasl.password": security.password.text()}
    if security.mechanism == "OAUTHBEARER":
        tokens = Tokens(security.token_provider)
        found["oauth_cb"] = lambda _: (tokens.token(), time.time() + TOKEN_S)
    return found


def _trusted(ca_file: str) -> dict[str, str]:
    """The certificates that are trusted: Python's own search finds those of the system."""
    if ca_file:
        return {"ssl.ca.location": ca_file}
    paths = ssl.get_default_verify_paths()
    found = paths.cafile or paths.capath
    return {"ssl.ca.location": found} if found else {}
