"""Trouble with a server that the settings name, told apart: does it pass, or must somebody change the settings?"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

_SECONDS = 2.0


@dataclass(frozen=True)
class Trouble:
    """``code``: unreachable, full or read_only pass by themselves; login, rights and settings do not."""

    code: str
    text: str

    @property
    def passes(self) -> bool:
        """Whether waiting may help."""
        return self.code in ("unreachable", "full", "read_only")


def speaks_plainly(host: str, port: int, hello: bytes, answers: bytes) -> bool:
    """Whether the first byte of the answer is one of these. OSError when there is none."""
    with socket.create_connection((host, port), _SECONDS) as plain:
        plain.sendall(hello)
        first = plain.recv(1)
        return bool(first) and first in answers


def speaks_tls(host: str, port: int) -> bool:
    """Whether it can be spoken to by TLS. OSError when it does not answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: only what it speaks is asked
    try:
        with socket.create_connection((host, port), _SECONDS) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
