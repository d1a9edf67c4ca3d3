"""Be the one of all worker processes that does something: a session advisory lock on a connection of its own.

The leader works through the connection that holds the lock: without the connection it can't go on writing.
A leader that is frozen loses its connection to ``idle_session_timeout`` after 15 s, and with it the lead.
"""

from __future__ import annotations

import psycopg

from models.advisory_locks import AdvisoryLock
from models.session import connect_alone

IDLE_SECONDS = 15
_OPTIONS = f"-c idle_session_timeout={IDLE_SECONDS}s -c statement_timeout=30s -c lock_timeout=5s"


class Leader:
    """One candidate for one lock. Not thread-safe: one thread asks, leads and works."""

    def __init__(self, key: AdvisoryLock, name: str) -> None:
        self.key = key
        self.name = name
        self.connection: psycopg.Connection | None = None
        self.leading = False

    def lead(self) -> psycopg.Connection | None:
        """The connection to work through while this process leads, else None. psycopg.Error without PostgreSQL."""
        if self.connection is None or self.connection.closed:
            self.leading = False
            self.connection = connect_alone(self.name, _OPTIONS)
        if not self.leading:
            row = self.connection.execute("SELECT pg_try_advisory_lock(%s)", [self.key]).fetchone()
            self.leading = bool(row and row[0])
        return self.connection if self.leading else None

    def resign(self) -> None:
        """Let go of the lock and the connection."""
        self.leading = False
        if self.connection is not None:
            self.connection.close()
            self.connection = None
