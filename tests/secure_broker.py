"""A real broker that asks who comes: TLS, SASL, client certificates, access lists; and who signs its certificate.

    PLAINTEXT        the super user's, for the test's own preparations
    SASL_SSL         PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER (unsecured tokens)
    SSL              a client's certificate is required, its common name is the user
    SASL_PLAINTEXT   PLAIN

Every user's password is `<user>-secret`. The certificate is for localhost and for no address.
"""

import base64
import datetime
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from ops.broker import Broker, BrokerSettings, free_port
from slackwater.log.acls import PROCESSES

KEY_PASSWORD = "of-the-key"
USERS = (*PROCESSES, "stranger")
MODULES = "org.apache.kafka.common.security"


class Authority:
    """Signs certificates. Files are PEM, in its folder."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.cert = self._signed(self._name, self._key.public_key(), ca=True)
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, hosts: Sequence[str] = (), password: str = "") -> tuple[Path, Path]:
        """The files of a certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = self._signed(subject, key.public_key(), hosts=hosts)
        cert_file, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        kept = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked
        key_file.write_bytes(key.private_bytes(*kept))
        return cert_file, key_file

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ca: bool = False, hosts: Sequence[str] = ()
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if hosts:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False)
        return made.sign(self._key, hashes.SHA256())


@dataclass(frozen=True)
class SecureBroker:
    """Where it listens; `plaintext` is the super user's."""

    authority: Authority
    plaintext: str
    sasl_ssl: str
    ssl: str
    sasl_plaintext: str
    log: Path

    def environ(self, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The settings of a process that is `user`; its password is in a file."""
        file = self.authority.file.with_name(f"{user}.password")
        file.write_text(f"{user}-secret\n", encoding="utf-8")
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.sasl_ssl,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CAFILE": str(self.authority.file),
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD_FILE": str(file),
        }

    def admin(self) -> KafkaAdminClient:
        """A client of the super user."""
        return KafkaAdminClient(bootstrap_servers=self.plaintext)


@contextmanager
def secure_broker(folder: Path) -> Iterator[SecureBroker]:
    """The running broker with its users; no access list is there yet, so that only the super user may do anything."""
    authority = Authority(folder)
    ports = {name: free_port() for name in ("PLAINTEXT", "SASL_SSL", "SSL", "SASL_PLAINTEXT")}
    more = _properties(authority, {name: port for name, port in ports.items() if name != "PLAINTEXT"}, folder)
    settings = BrokerSettings(folder / "home", ports["PLAINTEXT"], short_lived=True, more=more)
    with Broker(settings) as running:
        places = {name.lower(): f"localhost:{port}" for name, port in ports.items()}
        found = SecureBroker(authority, log=running.log_path, **places)
        admin = found.admin()
        for how in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            made = [UserScramCredentialUpsertion(user, how, f"{user}-secret".encode()) for user in USERS]
            assert not any(admin.alter_user_scram_credentials(made).values())
        admin.close()
        yield found


def token(user: str = "operator", valid_s: int = 600) -> str:
    """An unsecured token of OAUTHBEARER (RFC 7515, appendix A.5)."""
    now = int(time.time())
    parts = {"alg": "none"}, {"sub": user, "iat": now, "exp": now + valid_s}
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def _properties(authority: Authority, ports: dict[str, int], folder: Path) -> dict[str, str]:
    cert, key = authority.issue("broker", ["localhost"])
    keystore = folder / "keystore.pem"
    keystore.write_bytes(key.read_bytes() + cert.read_bytes())
    plain = f"{MODULES}.plain.PlainLoginModule required " + " ".join(f'user_{u}="{u}-secret"' for u in USERS) + ";"
    scram = f"{MODULES}.scram.ScramLoginModule required;"
    tokens = f'{MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
    validator = f"{MODULES}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
    return {
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items()),
        "advertised.listeners": ",".join(f"{name}://localhost:{port}" for name, port in ports.items()),
        "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in ports),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.ssl.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([a-z]+)$/$1/,DEFAULT",
        "listener.name.sasl_ssl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config": tokens,
        "listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class": validator,
        "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": plain,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "connection.failed.authentication.delay.ms": "0",  # by default who is refused waits 0.1 s or more
    }
