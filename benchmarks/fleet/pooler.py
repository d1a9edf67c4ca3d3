"""PgBouncer before a PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.fleet.postgres import NoServer
from benchmarks.system import temporary_folder, wait_until
from ops.servers.embedded.process import as_server, free_port, server_account, spawn


@contextmanager
def pgbouncer(
    program: str, url: str, mode: str, *, size: int = 20, tls: tuple[Path, Path] | None = None
) -> Iterator[str]:
    """The URL of a PgBouncer before the database of ``url``, with ``size`` connections to it. It asks for no password.

    ``tls``: it wants TLS of its clients, and shows this key and certificate.
    """
    to = conninfo_to_dict(url)
    place, port = str(to.get("host", "")), free_port()
    # The folder of the tests' own server is closed to the servers' account, but for the way from inside.
    cwd, host = (Path(place), "/proc/self/cwd") if place.startswith("/") else (Path("/"), place)
    database = f"host={host} port={to['port']} dbname={to['dbname']} user={to['user']} password={to['password']}"
    given = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
        "default_pool_size": str(size),
        "max_client_conn": "500",
    }
    with temporary_folder("kf-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        if tls:
            given["client_tls_sslmode"] = "require"
            for what, path in zip(("key", "cert"), tls, strict=True):
                shutil.copy(path, folder / what)
                give(folder / what)
                given[f"client_tls_{what}_file"] = str(folder / what)
        lines = ["[databases]", f"{to['dbname']} = {database}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in given.items()]
        (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n", encoding="utf-8")
        give(folder / "pgbouncer.ini")
        words = as_server([program, folder / "pgbouncer.ini"], server_account(), bound=True)
        running = spawn(words, folder / "pgbouncer.log", cwd=cwd)
        through = f"postgresql://anyone@127.0.0.1:{port}/{to['dbname']}"
        try:
            if not wait_until(lambda: running.poll() is not None or _answers(through), 20):
                raise NoServer((folder / "pgbouncer.log").read_text(encoding="utf-8"))
            if running.poll() is not None:
                raise NoServer((folder / "pgbouncer.log").read_text(encoding="utf-8"))
            yield through
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5, prepare_threshold=None).close()
    except psycopg.OperationalError:
        return False
    return True


def give(path: Path) -> None:
    """Hand a file to the account that servers run under."""
    path.chmod(0o600)
    if account := server_account():
        os.chown(path, *account)
