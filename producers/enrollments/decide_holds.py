"""Decide about what guards hold: release, refuse, or let it expire. ``raise_holds.py`` raises and clears it.

A release belongs to the plan it was raised for. Each line is compared with what is true now: the lines of people who
came back or changed meanwhile are dropped. Released lines go on in the run that planned them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from models.hold import Guard, Measure
from producers.enrollments.commit import commit_plan, lock_messages
from producers.enrollments.raise_holds import close_lines
from producers.runs.context import PreviewContext

# A line is still true when its enrollment is as it was planned and the person is as absent, or as present, as then.
_STILL_TRUE = """
    e.version = h.version AND coalesce(k.revision, 0) = h.revision AND c.active
    AND (e.outcome = 'held' OR l.take_out OR :guard = 'short_snapshot')
    AND CASE WHEN l.is_row THEN e.row_state = 'present' AND e.absent_since IS NULL
        WHEN l.take_out THEN e.row_state = 'present' AND e.left_behind <> '[]'
        ELSE (e.state IN ('enrolled', 'new') OR e.told_target IS NOT NULL OR e.archive)
             AND (e.absent_since IS NOT NULL OR :guard = 'short_snapshot') END
"""
# Why a line that is not true any more is dropped.
_WHY = f"""
    CASE WHEN {_STILL_TRUE} THEN NULL
         WHEN NOT c.active THEN 'course_inactive'
         WHEN coalesce(k.revision, 0) <> h.revision THEN 'no_longer_linked'
         WHEN NOT l.is_row AND NOT l.take_out AND e.row_state = 'present' THEN 'came_back'
         ELSE 'plan_changed' END
"""
_OPEN_LINES = """
      FROM hold_line h
      JOIN enrollment e ON e.id = h.enrollment_id AND e.tenant_id = h.tenant_id
      JOIN course c ON c.id = e.course_id AND c.tenant_id = e.tenant_id
      JOIN plan_line l ON l.id = h.plan_line_id AND l.tenant_id = h.tenant_id
      LEFT JOIN link k ON k.person_id = e.person_id AND k.tenant_id = e.tenant_id
     WHERE h.hold_id = :id AND h.tenant_id = :tenant AND h.state = 'open'
       AND (CAST(:events AS text[]) IS NULL OR h.event_id = ANY(:events))
       AND (CAST(:people AS text[]) IS NULL OR h.internal_id = ANY(:people))
       AND (CAST(:lines AS bigint[]) IS NULL OR h.id = ANY(:lines))
"""
_CHOOSE = text(
    f"""
    SELECT h.id, h.plan_line_id, h.enrollment_id, l.run_id, {_WHY} AS why {_OPEN_LINES}
     FOR UPDATE OF h
    """
)
_WOULD_GO = text(
    f"""
    SELECT h.id, h.event_id, h.internal_id, h.action, {_WHY} AS why {_OPEN_LINES}
     ORDER BY h.event_id, length(h.internal_id), h.internal_id
    """
)
_LOOK = text("SELECT id, tenant_id, run_id, guard, event_id, state, measure FROM hold WHERE id = :id")
_HOLD = text(f"{_LOOK.text} FOR UPDATE")
_BELIEVE = text(
    """
    UPDATE enrollment SET row_state = 'absent', absent_since = coalesce(absent_since, now())
     WHERE id = ANY(:ids) AND tenant_id = :tenant
    """
)
_NEW_BASE = text(
    """
    UPDATE course SET base_rows = :rows, base_at = now() WHERE tenant_id = :tenant AND event_id = :event
    """
)
_REFUSE_ENROLLMENTS = text(
    """
    UPDATE enrollment e
       SET removal_refused = e.removal_refused OR NOT (l.is_row OR l.take_out),
           -- they stay where they were put before, and no run asks again
           left_behind = CASE WHEN l.take_out THEN '[]' ELSE e.left_behind END,
           refused_fingerprint = CASE WHEN l.is_row THEN l.fingerprint ELSE e.refused_fingerprint END,
           outcome = CASE WHEN l.is_row THEN 'rejected' ELSE e.outcome END, reason = 'refused_by_operator'
      FROM hold_line h JOIN plan_line l ON l.id = h.plan_line_id AND l.tenant_id = h.tenant_id
     WHERE h.hold_id = :id AND h.tenant_id = :tenant AND h.state = 'open' AND e.id = h.enrollment_id
       AND e.tenant_id = h.tenant_id
    """
)
_REFUSE_LINES = text(
    """
    UPDATE plan_line l
       SET outcome = CASE WHEN l.is_row THEN 'rejected' ELSE 'refused' END, reason = 'refused_by_operator',
           settled_at = now()
      FROM hold_line h
     WHERE h.hold_id = :id AND h.tenant_id = :tenant AND h.state = 'open' AND l.id = h.plan_line_id
       AND l.tenant_id = h.tenant_id
    RETURNING l.run_id
    """
)
_EXPIRE = text(
    """
    UPDATE hold SET state = 'expired', decided_at = now()
     WHERE state = 'open' AND expires_at < now() RETURNING id
    """
)
_DECIDE = text(
    """
    UPDATE hold_line SET state = :state, decided_at = now() WHERE id = ANY(:lines) AND tenant_id = :tenant
    """
)
_SET_LINES = text(
    """
    UPDATE plan_line
       SET reason = :reason, outcome = coalesce(:outcome, CASE WHEN is_row THEN 'unchanged' ELSE 'dropped' END)
     WHERE id = ANY(:lines) AND tenant_id = :tenant
    """
)
_COUNT_OPEN = text("SELECT count(*) FROM hold_line WHERE hold_id = :id AND tenant_id = :tenant AND state = 'open'")
_FINISH = text(
    """
    UPDATE hold SET state = :state, decided_at = now(), decided_by = :who, decided_reason = :reason
     WHERE id = :id AND tenant_id = :tenant
    """
)
_APPLY_AGAIN = text(
    """
    UPDATE run SET status = 'applying' WHERE id = ANY(:runs) AND tenant_id = :tenant AND status LIKE 'done%'
    """
)


@dataclass(frozen=True)
class OpenHold:
    """The hold that is decided about, locked."""

    id: str
    tenant_id: int
    run_id: str
    guard: str
    event_id: str | None
    state: str
    measure: Measure

    @classmethod
    def from_row(cls, row: Row[Any]) -> OpenHold:
        """Of a row of ``_HOLD``."""
        return cls(**row._mapping)


class HoldClosed(Exception):
    """The hold was decided, cleared or expired already."""


def release(
    connection: Connection,
    hold_id: str,
    *,
    reason: str,
    who: str,
    events: Sequence[str] | None = None,
    persons: Sequence[str] | None = None,
    lines: Sequence[int] | None = None,
) -> dict[str, int]:
    """Let held lines go, all or some; returns ``{"released": n, "dropped": n, "open": n left}``.

    Raises KeyError for an unknown hold, HoldClosed for one that is not open any more.
    """
    hold = _lock(connection, hold_id)
    chosen = connection.execute(_CHOOSE, _chosen(hold, events, persons, lines)).all()
    going = [row for row in chosen if row.why is None]
    dropped = [row for row in chosen if row.why is not None]
    runs = sorted({row.run_id for row in going})
    parts = {run_id: [row.plan_line_id for row in going if row.run_id == run_id] for run_id in runs}
    for run_id, part in parts.items():
        lock_messages(connection, PreviewContext(run_id, hold.tenant_id, {}), part)
    _decide(connection, hold, [row.id for row in going], "released")
    _decide(connection, hold, [row.id for row in dropped], "dropped")
    _set_lines(connection, hold, [row.plan_line_id for row in going], "pending", "released")
    if hold.guard == Guard.SHORT_SNAPSHOT:
        _believe(connection, hold, [row.enrollment_id for row in going])
    for why in sorted({row.why for row in dropped}):
        _set_lines(connection, hold, [row.plan_line_id for row in dropped if row.why == why], None, why)
    for run_id, part in parts.items():
        commit_plan(connection, PreviewContext(run_id, hold.tenant_id, {}), part)
    _count_again(connection, hold, [row.run_id for row in chosen])
    left = _finish(connection, hold, "released", reason, who)
    if hold.guard == Guard.SHORT_SNAPSHOT and not left:
        _new_base(connection, hold)
    return {"released": len(going), "dropped": len(dropped), "open": left}


@dataclass(frozen=True)
class Outlook:
    """What a release would do with an open line now. ``why``: for which reason it would be dropped; None: it goes."""

    id: int
    event_id: str
    internal_id: str
    action: str
    why: str | None


def outlook(
    connection: Connection, hold_id: str, *, events: Sequence[str] | None = None, persons: Sequence[str] | None = None
) -> list[Outlook]:
    """What a release would do now, line by line; nothing is changed. Raises KeyError for an unknown hold."""
    found = connection.execute(_LOOK, {"id": hold_id}).first()
    if found is None:
        raise KeyError(hold_id)
    hold = OpenHold.from_row(found)
    return [Outlook(**row._mapping) for row in connection.execute(_WOULD_GO, _chosen(hold, events, persons, None))]


def _chosen(
    hold: OpenHold, events: Sequence[str] | None, persons: Sequence[str] | None, lines: Sequence[int] | None
) -> dict[str, object]:
    """Of which lines: empty is all."""
    key: dict[str, object] = {"id": hold.id, "tenant": hold.tenant_id, "guard": hold.guard}
    return key | {"events": _some(events), "people": _some(persons), "lines": list(lines) if lines else None}


def _believe(connection: Connection, hold: OpenHold, enrollments: Sequence[int]) -> None:
    """The listing that was doubted is true: whom it misses is absent."""
    connection.execute(_BELIEVE, {"ids": list(enrollments), "tenant": hold.tenant_id})


def _new_base(connection: Connection, hold: OpenHold) -> None:
    """An operator decided about an event that is this small."""
    connection.execute(_NEW_BASE, {"rows": hold.measure["rows"], "tenant": hold.tenant_id, "event": hold.event_id})


def refuse(connection: Connection, hold_id: str, *, reason: str, who: str) -> dict[str, int]:
    """Close a hold for good: the same lines are not raised again until the person's situation changes.

    Whom a short listing misses stays, so nothing hangs on its size any more: it is what later ones are compared with.
    Otherwise each of them would be doubted again, with nobody left to decide about.
    """
    hold = _lock(connection, hold_id)
    values = {"id": hold_id, "tenant": hold.tenant_id}
    connection.execute(_REFUSE_ENROLLMENTS, values)
    runs = connection.execute(_REFUSE_LINES, values).scalars().all()
    _count_again(connection, hold, [*runs, hold.run_id])
    close_lines(connection, [hold_id], "refused")
    if hold.guard == Guard.SHORT_SNAPSHOT:
        _new_base(connection, hold)
    left = _finish(connection, hold, "refused", reason, who)
    return {"released": 0, "refused": len(runs), "open": left}


def expire(connection: Connection) -> int:
    """Close holds that were not decided in time; their removals are planned, judged and held afresh if still due."""
    expired = connection.execute(_EXPIRE).scalars()
    holds = list(expired)
    close_lines(connection, holds, "expired")
    return len(holds)


def _lock(connection: Connection, hold_id: str) -> OpenHold:
    found = connection.execute(_HOLD, {"id": hold_id}).first()
    if found is None:
        raise KeyError(hold_id)
    hold = OpenHold.from_row(found)
    if hold.state != "open":
        raise HoldClosed(hold.state)
    return hold


def _some(names: Sequence[str] | None) -> list[str] | None:
    return list(names) if names else None


def _decide(connection: Connection, hold: OpenHold, lines: Sequence[int], state: str) -> None:
    connection.execute(_DECIDE, {"lines": list(lines), "tenant": hold.tenant_id, "state": state})


def _set_lines(connection: Connection, hold: OpenHold, lines: Sequence[int], outcome: str | None, reason: str) -> None:
    """``outcome`` None: a row that changed meanwhile counts as unchanged here, a removal as dropped."""
    values = {"lines": list(lines), "tenant": hold.tenant_id, "outcome": outcome, "reason": reason}
    connection.execute(_SET_LINES, values)


def _finish(connection: Connection, hold: OpenHold, state: str, reason: str, who: str) -> int:
    """Close the hold when no line is open any more; returns how many are."""
    values = {"id": hold.id, "tenant": hold.tenant_id}
    left = connection.execute(_COUNT_OPEN, values).scalar_one()
    if not left:
        connection.execute(_FINISH, values | {"state": state, "who": who, "reason": reason})
    return int(left)


def _count_again(connection: Connection, hold: OpenHold, run_ids: Sequence[str]) -> None:
    """Count the runs again whose held lines became something else."""
    connection.execute(_APPLY_AGAIN, {"runs": list(run_ids), "tenant": hold.tenant_id})
