"""Over TLS: a certificate that is not trusted ends the call before anything of ours is sent."""

from __future__ import annotations

import ipaddress
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients.errors import Unavailable
from clients.http import Http, transport


class Handler(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(private + made.public_bytes(encoding))
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """Its URL, its certificate, and what it was asked."""
    path, asked = certificate(tmp_path), []  # type: Path, list[str]
    listening = HTTPServer(("127.0.0.1", 0), type("Listening", (Handler,), {"asked": asked}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{listening.server_port}", path, asked
    listening.shutdown()
    listening.server_close()


def test_an_untrusted_certificate_is_refused_and_nothing_is_sent(server: tuple[str, Path, list[str]]) -> None:
    url, _, asked = server
    with pytest.raises(Unavailable) as refused:
        Http(url, system="AFAS", read_timeout=5).request("GET", "x", operation="read a page", writes=True)
    assert refused.value.code == "tls_failed"
    assert asked == []


def test_a_trusted_one_answers(server: tuple[str, Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, path, asked = server
    monkeypatch.setattr(transport, "TRUSTED", str(path))
    answer = Http(url, system="AFAS", read_timeout=5).request("GET", "x", operation="read a page", writes=False)
    assert (answer.status, asked) == (200, ["/x"])


def test_keys_of_connections_are_written_nowhere_whatever_the_environment_says(tmp_path: Path) -> None:
    code = (
        "import clients.http.call, ssl; from urllib3.util.ssl_ import create_urllib3_context as made;"
        "print(made().keylog_filename, ssl.create_default_context().keylog_filename)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[4],
        env=dict(os.environ) | {"SSLKEYLOGFILE": str(tmp_path / "keys.log")},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == ["None", "None"]
    assert not (tmp_path / "keys.log").exists()
