"""TLS: the service answers and refuses as it does without, and commands trust its certificate."""

import datetime
import ssl
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ops.context import Context
from ops.health import serving
from ops.rest import session, trusted
from serving.options import ServingOptions
from slackwater.core.errors import SettingError
from slackwater.core.settings import from_environ
from slackwater.http.options import Limits
from slackwater.keys.keys import KeyStore
from tests.serving_world import World
from tests.socket_server import DEADLINE_S, answer, connect, ended, served


def certificate(folder: Path, name: str) -> tuple[str, str]:
    """Files of a certificate that signs itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("192.0.2.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kept = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(*kept))
    return str(cert_file), str(key_file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    world = World(folder / "home")
    app = world.serve(ServingOptions(poll_s=0.0, limits=Limits(linger_s=0.2, head_s=0.3, sweep_s=0.05)))
    cert, key = certificate(folder, "served")
    with served(app, ready=False, ssl_certfile=cert, ssl_keyfile=key) as (_, found):
        yield found
    world.service.stop()


def of(folder: Path, port: int, cert: str = "served", **more: str) -> Any:
    environ = {
        "SLACKWATER_PORT": str(port),
        "SLACKWATER_HOME": str(folder / "home"),
        "SLACKWATER_TLS_CERT": str(folder / f"{cert}.pem"),
        "SLACKWATER_TLS_KEY": str(folder / f"{cert}.key"),
        **more,
    }
    return Context(from_environ(environ))


def test_commands_reach_the_service_and_trust_its_certificate_alone(folder: Path, port: int) -> None:
    certificate(folder, "other")
    with session(of(folder, port), timeout_s=DEADLINE_S) as http:
        found = http.get("/health/live")
        assert found.status_code == 200
        assert found.headers["strict-transport-security"] == "max-age=31536000"
    with session(of(folder, port, "other"), timeout_s=DEADLINE_S) as http, pytest.raises(httpx.ConnectError):
        http.get("/health/live")
    context = of(folder, port)
    assert context.url.startswith("https://")
    assert not serving(context.url, trusted(context.settings)).startswith("No answer")
    assert serving(context.url, trusted(of(folder, port, "other").settings)).startswith("No answer")


def test_the_key_of_the_file_is_shown(folder: Path, port: int) -> None:
    _, text = KeyStore(folder / "home").create("desk", "read", 1)
    (folder / "desk.key").write_text(text + "\n")
    with session(of(folder, port, SLACKWATER_KEY_FILE=str(folder / "desk.key")), timeout_s=DEADLINE_S) as http:
        assert http.get("/v1/versions").status_code == 200
    (folder / "desk.key").write_text(text[:-1])
    with session(of(folder, port, SLACKWATER_KEY_FILE=str(folder / "desk.key")), timeout_s=DEADLINE_S) as http:
        assert http.get("/v1/versions").status_code == 401


@pytest.mark.usefixtures("port")  # the service has written its certificate
def test_a_command_without_the_key_that_it_needs_says_so(folder: Path) -> None:
    for more in ({"SLACKWATER_HOST": "0.0.0.0"}, {"SLACKWATER_KEY_FILE": str(folder / "nothing")}):
        with pytest.raises(SettingError, match=r"key|KEY"):
            session(of(folder, 1, **more))


def test_what_is_refused_is_told_so_and_who_speaks_no_tls_gets_nothing(folder: Path, port: int) -> None:
    context = trusted(of(folder, port).settings)
    assert isinstance(context, ssl.SSLContext)
    with context.wrap_socket(connect(port)) as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000)
        assert answer(one)[0] == 431
    with connect(port) as plain:
        plain.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP" not in ended(plain)
