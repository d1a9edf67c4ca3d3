"""Numbers for a monitoring system: how much waits, how old it is, how every direction is doing. No names, no addresses.

A tenant is told by its slug, and beyond ``MOST_TENANTS`` not at all, so that no label grows without end.
"""

from __future__ import annotations

import math

from pydantic import ValidationError
from sqlalchemy import Connection, Row, TextClause, text
from typing_extensions import TypedDict

from clients.errors import Misconfigured
from models.advisory_locks import AdvisoryLock
from models.completion_state import CLOSED
from models.credential_end import AFAS_ENDS
from models.direction import Health
from models.session import has_room, takes_writes, transaction
from models.tenant_settings import AfasSettings
from models.worker import ALIVE_SECONDS
from ops import access
from ops.workers import SERVICES
from tenancy import vital_signs
from tenancy.call_slots import slots
from tenancy.systems import afas_address

MOST_TENANTS = 2000
# What is counted beyond counts as so many: an alarm needs no more.
MOST = 10_000
# What keeps a process of eight threads busy: a message for each, and two that are next; and runs.
MESSAGES_A_PROCESS, RUNS_A_PROCESS = 10, 4
_MESSAGES = text("SELECT state, count(*) AS number FROM message GROUP BY state")
_OLDEST = text("SELECT extract(epoch FROM now() - min(created_at)) FROM message")
# What may go, by lane, and how many of it at once are of use: AFAS takes so many calls of an environment at a time,
# Pluvo so many a second of an organisation, and a call takes about one.
_LANES = text(
    """
    SELECT l.number, CASE WHEN l.direction = 'completions' THEN coalesce((t.afas->>'parallel_calls')::int, 2)
                          WHEN coalesce((t.pluvo->>'calls_per_second')::float, 5) > 0
                          THEN least(:most, ceil(coalesce((t.pluvo->>'calls_per_second')::float, 5)
                                                    * coalesce((t.pluvo->>'people_per_call')::int, 1)))
                          ELSE :most END AS at_once
      FROM (SELECT m.tenant_id, m.direction, count(*) AS number FROM message m
             WHERE m.state IN ('ready', 'sent') GROUP BY m.tenant_id, m.direction) l
      JOIN tenant t ON t.id = l.tenant_id
      LEFT JOIN tenant_direction d ON d.tenant_id = l.tenant_id AND d.direction = l.direction
     WHERE coalesce(d.state, '') NOT IN ('paused', 'quarantined') AND coalesce(d.wait_until, now()) <= now()
    """
)
_RUNS = text(
    """
    SELECT status, count(*) AS number FROM run
     WHERE status IN ('queued', 'running', 'applying') AND tenant_id IS NOT NULL GROUP BY status
    """
)
_WORKERS = text(
    """
    SELECT count(*) AS processes, coalesce(sum(threads), 0) AS threads FROM worker
     WHERE heartbeat_at > now() - make_interval(secs => :alive)
    """
)
_ALERTS = text("SELECT kind, count(*) AS number FROM alert WHERE closed_at IS NULL GROUP BY kind")
_OUTSIDE = text("SELECT count(*) FROM dead_letter WHERE state = 'open' AND tenant_id IS NULL")
_TENANTS = text(
    f"""
    SELECT t.slug, extract(epoch FROM {AFAS_ENDS} + 1) AS ends,
           (SELECT extract(epoch FROM now() - coalesce(r.finished_at, r.created_at)) FROM run r
             WHERE r.tenant_id = t.id AND r.direction = 'enrollments' AND r.snapshot = 'complete'
               AND r.trigger <> 'preview' AND NOT r.options ? 'person'
               AND r.status NOT IN ('queued', 'running') ORDER BY r.id DESC LIMIT 1) AS snapshot_age,
           (SELECT count(*) FROM hold WHERE tenant_id = t.id AND state = 'open') AS holds,
           (SELECT count(*) FROM dead_letter WHERE tenant_id = t.id AND state = 'open') AS dead,
           (SELECT count(*) FROM (SELECT 1 FROM completion c WHERE c.tenant_id = t.id AND c.state = 'conflict'
                                     AND NOT {CLOSED} LIMIT :most) x) AS conflicts,
           (SELECT count(*) FROM (SELECT 1 FROM completion c WHERE c.tenant_id = t.id AND c.state = 'written'
                                   LIMIT :most) x) AS unverified
      FROM tenant t ORDER BY t.id LIMIT :tenants
    """  # noqa: S608  constants only
)
_AMBIGUOUS = text(
    """
    SELECT t.slug, count(*) AS number FROM link l JOIN tenant t ON t.id = l.tenant_id
     WHERE l.state = 'ambiguous' AND l.decision IS NULL GROUP BY t.slug
    """
)
_DIRECTIONS = text(
    """
    SELECT t.slug, d.direction, d.state FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
     ORDER BY t.id, d.direction
    """
)


_TALLIES = text("SELECT name, labels, value FROM tally ORDER BY name, labels LIMIT :most")
# Numbers of the slots for calls to AFAS that are held at this moment, by any process.
_SLOTS = text(
    """
    SELECT objid::bigint FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND classid = :class AND objsubid = 2
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
)
_AFAS = text("SELECT slug, afas FROM tenant ORDER BY id LIMIT :tenants")


class Budget(TypedDict):
    """Calls that an AFAS environment takes at once, and that are under way."""

    allowed: int
    in_flight: int


class OfTenant(TypedDict):
    """``snapshot_age``: seconds since AFAS was last read as a whole; ``ends``: when its credentials end (Unix time)."""

    holds: int
    ambiguous: int
    dead: int
    conflicts: int
    unverified: int
    snapshot_age: float | None
    ends: float | None
    directions: dict[str, str]


class Metrics(TypedDict):
    """``wanted_workers``: processes that would have enough to do; ``dead_elsewhere``: of no tenant; ``writable``: the
    database takes writes, and its disk more of them."""

    writable: bool
    messages: dict[str, int]
    oldest_seconds: float
    runs: dict[str, int]
    workers: int
    threads: int
    wanted_workers: int
    services: dict[str, bool]
    alerts: dict[str, int]
    dead_elsewhere: int
    tenants: dict[str, OfTenant]
    # As in ``tenancy/tallies.py``: (name, labels, value)
    tallies: list[tuple[str, tuple[str, ...], float]]
    # Of AFAS, by tenant; two of one environment have the same numbers
    budgets: dict[str, Budget]


def read() -> Metrics:
    """All of it, now. Raises what SQLAlchemy raises when the database can't be reached."""
    access.check("system.read", None)
    with transaction() as connection:
        messages = _counted(connection, _MESSAGES)
        runs = _counted(connection, _RUNS)
        workers = connection.execute(_WORKERS, {"alive": ALIVE_SECONDS}).one()
        lanes = [
            (int(row.number), int(row.at_once)) for row in connection.execute(_LANES, {"most": MESSAGES_A_PROCESS})
        ]
        seen = vital_signs.read(connection)
        alive = _services(connection)
        found = connection.execute(_TENANTS, {"most": MOST, "tenants": MOST_TENANTS}).all()
        ambiguous = {row.slug: int(row.number) for row in connection.execute(_AMBIGUOUS)}
        directions: dict[str, dict[str, str]] = {}
        for row in connection.execute(_DIRECTIONS):
            directions.setdefault(row.slug, {})[row.direction] = row.state
        return {
            "writable": takes_writes(connection) and has_room(connection),
            "messages": {state: messages.get(state, 0) for state in ("ready", "sent", "scheduled")},
            "oldest_seconds": float(connection.execute(_OLDEST).scalar() or 0),
            "runs": {status: runs.get(status, 0) for status in ("queued", "running", "applying")},
            "workers": int(workers.processes),
            "threads": int(workers.threads),
            "wanted_workers": wanted(lanes, runs.get("queued", 0) + runs.get("running", 0), used=bool(found)),
            "services": {name: seen.get(name, "ok") == "ok" and name in alive for name in SERVICES},
            "alerts": _counted(connection, _ALERTS),
            "dead_elsewhere": int(connection.execute(_OUTSIDE).scalar_one()),
            "tenants": {row.slug: _tenant(row, ambiguous, directions) for row in found},
            "tallies": [
                (row.name, tuple(row.labels.split("|")), float(row.value))
                for row in connection.execute(_TALLIES, {"most": MOST})
            ],
            "budgets": _budgets(connection),
        }


def wanted(lanes: list[tuple[int, int]], runs: int, *, used: bool) -> int:
    """How many worker processes have enough to do: one where there are tenants at all. Pure.

    ``lanes``: messages that may go, and how many of them at once are of use: ten thousand of one tenant need no more
    processes than ten.
    """
    at_once = sum(min(number, most) for number, most in lanes)
    return max(int(used), math.ceil(at_once / MESSAGES_A_PROCESS), math.ceil(runs / RUNS_A_PROCESS))


def _counted(connection: Connection, statement: TextClause) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in connection.execute(statement)}


def _budgets(connection: Connection) -> dict[str, Budget]:
    held = set(connection.execute(_SLOTS, {"class": AdvisoryLock.CALL_SLOT}).scalars())
    found: dict[str, Budget] = {}
    for row in connection.execute(_AFAS, {"tenants": MOST_TENANTS}):
        try:
            config = AfasSettings.model_validate(row.afas)
            numbers = slots(afas_address(config), config.parallel_calls)
        except (Misconfigured, ValidationError):
            continue  # nobody calls there
        found[row.slug] = {"allowed": len(numbers), "in_flight": len(held.intersection(numbers))}
    return found


def _services(connection: Connection) -> set[str]:
    alive = text("SELECT name FROM service WHERE seen_at > now() - make_interval(secs => :alive)")
    return set(connection.execute(alive, {"alive": ALIVE_SECONDS}).scalars())


def _tenant(row: Row[tuple[object, ...]], ambiguous: dict[str, int], directions: dict[str, dict[str, str]]) -> OfTenant:
    return {
        "holds": row.holds,
        "ambiguous": ambiguous.get(row.slug, 0),
        "dead": row.dead,
        "conflicts": row.conflicts,
        "unverified": row.unverified,
        "snapshot_age": None if row.snapshot_age is None else float(row.snapshot_age),
        "ends": None if row.ends is None else float(row.ends),
        "directions": directions.get(row.slug, {}),
    }


STATES = tuple(Health)
