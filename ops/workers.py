"""Worker processes by host: what they do at this moment; which process leads what; what waits, by tenant."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from typing_extensions import TypedDict

from models.session import transaction
from models.worker import ALIVE_SECONDS, code_version
from ops import access, lookup
from ops.listing import rows, where

# One process each does these for all; ``serve`` is only a sign of life.
SERVICES = ("relay", "maintenance", "timetable", "alerts")
# Processes beyond these are counted and not listed.
MOST = 500
_WORKERS = text(
    """
    SELECT id, host, pid, threads, connections, code_version, started_at, heartbeat_at,
           heartbeat_at > now() - make_interval(secs => :alive) AS alive
      FROM worker WHERE CAST(:host AS text) IS NULL OR host = :host ORDER BY host, pid LIMIT :most
    """
)
_MESSAGES = text("SELECT worker, count(*) AS number FROM message WHERE state = 'sent' GROUP BY worker")
_RUNS = text("SELECT lease_owner AS worker, count(*) AS number FROM run WHERE status = 'running' GROUP BY lease_owner")
_SERVICES = text(
    """
    SELECT name, worker, seen_at, worked_at, seen_at > now() - make_interval(secs => :alive) AS alive FROM service
    """
)
_QUEUE = """
    SELECT t.slug AS tenant, t.afas->>'environment' AS environment,
           count(*) FILTER (WHERE m.state = 'ready') AS ready, count(*) FILTER (WHERE m.state = 'sent') AS in_flight,
           count(*) FILTER (WHERE m.state = 'scheduled') AS scheduled, min(m.created_at) AS oldest_at
      FROM message m JOIN tenant t ON t.id = m.tenant_id {where}
     GROUP BY t.slug, t.afas->>'environment' ORDER BY min(m.created_at)
"""


class Worker(TypedDict):
    """A process. ``messages`` and ``runs`` that it has in hand; ``leads``: services that it does for all.

    One that is not ``alive`` gave no sign of life for 15 s; what it has is given to others.
    """

    id: str
    host: str
    pid: int
    version: str
    same_version: bool
    threads: int
    connections: int
    started_at: datetime
    heartbeat_at: datetime
    alive: bool
    messages: int
    runs: int
    leads: list[str]


class Service(TypedDict):
    """What one process does for all, and which. ``state``: ok, nobody."""

    name: str
    state: str
    worker: str | None
    seen_at: datetime | None
    worked_at: datetime | None


class Queue(TypedDict):
    """Messages of a tenant that are still to be done."""

    tenant: str
    environment: str
    ready: int
    in_flight: int
    scheduled: int
    oldest_at: datetime


class Workers(TypedDict):
    """``version`` is that of the process that tells it; ``alive`` counts processes, ``threads`` messages at once."""

    version: str
    alive: int
    threads: int
    hosts: int
    workers: list[Worker]
    services: list[Service]
    queue: list[Queue]


def document(*, here: bool = False) -> Workers:
    """All of it, as the database knows it. ``here``: processes of this machine only."""
    access.check("system.read", None)
    host = _machine() if here else None
    mine = code_version()
    with transaction() as connection:
        found = connection.execute(_WORKERS, {"alive": ALIVE_SECONDS, "most": MOST, "host": host}).all()
        messages = {row.worker: row.number for row in connection.execute(_MESSAGES)}
        runs = {row.worker: row.number for row in connection.execute(_RUNS)}
        services = {row.name: row for row in connection.execute(_SERVICES, {"alive": ALIVE_SECONDS})}
        seen = {"tenants": lookup.visible_ids(connection)}
        of = where({"tenants": "m.tenant_id = ANY(:tenants)"}, seen)
        queue = rows(connection, _QUEUE.format(where=of), **seen)
    leaders = {name: service.worker for name, service in services.items() if service.alive}
    workers: list[Worker] = [
        {
            "id": row.id,
            # Behind the slash stands where its process numbers are unique.
            "host": row.host.partition("/")[0],
            "pid": row.pid,
            "version": row.code_version,
            "same_version": row.code_version == mine,
            "threads": row.threads,
            "connections": row.connections,
            "started_at": row.started_at,
            "heartbeat_at": row.heartbeat_at,
            "alive": row.alive,
            "messages": messages.get(row.id, 0),
            "runs": runs.get(row.id, 0),
            "leads": [name for name in SERVICES if leaders.get(name) == row.id],
        }
        for row in found
    ]  # fmt: skip
    living = [one for one in workers if one["alive"]]
    return {
        "version": mine,
        "alive": len(living),
        "threads": sum(one["threads"] for one in living),
        "hosts": len({one["host"] for one in living}),
        "workers": workers,
        "services": [
            {
                "name": name,
                "state": "ok" if name in services and services[name].alive else "nobody",
                "worker": services[name].worker if name in services else None,
                "seen_at": services[name].seen_at if name in services else None,
                "worked_at": services[name].worked_at if name in services else None,
            }
            for name in SERVICES
        ],
        "queue": [
            {
                "tenant": row["tenant"],
                "environment": row["environment"],
                "ready": row["ready"],
                "in_flight": row["in_flight"],
                "scheduled": row["scheduled"],
                "oldest_at": row["oldest_at"],
            }
            for row in queue
        ],
    }


def _machine() -> str:
    """This machine, as its workers name it."""
    from workers.process.heartbeat import machine  # noqa: PLC0415  what belongs to messages is not needed else

    return machine()
