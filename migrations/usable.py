"""May a process of this version work with this database? Asked at every start of a process, and by every command."""

from __future__ import annotations

import secrets

import psycopg

import settings
from migrations.run import need_newest
from models.session import CONNECT_SECONDS, sqlstate, transaction

POOLED = (
    "A connection pooler in transaction mode stands before PostgreSQL at KOPPELING_DATABASE_URL, and some sessions "
    "must be koppeling's own: set KOPPELING_DATABASE_DIRECT_URL to the address of PostgreSQL itself."
)
NO_SETTINGS = (
    "The connection pooler at KOPPELING_DATABASE_URL takes no settings of a session: set KOPPELING_DATABASE_DIRECT_URL "
    "to the address of PostgreSQL itself."
)
STATEMENTS = (
    "The connection pooler at {name} is in statement mode, which has no transactions: set pool_mode = transaction "
    "there, and KOPPELING_DATABASE_DIRECT_URL to the address of PostgreSQL itself."
)
NOT_DIRECT = (
    "KOPPELING_DATABASE_DIRECT_URL leads to a connection pooler, and the sessions behind it must be koppeling's own: "
    "set it to the address of PostgreSQL itself."
)
ELSEWHERE = "KOPPELING_DATABASE_URL and KOPPELING_DATABASE_DIRECT_URL lead to different databases: set both to one."
_URL, _DIRECT = "KOPPELING_DATABASE_URL", "KOPPELING_DATABASE_DIRECT_URL"


class Unfit(Exception):
    """This process can't work as things are. The text says why, and what to do."""


def database() -> None:
    """The database: reached so that sessions which must be ours are ours, with this version's tables."""
    addresses()
    need_newest(settings.get().need_direct_database())


def keys() -> None:
    """Every stored secret can be read by this process."""
    from models.stored_secrets import need_keys_of_what_is_stored  # noqa: PLC0415  commands that read need no keys

    settings.get().need_secret_keys()
    with transaction() as connection:
        need_keys_of_what_is_stored(connection)


def addresses() -> None:
    """Raise Unfit unless the addresses lead where they must: one for all, or one to a pooler and one past it."""
    found = settings.get()
    if found.database_direct_url is None:
        refuse_pooler(found.need_database())
        return
    direct, pooled = found.need_direct_database(), _plain(found.need_database())
    try:
        refuse_pooler(direct)
    except Unfit:
        raise Unfit(NOT_DIRECT) from None
    except psycopg.OperationalError as error:
        if sqlstate(error):
            raise
        said = str(error).strip().splitlines()
        raise Unfit(f"{_DIRECT} leads nowhere ({said[-1] if said else type(error).__name__}): check it.") from None
    _need_transactions(pooled, _URL)
    _need_same(pooled, direct)


def refuse_pooler(url: str) -> None:
    """Raise Unfit when sessions are not ours alone: two connections must each keep one server process, not the same."""
    plain = _plain(url)
    with _connect(plain) as first:
        if _process(first) == first.info.backend_pid:
            return  # PostgreSQL itself answered the connection
        with _connect(plain) as second:
            seen: dict[psycopg.Connection, set[int]] = {first: set(), second: set()}
            for one in (first, second, second, first, first, second, first, second) * 2:
                seen[one].add(_process(one))
    if len(seen[first]) > 1 or len(seen[second]) > 1 or seen[first] == seen[second]:
        _need_transactions(plain, _URL)
        raise Unfit(POOLED)
    try:
        _connect(plain, options="-c lock_timeout=20s").close()
    except psycopg.OperationalError as error:
        if "startup parameter" not in str(error):
            raise
        raise Unfit(NO_SETTINGS) from None


def _need_transactions(url: str, name: str) -> None:
    """Raise Unfit for a pooler that lends a server for one statement only."""
    with _connect(url) as connection:
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT 1")
            connection.execute("COMMIT")
        except psycopg.Error as error:
            if "statement pooling" not in str(error):
                raise
            raise Unfit(STATEMENTS.format(name=name)) from None


def _need_same(pooled: str, direct: str) -> None:
    """A lock that is held by way of one address must be known by way of the other."""
    key = [secrets.randbits(62)]
    with _connect(pooled) as one, _connect(direct) as other, one.transaction():
        one.execute("SELECT pg_advisory_xact_lock(%s)", key)
        row = other.execute("SELECT pg_try_advisory_xact_lock(%s)", key).fetchone()
        if row and row[0]:
            raise Unfit(ELSEWHERE)


def _connect(url: str, options: str = "") -> psycopg.Connection:
    """A connection that sends nothing but what it must: poolers refuse what they do not know."""
    given = {"options": options} if options else {}
    named = psycopg.conninfo.make_conninfo(url, connect_timeout=CONNECT_SECONDS, **given)
    return psycopg.connect(named, autocommit=True, prepare_threshold=None)


def _plain(url: str) -> str:
    return url.replace("+psycopg", "", 1)


def _process(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0
