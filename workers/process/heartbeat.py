"""This worker process: its name, the version it runs, its sign of life in PostgreSQL."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from loops import Loop
from models.session import close_idle, transaction

# Rises with what stored messages and dead letters mean, not with every release.
REVISION = 1
HEARTBEAT_SECONDS = 3.0
ALIVE_SECONDS = 15
DATABASE_TROUBLE = (DBAPIError, NoConnection)
_names: dict[int, str] = {}
log = structlog.get_logger("workers.process.heartbeat")


@lru_cache(maxsize=1)
def code_version() -> str:
    """What dead letters and worker rows are stamped with, e.g. ``0.1.0/1``."""
    return f"{version('koppeling')}/{REVISION}"


@lru_cache(maxsize=1)
def machine() -> str:
    """Where process numbers are unique: the host's name, and which boot and which process space of it.

    Containers may share a host name, and number their processes alike.
    """
    space = ""
    with suppress(OSError):  # other systems than Linux have neither
        space += Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space += os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{hashlib.sha256(space.encode()).hexdigest()[:8]}"


def worker_id() -> str:
    """``host:pid:random`` of this process; another one after a fork."""
    pid = os.getpid()
    if pid not in _names:
        # Threads that ask at the same moment get the same answer: what one of them holds is found by this name.
        _names.setdefault(pid, f"{socket.gethostname()}:{pid}:{secrets.token_hex(4)}")
    return _names[pid]


def beat(connection: Connection, threads: int, connections: int) -> None:
    """Say that this process is alive, how many messages it works on at once and how many connections it may open."""
    connection.execute(
        text(
            """INSERT INTO worker (id, host, pid, threads, connections, code_version)
               VALUES (:id, :host, :pid, :threads, :connections, :version)
               ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), threads = excluded.threads"""
        ),
        {
            "id": worker_id(),
            "host": machine(),
            "pid": os.getpid(),
            "threads": threads,
            "connections": connections,
            "version": code_version(),
        },
    )


def leave(connection: Connection) -> None:
    """Take this process off the list; not while it holds something, which whoever reaps it finds by this row."""
    connection.execute(
        text(
            """DELETE FROM worker WHERE id = :id
                  AND NOT EXISTS (SELECT 1 FROM message WHERE worker = :id AND state = 'sent')
                  AND NOT EXISTS (SELECT 1 FROM run WHERE lease_owner = :id AND status = 'running')"""
        ),
        {"id": worker_id()},
    )


def live_workers(connection: Connection) -> list[str]:
    """Ids of the worker processes whose last sign of life is less than 15 s old."""
    rows = connection.execute(
        text("SELECT id FROM worker WHERE heartbeat_at > now() - make_interval(secs => :alive) ORDER BY id"),
        {"alive": ALIVE_SECONDS},
    )
    return [row.id for row in rows]


def serve(connection: Connection, name: str) -> bool:
    """Do a service that one process at a time does for all; False while another one does it and shows that it lives."""
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


def still_serves(connection: Connection) -> None:
    """Keep this process's services its own while a chore of theirs takes long."""
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


# Deliveries that could not be recorded because PostgreSQL was away. They are given back as soon as it answers, so that
# its trouble costs neither an attempt nor the rest of a lease, and never looks like a message that kills its worker.
_unrecorded: set[tuple[int, int]] = set()


def give_back_later(message_id: int, delivery: int) -> None:
    """Remember a delivery of this process that ended without being recorded."""
    _unrecorded.add((message_id, delivery))


def unrecorded() -> bool:
    """Whether this process has something to give back."""
    return bool(_unrecorded)


def give_back(connection: Connection) -> int:
    """Put the remembered deliveries back to ready; how many there were. Again is harmless."""
    count = 0
    for message_id, delivery in list(_unrecorded):
        count += connection.execute(
            text(
                """UPDATE message SET state = 'ready', run_at = now(), started_at = NULL, worker = NULL,
                          lease_until = NULL
                    WHERE id = :id AND deliveries = :delivery AND state = 'sent'"""
            ),
            {"id": message_id, "delivery": delivery},
        ).rowcount
    if count:
        connection.execute(text("NOTIFY koppeling_ledger"))
    return count


class Heartbeat(Loop):
    """Beats every 3 s until ``stop``; also gives back what could not be recorded, and connections that lie idle."""

    def __init__(self, threads: int, connections: int) -> None:
        super().__init__("heartbeat")
        self.threads = threads
        self.connections = connections

    def step(self) -> float:
        remembered = set(_unrecorded)
        with transaction() as connection:
            beat(connection, self.threads, self.connections)
            still_serves(connection)
            give_back(connection)
        _unrecorded.difference_update(remembered)
        close_idle()
        return HEARTBEAT_SECONDS

    def stop(self, timeout: float = 5.0) -> None:
        """End, and take the process off the list (best effort: the row ages otherwise)."""
        super().stop(timeout)
        try:
            with transaction() as connection:
                give_back(connection)
                leave(connection)
        except DATABASE_TROUBLE as error:
            log.warning("worker_row_left", error=type(error).__name__)
