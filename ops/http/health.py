"""Is this process alive, and can it do its work? No login, no names."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from migrations.run import head, revisions
from models.session import DISK_FULL, READ_ONLY, TOO_MANY, UNDEFINED_TABLE, prove_room, sqlstate, transaction
from models.worker import worker_id
from ops import status
from settings import SettingsError
from tenancy import vital_signs

router = APIRouter()
LOOK_SECONDS = 5.0
_TROUBLE = {
    READ_ONLY: "read only",
    DISK_FULL: "disk full",
    TOO_MANY: "too many connections",
    UNDEFINED_TABLE: "not migrated",
}
_NEWEST, _KNOWN = head(), revisions()


# What was seen last, for who asks whether this process lives: that must not wait for a database.
_seen: dict[str, str] = dict.fromkeys(vital_signs.SERVICES, "unknown")
# When; a look that hangs says nothing of now.
_seen_at = {"monotonic": 0.0}
OLD_SECONDS = 15.0


def look() -> float:
    """Look at the services that one process does for all; for a loop beside the web server."""
    try:
        with transaction() as connection:
            _seen.update(vital_signs.read(connection))
        _seen_at["monotonic"] = time.monotonic()
    except Exception:  # whatever it was: nothing is known now; the loop logs it and goes on
        _seen.update(dict.fromkeys(_seen, "unknown"))
        raise
    return LOOK_SECONDS


@router.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    """Alive: it answers, however busy the threads are. How the services are is told beside it."""
    old = time.monotonic() - _seen_at["monotonic"] > OLD_SECONDS
    return {"status": "ok"} | (dict.fromkeys(_seen, "unknown") if old else _seen)


@router.get("/readyz", include_in_schema=False)
def readyz(response: Response) -> dict[str, str]:
    """Ready: database (with this version's tables, and writing) and broker answer; else 503.

    Services that no process does are told and make no 503: webhooks can be taken without them, and must be.
    """
    state, services = database()
    found = {"database": state, "broker": status.broker()}
    ready = set(found.values()) == {"ok"}
    response.status_code = 200 if ready else 503
    return {"status": "ok" if ready else "not ready"} | found | services


def database() -> tuple[str, dict[str, str]]:
    """``ok``, ``unreachable``, ``read only``, ``disk full``, ``too many connections``, ``not migrated``, or ``another
    version`` (newer than this one, or not ours at all); and the services."""
    services = dict.fromkeys(vital_signs.SERVICES, "unknown")
    try:
        with transaction() as connection:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if revision != _NEWEST:
                return (
                    "another version" if revision is not None and revision not in _KNOWN else "not migrated",
                    services,
                )
            services = vital_signs.read(connection)
            _prove_writing(connection)
    except SettingsError:
        return "unknown", services
    except SQLAlchemyError as error:
        return _TROUBLE.get(sqlstate(error), "unreachable"), services
    return "ok", services


def _prove_writing(connection: Connection) -> None:
    """A write, at most one a second however often this is asked. A read-only database refuses it in any case.

    Who wrote sees also whether there is room for more; where there is none, the write is lost and the next one looks.
    """
    written = connection.execute(
        text(
            """INSERT INTO service AS s (name, worker) VALUES ('serve', :worker)
               ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, seen_at = now()
                WHERE s.seen_at < now() - interval '1 second'"""
        ),
        {"worker": worker_id()},
    )
    if written.rowcount:
        prove_room(connection)
