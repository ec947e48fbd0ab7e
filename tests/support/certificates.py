"""Certificates made for a test, and a server that tells who accepted them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_POSTGRES_ASKS_FOR_TLS = 8
"""Bytes of its SSLRequest."""


class Authority:
    """Signs certificates; whoever trusts its file trusts them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        certificate = self._certificate(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=None)
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, host: str) -> ssl.SSLContext:
        """Make what a server of that name needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.write(host))
        return context

    def write(self, host: str) -> Path:
        """Write the certificate and the key of a server of that name into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._certificate(
            name, key, x509.SubjectAlternativeName([x509.DNSName(host)])
        )
        file = self._folder / f"{host}.pem"
        file.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return file

    def _certificate(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


@dataclass
class Listener:
    """A server that shakes hands, notes what it heard, and hangs up."""

    port: int
    heard: list[bytes] = field(default_factory=list)
    """The first bytes of everybody who accepted the certificate."""
    refused: int = 0


@contextmanager
def listening(context: ssl.SSLContext, *, as_postgres: bool = False) -> Iterator[Listener]:
    """Run such a server on a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        listener = Listener(door.getsockname()[1])
        thread = threading.Thread(
            target=_serve,
            args=(door, context, listener),
            kwargs={"as_postgres": as_postgres},
            daemon=True,
        )
        thread.start()
        try:
            yield listener
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


def _serve(
    door: socket.socket, context: ssl.SSLContext, listener: Listener, *, as_postgres: bool
) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer, _ = door.accept()
            with peer:
                peer.settimeout(5)
                _meet(peer, context, listener, as_postgres=as_postgres)


def _meet(
    peer: socket.socket, context: ssl.SSLContext, listener: Listener, *, as_postgres: bool
) -> None:
    try:
        if as_postgres:
            peer.recv(_POSTGRES_ASKS_FOR_TLS)
            peer.sendall(b"S")
        with context.wrap_socket(peer, server_side=True) as secured:
            if said := secured.recv(1):  # a client that likes TLS 1.3 refuses after the handshake
                listener.heard.append(said)
            else:
                listener.refused += 1
    except OSError:
        listener.refused += 1
