"""TLS and SASL to Kafka as the settings say them, checked as a whole when a process starts.

Not here: certificates, tokens and the client's arguments (`slackwater.log.kafka_client`), TLS of the REST service.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from slackwater.core.errors import SettingError
from slackwater.core.secret import Secret, secret_of

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MECHANISMS = (*PASSWORD_MECHANISMS, "OAUTHBEARER", "AWS_MSK_IAM")

_PROTOCOL = "KAFKA_SECURITY_PROTOCOL"
_MECHANISM = "KAFKA_SASL_MECHANISM"
_USER, _PASSWORD, _PROVIDER = "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SASL_TOKEN_PROVIDER"
_KEY_PASSWORD = "KAFKA_SSL_KEY_PASSWORD"  # noqa: S105 - its name
_FILES = ("KAFKA_SSL_CAFILE", "KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE")


@dataclass(frozen=True)
class KafkaSecurity:
    """How every process speaks to Kafka, and who it is there. Files are absolute; empty: none.

    Attributes:
        ca_file: the certificates that are trusted; empty: those of the system.
        cert_file, key_file, key_password: the certificate that a broker asks of its clients.
        token_provider: `module:callable`, which gives the tokens of OAUTHBEARER.
    """

    protocol: str = "PLAINTEXT"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: Secret | None = None
    check_hostname: bool = True
    mechanism: str = ""
    username: str = ""
    password: Secret | None = None
    token_provider: str = ""

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted and the broker shows a certificate."""
        return self.protocol.endswith("SSL")

    @property
    def sasl(self) -> bool:
        """Whether this process says who it is by a user's name or a token."""
        return self.protocol.startswith("SASL_")

    @property
    def named(self) -> str:
        """Protocol, mechanism and user, for people."""
        parts = [self.protocol, self.mechanism, f"user {self.username!r}" if self.username else ""]
        return ", ".join(part for part in parts if part)


PLAIN_TEXT = KafkaSecurity()


def kafka_security(values: Mapping[str, str]) -> KafkaSecurity:
    """What the settings in `values` say.

    Raises:
        SettingError: they contradict each other, or one is missing. A secret is never in it.
    """
    protocol, check = values[_PROTOCOL], values["KAFKA_SSL_CHECK_HOSTNAME"]
    if protocol not in PROTOCOLS:
        raise SettingError(f"{_PROTOCOL} is {protocol!r}.", f"Use {', '.join(PROTOCOLS)}.")
    ca_file, cert_file, key_file = (values[name] for name in _FILES)
    found = KafkaSecurity(
        protocol,
        ca_file,
        cert_file,
        key_file,
        secret_of(values, _KEY_PASSWORD),
        check == "1",
        values[_MECHANISM],
        values[_USER],
        secret_of(values, _PASSWORD),
        values[_PROVIDER],
    )
    _check_tls(found, values)
    _check_sasl(found)
    if protocol != "PLAINTEXT" and not values["KAFKA_BOOTSTRAP_SERVERS"]:
        raise SettingError(
            f"{_PROTOCOL} is {protocol} and KAFKA_BOOTSTRAP_SERVERS is empty.",
            "Name the cluster: the broker that `slackwater up` starts speaks PLAINTEXT.",
        )
    return found


def _check_tls(found: KafkaSecurity, values: Mapping[str, str]) -> None:
    given = [name for name in (*_FILES, _KEY_PASSWORD, f"{_KEY_PASSWORD}_FILE") if values[name]]
    if not found.check_hostname:
        given.append("KAFKA_SSL_CHECK_HOSTNAME")
    if given and not found.tls:
        raise _unused(given[0], found, "SSL or SASL_SSL")
    if not found.cert_file and (found.key_file or found.key_password):
        raise SettingError(f"{given[-1]} is set and KAFKA_SSL_CERTFILE is not.", "A client's key has a certificate.")


def _check_sasl(found: KafkaSecurity) -> None:
    given = {_MECHANISM: found.mechanism, _USER: found.username, _PROVIDER: found.token_provider}
    given[_PASSWORD] = "its secret" if found.password else ""
    if not found.sasl:
        for name, value in given.items():
            if value:
                raise _unused(name, found, "SASL_SSL (or SASL_PLAINTEXT)")
        return
    if found.mechanism not in MECHANISMS:
        raise SettingError(
            f"{_PROTOCOL} is {found.protocol} and {_MECHANISM} is {found.mechanism!r}.", f"Use {', '.join(MECHANISMS)}."
        )
    if found.mechanism == "AWS_MSK_IAM" and not found.tls:
        raise SettingError(f"{_MECHANISM} is AWS_MSK_IAM and {_PROTOCOL} is {found.protocol}.", "It needs SASL_SSL.")
    wanted = {_USER, _PASSWORD} if found.mechanism in PASSWORD_MECHANISMS else set()
    wanted |= {_PROVIDER} if found.mechanism == "OAUTHBEARER" else set()
    for name in (_USER, _PASSWORD, _PROVIDER):
        if name in wanted and not given[name]:
            other = f" (or {name}_FILE)" if name == _PASSWORD else ""
            raise SettingError(f"{_MECHANISM} is {found.mechanism} and {name} is not set.", f"Set {name}{other}.")
        if name not in wanted and given[name]:
            raise SettingError(f"{name} is set and {_MECHANISM} is {found.mechanism}, which does not use it.")


def _unused(name: str, found: KafkaSecurity, wanted: str) -> SettingError:
    return SettingError(
        f"{name} is set and {_PROTOCOL} is {found.protocol}, which does not use it.",
        f"Set {_PROTOCOL} to {wanted}, or remove it.",
    )
