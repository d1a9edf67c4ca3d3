"""Replay many dead letters: one first (the canary), then at most N a second, and none more after M deaths in a row.

``advance`` does what is due now and never waits, so the command that began a batch drives it, or the
scheduler once that command is gone. An advisory lock lets one at a time; the row says how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import NotRequired, cast

import structlog
from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from loops import each, where
from models.advisory_locks import AdvisoryLock
from models.base import new_id
from models.session import is_away, is_contended, transaction
from models.worker import live_workers
from ops import access, audit, lookup
from ops.dead_letters import MAX_FAILURES, RATE, replay
from ops.listing import Row, rows
from ops.problems import AlreadyDecided, First, NotThere, Problem

TICK_SECONDS = 0.2
# Those that only have to be closed, as there is nothing to do, are many at times: no more than this in one go.
MOST_SECONDS = 1.0
TAKEN = (replay.WILL_DO, replay.SUPERSEDED)
log = structlog.get_logger("ops.dead_letters.replay_batch")

# What became of a letter ``d``: gone from the ledger without a newer dead letter is done. What waits for a direction
# that was stopped meanwhile says nothing about the others.
FATE = """
    CASE WHEN d.state = 'open' THEN 'not_sent' WHEN d.state <> 'replayed' THEN d.state
         WHEN n.id IS NOT NULL THEN 'failed' WHEN m.id IS NULL THEN 'done'
         WHEN m.state <> 'sent' AND (w.state IN ('paused', 'quarantined')
                                     OR w.wait_until > now() + interval '60 seconds') THEN {blocked}
         WHEN m.state = 'scheduled' AND m.attempts > 0 THEN 'pending' ELSE 'under_way' END
"""
BESIDE = """
      LEFT JOIN message m ON m.kind = d.kind AND m.subject_id = d.subject_id
      LEFT JOIN tenant_direction w ON w.tenant_id = m.tenant_id AND w.direction = m.direction
      LEFT JOIN LATERAL (SELECT n.id, n.error, n.message FROM dead_letter n
                          WHERE n.kind = d.kind AND n.subject_id = d.subject_id AND n.id > d.id
                          ORDER BY n.id LIMIT 1) n ON d.state = 'replayed'
"""
SHOWN_FATE = FATE.format(blocked="'pending'")
_FATES = f"""
    SELECT d.id, {FATE.format(blocked="'blocked'")} AS fate,
           d.closed_at > now() - interval '1 second' AS lately
      FROM dead_letter d {BESIDE}
     WHERE d.id = ANY(:ids) AND d.state = 'replayed' ORDER BY d.closed_at, d.id
"""  # noqa: S608  constants only

_STORED = """
    SELECT id, state, ids, position, rate, max_failures, started_by, reason,
           extract(epoch FROM now() - created_at) AS age
      FROM replay_batch WHERE id = :id FOR UPDATE
"""


@dataclass(frozen=True)
class Stored:
    """A batch as it stands; ``age`` in seconds."""

    id: str
    state: str
    ids: list[str]
    position: int
    rate: float
    max_failures: int
    started_by: str
    reason: str | None
    age: float


class Progress(TypedDict):
    """How far a batch is; what became of each dead letter that was sent."""

    state: str
    position: int
    of: int
    fates: dict[str, str]


class Replayed(TypedDict):
    """What ``dead-letters replay`` tells. ``state``: running, done, stopped, cancelled or dry_run."""

    batch: str | None
    state: str
    lines: list[replay.Line]
    timed_out: NotRequired[bool]


def preview(chosen: list[str]) -> Replayed:
    """What a replay would do; changes nothing."""
    with transaction() as connection:
        return {"batch": None, "state": "dry_run", "lines": replay.preview(connection, chosen)}


def replay_now(
    chosen: list[str], *, rate: float, max_failures: int, wait: bool, timeout_seconds: float, who: str
) -> Replayed:
    """Replay what can be done; returns when all of it is sent, with ``wait`` when all of it is settled.

    Without a worker only what is due at once is sent: no canary could be waited for.
    """
    access.need("dead_letters.replay")
    with transaction() as connection:
        judged = replay.preview(connection, chosen)
        workers = live_workers(connection)
    to_do = [line["id"] for line in judged if line["result"] in TAKEN]
    if not to_do:
        return {"batch": None, "state": "done", "lines": judged}
    if wait and not workers:
        raise Problem("no_worker")
    batch = create(to_do, rate=rate, max_failures=max_failures, who=who)
    if workers:
        told, over = drive(batch, until_settled=wait, timeout_seconds=timeout_seconds)
        state = told["state"]
    else:
        sent, over = advance(batch), True
        state = sent["state"] if sent else "running"
    untouched = [line for line in judged if line["id"] not in to_do]
    listed = sorted([*lines(batch), *untouched], key=lambda line: line["id"])
    return {"batch": batch, "state": state, "lines": listed, "timed_out": not over}


def exit_code(found: Replayed, *, waited: bool) -> int:
    """0, 1 or 3: something failed again, or something waits."""
    results = {line["result"] for line in found["lines"]}
    if found["state"] == "stopped" or (waited and "failed" in results):
        return 1
    waits = {"pending", "under_way", "not_sent"} if waited else set()
    return 3 if results & (waits | {replay.STILL_BLOCKED}) or found.get("timed_out") else 0


def create(
    ids: list[str],
    *,
    rate: float = RATE,
    max_failures: int = MAX_FAILURES,
    reason: str | None = None,
    alone: bool = False,
    who: str | None = None,
) -> str:
    """Store a batch; nothing is sent yet. Returns its id.

    ``alone``: raises AlreadyDecided where a replay that is under way has one of these letters.
    """
    if not (rate > 0 and isfinite(rate)) or max_failures < 1:
        raise Problem("rate")
    access.need("dead_letters.replay")
    batch = new_id()
    started_by = who or access.actor().name
    values = {"id": batch, "rate": rate, "max_failures": max_failures, "ids": ids, "reason": reason, "who": started_by}
    with transaction() as connection:
        refuse_others(connection, ids)
        if alone:
            connection.execute(_ONE_BY_ONE, {"class": AdvisoryLock.REPLAY_BATCH})
            refuse_running(connection, ids)
        connection.execute(_CREATE, values)
        for part in rows(connection, _BY_TENANT, ids=ids):
            audit.record(
                connection,
                who=started_by,
                verb="replays start",
                tenant_id=part["tenant_id"],
                subject=batch,
                reason=reason,
                detail={"letters": part["letters"], "rate": f"{rate:g}"},
            )
    return batch


def refuse_running(connection: Connection, ids: list[str]) -> None:
    """Raises AlreadyDecided where a replay that is under way has one of these letters."""
    for other in rows(connection, _RUNNING, ids=ids):
        raise AlreadyDecided("replay_running", who=other["started_by"], batch=other["id"])


# No batch has the number 0 as its lock: that of an id is made of its letters.
_ONE_BY_ONE = text("SELECT pg_advisory_xact_lock(:class, 0)")
_RUNNING = """
    SELECT id, started_by FROM replay_batch WHERE state = 'running' AND jsonb_exists_any(ids, :ids) ORDER BY id LIMIT 1
"""
_CREATE = text(
    """
    INSERT INTO replay_batch (id, rate, max_failures, ids, reason, started_by)
    VALUES (:id, :rate, :max_failures, to_jsonb(CAST(:ids AS text[])), :reason, :who)
    """
)
_BY_TENANT = """
    SELECT tenant_id, count(*) AS letters FROM dead_letter WHERE id = ANY(:ids) GROUP BY tenant_id ORDER BY tenant_id
"""


def cancel(batch: str, *, who: str | None = None) -> bool:
    """Send nothing more of a batch; False when it was over."""
    access.need("replays.cancel")
    with transaction() as connection:
        found = rows(connection, "SELECT ids FROM replay_batch WHERE id = :id", id=batch)
        if not found:
            raise NotThere("no_batch", batch=batch)
        refuse_others(connection, found[0]["ids"])
        if not _end(connection, batch, "cancelled"):
            return False
        for part in rows(connection, _BY_TENANT, ids=found[0]["ids"]):
            audit.record(connection, who=who, verb="replays cancel", tenant_id=part["tenant_id"], subject=batch)
        return True


def cancelled_by(batch: str) -> First | None:
    """Who cancelled a batch; None where nobody did."""
    return audit.first_of("replays cancel", subject=batch)


_OTHERS = "SELECT id FROM dead_letter WHERE id = ANY(:ids) AND (tenant_id = ANY(:tenants)) IS NOT TRUE LIMIT 1"


def refuse_others(connection: Connection, ids: list[str]) -> None:
    """Raise NotThere where one of these is of a tenant that who acts may not see."""
    tenants = lookup.visible_ids(connection)
    if tenants is not None:
        for one in rows(connection, _OTHERS, ids=ids, tenants=tenants):
            raise lookup.none_of("dead_letter", one["id"])


def advance(batch: str) -> Progress | None:
    """Send what is due. None while another process does; else ``{"state", "position", "of", "fates"}``."""
    with transaction() as connection:
        key = {"class": AdvisoryLock.REPLAY_BATCH, "key": hash_of(batch)}
        if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:class, :key)"), key).scalar():
            return None
        stored = Stored(**rows(connection, _STORED, id=batch)[0])
        found = rows(connection, _FATES, ids=stored.ids)
        if stored.state == "running":
            stored = _step(connection, stored, found)
            found = rows(connection, _FATES, ids=stored.ids)  # what was sent just now is under way
        fates = {row["id"]: "pending" if row["fate"] == "blocked" else row["fate"] for row in found}
        return {"state": stored.state, "position": stored.position, "of": len(stored.ids), "fates": fates}


def hash_of(batch: str) -> int:
    """A lock number for a batch."""
    return int.from_bytes(batch[-6:].encode(), "big") % 2**31


def _step(connection: Connection, stored: Stored, found: list[Row]) -> Stored:
    row = 0
    fates = {one["id"]: one["fate"] for one in found if one["fate"] != "blocked"}
    lately = sum(one["lately"] for one in found)
    for fate in fates.values():
        row = row + 1 if fate in ("failed", "pending") else 0 if fate == "done" else row
    if row >= stored.max_failures or (row and len(fates) == 1):
        _end(connection, stored.id, "stopped")
        return replace(stored, state="stopped")
    position, until = stored.position, time.monotonic() + MOST_SECONDS
    for dead_letter in stored.ids[position : position + _due(stored, fates, lately)]:
        sent = _send(connection, dead_letter, stored)
        if sent is None:
            break  # the batch comes again with the next tick, and begins with this one
        position += 1
        if (sent and not fates) or time.monotonic() > until:
            break  # the canary; or the rest comes with the next tick
    values = {"id": stored.id, "position": position, "row": row}
    connection.execute(
        text("UPDATE replay_batch SET position = :position, failures_in_a_row = :row WHERE id = :id"), values
    )
    if position >= len(stored.ids):
        _end(connection, stored.id, "done")
        return replace(stored, state="done", position=position)
    return replace(stored, position=position)


def _send(connection: Connection, dead_letter: str, stored: Stored) -> bool | None:
    """Whether it was sent; None while others hold it. One that breaks stays open and keeps none of the others."""
    try:
        with connection.begin_nested():
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))  # what was sent before it waits too
            told = replay.send(connection, dead_letter, who=stored.started_by, reason=stored.reason, batch=stored.id)
    except Exception as error:
        if is_contended(error):
            return None
        if is_away(error):
            raise
        log.error("not_replayed", dead_letter=dead_letter, error=type(error).__name__, where=where(error))
        return False
    return bool(told["result"] == replay.REPLAYED)


def _due(stored: Stored, fates: dict[str, str], lately: int) -> int:
    """How many may go now: until the canary is done none but it, then as many as the rate has earned.

    What was earned while the canary was away does not go all at once: ``lately`` counts those of the last second.
    """
    if not fates:
        return len(stored.ids)  # up to and including the first that is really sent
    if len(fates) == 1 and "under_way" in fates.values():
        return 0
    earned = int(float(stored.age) * stored.rate) + 1 - len(fates)
    return max(0, min(earned, ceil(stored.rate) - lately))


def _end(connection: Connection, batch: str, state: str) -> int:
    return connection.execute(
        text("UPDATE replay_batch SET state = :state, finished_at = now() WHERE id = :id AND state = 'running'"),
        {"id": batch, "state": state},
    ).rowcount


def advance_all() -> None:
    """Advance every batch that is not over; the timetable calls this."""
    with transaction() as connection:
        open_ones = list(connection.execute(text("SELECT id FROM replay_batch WHERE state = 'running'")).scalars())
    each("replay batch", open_ones, advance)


def drive(
    batch: str,
    *,
    until_settled: bool,
    timeout_seconds: float,
    watch: Callable[[Progress], None] = lambda told: None,
) -> tuple[Progress, bool]:
    """Advance a batch until all is sent, or (``until_settled``) until nothing of it is under way.

    Returns what ``advance`` said last, and whether that came within the time.
    """
    give_up = time.monotonic() + timeout_seconds
    while True:
        told = advance(batch)
        if told is not None:
            watch(told)
            busy = until_settled and "under_way" in told["fates"].values()
            if told["state"] != "running" and not busy:
                return told, True
            if time.monotonic() >= give_up:
                return told, False
        time.sleep(TICK_SECONDS)


def lines(batch: str) -> list[replay.Line]:
    """What became of each dead letter of a batch so far. One that failed again says why, and names the new one."""
    with transaction() as connection:
        ids = connection.execute(text("SELECT ids FROM replay_batch WHERE id = :id"), {"id": batch}).scalar_one()
        refuse_others(connection, ids)
        found = rows(connection, f"{LINES} WHERE d.id = ANY(:ids) ORDER BY d.id", ids=ids)
    return [told(row) for row in found]


# ``n`` is the first dead letter after it of the same work: what a replay that failed again became.
LINES = f"""
    SELECT d.id, t.slug AS tenant, d.kind, d.internal_id, d.event_id, d.error, d.state, d.closed_reason AS reason,
           n.id AS again, n.error AS again_error, n.message AS again_message, {SHOWN_FATE} AS result
      FROM dead_letter d LEFT JOIN tenant t ON t.id = d.tenant_id {BESIDE}
"""  # noqa: S608  constants only


def told(row: Row) -> replay.Line:
    """A row of ``LINES`` as it is told."""
    again = {name: row.pop(name) for name in ("again", "again_error", "again_message")}
    if row["result"] == "failed":
        why = f"{again['again_error']}: {again['again_message']}".rstrip(": ")
        row |= {"reason": why, **again}
    return cast(replay.Line, row)
