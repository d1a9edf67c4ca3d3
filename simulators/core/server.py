"""Run a simulator: in a background thread for tests, or in the foreground for ``koppeling simulate``."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn

START_SECONDS = 10.0


class Server(uvicorn.Server):
    """uvicorn on a socket that is bound already, so that its port is known."""

    def __init__(self, app: Any, host: str, port: int, *, announce: bool = False) -> None:
        """Bind; port 0 takes a free one. Raises OSError when the port is taken."""
        config = uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            log_level="warning",
            loop="asyncio",
            http="h11",
            ws="none",
            proxy_headers=False,
            date_header=False,  # the front tells the time, also a wrong one
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._announce = announce
        # Named as TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms for the caller's kernel.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.url = "http://{}:{}".format(*self.socket.getsockname()[:2])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening and say so."""
        await super().startup(sockets=sockets)
        if self._announce:
            sys.stdout.write(f"ready {self.url}\n")
            sys.stdout.flush()


@contextlib.contextmanager
def running(app: Any, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve ``app`` in a thread for the length of a ``with`` block; gives its base URL."""
    server = Server(app, host, port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [server.socket]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the simulator did not start")
        time.sleep(0.005)
    try:
        yield server.url
    finally:
        # Nobody waits for a hanging answer at the end of a test.
        server.should_exit = server.force_exit = True
        thread.join(START_SECONDS)


def serve(app: Any, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve ``app`` until SIGTERM or Ctrl-C; prints ``ready http://HOST:PORT`` once it listens."""
    server = Server(app, host, port, announce=True)
    # uvicorn stops on the signal and then raises it once more: the second one must not kill the process.
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[server.socket])
    finally:
        signal.signal(signal.SIGTERM, previous)
