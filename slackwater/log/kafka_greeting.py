"""A first look at a Kafka server over a socket of our own: is it there, is it the right one, does it let us in?

A client of kafka-python that is refused tries again for 30 s, says only that time is over, and leaves a thread and its
sockets behind. So every new client is preceded by this:

    connect --> TLS: its certificate, ours --> SASL: mechanism, credentials --> one question: which brokers serve?
       |                   |                            |                              |
    LogUnreachableError    +----------- LogRefusedError, which names the server and the reason ----------+

Questions and mechanisms are kafka-python's. Not here: the clients (`slackwater.log.kafka_log`).
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka.errors import for_code
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

from slackwater.core.kafka_security import KafkaSecurity
from slackwater.log.errors import CredentialsError, LogRefusedError, LogUnreachableError
from slackwater.log.kafka_client import client_arguments
from slackwater.log.kafka_talk import SpeaksTlsError, Talk

CONNECT_S = 3.0
"""How long a server may take to accept a connection."""

ANSWER_S = 30.0
"""How long its answers may take together: as long as a client of kafka-python waits for its first one."""

QUICK_S = 3.0
"""How long where several servers are named: one that hangs must not hold up every client of a cluster that works."""

_let_in: dict[str, str] = {}
"""The servers of the settings -> the one of them that let this process in last."""

_CLOSED = (EOFError, ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True)
class Greeting:
    """What a server showed that let us in. Without TLS there is no certificate: texts are empty, `expires` is None."""

    server: str
    tls: str = ""
    subject: str = ""
    expires: datetime | None = None


def begin_with(servers: str) -> list[str]:
    """The servers to make a client with: the one that let us in last, or all of them where none did.

    A client of kafka-python begins with any one of those that it is given, and waits 30 s for one that hangs.
    """
    return [_let_in[servers]] if servers in _let_in else _each(servers)


def listens(servers: str) -> None:
    """Return if one of the servers accepts a connection; nothing is sent over it. Raises LogUnreachableError."""
    failed: Exception | None = None
    for server in _each(servers):
        try:
            _connect(server).close()
        except (OSError, ValueError) as error:
            failed = error
        else:
            return
    raise LogUnreachableError(servers, failed)


def greet(servers: str, security: KafkaSecurity, answer_s: float = ANSWER_S, quick_s: float = QUICK_S) -> Greeting:
    """The greeting of a server that lets us in; the last one that did is asked first.

    The answers of one may take `answer_s` together. Of several each has `quick_s` first, and only where none let us in
    or refused us, those that were late are given the whole time.

    Raises:
        LogRefusedError: a server was there, and it and we do not accept each other.
        LogUnreachableError: none was there, or none answered; a server that closes the connection may be ending.
        CredentialsError: a file, a secret or a token that is needed cannot be had.
    """
    arguments = client_arguments(security)
    asked = _each(servers)
    refused: LogRefusedError | None = None
    failed: Exception | None = None
    for wait_s in [answer_s] if len(asked) == 1 else [min(quick_s, answer_s), answer_s]:
        late = []
        for server in asked:
            try:
                found = _greet(server, security, arguments, wait_s)
            except LogRefusedError as error:
                refused = error
            except _LateError as error:
                late.append(server)
                failed = error
            except (OSError, EOFError, ValueError, struct.error) as error:
                failed = error
            else:
                _let_in[servers] = server
                return found
        asked = [] if refused else late
    raise refused or LogUnreachableError(servers, failed)


def _each(servers: str) -> list[str]:
    named = [server.strip() for server in servers.split(",")]
    return sorted(named, key=lambda server: server != _let_in.get(servers))


def _connect(server: str) -> socket.socket:
    host, port = _place(server)
    return socket.create_connection((host, port), timeout=CONNECT_S)


def _place(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def _greet(server: str, security: KafkaSecurity, arguments: dict[str, Any], answer_s: float) -> Greeting:
    plain = _connect(server)
    try:
        return _let_us_in(plain, server, security, arguments, answer_s)
    except TimeoutError as error:
        raise _LateError(server, answer_s) from error
    finally:
        plain.close()


def _let_us_in(
    plain: socket.socket, server: str, security: KafkaSecurity, arguments: dict[str, Any], answer_s: float
) -> Greeting:
    host, _ = _place(server)
    began_s = time.monotonic()
    plain.settimeout(answer_s)  # of the TLS handshake as a whole
    with closing(_encrypted(plain, host, server, arguments) if security.tls else plain) as connection:
        found = _certificate(server, connection) if isinstance(connection, ssl.SSLSocket) else Greeting(server)
        talk = Talk(connection, answer_s - (time.monotonic() - began_s))
        with _understood(server, security):
            if security.sasl:
                _authenticate(talk, server, security, get_sasl_mechanism(security.mechanism)(host=host, **arguments))
            talk.brokers()
        return found


def _encrypted(plain: socket.socket, host: str, server: str, arguments: dict[str, Any]) -> ssl.SSLSocket:
    context: ssl.SSLContext = arguments["ssl_context"]
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        hint = (
            "Name it as its certificate does in KAFKA_BOOTSTRAP_SERVERS."
            if "match" in error.verify_message or "mismatch" in error.verify_message
            else "KAFKA_SSL_CAFILE names the certificates that are trusted."
        )
        raise LogRefusedError(
            server, f"its certificate does not verify: {error.verify_message.rstrip('.')}", hint
        ) from error
    except _CLOSED as error:
        raise _ClosedError(server, "our TLS") from error
    except ssl.SSLError as error:
        reason = f"it does not speak TLS as we do ({error.reason})"
        raise LogRefusedError(server, reason, "Does KAFKA_SECURITY_PROTOCOL fit this port?") from error


@contextmanager
def _understood(server: str, security: KafkaSecurity) -> Iterator[None]:
    """Say what it means that a server closes the connection instead of answering."""
    try:
        yield
    except SpeaksTlsError as error:
        hint = f"KAFKA_SECURITY_PROTOCOL is {security.protocol}; use SSL or SASL_SSL."
        raise LogRefusedError(server, "it speaks TLS on this port", hint) from error
    except _CLOSED as error:
        raise _ClosedError(server, security.protocol) from error
    except ssl.SSLError as error:  # with TLS 1.3 a client learns here that its certificate is refused
        shown = "the certificate that we show" if security.cert_file else "that we show no certificate"
        hint = "KAFKA_SSL_CERTFILE names it."
        raise LogRefusedError(server, f"it does not accept {shown} ({error.reason})", hint) from error


def _authenticate(talk: Talk, server: str, security: KafkaSecurity, mechanism: Any) -> None:
    answer = talk.ask(SaslHandshakeRequest[1](mechanism=security.mechanism), SaslHandshakeResponse[1])
    if answer.error_code:
        offered = ", ".join(sorted(answer.mechanisms)) or "nothing"
        reason = f"it does not offer {security.mechanism}, but {offered}"
        raise LogRefusedError(server, reason, "Set KAFKA_SASL_MECHANISM.")
    while not mechanism.is_done():
        token = _said(server, security, mechanism.auth_bytes)
        answer = talk.ask(SaslAuthenticateRequest[0](auth_bytes=token), SaslAuthenticateResponse[0])
        if answer.error_code:
            raise _credentials(server, security, answer.error_message or for_code(answer.error_code).__name__)
        _said(server, security, mechanism.receive, answer.auth_bytes or b"")
    if not mechanism.is_authenticated():
        raise _credentials(server, security, "no reason was given")


def _said(server: str, security: KafkaSecurity, step: Any, *challenge: bytes) -> Any:
    try:
        return step(*challenge)
    except (CredentialsError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a mechanism raises; its text may hold what it was given
        raise _credentials(server, security, f"{security.mechanism} failed with {type(error).__name__}") from None


def _credentials(server: str, security: KafkaSecurity, reason: str) -> LogRefusedError:
    who = f"the user {security.username!r}" if security.username else "our token"
    hint = "Look at the KAFKA_SASL settings, and at the users that the cluster knows."
    if security.mechanism == "AWS_MSK_IAM":
        who, hint = "our AWS credentials", "Does botocore find credentials, and a region (AWS_DEFAULT_REGION)?"
    return LogRefusedError(server, f"it does not accept {who} ({security.mechanism}): {reason.rstrip('.')}", hint)


def _certificate(server: str, connection: ssl.SSLSocket) -> Greeting:
    found: Any = connection.getpeercert() or {}
    subject = ", ".join(f"{name}={value}" for part in found.get("subject", ()) for name, value in part)
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
    return Greeting(server, connection.version() or "", subject or "(no name)", expires)


class _ClosedError(EOFError):
    """The server closed the connection without an answer. One that ends does so too: another try may do."""

    def __init__(self, server: str, to: str) -> None:
        super().__init__(
            f"{server} closed the connection instead of answering {to}: it is ending or starting, "
            "or KAFKA_SECURITY_PROTOCOL does not fit its port"
        )


class _LateError(TimeoutError):
    """The server is there, and its answers did not come in time."""

    def __init__(self, server: str, answer_s: float) -> None:
        super().__init__(f"{server} took the connection and did not answer in {answer_s:g} s")
