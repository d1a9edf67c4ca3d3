"""Put a backup in the place of the embedded database: beside it first, and in its place only when all of it is there.

    koppeling   →   koppeling_restored is filled, migrated, marked   →   both change names in one transaction   →   the
    old one is dropped

Cut short before that transaction the old database is as it was. Keys are only added to the file of the home, and before
it: at every moment it has those of what is stored, and those of other backups stay.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit, urlunsplit

import psycopg
from sqlalchemy import text
from typing_extensions import TypedDict

import settings
from migrations.run import engine, head, revisions, upgrade
from models.crypto import fingerprint
from ops import access, audit
from ops.problems import Problem
from ops.servers import new_key
from ops.servers.backup import Failed, refuse_named, run
from ops.servers.backup_file import Backup, Header, opened
from ops.servers.embedded import programs, start_postgres
from ops.servers.embedded.postgres import NAME
from ops.servers.environment import home_key

FILLED, REPLACED = f"{NAME}_restored", f"{NAME}_replaced"
# What Pluvo was told after the backup nobody here knows any more: the next run looks at whoever is, or is to be, in a
# place.
_LOOK_AGAIN = text(
    "UPDATE enrollment SET unsure = true WHERE (state = 'enrolled' OR desired = 'enrolled') AND NOT unsure"
)
# And what AFAS showed a moment before the backup is no look that a date may be written by.
_FORGET_LOOKS = text("UPDATE completion SET shown_at = NULL WHERE state IN ('pending', 'sending', 'failed')")
_TABLES = "SELECT to_regclass('public.tenant') IS NOT NULL AND to_regclass('public.onboarding') IS NOT NULL"
_TENANTS = "SELECT (SELECT count(*) FROM tenant) + (SELECT count(*) FROM onboarding)"
_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %(name)s AND usename = current_user"
_TRIES = 20


class Restored(TypedDict):
    """A backup that took the place of what was there."""

    file: str
    made_at: str
    tenants: int
    # Of the tables: as the backup had them, and as they are now
    was: str
    revision: str


def restore(path: Path, *, replace: bool, key: str | None, who: str) -> Restored:
    """Put a backup in the place of the embedded database. Call it from the main thread; nothing else may run.

    Args:
        replace: also where there are tenants.
        key: the key, or keys with commas, that the backup's secrets are under, where neither the backup nor this home
            or KOPPELING_SECRET_KEYS has it.

    Raises Problem or EmbeddedError, and then what was there is as it was.
    """
    access.check("system.restore", None)
    refuse_named()
    home = settings.get().home
    with opened(path) as found:
        refuse_newer(found.header)
        keys = _keys(found.header, home, key)
        server = start_postgres(home, rights="CREATEDB")
        try:
            _refuse_tenants(server.url, replace=replace)
            _put_in_place(found, server.url, keys, who)
        finally:
            server.stop()
    header = found.header
    return {
        "file": str(path),
        "made_at": header["made_at"],
        "tenants": header["tenants"],
        "was": header["revision"],
        "revision": head() or "",
    }


def refuse_newer(header: Header) -> None:
    """Raise Problem for a backup of a newer version, whose tables this one does not know."""
    if header["revision"] not in revisions():
        raise Problem("backup_newer", version=header["version"], revision=header["revision"])


def _keys(header: Header, home: Path, named: str | None) -> list[str]:
    """The keys that the home's file is to have besides its own, none of which is ever taken out here.

    Raises Problem where one that is needed is nowhere.
    """
    of_environment = settings.given("SECRET_KEYS")
    here = settings.get().secret_keys if of_environment else _split(home_key(home))
    brought = [one for one in (*_split(named), *(header["secret_keys"] or ())) if one not in here]
    mine, theirs = ({fingerprint(one).hex() for one in keys} for keys in (here, brought))
    missing = [mark for mark in header["keys"] if mark not in mine | theirs]
    if missing:
        raise Problem("backup_key", missing=", ".join(missing), has=", ".join(sorted(mine | theirs)) or "-")
    lacking = [mark for mark in header["keys"] if mark not in mine]
    if lacking and of_environment:
        raise Problem("backup_key_environment", missing=", ".join(lacking))
    return list(dict.fromkeys(one for one in brought if fingerprint(one).hex() in lacking))


def _split(keys: str | None) -> list[str]:
    return [one.strip() for one in (keys or "").split(",") if one.strip()]


def _refuse_tenants(url: str, *, replace: bool) -> None:
    with psycopg.connect(url) as connection:
        made = connection.execute(_TABLES).fetchone()
        if made and made[0] and not replace:
            row = connection.execute(_TENANTS).fetchone()
            if row and row[0]:
                raise Problem("restore_over_tenants", count=row[0])


def _put_in_place(found: Backup, url: str, keys: Sequence[str], who: str) -> None:
    home = settings.get().home
    filled = at(url, FILLED)
    with psycopg.connect(at(url, "postgres"), autocommit=True) as connection:
        for name in (FILLED, REPLACED):
            _drop(connection, name)  # of a restore that was cut short
        connection.execute(f"CREATE DATABASE {FILLED} TEMPLATE template0")
        try:
            fill(found, filled)
            settle(filled, who, found.header)
        except BaseException:
            _drop(connection, FILLED)
            raise
        if keys:
            with new_key.alone(home):
                new_key.write(home, ",".join([*_split(home_key(home)), *keys]))
        _swap(connection)
        _drop(connection, REPLACED)


def at(url: str, database: str) -> str:
    """The same server's other database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def fill(found: Backup, url: str) -> None:
    """Make the backup's tables, with what is in them, in an empty database; all of it or nothing."""
    program = programs.client("pg_restore", found.header["postgres"])

    def give(pipe: IO[bytes]) -> None:
        for block in found.blocks():
            pipe.write(block)

    words = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
    name = urlsplit(url).path.removeprefix("/")
    try:
        run([str(program), *words, f"--dbname={name}"], url, given=give)
    except Failed as error:
        raise Problem("restore_failed", why=error) from None


def settle(url: str, who: str, header: Header) -> None:
    """Bring what was filled to this version's tables, and have the next run trust nothing that it says of Pluvo."""
    upgrade(url)
    with engine(url).begin() as connection:
        connection.execute(_LOOK_AGAIN)
        connection.execute(_FORGET_LOOKS)
        detail = {"made_at": header["made_at"], "revision": header["revision"]}
        audit.record(connection, verb="system restore", who=who, detail=detail)


def _swap(connection: psycopg.Connection) -> None:
    """Sessions of commands that looked at the old one end; the server's own, of its autovacuum, end in a moment."""
    for attempt in range(_TRIES):
        try:
            with connection.transaction():
                connection.execute(_SESSIONS, {"name": NAME})
                connection.execute(f"ALTER DATABASE {NAME} RENAME TO {REPLACED}")
                connection.execute(f"ALTER DATABASE {FILLED} RENAME TO {NAME}")
            return
        except psycopg.errors.ObjectInUse:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.2)


def _drop(connection: psycopg.Connection, name: str) -> None:
    for attempt in range(_TRIES):
        try:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            return
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):  # autovacuum's session, as above
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.2)
