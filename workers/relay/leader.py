"""Be the one of all worker processes that does something: a session advisory lock on a connection of its own.

The leader works through the connection that holds the lock: without the connection it can't go on writing.
A leader that is frozen loses its connection to ``idle_session_timeout`` after 15 s, and with it the lead.
"""

from __future__ import annotations

import time
from typing import LiteralString

import psycopg

from models.advisory_locks import AdvisoryLock
from models.session import connect_alone

IDLE_SECONDS = 15
STANDBY_SECONDS = 1.0
# By index, few rows at a time, each statement planned once. A bitmap scan walks again and again over the index entries
# of messages that left (an index scan clears them away), and the table is full of such rows, too, until it is vacuumed.
PLANS = "-c enable_bitmapscan=off -c enable_seqscan=off -c plan_cache_mode=force_generic_plan"
_OPTIONS = f"-c idle_session_timeout={IDLE_SECONDS}s -c statement_timeout=30s -c lock_timeout=5s {PLANS}"


class Leader:
    """One candidate for one lock, asked for once a second. It hears what is said on ``channel``, leading or not.

    Not thread-safe: one thread asks, leads and works.
    """

    def __init__(self, key: AdvisoryLock, name: str, channel: LiteralString) -> None:
        self.key = key
        self.name = name
        self.channel = channel
        self.connection: psycopg.Connection | None = None
        self.leading = False
        self.ask_at = 0.0

    def lead(self) -> psycopg.Connection | None:
        """The connection to work through while this process leads, else None. psycopg.Error without PostgreSQL."""
        if self.connection is None or self.connection.closed:
            self.leading, self.ask_at = False, 0.0
            connection = connect_alone(self.name, _OPTIONS)
            try:
                connection.execute(f"LISTEN {self.channel}")
            except psycopg.Error:  # a standby takes none: once it is promoted, this connection would never hear
                connection.close()
                raise
            self.connection = connection
        if not self.leading and time.monotonic() >= self.ask_at:
            self.ask_at = time.monotonic() + STANDBY_SECONDS
            row = self.connection.execute("SELECT pg_try_advisory_lock(%s)", [self.key]).fetchone()
            self.leading = bool(row and row[0])
        return self.connection if self.leading else None

    def resign(self) -> None:
        """Let go of the lock and the connection."""
        self.leading = False
        if self.connection is not None:
            self.connection.close()
            self.connection = None
