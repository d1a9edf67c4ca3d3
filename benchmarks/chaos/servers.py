"""PostgreSQL and Valkey that can be killed and come back at the same address, as servers of one's own would."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import redis

from ops.servers.embedded import start_postgres, start_valkey
from ops.servers.embedded.process import Process, reap
from ops.servers.embedded.registry import peek

GONE_SECONDS = 60.0


class Postgres:
    """A PostgreSQL below ``home``."""

    def __init__(self, home: Path) -> None:
        self._server = start_postgres(home)
        self._note = home / "postgres/data/postmaster.pid"
        self.url = self._server.url

    def start(self) -> None:
        """Start it again and wait until it takes connections."""
        self._server.revive()

    def crash(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it at once: SIGQUIT is an immediate stop, SIGKILL is the kernel's."""
        _end(int(self._note.read_text().split("\n", 1)[0]), number)

    def stop(self) -> None:
        """Stop it for good."""
        self._server.stop()


class Valkey:
    """A Valkey that remembers nothing from one start to the next."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._server = start_valkey(home)
        self.url = self._server.url

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._server.revive()

    def client(self) -> redis.Redis:
        """A connection for looking and meddling."""
        return redis.Redis.from_url(self.url, socket_timeout=3, socket_connect_timeout=3)

    def crash(self) -> None:
        """kill -9; all it knew is gone."""
        server = peek(self._home, "valkey").server
        if server:
            _end(server.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Stop it for good."""
        self._server.stop()


def _end(pid: int, number: signal.Signals) -> None:
    process = Process.of(pid)
    if process is None:
        return
    os.kill(pid, number)
    deadline = time.monotonic() + GONE_SECONDS
    while process.alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    reap(pid)
