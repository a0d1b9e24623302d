"""TLS and SASL in the words of kafka-python: its arguments, the TLS context, the provider of tokens.

Made anew for each client, so that certificates and passwords may be replaced while a process runs. Not here: what the
settings may be (`slackwater.core.kafka_security`), a first look at a server (`slackwater.log.kafka_greeting`).
"""

import importlib
import importlib.util
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.net.sasl.oauth import AbstractTokenProvider

from slackwater.core.errors import SettingError
from slackwater.core.kafka_security import PASSWORD_MECHANISMS, KafkaSecurity
from slackwater.log.errors import CredentialsAwayError, CredentialsError

_PROVIDER = "KAFKA_SASL_TOKEN_PROVIDER"


def client_arguments(security: KafkaSecurity) -> dict[str, Any]:
    """What a client of kafka-python is given beside its servers. Holds secrets: never logged.

    Raises:
        CredentialsError: a file cannot be used, or the provider of tokens cannot be imported.
        CredentialsAwayError: a secret cannot be read now; when the process started it could.
    """
    with secrets_read():
        return _arguments(security)


@contextmanager
def secrets_read() -> Iterator[None]:
    """Secrets are read inside; one that gives none now is a CredentialsAwayError."""
    try:
        yield
    except CredentialsError:
        raise
    except SettingError as error:  # of a secret
        raise CredentialsAwayError(error.fact, error.hint) from error


def _arguments(security: KafkaSecurity) -> dict[str, Any]:
    found: dict[str, Any] = {"security_protocol": security.protocol}
    if security.tls:
        found["ssl_context"] = tls_context(security)
    if security.sasl:
        found["sasl_mechanism"] = security.mechanism
    if security.mechanism in PASSWORD_MECHANISMS and security.password:
        found |= {"sasl_plain_username": security.username, "sasl_plain_password": security.password.text()}
    if security.mechanism == "OAUTHBEARER":
        found["sasl_oauth_token_provider"] = Tokens(security.token_provider)
    if security.mechanism == "AWS_MSK_IAM" and importlib.util.find_spec("botocore") is None:
        raise CredentialsError("KAFKA_SASL_MECHANISM is AWS_MSK_IAM and botocore is not there.", "Install `botocore`.")
    return found


def tls_context(security: KafkaSecurity) -> ssl.SSLContext:
    """A context that verifies the broker's certificate, always, and its name unless told otherwise."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH) if not security.ca_file else _own(security.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = security.check_hostname
    if security.cert_file:
        password = security.key_password
        try:
            # A function, or OpenSSL would ask at the terminal where a password is needed and none is given.
            context.load_cert_chain(
                security.cert_file, security.key_file or None, password.text if password else lambda: ""
            )
        except (ssl.SSLError, OSError, ValueError) as error:
            files = " with ".join(file for file in (security.cert_file, security.key_file) if file)
            raise CredentialsError(
                f"KAFKA_SSL_CERTFILE and its key cannot be used ({files}): {_reason(error)}.",
                "Is the key the certificate's, and KAFKA_SSL_KEY_PASSWORD_FILE its password?",
            ) from None  # of an error that might quote the key
    return context


def _own(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        raise CredentialsError(f"KAFKA_SSL_CAFILE ({ca_file}) holds no PEM certificates: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__


class Tokens(AbstractTokenProvider):
    """Asks the named callable for a token whenever a connection authenticates; it may give the same one again."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        module, _, attribute = name.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise CredentialsError(f"{_PROVIDER} is {name!r}: {error}.", "Use module:callable.") from error
        except Exception as error:  # noqa: BLE001 - of a foreign module that may ask for something when it is imported
            raise self._away(error) from None
        if isinstance(found, type) and issubclass(found, AbstractTokenProvider):
            try:
                found = found().token  # the client's own hook
            except Exception as error:  # noqa: BLE001 - as above
                raise self._away(error) from None
        if not callable(found):
            raise CredentialsError(f"{_PROVIDER} is {name!r}, which cannot be called.", "Use module:callable.")
        self._ask = found

    def token(self) -> str:
        """A token that is valid now. Raises CredentialsError, without what the provider says."""
        try:
            found = self._ask()
        except Exception as error:  # noqa: BLE001 - whatever a foreign function raises; its text may hold a secret
            raise self._away(error) from None
        if not isinstance(found, str) or not found:
            raise CredentialsError(f"{_PROVIDER} {self._name!r} gave {type(found).__name__}, not a token's text.")
        return found

    def _away(self, error: Exception) -> CredentialsAwayError:
        return CredentialsAwayError(f"{_PROVIDER} {self._name!r} gave no token: it raised {type(error).__name__}.")
