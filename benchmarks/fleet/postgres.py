"""A PostgreSQL that others reach by TCP, and a standby that follows it: real servers of the embedded programs."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.system import temporary_folder, wait_until
from ops.servers.embedded import programs
from ops.servers.embedded.process import (
    as_server,
    free_port,
    give_to_server,
    making_account,
    server_account,
    spawn,
)

OWNER = "koppeling"
START_SECONDS = 60.0
_HBA = f"local all boss trust\nhost all {OWNER} all scram-sha-256\nhost replication boss all scram-sha-256\n"
_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "32MB",
    "unix_socket_directories": ".",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "wal_keep_size": "256MB",
    "fsync": "off",  # what is tried here ends servers, not machines
    "autovacuum_naptime": "15s",
    "timezone": "UTC",
}


class NoServer(Exception):
    """A server did not come up; the text holds its last words."""


@dataclass
class Server:
    """One PostgreSQL below a folder of its own."""

    name: str
    folder: Path
    address: str
    password: str = field(repr=False)
    port: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Its files."""
        return self.folder / self.name

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self.port = self.port or free_port()
        found = programs.postgres()
        given = _SETTINGS | {"listen_addresses": self.address, "port": str(self.port)} | self.settings
        words: list[str | Path] = [
            found.folder / "postgres",
            "-D",
            self.data,
            *(f"-c{name}={value}" for name, value in given.items()),
        ]
        self.process = spawn(as_server(words, server_account(), bound=True), self.log, cwd=self.data)
        if not wait_until(self._answers, START_SECONDS):
            raise NoServer(self.log.read_text(encoding="utf-8", errors="replace")[-2000:])

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"{self.name}.log"

    def _answers(self) -> bool:
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """What its superuser is answered, past all networks; nothing for what gives no rows."""
        with psycopg.connect(
            host=str(self.data), port=self.port, user="boss", dbname=database, autocommit=True, connect_timeout=5
        ) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def set(self, **values: str) -> None:
        """Change settings while it runs."""
        for name, value in values.items():
            self.ask(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)).as_string())
        self.ask("SELECT pg_reload_conf()")

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT in good order, SIGQUIT at once, as a power failure would; safe to call again."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def url(self, *others: Server, query: str = "") -> str:
        """The URL of its database for the owner; of several servers, the one that takes writes is used."""
        hosts = ",".join(f"{each.address}:{each.port}" for each in (self, *others))
        words = [*(["target_session_attrs=read-write"] if others else []), *([query] if query else [])]
        return f"postgresql://{OWNER}:{self.password}@{hosts}/{OWNER}" + (f"?{'&'.join(words)}" if words else "")


@dataclass
class Pair:
    """A primary and its standby."""

    primary: Server
    standby: Server

    @property
    def url(self) -> str:
        """The URL that names both."""
        return self.primary.url(self.standby)

    def follow(self, *, synchronous: bool) -> None:
        """Wait until the standby follows; ``synchronous``: a commit waits for it from now on."""
        self.primary.set(synchronous_standby_names=f'"{self.standby.name}"' if synchronous else "")
        wanted = "sync" if synchronous else "async"
        if not wait_until(lambda: self._state() == ("streaming", wanted), START_SECONDS):
            raise NoServer(f"the standby does not follow: {self._state()}")

    def _state(self) -> tuple[Any, ...] | None:
        found = self.primary.ask("SELECT state, sync_state FROM pg_stat_replication")
        return found[0] if found else None

    def cut(self) -> None:
        """Let the standby hear no more of the primary: what is committed from now on, it never learns."""
        self.standby.set(primary_conninfo="")
        if not wait_until(lambda: self._state() is None, START_SECONDS):
            raise NoServer("the standby still follows")

    def fail_over(self) -> float:
        """The primary is gone at once and the standby takes its place; seconds until that takes writes."""
        begun = time.monotonic()
        self.primary.stop(signal.SIGQUIT)
        self.standby.ask("SELECT pg_promote(true, 30)")
        if not wait_until(lambda: self.standby.ask("SELECT NOT pg_is_in_recovery()") == [(True,)], START_SECONDS):
            raise NoServer("the standby was not promoted")
        return time.monotonic() - begun


@contextmanager
def server(address: str = "127.0.0.1", folder: Path | None = None, **settings: str) -> Iterator[Server]:
    """A PostgreSQL with an empty database of its own; below a folder that its account can enter."""
    with ExitStack() as stack:
        folder = folder or Path(stack.enter_context(temporary_folder("kf-")))
        made = _made(folder, "a", address, settings)
        made.start()
        try:
            _own_database(made)
            yield made
        finally:
            made.stop()


@contextmanager
def pair(address: str = "127.0.0.1", **settings: str) -> Iterator[Pair]:
    """A primary with an empty database, and a standby that follows it, asynchronously."""
    with temporary_folder("kf-") as name:
        first = _made(Path(name), "a", address, settings)
        first.start()
        _own_database(first)
        first.stop()
        second = Server("b", first.folder, address, first.password, settings=settings)
        shutil.copytree(first.data, second.data)
        (second.data / "standby.signal").touch()
        with (second.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            said = f"host={address} port={first.port} user=boss password={first.password} application_name=b"
            file.write(f"primary_conninfo = '{said}'\n")
        give_to_server(second.data)
        made = Pair(first, second)
        try:
            first.start()
            second.start()
            made.follow(synchronous=False)
            yield made
        finally:
            second.stop(signal.SIGQUIT)
            first.stop(signal.SIGQUIT)


def _made(folder: Path, name: str, address: str, settings: dict[str, str]) -> Server:
    """A server's files; the folder is open to the account that servers run under, and nothing in it is secret."""
    folder.chmod(0o711)
    made = Server(name, folder, address, secrets.token_hex(16), settings=dict(settings))
    made.data.mkdir(mode=0o700)
    account, found = making_account(), programs.postgres()
    if account:
        os.chown(made.data, *account)
    words: list[str | Path] = [found.folder / "initdb", "--username", "boss", "--auth", "trust", "--encoding", "UTF8"]
    words += ["--no-instructions", "--no-sync", "--locale", "C", "--pgdata", made.data]
    done = subprocess.run(  # noqa: S603  our own program
        as_server(words, account), capture_output=True, text=True, check=False, cwd=made.data
    )
    if done.returncode:
        raise NoServer(done.stderr)
    (made.data / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
    give_to_server(made.data)
    return made


def _own_database(made: Server) -> None:
    made.ask(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{made.password}'")
    made.ask(f"ALTER ROLE boss PASSWORD '{made.password}'")
    made.ask(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
