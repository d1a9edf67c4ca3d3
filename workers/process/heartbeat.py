"""The sign of life of this worker process in PostgreSQL."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import structlog
from sqlalchemy import Connection, text

from loops import Loop
from models.session import DATABASE_TROUBLE, close_idle
from models.worker import code_version, keeps_serving, worker_id
from tenancy import tallies
from workers.messages import unrecorded

HEARTBEAT_SECONDS = 3.0
log = structlog.get_logger("workers.process.heartbeat")


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
    """Take this process off the list, unless it still holds something: that is found by this row when it is reaped."""
    connection.execute(
        text(
            """DELETE FROM worker WHERE id = :id
                  AND NOT EXISTS (SELECT 1 FROM message WHERE worker = :id AND state = 'sent')
                  AND NOT EXISTS (SELECT 1 FROM run WHERE lease_owner = :id AND status = 'running')"""
        ),
        {"id": worker_id()},
    )


class Heartbeat(Loop):
    """Beats every 3 s until ``stop``.

    It carries what this process counted; it gives back what could not be recorded, and connections that lie idle.
    """

    def __init__(self, threads: int, connections: int) -> None:
        super().__init__("heartbeat")
        self.threads = threads
        self.connections = connections

    def step(self) -> float:
        with unrecorded.given_back() as connection:
            beat(connection, self.threads, self.connections)
            keeps_serving(connection)
        tallies.write()
        close_idle()
        return HEARTBEAT_SECONDS

    def stop(self, timeout: float = 5.0) -> None:
        """End, and take the process off the list (best effort: the row ages otherwise)."""
        super().stop(timeout)
        try:
            with unrecorded.given_back() as connection:
                leave(connection)
            tallies.write()
        except DATABASE_TROUBLE as error:
            log.warning("worker_row_left", error=type(error).__name__)
