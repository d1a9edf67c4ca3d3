"""Connections to PostgreSQL: one small pool a process; a block commits at its end or rolls back.

Nobody holds two connections of the pool at once, so a pool that is too small makes threads wait and never blocks them
for ever. What needs a connection for longer (leading, call slots) has one of its own: ``connect_alone``.

Where a connection pooler stands before PostgreSQL (KOPPELING_DATABASE_DIRECT_URL names the way past it), our pool goes
through it: nothing that the pool's connections do outlives a transaction. The others go past it.
"""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from sqlalchemy import Connection, Engine, ExceptionContext, TextClause, create_engine, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

import settings

# Mapping objects takes longer to import than all the rest; much is done with statements alone.
if TYPE_CHECKING:
    from sqlmodel import Session

# A transaction here is a few statements; nothing waits for HTTP inside one. Whatever lasts longer is a fault.
_LIMITS = {"statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s", "lock_timeout": "20s"}
# Behind a pooler a session is anybody's: there each transaction begins with them.
_LIMITS_OF_A_TRANSACTION = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in _LIMITS.items())
# Who vanished without a word is noticed within half a minute, and not after the two hours of the standard: the server
# by us, and we by the server, which then gives free what our session held.
_ALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_ALIVE_THERE = {
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
}
# A connection that worked this long ago works still; asking first each time would cost a seventh of a busy worker.
_TRUSTED_SECONDS = 2.0
# To wait for each host of a URL
CONNECT_SECONDS = 5
# What a command needs. Workers and the web server say what they need with ``use_pool``.
COMMAND_POOL = 5
IDLE_SECONDS = 30.0
# Connections that are left for commands and for people when workers choose the size of their pools.
RESERVED = 5


# PostgreSQL tells in these lines which row it refused, with all that is in it.
_TELLING = re.compile(r"^(?:DETAIL|CONTEXT|HINT):.*(?:\n(?![A-Z]+( \d+)?:).*)*\n?", re.MULTILINE)
_QUOTED = re.compile(r'"[^"]*"')


def _say_no_values(context: ExceptionContext) -> None:
    """Leave out of an exception's text what was to be stored: names may stand there, and anybody may show the text."""
    for error in (context.original_exception, context.sqlalchemy_exception):
        if isinstance(error, BaseException) and error.args and isinstance(error.args[0], str):
            said = _TELLING.sub("", error.args[0])
            if str(getattr(context.original_exception, "sqlstate", "")).startswith("22"):
                said = _QUOTED.sub('"…"', said)  # a value that did not fit its type
            error.args = (said.rstrip("\n"), *error.args[1:])


@lru_cache(maxsize=8)
def engine_for(url: str) -> Engine:
    """The pool for a URL, of the size that ``use_pool`` said last. It never opens more.

    The last one used is taken first: the others may lie idle, and ``close_idle`` gives them back to PostgreSQL.
    """
    pooler = settings.get().database_direct_url is not None
    # A pooler takes no settings of a session, and keeps no prepared statements for it.
    how: dict[str, Any] = {"prepare_threshold": None} if pooler else {"options": _options(_LIMITS | _ALIVE_THERE)}
    made = create_engine(
        "postgresql+psycopg://",
        hide_parameters=True,  # an exception's text may be shown; what was to be stored may not
        pool_size=_Pool.size,
        max_overflow=0,
        pool_use_lifo=True,
        pool_recycle=1800,
        pool_timeout=30,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "koppeling"} | how | _ALIVE,
    )
    read_by_driver(made, url)
    if pooler:
        event.listen(made, "begin", _limit)
    event.listen(made, "handle_error", _say_no_values)
    event.listen(made, "connect", _opened)
    event.listen(made, "checkin", _given_back)
    event.listen(made, "checkout", _taken)
    event.listen(made, "detach", _given_back)
    return made


def read_by_driver(made: Engine, url: str) -> None:
    """Have an engine connect to a URL as PostgreSQL's own library reads it: it may name several hosts."""
    plain = url.replace("+psycopg", "", 1)

    def connect(dialect: Any, record: Any, arguments: Any, names: dict[str, Any]) -> psycopg.Connection:
        return psycopg.connect(plain, **names)

    event.listen(made, "do_connect", connect)


def _options(values: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in values.items())


def _limit(connection: Connection) -> None:
    connection.exec_driver_sql(_LIMITS_OF_A_TRANSACTION)


class _Held(threading.local):
    """The pool's records whose connections this thread has."""

    def __init__(self) -> None:
        self.records: set[Any] = set()


class _Pool:
    """What is known of this process's connections."""

    size = COMMAND_POOL
    records: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()
    # A WeakSet can't be copied while another thread adds to it.
    records_lock: ClassVar[threading.Lock] = threading.Lock()
    # Tests set this: a second connection in one thread is refused instead of being waited for.
    one_each = False
    held: ClassVar[_Held] = _Held()


def use_pool(size: int) -> None:
    """How many connections this process may open at most. Those of a pool that it has already are not counted."""
    if size != _Pool.size:
        _Pool.size = size
        engine_for.cache_clear()


def engine() -> Engine:
    """The pool of this process."""
    return engine_for(settings.get().need_database())


def _opened(connection: Any, record: Any) -> None:
    record.record_info.setdefault("lock", threading.Lock())
    record.info["in_use"] = True  # who opens one takes it
    record.info["used_at"] = time.monotonic()
    with _Pool.records_lock:
        _Pool.records.add(record)


def _taken(connection: Any, record: Any, proxy: Any) -> None:
    """Let the pool replace its connections when one that lay idle turns out to be gone."""
    with record.record_info["lock"]:
        if connection.closed:
            raise DisconnectionError("closed while it lay idle")
        idle_seconds = time.monotonic() - record.info.get("used_at", float("-inf"))
        record.info["in_use"] = True
    if idle_seconds >= _TRUSTED_SECONDS:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.rollback()
        except Exception as error:
            raise InvalidatePoolError("the server closed idle connections") from error
    if connection.autocommit:  # somebody was interrupted in ``autocommit``
        connection.autocommit = False
    if _Pool.one_each and _Pool.held.records:
        raise RuntimeError("a thread takes a second connection while it holds one: that can block all of them")
    # The thread's own set goes along: a connection may be given back by another thread, where garbage is collected.
    _Pool.held.records.add(record)
    record.record_info["holder"] = _Pool.held.records


def _given_back(connection: Any, record: Any) -> None:
    record.record_info.pop("holder", set()).discard(record)
    record.info["used_at"] = time.monotonic()
    record.info["in_use"] = False


def close_idle(idle_seconds: float = IDLE_SECONDS) -> int:
    """Close the connections that were not used for so long; returns how many."""
    closed = 0
    with _Pool.records_lock:
        records = list(_Pool.records)
    for record in records:
        with record.record_info["lock"]:
            old = time.monotonic() - record.info.get("used_at", float("inf")) > idle_seconds
            if record.dbapi_connection is not None and old and not record.info.get("in_use"):
                record.invalidate()
                closed += 1
    return closed


def connect_alone(name: str, options: str = "") -> psycopg.Connection:
    """A connection outside the pool, in autocommit, for what lasts: its session's locks end with it."""
    return psycopg.connect(
        settings.get().need_direct_database(),
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        options=f"{_options(_ALIVE_THERE)} {options}",
        application_name=f"koppeling {name}",
        **_ALIVE,
    )


def room(connection: Connection) -> int:
    """How many connections this database's server lets our user have, those of the superuser's reserve not counted."""
    return int(connection.exec_driver_sql(_ROOM).scalar_one())


_ROOM = """
    SELECT least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0),
        (SELECT CASE WHEN rolconnlimit < 0 THEN 1000000 ELSE rolconnlimit END FROM pg_roles
          WHERE rolname = current_user),
        (SELECT CASE WHEN datconnlimit < 0 THEN 1000000 ELSE datconnlimit END FROM pg_database
          WHERE datname = current_database()))
"""


# More than is kept in so little memory, so it goes to a file of PostgreSQL's, which is made and filled at once.
_SPILL = "SELECT count(*) FROM generate_series(1, 40000)"


def prove_room(connection: Connection) -> None:
    """Raise what PostgreSQL raises where its disk has no half a megabyte left; some 5 ms. The transaction is lost then.

    That a row can be written proves it for a while no longer: it fits into files that are there.
    """
    connection.exec_driver_sql("SET LOCAL work_mem = '64kB'")
    connection.exec_driver_sql(_SPILL)


def takes_writes(connection: Connection) -> bool:
    """False for a replica, and where an administrator's setting forbids it."""
    return bool(connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "off")


def has_room(connection: Connection) -> bool:
    """The same, told, in a transaction that goes on."""
    try:
        with connection.begin_nested():
            prove_room(connection)
    except DBAPIError as error:
        if sqlstate(error) != DISK_FULL:
            raise
        return False
    return True


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection in a transaction: commits at the end, rolls back when the block raises."""
    with engine().begin() as connection:
        yield connection


@contextmanager
def autocommit() -> Iterator[Connection]:
    """A connection for one statement that is a transaction by itself: beginning and commit cost no round trip."""
    if settings.get().database_direct_url is not None:  # through a pooler our limits need a transaction
        with transaction() as connection:
            yield connection
        return
    with engine().connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@dataclass
class _Fetched:
    """A statement as PostgreSQL takes it, the names of its values in their order, and what makes a row of its result
    once its columns are known.
    """

    sql: str
    names: Sequence[str]
    row: Any = None


_fetched: dict[TextClause, _Fetched] = {}
_kind_of_row: Any = namedtuple  # mypy wants to see the columns
_dialect: Any = postgresql.dialect  # it has no types
# Parameters as $1, $2, …
_numbering = _dialect(paramstyle="numeric_dollar")


def fetch(connection: Connection, statement: TextClause, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a statement that returns some, as named tuples. Raises what ``connection.execute`` raises.

    For what every message does: more than half of the time of ``execute`` goes into describing result and values.
    """
    known = _fetched.get(statement)
    if known is None:
        compiled = statement.compile(dialect=_numbering)
        known = _fetched[statement] = _Fetched(str(compiled), list(dict.fromkeys(compiled.positiontup or ())))
    driver: Any = connection.connection.driver_connection
    cursor: Any = None
    try:
        # It takes a statement as PostgreSQL does; the ordinary one would look for names in it each time.
        cursor = psycopg.RawCursor(driver)
        cursor.execute(known.sql, [values[name] for name in known.names])
        rows = cursor.fetchall()
    except BaseException as error:
        # The only way to what ``execute`` does then; ``exec_driver_sql``, which is public, takes twice as long.
        connection._handle_dbapi_exception(error, known.sql, None, cursor, None)
    if known.row is None:
        known.row = _kind_of_row("Row", [column[0] for column in cursor.description])._make
    return [known.row(row) for row in rows]


@contextmanager
def session() -> Iterator[Session]:
    """The same with SQLModel objects, which stay readable after the commit."""
    from sqlmodel import Session  # noqa: PLC0415

    with Session(engine(), expire_on_commit=False) as opened, opened.begin():
        yield opened


# What PostgreSQL raises, or the pool in its place.
DATABASE_TROUBLE = (DBAPIError, NoConnection)
# A statement that was cancelled for taking too long is a fault of ours, not trouble of PostgreSQL's.
_CANCELLED = "57014"
# The first digits of what is larger than PostgreSQL takes, whenever it is asked; psycopg counts it as operational.
_TOO_LARGE = "54"
# It answers, and takes no writes: a replica after a failover, an administrator's ``default_transaction_read_only``.
READ_ONLY = "25006"
TOO_MANY = "53300"
DISK_FULL = "53100"
SHUTTING_DOWN = ("57P01", "57P02", "57P03")
UNDEFINED_TABLE = "42P01"
_NO_PLACE = ("too many clients", "remaining connection slots", "too many connections")


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's own word for what went wrong; empty where there is none."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    if state is None and any(words in str(cause) for words in _NO_PLACE):
        return TOO_MANY  # a connection that was refused has no state, only words
    if state is None and "shutting down" in str(cause):
        return SHUTTING_DOWN[0]
    if state is None and "starting up" in str(cause):
        return SHUTTING_DOWN[2]
    return str(state or "")


# Why a connection was refused, by words of PostgreSQL's library: it gives no state before a session stands.
_REFUSED = {
    "certificate": "certificate",
    "does not support SSL": "no_tls",
    "SSL required": "no_tls",
    "no encryption": "no_tls",
    "session is read-only": "no_writer",
}


def why_refused(error: BaseException) -> str:
    """``certificate``, ``no_tls`` or ``no_writer`` where that is why no connection came about, else empty."""
    said = str(getattr(error, "orig", None) or error)
    return next((why for words, why in _REFUSED.items() if words in said), "")


# Serialization failure, deadlock, lock not available.
CONTENDED = ("40001", "40P01", "55P03")


def is_contended(error: BaseException) -> bool:
    """Whether others hold what was wanted, and PostgreSQL only asks to do the same once more, a little later."""
    return isinstance(error, DBAPIError) and sqlstate(error) in CONTENDED


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL can't do its work now, whatever it is asked: gone, full, starting, read-only."""
    if isinstance(error, NoConnection):
        return True
    if isinstance(error, DBAPIError):
        state = str(getattr(error.orig, "sqlstate", None))
        if state in (_CANCELLED, READ_ONLY) or state.startswith(_TOO_LARGE):
            return state == READ_ONLY
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return False
