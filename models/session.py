"""Connections to PostgreSQL: one small pool a process; a block commits at its end or rolls back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy import Connection, Engine, create_engine
from sqlmodel import Session

import settings

# A transaction here is a few statements; nothing waits for HTTP inside one. Whatever lasts longer is a fault.
_OPTIONS = "-c statement_timeout=60s -c idle_in_transaction_session_timeout=60s -c lock_timeout=20s"


@lru_cache(maxsize=8)
def engine_for(url: str, size: int = 10) -> Engine:
    """The pool for a URL. 2 cores gain nothing from more connections; threads wait their turn instead."""
    return create_engine(
        url,
        pool_size=size,
        max_overflow=size,
        pool_pre_ping=True,
        pool_recycle=1800,
        pool_timeout=30,
        connect_args={"connect_timeout": 5, "options": _OPTIONS, "application_name": "koppeling"},
    )


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
