"""The embedded PostgreSQL: made once below ``home/postgres``, reached through a socket in its own folder.

``data`` is closed to all but the server, so nobody else can stand in its place or ask for its password; only where the
path is too long for a socket does it listen on a free port of 127.0.0.1. Every start gives the application a new
password, by a door for the superuser that is open only meanwhile. The application's user owns its database and can do
nothing else.

``data/postmaster.pid`` is where PostgreSQL itself says who serves the data; that, not a file of ours, decides whether
it runs. The password is worth 256 bits, so it needs no slow hashing (``scram_iterations``).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import psycopg

from ops.servers.embedded import programs
from ops.servers.embedded.process import (
    EmbeddedError,
    Process,
    as_server,
    free_port,
    give_to_server,
    home_folder,
    last_line,
    making_account,
    own_folder,
    own_words,
    reap,
    reap_dead,
    server_account,
    server_folder,
    spawn,
    write_for_server,
)
from ops.servers.embedded.registry import Entry, locked, peek

NAME = "koppeling"  # of the application's user and of its database
SUPERUSER = "postgres"
SOCKET_PORT = 5432  # only part of the socket's name
SOCKET_PATH_MAX = 103  # of what a system takes at the least
START_SECONDS, WAIT_SECONDS, TRIES = 120.0, 120.0, 8
# SIGINT: drop the connections and write everything; SIGQUIT: repair at the next start.
STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
SETTINGS = {
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # Messages come and go: what they leave is cleared before it is much.
    "autovacuum_naptime": "15s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    # Statements, their parameters, DETAIL lines and refused rows can hold names and addresses: none is logged.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_min_messages": "log",
}
INITDB = (*("--username", SUPERUSER, "--auth", "reject", "--encoding", "UTF8"), *("--no-instructions", "--locale", "C"))
UNICODE = ("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8")  # PostgreSQL 17 and newer
HBA = f"local all {NAME} scram-sha-256\nhost all {NAME} 127.0.0.1/32 scram-sha-256\n"
HBA_WHILE_STARTING = f"local all {SUPERUSER} trust\n"


@dataclass(frozen=True)
class Postgres:
    """A running server. ``stop`` may be called twice; ``revive`` starts a dead one again, at the same address, and
    says whether it had to.
    """

    url: str = field(repr=False)
    stop: Callable[[], None] = field(repr=False)
    revive: Callable[[], bool] = field(repr=False, default=lambda: False)


def start_postgres(home: Path, *, rights: str = "") -> Postgres:
    """Start this home's PostgreSQL for as long as this process lives. Call it from the main thread.

    Waits for commands that use it for the moment. A server left by a killed owner is stopped and started again; one
    that died under its owner is started again by calling this once more, or by ``revive``.

    Args:
        rights: what the application's user may do beside owning its database, e.g. ``CREATEDB`` for tests.

    Raises EmbeddedError: another command owns it, or it does not start.
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
                url = _launch(home, entry, bound=True, rights=rights)
                entry.owner = Process.me()
                return Postgres(url, lambda: _give_up(home), lambda: _revive(home, rights))
            holder = entry.holders[0].pid
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL of {home} is in use by process {holder}: wait for it or stop it.")
        time.sleep(0.1)


def _give_up(home: Path) -> None:
    with locked(home, "postgres") as entry:
        if entry.owner == Process.me():
            _stop_server(home)
            entry.owner = entry.url = None


def _revive(home: Path, rights: str) -> bool:
    if _postmaster(home)[0]:
        return False
    with locked(home, "postgres") as entry:
        if entry.owner != Process.me():
            return False
        _launch(home, entry, bound=True, rights=rights)
        return True


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
                    entry.url = None


def _borrow(home: Path) -> tuple[str, bool]:
    """The URL, and whether we are one of those the last of whom stops the server: not while it has an owner."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with locked(home, "postgres") as entry:
            url = find(home)
            if entry.owner is None:
                url = url or _launch(home, entry, bound=False)
                entry.holders.append(Process.me())
            if url:
                return url, entry.owner is None
            owner = entry.owner.pid if entry.owner else 0
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL of {home} does not answer, though process {owner} runs it: restart that.")
        time.sleep(0.1)


def is_made(home: Path) -> bool:
    """Whether this home has a database."""
    return (home / "postgres/data").is_dir()


def find(home: Path) -> str | None:
    """The URL of this home's PostgreSQL when it accepts connections, else None."""
    server, status = _postmaster(home)
    return peek(home, "postgres").url if server and status == "ready" else None


def _postmaster(home: Path) -> tuple[Process | None, str]:
    # Lines: pid, folder, start in seconds since 1970, port, socket folder, address, shared memory, status.
    data = home / "postgres/data"
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        server = Process.of(int(lines[0]))
        if server is None or not _serves(psutil.Process(server.pid), data):
            return None, ""  # left by a server that was killed; the number may be another program's by now
    except (OSError, IndexError, ValueError, psutil.Error):
        return None, ""
    return server, lines[7].strip() if len(lines) > 7 else ""


def mark(data: Path) -> str:
    """What all processes of the server of this data folder carry on their command lines, for everyone to read."""
    return f"koppeling-{hashlib.sha256(os.fsencode(data)).hexdigest()[:20]}"


def _serves(process: psutil.Process, data: Path) -> bool:
    """Whether a process is a PostgreSQL of this data folder."""
    try:
        return process.name().startswith("postgres") and mark(data) in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _stop_server(home: Path) -> None:
    server = _postmaster(home)[0]
    if server:
        server.stop(*STOP)


def _launch(home: Path, entry: Entry, *, bound: bool, rights: str = "") -> str:
    """Start the server; ``bound`` to this process or left for others to stop. Returns its URL.

    An owner that starts its dead server again gives it the same address and password: others know it by them.
    """
    _stop_server(home)  # one that is on its way down, or half way up
    found = programs.postgres()
    folder = own_folder(home / "postgres")
    data = folder / "data"
    if not data.exists():
        _make(folder, found)
    server_folder(data)
    known = urlsplit(entry.url) if entry.url and entry.owner == Process.me() else None
    password = (known.password if known else None) or secrets.token_hex(32)
    for attempt in range(TRIES):
        reap_dead()
        _forget_other_program(data)
        port = (known.port if known else None) or (None if _fits(data) else free_port())
        write_for_server(data, "pg_hba.conf", HBA_WHILE_STARTING)
        command: list[str | Path] = [found.folder / "postgres", "-D", own_words(data), *_options(found, data, port)]
        child = spawn(as_server(command, server_account(), bound=bound), folder / "postgres.log", cwd=data)
        if _ready(home, child):
            _set_up(data, port or SOCKET_PORT, password, rights)
            entry.url = _url(data, port, password)
            return entry.url
        time.sleep(0.5 * (attempt + 1))  # the port was taken, or the killed server is not gone yet
    log = folder / "postgres.log"
    raise EmbeddedError(f"PostgreSQL does not start: {last_line(log)} (see {log})")


def _fits(data: Path) -> bool:
    return len(os.fsencode(data / f".s.PGSQL.{SOCKET_PORT}")) <= SOCKET_PATH_MAX


def _options(found: programs.Programs, data: Path, port: int | None) -> list[str]:
    place = {"listen_addresses": "127.0.0.1" if port else "", "port": str(port or SOCKET_PORT)}
    given = SETTINGS | place | {"cluster_name": mark(data)}
    if found.version >= (16, 0):
        given["scram_iterations"] = "1"
    return [f"-c{name}={value}" for name, value in given.items()]


def _url(data: Path, port: int | None, password: str) -> str:
    if port:
        # Another program that took the port of our ended server gets no password, only a proof of no use to it.
        return f"postgresql://{NAME}:{password}@127.0.0.1:{port}/{NAME}?require_auth=scram-sha-256"
    return f"postgresql://{NAME}:{password}@/{NAME}?host={quote(str(data), safe='')}&port={SOCKET_PORT}"


def _forget_other_program(data: Path) -> None:
    """Remove the note of a server that is gone, when nothing of it is left.

    PostgreSQL itself refuses to start while the noted number is any process of its user, be it another program after a
    reboot, or one that ended and was fetched by no parent.
    """
    pid_file = data / "postmaster.pid"
    try:
        noted = int(pid_file.read_text().splitlines()[0])
    except (OSError, IndexError, ValueError):
        return
    reap(noted)
    deadline = time.monotonic() + START_SECONDS
    while any(Process.of(process.pid) and _serves(process, data) for process in psutil.process_iter()):
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    pid_file.unlink(missing_ok=True)


def _ready(home: Path, child: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        server, status = _postmaster(home)
        if server and server.pid == child.pid and status == "ready":
            return True
        time.sleep(0.02)
    if child.poll() is None:
        child.kill()
        child.wait()
    return False


def _make(folder: Path, found: programs.Programs) -> None:
    """Make the data folder. What an interrupted attempt left is thrown away, so ``data`` is always complete."""
    new = folder / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    account = making_account()
    try:
        if account:
            os.chown(new, *account, follow_symlinks=False)
        options = (*INITDB, *(UNICODE if found.version >= (17, 0) else ()))
        command = as_server([found.folder / "initdb", *options, "--pgdata", own_words(new)], account)
        made = subprocess.run(  # noqa: S603 - our own program, no shell
            command, capture_output=True, text=True, cwd=new, env={"PATH": os.defpath, "LC_ALL": "C"}, check=False
        )
        if made.returncode:
            said = [line for line in made.stderr.splitlines() if line.strip()] or ["it did not say why"]
            reason = next((line for line in said if "error:" in line or "FATAL:" in line), said[0])
            raise EmbeddedError(f"PostgreSQL can't make its files in {folder}: {reason.strip()}")
        give_to_server(new)
        new.rename(folder / "data")
    except OSError as error:
        raise EmbeddedError(f"PostgreSQL's files can't be made in {folder}: {error.strerror}.") from None


def _set_up(data: Path, port: int, password: str, rights: str) -> None:
    """As the superuser: the application's user with today's password, and its database. Then close that door."""
    with _reachable(data) as host:
        connection = psycopg.connect(
            host=host, port=port, user=SUPERUSER, dbname="postgres", autocommit=True, connect_timeout=30
        )
        with connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [NAME]).fetchone():
                connection.execute(f"CREATE ROLE {NAME}")
            connection.execute(
                f"ALTER ROLE {NAME} LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS"
                f" {rights or 'NOCREATEDB'} PASSWORD '{password}'"
            )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
                connection.execute(f"CREATE DATABASE {NAME} OWNER {NAME}")
            write_for_server(data, "pg_hba.conf", HBA)
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def _reachable(data: Path) -> Iterator[str]:
    """The folder under a name that is short enough for a socket."""
    if _fits(data) or sys.platform != "linux":
        yield str(data)
        return
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
