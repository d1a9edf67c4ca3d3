"""Limits on what one run may do, judged on the plan before anything is enqueued.

A guard holds every line of its kind in its scope, never some of them: no program can know which three of forty removals
are right. The plan is judged, not the doing: so any number of workers stays inside the limits.

==================  =========================================  ===============================================
guard               scope                                      holds when
==================  =========================================  ===============================================
short_snapshot      removals of an event                       its snapshot is suspect for its size
event_emptied       removals of an event                       everybody (2 or more) would go
removals_event      removals of an event                       more than max(count, percent of the event)
removals_run        removals of a tenant's run                 more than max(count, percent of its enrollments)
removals_window     removals of a tenant in 7 days             the same
creates             new accounts of a tenant's run             more than max(count, percent of its people), once
                                                               it had a complete run
email_changes       new addresses of a tenant's run            more than max(count, percent of its people)
==================  =========================================  ===============================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from models.hold import Guard, Measure
from models.run import Judged, SnapshotState
from models.tenant import Tenant
from models.tenant_settings import Limits
from producers.enrollments.snapshot import Snapshot
from producers.runs.context import RunContext

WINDOW_DAYS = 7


@dataclass(frozen=True)
class Tripped:
    """A guard that holds, its scope, and the measure that tripped it."""

    guard: Guard
    event_id: str | None
    measure: Measure
    # These lines only stay on a hold that is open already, and that this run can't overtake.
    stays: bool = False


def allowed(limits: Limits, name: str, base: int) -> float:
    """The most that may pass: the larger of a count and a share of the base."""
    count, percent = _limit(limits, name)
    return max(count, base * percent / 100)


def _limit(limits: Limits, name: str) -> tuple[float, float]:
    return float(getattr(limits, f"{name}_count")), float(getattr(limits, f"{name}_percent"))


def measured(limits: Limits, name: str, count: int, base: int) -> Measure:
    """So many lines of so many, beside the most that may pass."""
    most, percent = _limit(limits, name)
    limit = allowed(limits, name, base)
    return {"count": count, "limit": limit, "limit_count": most, "limit_percent": percent, "base": base}


_REMOVALS = text(
    """
    SELECT l.event_id, count(*) AS removals, count(*) FILTER (WHERE l.take_out) AS moving,
           (SELECT count(*) FROM enrollment e
             WHERE e.tenant_id = :tenant AND e.course_id = l.course_id AND e.state = 'enrolled') AS base
      FROM plan_line l
     WHERE l.run_id = :run AND l.tenant_id = :tenant AND l.kind = 'removal' AND l.outcome = 'pending'
     GROUP BY l.event_id, l.course_id
    """
)
# Accounts are made and changed once a person, removals happen once an enrollment: each is compared with its own kind.
_SIZE = text(
    """SELECT count(*) AS enrollments, count(DISTINCT person_id) AS people FROM enrollment
        WHERE tenant_id = :tenant AND state = 'enrolled'"""
)
# Work that a guard or an operator let go before and that still waits in the ledger is decided already.
_DECIDED = text(
    """
    UPDATE plan_line l SET decided = true
      FROM enrollment e
      JOIN message m ON m.kind = 'enrollment.upsert' AND m.subject_id = e.id AND m.tenant_id = e.tenant_id
      JOIN plan_line o ON o.id = m.plan_line_id AND o.tenant_id = m.tenant_id
     WHERE l.run_id = :run AND l.tenant_id = :tenant AND l.outcome = 'pending' AND l.is_row
       AND e.id = l.enrollment_id AND e.tenant_id = l.tenant_id
       AND e.desired = 'enrolled' AND e.outcome = 'pending' AND e.fingerprint = l.fingerprint AND o.action = l.action
    """
)
_OPEN = text(
    """SELECT count(*) FROM plan_line
        WHERE run_id = :run AND tenant_id = :tenant AND kind = :kind AND outcome = 'pending' AND NOT decided"""
)
# A hold stays open until a run has read all that it is about; until then its lines are held again when planned again.
_STAY = text(
    """
    WITH staying AS (
        SELECT l.id, h.guard, h.event_id, h.measure
          FROM hold h
          JOIN hold_line hl ON hl.hold_id = h.id AND hl.state = 'open'
          JOIN plan_line o ON o.id = hl.plan_line_id
          JOIN plan_line l ON l.run_id = :run AND l.enrollment_id = hl.enrollment_id AND l.outcome = 'pending'
                          AND l.is_row = o.is_row AND NOT l.decided
         WHERE h.tenant_id = :tenant AND h.state = 'open'
           AND l.kind IS NOT DISTINCT FROM o.kind AND (l.kind IS NOT NULL OR l.action = o.action)
           AND (:one OR NOT CASE WHEN h.event_id IS NULL THEN :all_complete ELSE h.event_id = ANY(:complete) END)),
    held AS (
        UPDATE plan_line SET outcome = 'held', reason = s.guard FROM staying s WHERE plan_line.id = s.id)
    SELECT DISTINCT guard, event_id, measure FROM staying
    """
)
# A run for one person is judged together with what is held already.
_HELD_ALREADY = text(
    """
    SELECT count(*) FROM hold h JOIN hold_line hl ON hl.hold_id = h.id AND hl.state = 'open'
      JOIN plan_line o ON o.id = hl.plan_line_id
     WHERE h.tenant_id = :tenant AND h.state = 'open' AND o.kind = :kind
       AND (CAST(:event AS text) IS NULL OR hl.event_id = :event)
       AND NOT EXISTS (SELECT 1 FROM plan_line l WHERE l.run_id = :run AND l.enrollment_id = hl.enrollment_id)
    """
)
# What an operator released was wanted and does not count; what this run plans again counts once.
_WINDOW = text(
    """
    SELECT count(*) FROM plan_line l
     WHERE l.tenant_id = :tenant AND l.kind = 'removal' AND l.run_id <> :run AND l.hold_id IS NULL
       AND l.created_at > now() - make_interval(days => :days)
       AND (l.outcome = 'removed'
            OR (l.outcome = 'pending' AND l.reason IS DISTINCT FROM 'superseded'
                AND NOT EXISTS (SELECT 1 FROM plan_line n WHERE n.run_id = :run AND n.kind = 'removal'
                                   AND n.enrollment_id = l.enrollment_id)))
       AND EXISTS (SELECT 1 FROM run r WHERE r.id = l.run_id AND r.status <> 'dry_run' AND r.trigger <> 'preview')
    """
)
_HOLD = text(
    """
    UPDATE plan_line SET outcome = 'held', reason = :guard
     WHERE run_id = :run AND tenant_id = :tenant AND kind = :kind AND outcome = 'pending' AND NOT decided
       AND (CAST(:event AS text) IS NULL OR event_id = :event)
    """
)
# A line whose address comes free only through a held line waits with it.
_HOLD_FOLLOWERS = text(
    """
    UPDATE plan_line f SET outcome = 'held', reason = l.reason
      FROM plan_line l
     WHERE f.run_id = :run AND f.tenant_id = :tenant AND l.run_id = :run AND l.tenant_id = f.tenant_id
       AND f.outcome = 'pending' AND f.after_person = l.internal_id
       AND l.outcome = 'held' AND l.is_row AND NOT f.decided
    """
)
# A new account that is held holds every event of that person.
_HOLD_REST_OF_PERSON = text(
    """
    UPDATE plan_line f SET outcome = 'held', reason = l.reason
      FROM plan_line l
     WHERE f.run_id = :run AND f.tenant_id = :tenant AND l.run_id = :run AND l.tenant_id = f.tenant_id
       AND f.outcome = 'pending' AND f.is_row AND f.action = 'enroll'
       AND f.internal_id = l.internal_id AND l.outcome = 'held' AND l.action IN ('create', 'link')
       AND NOT f.decided
    """
)


class Judge:
    """Marks lines of a plan as held and says which guards did it. Order matters: the narrowest scope speaks first."""

    def __init__(self, connection: Connection, context: RunContext, tenant: Tenant) -> None:
        self.connection = connection
        self.run = {"run": context.run_id, "tenant": context.tenant_id}
        self.one = context.options.get("person") is not None
        self.tenant = tenant
        self.limits = tenant.removals.limits
        # What each guard counted, whether it holds or not
        self.judged: list[Judged] = []
        size = connection.execute(_SIZE, {"tenant": tenant.id}).one()
        self.enrollments, self.people = int(size.enrollments), int(size.people)

    def judge(self, snapshots: Sequence[Snapshot]) -> list[Tripped]:
        """Judge the whole plan."""
        self.connection.execute(_DECIDED, self.run)
        tripped = [*self._stay(snapshots), *self._short(snapshots), *self._events(), *self._tenant_removals()]
        if self.tenant.first_complete_at is not None:
            tripped += self._kind(Guard.CREATES, "create", "creates")
        tripped += self._kind(Guard.EMAIL_CHANGES, "email_change", "email_changes")
        while self.connection.execute(_HOLD_FOLLOWERS, self.run).rowcount:
            pass
        self.connection.execute(_HOLD_REST_OF_PERSON, self.run)
        return tripped

    def _stay(self, snapshots: Sequence[Snapshot]) -> list[Tripped]:
        complete = [snapshot.event_id for snapshot in snapshots if snapshot.state == SnapshotState.COMPLETE]
        values = {"one": self.one, "complete": complete, "all_complete": len(complete) == len(snapshots)}
        found = self.connection.execute(_STAY, self.run | values).all()
        return [Tripped(Guard(row.guard), row.event_id, row.measure, stays=True) for row in found]

    def _held_already(self, kind: str, event_id: str | None = None) -> int:
        if not self.one:
            return 0
        values = self.run | {"kind": kind, "event": event_id}
        return int(self.connection.execute(_HELD_ALREADY, values).scalar_one())

    def _verdict(self, guard: Guard, event_id: str | None, measure: Measure, *, holds: bool) -> list[Tripped]:
        self.judged.append({"guard": guard.value, "event_id": event_id, "measure": measure, "holds": holds})
        return [Tripped(guard, event_id, measure)] if holds else []

    def _short(self, snapshots: Sequence[Snapshot]) -> list[Tripped]:
        # Also where there is nothing to remove: the smaller roster becomes the base once an operator says so.
        tripped = []
        for snapshot in snapshots:
            if snapshot.only_short:
                self._hold(Guard.SHORT_SNAPSHOT, "removal", snapshot.event_id)
                measure = Measure(rows=snapshot.rows, base=snapshot.base)
                tripped += self._verdict(Guard.SHORT_SNAPSHOT, snapshot.event_id, measure, holds=True)
        return tripped

    def _events(self) -> list[Tripped]:
        tripped = []
        for row in self.connection.execute(_REMOVALS, self.run).all():
            measure = measured(self.limits, "event", row.removals, row.base)
            if row.moving:
                measure["moving"] = row.moving
            leaving = row.removals - row.moving  # who only moves to another target does not empty the event
            emptied = leaving >= row.base and leaving >= 2
            guard = Guard.EVENT_EMPTIED if emptied else Guard.REMOVALS_EVENT
            holds = emptied or row.removals + self._held_already("removal", row.event_id) > measure["limit"]
            if holds:
                self._hold(guard, "removal", row.event_id)
            tripped += self._verdict(guard, row.event_id, measure, holds=holds)
        return tripped

    def _tenant_removals(self) -> list[Tripped]:
        planned = self._open_lines("removal")
        measure = measured(self.limits, "run", planned, self.enrollments)
        holds = planned > measure["limit"]
        tripped = self._verdict(Guard.REMOVALS_RUN, None, measure, holds=holds)
        if holds:
            self._hold(Guard.REMOVALS_RUN, "removal", None)
            return tripped
        before = self.connection.execute(_WINDOW, self.run | {"days": WINDOW_DAYS}).scalar_one()
        measure = measured(self.limits, "window", planned, self.enrollments) | {"before": before}
        holds = bool(planned) and planned + before > measure["limit"]
        if holds:
            self._hold(Guard.REMOVALS_WINDOW, "removal", None)
        return self._verdict(Guard.REMOVALS_WINDOW, None, measure, holds=holds)

    def _kind(self, guard: Guard, kind: str, name: str) -> list[Tripped]:
        planned = self._open_lines(kind)
        measure = measured(self.limits, name, planned, self.people)
        holds = planned > measure["limit"]
        if holds:
            self._hold(guard, kind, None)
        return self._verdict(guard, None, measure, holds=holds)

    def _open_lines(self, kind: str) -> int:
        planned = int(self.connection.execute(_OPEN, self.run | {"kind": kind}).scalar_one())
        return planned + self._held_already(kind) if planned else 0

    def _hold(self, guard: Guard, kind: str, event_id: str | None) -> int:
        values = self.run | {"guard": guard.value, "kind": kind, "event": event_id}
        return self.connection.execute(_HOLD, values).rowcount
