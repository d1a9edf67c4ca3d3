"""The timetable: due tenants get a run, once a week a full one at night, and undecided holds expire.

Several schedulers may run: each due row is taken by one of them. Nothing else depends on it; the relay, leases, probes
and the take-over of crashed runs belong to every worker.
"""

from __future__ import annotations

import random
import threading
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import text

from loops import Chores, Loop, each
from models.base import utc_now
from models.direction import Direction
from models.session import close_idle, transaction
from models.worker import serve
from ops.alerts import service as alerts
from ops.dead_letters import replay_batch
from ops.listing import Row, rows
from producers.enrollments import decide_holds
from producers.runs.request import request_run

TICK_SECONDS = 1.0
SLOW_SECONDS = 30.0
JITTER = 0.05
NIGHT_BEGINS, NIGHT_MINUTES = 1, 240  # full runs begin between one and five at night
FULL_EVERY = timedelta(days=6)  # at most once in so long: its own night comes once a week

_DUE = """
    SELECT d.id FROM tenant_direction d
     WHERE d.state = 'healthy' AND d.next_run_at <= now() ORDER BY d.next_run_at LIMIT 50
"""
_TAKE = """
    SELECT d.id, d.tenant_id, d.direction, t.interval_seconds
      FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
     WHERE d.id = :id AND d.state = 'healthy' AND d.next_run_at <= now()
       FOR UPDATE OF d SKIP LOCKED
"""
_NIGHTLY = """
    SELECT d.id, d.tenant_id, t.timezone, d.last_full_at
      FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
     WHERE d.state = 'healthy' AND d.direction = 'enrollments' AND t.first_complete_at IS NOT NULL
       AND (d.last_full_at IS NULL OR d.last_full_at < now() - CAST(:every AS interval))
       AND (CAST(:id AS bigint) IS NULL OR d.id = :id)
"""


def request_due() -> int:
    """Queue a run for every direction whose time has come, and set its next one. How many.

    A transaction each: one that locks two tenants could wait for another that locks them the other way round, and one
    tenant's trouble must not stop the next.
    """
    with transaction() as connection:
        due = [row["id"] for row in rows(connection, _DUE)]
    return each("due direction", due, _request_one)


# Who finds a direction in use leaves it for the next tick: the others are due too.
_LOCK_PATIENCE = text("SET LOCAL lock_timeout = '5s'")


def _request_one(direction_id: int) -> None:
    with transaction() as connection:
        connection.execute(_LOCK_PATIENCE)
        for row in rows(connection, _TAKE, id=direction_id):
            run = request_run(connection, row["tenant_id"], row["direction"], trigger="schedule", options={})
            # Spreading is all that is wanted of chance here.
            seconds = row["interval_seconds"] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  spreads runs, guards nothing
            connection.execute(
                text(
                    "UPDATE tenant_direction SET next_run_at = now() + make_interval(secs => :seconds),"
                    " last_run_id = :run WHERE id = :id"
                ),
                {"seconds": seconds, "run": run, "id": row["id"]},
            )


def request_full(now: datetime | None = None) -> int:
    """Queue the full run of every tenant whose night it is. How many."""
    moment = now or utc_now()
    begun: list[int] = []

    def request(row: Row) -> None:
        if not is_full_time(row, moment):
            return
        with transaction() as connection:
            connection.execute(_LOCK_PATIENCE)
            # Another scheduler may have been quicker.
            if not rows(connection, _NIGHTLY + "FOR UPDATE OF d SKIP LOCKED", every=FULL_EVERY, id=row["id"]):
                return
            request_run(connection, row["tenant_id"], Direction.ENROLLMENTS, trigger="nightly", options={"full": True})
            connection.execute(
                text("UPDATE tenant_direction SET last_full_at = :now WHERE id = :id"), {"now": moment, "id": row["id"]}
            )
        begun.append(row["id"])

    with transaction() as connection:
        candidates = rows(connection, _NIGHTLY, every=FULL_EVERY, id=None)
    each("nightly run", candidates, request)
    return len(begun)


def is_full_time(row: Row, now: datetime) -> bool:
    """Pure: tenants are spread over the nights of the week and over the night, in their own time zone."""
    local = now.astimezone(ZoneInfo(row["timezone"]))
    minute = (local.hour - NIGHT_BEGINS) * 60 + local.minute
    number = int(row["tenant_id"])
    return local.weekday() == number % 7 and number * 37 % NIGHT_MINUTES <= minute < NIGHT_MINUTES


def expire_holds() -> None:
    """End holds that were not decided in time."""
    with transaction() as connection:
        decide_holds.expire(connection)


def show_sign_of_life() -> None:
    """Let ``status`` see that the timetable is kept."""
    with transaction() as connection:
        serve(connection, "timetable")


def run(stopping: threading.Event) -> None:
    """Keep the timetable until told to stop."""
    chores = Chores(
        (TICK_SECONDS, request_due),
        (TICK_SECONDS, replay_batch.advance_all),
        (5.0, show_sign_of_life),
        (SLOW_SECONDS, request_full),
        (SLOW_SECONDS, expire_holds),
        (SLOW_SECONDS, close_idle),
    )

    def step() -> float:
        chores.do_due()
        return TICK_SECONDS

    alerts.start(stopping)
    Loop("timetable", step, stopping).run()  # in this thread: the caller does nothing else
