"""Azure Key Vault and the identity of a node, as far as a task that reads a secret meets them.

The task has the real SDK and asks the real host names; a proxy on this machine is whoever it asks for. Only what is wanted
with the token of the identity is answered.
"""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TOKEN = "token-of-the-node"


@dataclass(frozen=True, kw_only=True)
class KeyVault:
    """Vaults and their secrets, and what a task must have in its environment to find them."""

    environment: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict)
    """`vault/name` -> value."""


@contextmanager
def running_key_vault(folder: Path) -> Iterator[KeyVault]:
    """A vault that answers until the block ends; its certificate is kept in `folder`."""
    certificate, key = _certificate(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    secrets: dict[str, str] = {}
    handler = type("Handler", (_Handler,), {"tls": tls, "secrets": secrets})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        here = f"http://127.0.0.1:{server.server_address[1]}"
        environment = {
            "HTTPS_PROXY": here,
            "REQUESTS_CA_BUNDLE": str(certificate),
            "IDENTITY_ENDPOINT": f"{here}/token",  # as in App Service: the one that is asked by plain HTTP
            "IDENTITY_HEADER": "header-of-the-node",
        }
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield KeyVault(environment=environment, secrets=secrets)
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tls: ClassVar[ssl.SSLContext]
    secrets: ClassVar[dict[str, str]]
    host = ""

    def do_CONNECT(self) -> None:
        """From here on, be the host that is asked for."""
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.connection = self.tls.wrap_socket(self.request, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)  # type: ignore[assignment]
        self.close_connection = False

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/token":
            known = self.headers["X-IDENTITY-HEADER"] == "header-of-the-node"
            token = {"access_token": TOKEN, "expires_on": "4102444800", "resource": "https://vault.azure.net"}
            self._answer(200 if known else 403, token if known else {})
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            challenge = 'Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"'
            self._answer(401, {}, challenge)
        else:
            name = path.removeprefix("/secrets/").strip("/")
            vault = self.host.removesuffix(".vault.azure.net")
            value = self.secrets.get(f"{vault}/{name}")
            found = {"value": value, "id": f"https://{self.host}/secrets/{name}/v1", "attributes": {}}
            missing = {"error": {"code": "SecretNotFound", "message": f"there is no secret {name}"}}
            self._answer(404 if value is None else 200, missing if value is None else found)

    def _answer(self, status: int, body: dict[str, Any], challenge: str = "") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(data)

    def finish(self) -> None:
        super().finish()
        if self.connection is not self.request:
            self.connection.close()

    def log_message(self, *_: Any) -> None:
        pass


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate of all vaults, which vouches for itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vaults of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.vault.azure.net")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "vault.pem", folder / "vault.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, private
