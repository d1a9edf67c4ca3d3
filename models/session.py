"""Connections to PostgreSQL: one small pool a process; a block commits at its end or rolls back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlmodel import Session

import settings

# A transaction here is a few statements; nothing waits for HTTP inside one. Whatever lasts longer is a fault.
_OPTIONS = "-c statement_timeout=60s -c idle_in_transaction_session_timeout=60s -c lock_timeout=20s"


# A connection that worked this long ago works still; asking first each time would cost a seventh of a busy worker.
_TRUSTED_SECONDS = 2.0


def _note_use(connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _ask_first(connection: Any, record: Any, proxy: Any) -> None:
    """Let the pool replace its connections when one that lay idle turns out to be gone."""
    if time.monotonic() - record.info.get("used_at", float("-inf")) < _TRUSTED_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except Exception as error:
        raise InvalidatePoolError("the server closed idle connections") from error


@lru_cache(maxsize=8)
def engine_for(url: str, size: int = 16) -> Engine:
    """The pool for a URL: as many as the threads of a busy worker use at a time, the slots they hold included.

    What exceeds ``size`` is opened and closed each time, which costs PostgreSQL more than the work done with it; so
    that is for exceptions. The last one used is taken first: the others may lie idle.
    """
    made = create_engine(
        url,
        pool_size=size,
        max_overflow=4,
        pool_use_lifo=True,
        pool_recycle=1800,
        pool_timeout=30,
        connect_args={"connect_timeout": 5, "options": _OPTIONS, "application_name": "koppeling"},
    )
    event.listen(made, "connect", _note_use)
    event.listen(made, "checkin", _note_use)
    event.listen(made, "checkout", _ask_first)
    return made


def engine() -> Engine:
    """The pool of this process."""
    return engine_for(settings.get().need_database())


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection in a transaction: commits at the end, rolls back when the block raises."""
    with engine().begin() as connection:
        yield connection


@contextmanager
def session() -> Iterator[Session]:
    """The same with SQLModel objects, which stay readable after the commit."""
    with Session(engine(), expire_on_commit=False) as opened, opened.begin():
        yield opened


# A statement that was cancelled for taking too long is a fault of ours, not trouble of PostgreSQL's.
_CANCELLED = "57014"
# It answers, and takes no writes: a replica after a failover, an administrator's ``default_transaction_read_only``.
READ_ONLY = "25006"


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL can't do its work now, whatever it is asked: gone, full, starting, read-only."""
    if isinstance(error, NoConnection):
        return True
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if state in (_CANCELLED, READ_ONLY):
            return bool(state == READ_ONLY)
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return False
