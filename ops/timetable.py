"""The timetable: who is due gets a run, once a week a full one at night, and holds that nobody decided expire.

Several schedulers may run: each due row is taken by one of them. Nothing else depends on it; the relay, leases, probes
and the take-over of crashed runs belong to every worker.
"""

from __future__ import annotations

import random
import threading
import time
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from models.base import utc_now
from models.session import transaction
from models.tenant import Direction
from ops import replay_batches
from ops.listing import rows
from producers import holds, triggers

TICK_SECONDS = 1.0
SLOW_SECONDS = 30.0
JITTER = 0.05
NIGHT_BEGINS, NIGHT_MINUTES = 1, 240  # full runs begin between one and five at night
FULL_EVERY = timedelta(days=6)  # at most once in so long: its own night comes once a week
log = structlog.get_logger("ops.timetable")

_DUE = """
    SELECT d.id, d.tenant_id, d.direction, t.interval_seconds
      FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
     WHERE d.state IN ('healthy', 'degraded') AND d.next_run_at <= now()
     ORDER BY d.next_run_at LIMIT 50 FOR UPDATE OF d SKIP LOCKED
"""
_NIGHTLY = """
    SELECT d.id, d.tenant_id, t.timezone, d.last_full_at
      FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
     WHERE d.state IN ('healthy', 'degraded') AND d.direction = 'enrollments' AND t.first_complete_at IS NOT NULL
       AND (d.last_full_at IS NULL OR d.last_full_at < now() - CAST(:every AS interval))
     FOR UPDATE OF d SKIP LOCKED
"""


def request_due() -> int:
    """Queue a run for every direction whose time has come, and set its next one. How many."""
    with transaction() as connection:
        due = rows(connection, _DUE)
        for row in due:
            run = triggers.request_run(connection, row["tenant_id"], row["direction"], trigger="schedule", options={})
            # Spreading is all that is wanted of chance here.
            seconds = row["interval_seconds"] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  spreads runs, guards nothing
            connection.execute(
                text(
                    "UPDATE tenant_direction SET next_run_at = now() + make_interval(secs => :seconds),"
                    " last_run_id = :run WHERE id = :id"
                ),
                {"seconds": seconds, "run": run, "id": row["id"]},
            )
    return len(due)


def request_full(now: datetime | None = None) -> int:
    """Queue the full run of every tenant whose night it is. How many."""
    moment = now or utc_now()
    with transaction() as connection:
        due = [row for row in rows(connection, _NIGHTLY, every=FULL_EVERY) if is_full_time(row, moment)]
        for row in due:
            triggers.request_run(
                connection, row["tenant_id"], Direction.ENROLLMENTS, trigger="nightly", options={"full": True}
            )
            connection.execute(
                text("UPDATE tenant_direction SET last_full_at = :now WHERE id = :id"), {"now": moment, "id": row["id"]}
            )
    return len(due)


def is_full_time(row: dict[str, Any], now: datetime) -> bool:
    """Pure: tenants are spread over the nights of the week and over the night, in their own time zone."""
    local = now.astimezone(ZoneInfo(row["timezone"]))
    minute = (local.hour - NIGHT_BEGINS) * 60 + local.minute
    number = int(row["tenant_id"])
    return local.weekday() == number % 7 and number * 37 % NIGHT_MINUTES <= minute < NIGHT_MINUTES


def run(stopping: threading.Event) -> None:
    """Tick every second until told to stop. Trouble with the database is waited out."""
    slow_at = 0.0
    while not stopping.is_set():
        try:
            request_due()
            replay_batches.advance_all()
            if time.monotonic() >= slow_at:
                slow_at = time.monotonic() + SLOW_SECONDS
                request_full()
                with transaction() as connection:
                    holds.expire(connection)
        except SQLAlchemyError as error:
            log.warning("timetable_waits", error=type(error).__name__)
            stopping.wait(4.0)
        stopping.wait(TICK_SECONDS)
