"""At most N AFAS calls in flight per environment, over all machines.

A slot is a PostgreSQL advisory lock on a connection held for the length of the call. No transaction is open meanwhile,
and a process that dies gives its slots back with its connection: nothing leaks, nothing has to expire.
"""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from models.session import engine

_CLASS = 7_301_002


@contextmanager
def slot(environment: str, limit: int, patience_seconds: float = 120.0) -> Iterator[None]:
    """Hold one of ``limit`` slots of an environment; TimeoutError when none comes free in time."""
    base = zlib.crc32(environment.encode()) & 0x0FFFFFFF
    give_up = time.monotonic() + patience_seconds
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        order = list(range(limit))
        while True:
            random.shuffle(order)
            for number in order:
                key = {"class": _CLASS, "key": (base * 8 + number) % 2**31}
                if connection.execute(text("SELECT pg_try_advisory_lock(:class, :key)"), key).scalar():
                    try:
                        yield
                    finally:
                        connection.execute(text("SELECT pg_advisory_unlock(:class, :key)"), key)
                    return
            if time.monotonic() > give_up:
                raise TimeoutError(f"no free call to {environment} within {patience_seconds:.0f} s")
            time.sleep(random.uniform(0.01, 0.05))  # noqa: S311  spreads the waiters, guards nothing
