"""The embedded Valkey: the broker of one machine. Nothing of it is kept on disk; PostgreSQL's ledger knows it all.

It is reached through a socket in a folder of its own, ``home/valkey/run``; only where that path is too long does it
listen on a free port of 127.0.0.1. Its configuration goes in through standard input, so its password, a new one at each
start, stands on no command line.
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
from urllib.parse import quote, urlsplit

from ops.servers.embedded import programs
from ops.servers.embedded.process import (
    EmbeddedError,
    Process,
    as_server,
    free_port,
    home_folder,
    last_line,
    own_folder,
    server_account,
    server_folder,
    spawn,
)
from ops.servers.embedded.registry import Entry, locked

START_SECONDS = 60.0
SOCKET = "valkey.sock"
SOCKET_PATH_MAX = 103
STOP = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
CONFIGURATION = """\
{place}
requirepass {password}
databases 16
maxmemory-policy noeviction
appendonly no
save ""
daemonize no
"""
BY_SOCKET = f"port 0\nunixsocket {SOCKET}\nunixsocketperm 700"
BY_PORT = "bind 127.0.0.1\nport {port}"


@dataclass(frozen=True)
class Valkey:
    """A running server. ``stop`` may be called twice; ``revive`` starts a dead one again, at the same address, and
    says whether it had to.
    """

    url: str = field(repr=False)
    stop: Callable[[], None] = field(repr=False)
    revive: Callable[[], bool] = field(repr=False, default=lambda: False)


def start_valkey(home: Path) -> Valkey:
    """Start this home's Valkey for as long as this process lives. Call it from the main thread.

    One left by a killed owner is stopped: its content is disposable. One that died under its owner is started again
    by calling this once more, or by ``revive``.
    Raises EmbeddedError: another command owns it, or it does not start.
    """
    home = home_folder(home)
    with locked(home, "valkey") as entry:
        if entry.owner and (entry.owner != Process.me() or entry.server):
            raise EmbeddedError(
                f"Valkey of {home} already runs for process {entry.owner.pid}: stop that, "
                "or set another KOPPELING_HOME."
            )
        _launch(home, entry)
        entry.owner = Process.me()
        return Valkey(str(entry.url), lambda: _give_up(home), lambda: _revive(home))


def _give_up(home: Path) -> None:
    with locked(home, "valkey") as entry:
        if entry.owner == Process.me():
            _stop_server(entry)
            entry.owner = entry.url = None


def _revive(home: Path) -> bool:
    with locked(home, "valkey") as entry:
        if entry.owner != Process.me() or entry.server:
            return False
        _launch(home, entry)
        return True


def _stop_server(entry: Entry) -> None:
    if entry.server:
        entry.server.stop(*STOP)
    entry.server = None


def _launch(home: Path, entry: Entry) -> None:
    _stop_server(entry)
    program = programs.valkey()
    folder = own_folder(home / "valkey")
    run = server_folder(folder / "run")
    known = urlsplit(entry.url) if entry.url and entry.owner == Process.me() else None
    password = (known.password if known else None) or secrets.token_hex(32)
    command = as_server([program, "-"], server_account(), bound=True)
    for attempt in range(3):
        port = (known.port if known else None) or (None if _fits(run) else free_port())
        place = BY_PORT.format(port=port) if port else BY_SOCKET
        text = CONFIGURATION.format(place=place, password=password)
        child = spawn(command, folder / "valkey.log", stdin=text.encode(), cwd=run)
        by_socket = f"unix://:{password}@{quote(str(run / SOCKET))}?db=0"
        url = f"redis://:{password}@127.0.0.1:{port}/0" if port else by_socket
        server = Process.of(child.pid)
        if _ready(child, url) and server:
            entry.url, entry.server = url, server
            return
        time.sleep(0.5 * (attempt + 1))
    log = folder / "valkey.log"
    raise EmbeddedError(f"Valkey does not start: {last_line(log)} (see {log})")


def _fits(run: Path) -> bool:
    return len(os.fsencode(run / SOCKET)) <= SOCKET_PATH_MAX


def _ready(child: subprocess.Popen[bytes], url: str) -> bool:
    import redis  # noqa: PLC0415  who only asks where a server runs does without

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
