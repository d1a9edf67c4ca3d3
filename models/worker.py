"""Worker processes that are alive, and what one process at a time does for all: relay, maintenance, timetable."""

from __future__ import annotations

import os
import secrets
import socket
from functools import lru_cache
from importlib.metadata import version

from sqlalchemy import Connection, text

# A process that gave a sign of life less than this ago is alive.
ALIVE_SECONDS = 15
# Threads that a process has besides, for each of those it was told to have: they go on with other messages for threads
# that only wait (clients/http/idle_threads.py).
STANDING_BY = 3
# Rises with what stored messages and dead letters mean, not with every release.
REVISION = 1
_names: dict[int, str] = {}


@lru_cache(maxsize=1)
def code_version() -> str:
    """What dead letters and worker rows are stamped with, e.g. ``0.1.0/1``."""
    return f"{version('koppeling')}/{REVISION}"


def worker_id() -> str:
    """``host:pid:random`` of this process; another one after a fork."""
    pid = os.getpid()
    if pid not in _names:
        # Threads that ask at the same moment get the same answer: what one of them holds is found by this name.
        _names.setdefault(pid, f"{socket.gethostname()}:{pid}:{secrets.token_hex(4)}")
    return _names[pid]


def live_workers(connection: Connection) -> list[str]:
    """Ids of the worker processes whose last sign of life is less than 15 s old."""
    rows = connection.execute(
        text("SELECT id FROM worker WHERE heartbeat_at > now() - make_interval(secs => :alive) ORDER BY id"),
        {"alive": ALIVE_SECONDS},
    )
    return [row.id for row in rows]


def serve(connection: Connection, name: str) -> bool:
    """Do a service that one process at a time does for all; False while another process does it and is alive."""
    return bool(
        connection.execute(
            text(
                """INSERT INTO service AS s (name, worker) VALUES (:name, :worker)
                   ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, seen_at = now()
                    WHERE s.worker = excluded.worker OR s.seen_at < now() - make_interval(secs => :alive)"""
            ),
            {"name": name, "worker": worker_id(), "alive": ALIVE_SECONDS},
        ).rowcount
    )


def keeps_serving(connection: Connection) -> None:
    """Keep maintenance with this process while a chore of it takes long."""
    connection.execute(
        text(
            """UPDATE service SET seen_at = now() WHERE name = 'maintenance' AND worker = :worker
                  AND seen_at > now() - make_interval(secs => :alive)"""
        ),
        {"worker": worker_id(), "alive": ALIVE_SECONDS},
    )


def resign(connection: Connection, name: str) -> None:
    """Let another process do a service at once."""
    connection.execute(
        text("DELETE FROM service WHERE name = :name AND worker = :worker"), {"name": name, "worker": worker_id()}
    )
