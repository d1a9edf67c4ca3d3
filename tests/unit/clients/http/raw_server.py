"""A server on a bare socket that does exactly what a test says: answer, drip, cut the line, or keep silent."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends a reset


@dataclass(frozen=True)
class Request:
    """What the server was asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Step:
    """What to do with one request: send ``data``, at once or byte for byte, and then go on or end the connection."""

    data: bytes = b""
    then: str = "go on"  # "go on", "close", "reset", "be silent"
    byte_every: float = 0.0


def answer(status: int = 200, body: object = b"", **headers: str) -> Step:
    """A whole answer. A body that is not text is sent as JSON; header names are written with underscores."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = {name.replace("_", "-"): value for name, value in headers.items()} | {"Content-Length": str(len(raw))}
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Odd"
    head = f"HTTP/1.1 {status} {phrase}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Step(head.encode("latin-1") + b"\r\n" + raw)


@dataclass
class RawServer:
    """Steps to take, in order, and the requests that came."""

    port: int
    scheme: str = "http"
    steps: list[Step] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/base"

    def will(self, *steps: Step) -> None:
        self.steps += steps

    def serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while request := _read(stream, number):
                with self._lock:
                    self.requests.append(request)
                    step = self.steps.pop(0) if self.steps else answer(599, "the test has no step for this request")
                self._send(connection, step)
                if step.then == "be silent":
                    self.stopped.wait()
                if step.then == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                if step.then != "go on":
                    # makefile keeps the socket open: say goodbye by hand, but not before a reset
                    if step.then == "close":
                        connection.shutdown(socket.SHUT_RDWR)
                    return

    def _send(self, connection: socket.socket, step: Step) -> None:
        if not step.byte_every:
            connection.sendall(step.data)
            return
        for byte in step.data:
            connection.sendall(bytes([byte]))
            if self.stopped.wait(step.byte_every):
                return


def _read(stream: Any, number: int) -> Request | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while (header := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Request(line[0], line[1], headers, body, number)


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Run a server on a free port of the loopback until the test is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(listener.getsockname()[1], "https" if tls else "http")
        threading.Thread(target=_accept, args=(listener, server, tls), daemon=True).start()
        try:
            yield server
        finally:
            server.stopped.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, server: RawServer, tls: ssl.SSLContext | None) -> None:
    number = 0
    while not server.stopped.is_set():
        try:
            connection, _ = listener.accept()
            number += 1
            wrapped = tls.wrap_socket(connection, server_side=True) if tls else connection
        except ssl.SSLError:
            continue
        except OSError:
            return
        threading.Thread(target=server.serve, args=(wrapped, number), daemon=True).start()
