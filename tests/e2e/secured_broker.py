"""A broker that wants TLS, a certificate of its client's and a user's password: the embedded one with another listener."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not marked as exports
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra import kafka
from infra.service import LOOPBACK, Ports, Service
from infra.settings import Settings
from tests.waiting import PATIENCE_S, eventually

_LISTENER = "listener.name.clients"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_YEARS = datetime.timedelta(days=3_650)


@dataclass(frozen=True, kw_only=True)
class Secured:
    """Where it is, and what a client needs.

    Attributes:
        servers: Its bootstrap servers.
        ca: PEM file of the authority.
        certificate: PEM file of the client's certificate.
        key: PEM file of its key.
    """

    servers: str
    ca: Path
    certificate: Path
    key: Path


@contextmanager
def secured_broker(folder: Path, user: str, password: str) -> Iterator[Secured]:
    """One that ends with the block."""
    settings = Settings(home=folder / "broker", jit="quick")
    settings.home.mkdir()
    authority = _Authority(folder)
    ports = Ports()
    spec, port = kafka.service(settings, ports), ports.claim("secured")
    authority.sign("server", folder)
    authority.sign("client", folder)
    (folder / "server.pem").write_text((folder / "server.key").read_text() + (folder / "server.crt").read_text())
    config = settings.home / "kafka" / "server.properties"
    inner = dict(line.split("=", 1) for line in config.read_text().splitlines())
    outer = {
        "listeners": f"{inner['listeners']},CLIENTS://{LOOPBACK}:{port}",
        "advertised.listeners": f"{inner['advertised.listeners']},CLIENTS://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:SASL_SSL",
        f"{_LISTENER}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{_LISTENER}.scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
        f"{_LISTENER}.ssl.keystore.type": "PEM",
        f"{_LISTENER}.ssl.keystore.location": str(folder / "server.pem"),
        f"{_LISTENER}.ssl.truststore.type": "PEM",
        f"{_LISTENER}.ssl.truststore.location": str(folder / "ca.crt"),
        f"{_LISTENER}.ssl.client.auth": "required",
    }
    config.write_text("".join(f"{name}={value}\n" for name, value in (inner | outer).items()))
    broker = Service(spec=spec)
    broker.start()
    try:
        eventually("the broker", spec.ready, unless=lambda: _ended(broker, spec.output))
        client = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{spec.port}"})
        wanted = UserScramCredentialUpsertion(user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096), password.encode())
        for done in client.alter_user_scram_credentials([wanted], request_timeout=60.0).values():
            done.result(PATIENCE_S)
        yield Secured(servers=f"{LOOPBACK}:{port}", ca=folder / "ca.crt", certificate=folder / "client.crt", key=folder / "client.key")
    finally:
        broker.process.terminate()
        broker.process.wait(PATIENCE_S)


def _ended(broker: Service, output: Path) -> None:
    assert broker.process.poll() is None, output.read_text()[-2_000:]


class _Authority:
    """Signs certificates."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        made = _certificate(self._name, self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), True
        )
        (folder / "ca.crt").write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, folder: Path) -> None:
        """Write `<name>.key` and `<name>.crt`."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), self._name, key.public_key())
        made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), False)
        (folder / f"{name}.crt").write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        (folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key, serial_number=x509.random_serial_number())
    return made.not_valid_before(now - _YEARS).not_valid_after(now + _YEARS)
