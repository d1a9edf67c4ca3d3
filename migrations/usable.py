"""May a process of this version work with this database? Asked at every start of a process, and by every command."""

from __future__ import annotations

import psycopg

import settings
from migrations.run import need_newest
from models.session import transaction

POOLED = (
    "A connection pooler in transaction mode stands before PostgreSQL, and koppeling keeps locks and listens on "
    "sessions of its own: give KOPPELING_DATABASE_URL the address of PostgreSQL itself, or pool_mode = session."
)


class Unfit(Exception):
    """This process can't work as things are. The text says why, and what to do."""


def database() -> None:
    """The database: reached without a pooler that mixes sessions, with this version's tables."""
    url = settings.get().need_database()
    refuse_pooler(url)
    need_newest(url)


def keys() -> None:
    """Every stored secret can be read by this process."""
    from models.stored_secrets import need_keys_of_what_is_stored  # noqa: PLC0415  commands that read need no keys

    settings.get().need_secret_keys()
    with transaction() as connection:
        need_keys_of_what_is_stored(connection)


def refuse_pooler(url: str) -> None:
    """Raise Unfit when sessions are not ours alone: two connections must each keep one server process, not the same."""
    plain = url.replace("+psycopg", "", 1)
    with psycopg.connect(plain, autocommit=True, connect_timeout=5, prepare_threshold=None) as first:
        if _process(first) == first.info.backend_pid:
            return  # PostgreSQL itself answered the connection
        with psycopg.connect(plain, autocommit=True, connect_timeout=5, prepare_threshold=None) as second:
            seen: dict[psycopg.Connection, set[int]] = {first: set(), second: set()}
            for one in (first, second, second, first, first, second, first, second) * 2:
                seen[one].add(_process(one))
    if len(seen[first]) > 1 or len(seen[second]) > 1 or seen[first] == seen[second]:
        raise Unfit(POOLED)


def _process(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0
