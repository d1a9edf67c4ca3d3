"""Back up the embedded database into one file, while it works: everything as it is at one moment.

pg_dump does it, in the snapshot from which the header was read. A server that KOPPELING_DATABASE_URL names is backed up
with its own programs (docs/operations.md).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, text
from typing_extensions import TypedDict

import settings
from clients.http import clean
from migrations.run import engine
from models.session import transaction
from models.stored_secrets import stored_under
from ops import access, audit
from ops.problems import Problem
from ops.servers.backup_file import BLOCK, Header, written
from ops.servers.embedded import programs

# Sessions that are open, attempts to log in, what somebody searched for, and who lives: of this moment alone.
OF_THE_MOMENT = ("console_session", "login_attempt", "people_search", "worker", "service")
_ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "require_auth": "PGREQUIREAUTH",
}
_FACTS = text(
    """
    SELECT (SELECT version_num FROM alembic_version) AS revision, (SELECT count(*) FROM tenant) AS tenants,
           current_setting('server_version_num')::int / 10000 AS postgres, pg_export_snapshot() AS snapshot
    """
)


class Failed(Exception):
    """A program of PostgreSQL's failed; the text is what it said."""


class BackedUp(TypedDict):
    """A backup that was written."""

    file: str
    bytes: int
    tenants: int
    revision: str
    # Fingerprints of the keys that its secrets are under
    keys: list[str]
    with_key: bool


def refuse_named() -> None:
    """Raise Problem where the database is not the embedded one: that has programs of its own."""
    if not settings.get().embedded_database:
        raise Problem("backup_elsewhere")


def backup(path: Path, *, with_key: bool, who: str) -> BackedUp:
    """Write the database into a file; with its keys in it where wanted. Raises Problem, and then leaves no file."""
    access.check("system.backup", None)
    refuse_named()
    found = settings.get()
    header = write(path, found.need_database(), found.secret_keys if with_key else None)
    with transaction() as connection:
        audit.record(connection, verb="system backup", who=who, detail={"with_key": with_key})
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "tenants": header["tenants"],
        "revision": header["revision"],
        "keys": header["keys"],
        "with_key": with_key,
    }


def write(path: Path, url: str, secret_keys: Sequence[str] | None) -> Header:
    """Write the database at a URL into a file. ``secret_keys``: what goes into it of the keys."""
    with engine(url).connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SET idle_in_transaction_session_timeout = 0"))
        header, snapshot = _header(connection, secret_keys)
        program = programs.client("pg_dump", header["postgres"])
        words = ["--format=custom", "--no-owner", "--no-privileges", "--no-comments", f"--snapshot={snapshot}"]
        words += [f"--exclude-table-data={table}" for table in OF_THE_MOMENT]
        with written(path, header) as block:
            try:
                run([str(program), *words, "--lock-wait-timeout=60s"], url, output=block)
            except Failed as error:
                raise Problem("dump_failed", why=error) from None
    return header


def _header(connection: Connection, secret_keys: Sequence[str] | None) -> tuple[Header, str]:
    facts = connection.execute(_FACTS).one()
    header: Header = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": version("koppeling"),
        "revision": facts.revision,
        "postgres": facts.postgres,
        "tenants": facts.tenants,
        "keys": stored_under(connection),
        "secret_keys": None if secret_keys is None else list(secret_keys),
    }
    return header, facts.snapshot


def run(
    command: Sequence[str],
    url: str,
    *,
    output: Callable[[bytes], object] | None = None,
    given: Callable[[IO[bytes]], object] | None = None,
) -> None:
    """Run one of PostgreSQL's programs at a URL. Its secrets go by its environment, which only its user can read.

    Args:
        output: gets what it writes, block by block.
        given: writes what it reads.

    Raises Failed with its last words.
    """
    named = conninfo_to_dict(url.replace("+psycopg", "", 1))
    environment = {_ENVIRONMENT[name]: str(value) for name, value in named.items() if name in _ENVIRONMENT}
    environment |= {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(  # noqa: S603  PostgreSQL's own program, no shell
                command,
                stdin=subprocess.PIPE if given else subprocess.DEVNULL,
                stdout=subprocess.PIPE if output else subprocess.DEVNULL,
                stderr=said,
                env=environment,
            )
        except OSError as error:
            raise Failed(f"{command[0]}: {error.strerror}") from None
        with child:
            try:
                _pass_on(child, output, given)
                code = child.wait()
            except BaseException:
                child.kill()
                raise
        if code:
            raise Failed(_last_words(said))


def _pass_on(
    child: subprocess.Popen[bytes],
    output: Callable[[bytes], object] | None,
    given: Callable[[IO[bytes]], object] | None,
) -> None:
    if output and child.stdout:
        while block := child.stdout.read(BLOCK):
            output(block)
    if given and child.stdin:
        try:
            given(child.stdin)
            child.stdin.close()
        except BrokenPipeError:
            pass  # it ended before the end; its last words say why


def _last_words(said: IO[bytes]) -> str:
    """What a program said of its failure: the first error. Never the rows that PostgreSQL shows with it."""
    said.seek(0)
    lines = [line.strip() for line in said.read(65536).decode(errors="replace").splitlines()]
    told = next((line for line in lines if "error:" in line or "fatal:" in line.lower()), lines[0] if lines else "?")
    return clean(told, limit=200)
