"""Give each thread connections of its own, whose calls end in time and know whether anything was sent.

``requests`` limits the silence between two bytes, not the whole call, so an answer that drips would keep a
worker busy for ever; and its errors don't tell whether a broken call had left this machine. Both are known at
the connection, so that is where this module listens, through the one :class:`Attempt` a thread has under way.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Retry

from clients.http.deadlines import Deadlines

# Python and urllib3 write the keys of every TLS connection into the file that this names: whoever reads it reads all.
os.environ.pop("SSLKEYLOGFILE", None)

_HEADERS = dict(requests.utils.default_headers())  # a user agent; gzip is welcome; keep the connection
TRUSTED: bool | str = True  # the usual certificate authorities, or a file with others

HOSTS_PER_THREAD = 32  # idle connections a thread keeps; the oldest goes first

_here = threading.local()
_deadlines = Deadlines()


class Attempt:
    """One try of one call: what became of its connection, and the alarm that ends it."""

    def __init__(self) -> None:
        self.connected = False  # a connection was opened for this try (otherwise an idle one was used again)
        self.sent = False  # the first byte may have left
        self.out_of_time = False
        self._socket: socket.socket | None = None
        self._over = False
        self._lock = threading.Lock()

    def sending(self, on: socket.socket) -> None:
        """Note that bytes leave now, and on what (a connection lets go of its socket before the answer ends)."""
        self._socket, self.sent = on, True

    def expire(self) -> None:
        """Break the line, which ends what the calling thread waits for. Runs in the alarm's thread."""
        with self._lock:
            if self._over:
                return
            self.out_of_time = True
            if self._socket is not None:  # while connecting, its own time-out will do
                with contextlib.suppress(OSError):  # already closed is as good
                    # The plain one: a TLS socket's own takes the cipher from under the thread that reads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def finish(self) -> None:
        """Make a late alarm harmless: from here on the connection may serve another call."""
        with self._lock:
            self._over = True


@contextlib.contextmanager
def attempt(seconds: float) -> Iterator[Attempt]:
    """Make calls of this thread report to one :class:`Attempt` that is broken off after ``seconds``."""
    current = Attempt()
    _here.attempt = current
    _deadlines.add(current.expire, seconds)
    try:
        yield current
    finally:
        try:
            current.finish()
        finally:  # interrupted in there as well: a late alarm would break the thread's next call
            _deadlines.remove(current.expire)
            _here.attempt = None


class _PlainConnection(HTTPConnection):
    """HTTP, for simulators only. Tells the thread's attempt of opening and sending."""

    def connect(self) -> None:
        super().connect()
        _current().connected = True

    def send(self, data: Any) -> None:
        if self.sock is None:  # http.client opens a plain connection only here: not yet sending
            self.connect()
        _current().sending(self.sock)
        super().send(data)


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """HTTPS: what is super() to the one above is urllib3's HTTPS here."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Use the reporting connections, and never repeat a call by itself."""

    def __init__(self) -> None:
        super().__init__(
            pool_connections=HOSTS_PER_THREAD,
            pool_maxsize=1,
            max_retries=Retry(0, read=False, redirect=False),
        )

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


def send(
    method: str,
    url: str,
    *,
    params: Mapping[str, str] | str | None,
    data: Mapping[str, str] | bytes | None,
    headers: Mapping[str, str],
    timeout: tuple[float, float],
) -> requests.Response:
    """Send on this thread's connections and give the answer's head; its body is still to be read.

    TLS is verified, redirects are not followed. Without a ``requests.Session``, which takes longer than the rest
    of the sending: nothing comes from the environment (a .netrc would replace the token, a proxy variable would
    redirect a tenant), and no cookies are kept (all tenants share these connections).
    """
    prepared = requests.PreparedRequest()
    prepared.prepare(method, url, headers={**_HEADERS, **headers}, params=params, data=data)
    return adapter().send(prepared, stream=True, timeout=timeout, verify=TRUSTED)


def adapter() -> HTTPAdapter:
    """Give this thread's connections."""
    found: HTTPAdapter | None = getattr(_here, "adapter", None)
    if found is None:
        found = _here.adapter = _Adapter()
    return found


def _current() -> Attempt:
    current: Attempt | None = getattr(_here, "attempt", None)
    return current if current is not None else Attempt()
