"""The timetable: due tenants get a run, once a week a full one at night, and undecided holds expire.

Of several schedulers one keeps it; another takes over when that one is told to stop, or gave no sign of life for 15 s.
Were two of them to keep it for a moment, each due row would still be taken by one. Times are those of the database's
clock. Nothing else depends on it; the relay, leases, probes and the take-over of crashed runs belong to every worker.
"""

from __future__ import annotations

import threading
import time as clock
from contextlib import suppress
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import text

from loops import Chores, Loop, each
from models import blackouts
from models.direction import Direction
from models.session import DATABASE_TROUBLE, close_idle, transaction
from models.worker import resign, serve
from ops.alerts import service as alerts
from ops.dead_letters import replay_batch
from ops.listing import Row, rows
from producers.enrollments import decide_holds
from producers.runs.request import request_run
from tenancy.blackouts import after

TICK_SECONDS = 1.0
SLOW_SECONDS = 30.0
SIGN_SECONDS = 5.0
# Of a tick, so that what has waited for a scheduler, or for the end of the same blackout, does not come at once.
MOST_AT_ONCE = 10
NIGHT_BEGINS, NIGHT_MINUTES = 1, 240  # full runs begin between one and five at night
FULL_EVERY = timedelta(days=6)  # at most once in so long: its own night comes once a week
FULL_LASTS = timedelta(hours=1)  # so long after its time a full run may begin; until five at least

_DUE = """
    SELECT d.id FROM tenant_direction d
     WHERE d.state = 'healthy' AND d.next_run_at <= now() ORDER BY d.next_run_at LIMIT 50
"""
_TAKE = """
    SELECT d.id, d.tenant_id, d.direction, t.interval_seconds, t.timezone, t.blackout, now() AS now
      FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
     WHERE d.id = :id AND d.state = 'healthy' AND d.next_run_at <= now()
       FOR UPDATE OF d SKIP LOCKED
"""
_NEXT = text("UPDATE tenant_direction SET next_run_at = :at, last_run_id = coalesce(:run, last_run_id) WHERE id = :id")
_NIGHTLY = """
    SELECT d.id, d.tenant_id, t.timezone, t.blackout, d.last_full_at, now() AS now
      FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
     WHERE d.state = 'healthy' AND d.direction = 'enrollments' AND t.first_complete_at IS NOT NULL
       AND (d.last_full_at IS NULL OR d.last_full_at < now() - CAST(:every AS interval)
            OR d.last_full_at > now() + CAST(:every AS interval))
       AND (CAST(:id AS bigint) IS NULL OR d.id = :id)
"""
# Later than an interval allows: in a blackout, or somebody set the clock of the database.
_FAR = """
    SELECT d.id, d.next_run_at, t.interval_seconds, t.timezone, t.blackout, now() AS now
      FROM tenant_direction d JOIN tenant t ON t.id = d.tenant_id
     WHERE d.next_run_at > now() + make_interval(secs => t.interval_seconds * 1.1)
"""


def request_due() -> int:
    """Queue a run for every direction whose time has come, and set its next one. How many.

    In a blackout none is queued, and its time comes after that. A transaction each: one that locks two tenants could
    wait for another that locks them the other way round, and one tenant's trouble must not stop the next.
    """
    with transaction() as connection:
        due = [row["id"] for row in rows(connection, _DUE)]
    begun: list[int] = []

    def request(direction_id: int) -> None:
        if len(begun) < MOST_AT_ONCE and _request_one(direction_id):
            begun.append(direction_id)

    each("due direction", due, request)
    return len(begun)


# Who finds a direction in use leaves it for the next tick: the others are due too.
_LOCK_PATIENCE = text("SET LOCAL lock_timeout = '5s'")


def _request_one(direction_id: int) -> bool:
    with transaction() as connection:
        connection.execute(_LOCK_PATIENCE)
        for row in rows(connection, _TAKE, id=direction_id):
            when, run = (row["blackout"], row["timezone"], row["now"]), None
            at = after(*when)
            if at is None:
                run = request_run(connection, row["tenant_id"], row["direction"], trigger="schedule", options={})
                seconds = blackouts.jittered(row["interval_seconds"])
                at = blackouts.next_begin(*when, seconds)
            connection.execute(_NEXT, {"at": at, "run": run, "id": row["id"]})
            return run is not None
    return False


def bring_near() -> int:
    """Give those another time whose next one is later than it can be, as the clock was set back. How many."""

    def again(row: Row) -> None:
        when = (row["blackout"], row["timezone"], row["now"])
        if row["next_run_at"] > blackouts.latest_begin(*when, row["interval_seconds"]):
            at = blackouts.next_begin(*when, blackouts.jittered(row["interval_seconds"]))
            with transaction() as connection:
                connection.execute(_NEXT, {"at": at, "run": None, "id": row["id"]})
            changed.append(row["id"])

    changed: list[int] = []
    with transaction() as connection:
        far = rows(connection, _FAR)
    each("far direction", far, again)
    return len(changed)


def request_full(now: datetime | None = None) -> int:
    """Queue the full run of every tenant whose night it is. How many."""
    begun: list[int] = []

    def request(row: Row) -> None:
        moment = now or row["now"]
        if len(begun) >= MOST_AT_ONCE or not is_full_time(row, moment):
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
    """Pure: tenants are spread over the nights of the week and over the night, in their own time zone.

    Where a blackout covers that, the time comes when it ends, be it days later.
    """
    place, number = ZoneInfo(row["timezone"]), int(row["tenant_id"])
    when = (row["blackout"], row["timezone"])
    if blackouts.free_from(*when, now) != now:
        return False
    today = now.astimezone(place).date()
    night = today - timedelta(days=(today.weekday() - number) % 7)
    begins, ends = (
        datetime.combine(night, time(NIGHT_BEGINS), place) + timedelta(minutes=minutes)
        for minutes in (number * 37 % NIGHT_MINUTES, NIGHT_MINUTES)
    )
    first = blackouts.free_from(*when, begins)
    return first <= now < max(first + FULL_LASTS, ends)


def expire_holds() -> None:
    """End holds that were not decided in time."""
    with transaction() as connection:
        decide_holds.expire(connection)


def keeps_it() -> bool:
    """Whether this process keeps the timetable; ``status`` sees by it that somebody does."""
    with transaction() as connection:
        return serve(connection, "timetable")


def run(stopping: threading.Event) -> None:
    """Keep the timetable until told to stop, or stand by while another process does."""
    kept = False
    chores = Chores(
        (TICK_SECONDS, request_due),
        (TICK_SECONDS, replay_batch.advance_all),
        (SLOW_SECONDS, request_full),
        (SLOW_SECONDS, bring_near),
        (SLOW_SECONDS, expire_holds),
    )
    idle = Chores((SLOW_SECONDS, close_idle))
    asked = 0.0

    def step() -> float:
        nonlocal kept, asked
        if clock.monotonic() >= asked:
            kept = keeps_it()
            asked = clock.monotonic() + SIGN_SECONDS
        if kept:
            chores.do_due()
        idle.do_due()
        return TICK_SECONDS

    alerts.start(stopping)
    Loop("timetable", step, stopping).run()  # in this thread: the caller does nothing else
    if kept:
        with suppress(*DATABASE_TROUBLE), transaction() as connection:
            resign(connection, "timetable")
