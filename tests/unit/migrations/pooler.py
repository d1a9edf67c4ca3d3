"""A connection pooler in transaction or session mode, as small as one can be: it lends a server's connection to whoever
begins a transaction (or for as long as a client stays), and takes it back at the end of it.
"""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

NO_ENCRYPTION_YET = (80877103, 80877104)  # a client asks for TLS or GSSAPI first
SERVERS = 3


class Pooler:
    """Speaks PostgreSQL's protocol to clients, who need no password, over connections of its own."""

    def __init__(self, url: str, mode: str) -> None:
        self.mode = mode
        self._kept = [psycopg.connect(url, autocommit=True) for _ in range(SERVERS)]
        self._idle = [socket.socket(fileno=socket.dup(each.fileno())) for each in self._kept]
        for each in self._idle:
            each.setblocking(True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://anyone@127.0.0.1:{self._listening.getsockname()[1]}/any?sslmode=disable"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()
        for borrowed in self._idle:
            borrowed.close()
        for kept in self._kept:
            kept.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, EOFError):
            while True:
                (length,) = struct.unpack("!i", _exactly(client, 4))
                (code,) = struct.unpack("!i", _exactly(client, length - 4)[:4])
                if code not in NO_ENCRYPTION_YET:
                    break
                client.sendall(b"N")
            key = struct.pack("!cii", b"K", 12, 4242) + secrets.token_bytes(4)
            settings = _message(b"S", b"client_encoding\0UTF8\0") + _message(b"S", b"server_version\x0018.0\0")
            client.sendall(_message(b"R", struct.pack("!i", 0)) + settings + key + _message(b"Z", b"I"))
            server: socket.socket | None = None
            try:
                while True:
                    first = _read(client)
                    server = server or self._idle.pop()
                    state = self._transact(client, server, first)
                    if state == b"I" and self.mode == "transaction":
                        self._idle.append(server)
                        server = None
                    client.sendall(_message(b"Z", state))
            finally:
                if server:
                    self._idle.append(server)

    def _transact(self, client: socket.socket, server: socket.socket, first: tuple[bytes, bytes]) -> bytes:
        """Carry one request and its answer but for the end; the state afterwards, ``I`` without a transaction."""
        kind, body = first
        while True:
            if kind == b"X":
                raise EOFError
            server.sendall(_message(kind, body))
            if kind in (b"Q", b"S"):
                break
            kind, body = _read(client)
        while True:
            kind, body = _read(server)
            if kind == b"Z":
                return body
            client.sendall(_message(kind, body))


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _read(of: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(of, 5)
    return head[:1], _exactly(of, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(of: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = of.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


@contextmanager
def pooler(url: str, mode: str) -> Iterator[str]:
    """The URL of a pooler before this database."""
    made = Pooler(url, mode)
    try:
        yield made.url
    finally:
        made.close()
