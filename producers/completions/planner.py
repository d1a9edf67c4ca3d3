"""Which completions are to be written now, and the messages for them: one line and one message each.

Locks are taken in one order everywhere: the tenant's, then messages, then completions. The actor keeps to it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, text

from models import ledger, locks
from models.completion_state import CLOSED
from models.course import Course
from models.direction import Direction
from models.message import Kind, Priority
from producers.completions.afas_column import Judged
from producers.completions.record import LINK_OF, DayRange, lock_completions
from producers.completions.rules import Rule, rules_of

PLANNED = "planned"
# What was refused, and under what. Attempts that ran out have no such mark: the next run tries them again.
CURRENT = "t.settings_version || '/' || e.row_state || '/' || coalesce(e.external_id, '')"

# What a completion answers to: as long as a rule asks for just this, it may be written.
ASKED = "concat_ws(':', c.course_id, c.field, c.level, c.title)"

# Whatever kept a date from being written, once it is over: the row is back, the rule is good, the account is theirs.
_OFFER_AGAIN = text(
    f"""
    UPDATE completion c SET state = 'pending', reason = NULL, enrollment_id = e.id, changed_at = now()
      FROM enrollment e JOIN person p ON p.id = e.person_id
     WHERE c.tenant_id = :tenant AND c.internal_id = p.internal_id AND c.subject LIKE 'person:%'
       AND c.state IN ('orphan', 'rejected') AND {ASKED} = ANY(:rules)
       AND p.tenant_id = c.tenant_id AND e.course_id = c.course_id AND e.row_state <> 'absent'
       AND c.completed_on IS NOT NULL AND EXISTS (SELECT 1 FROM link l WHERE {LINK_OF})
    """  # noqa: S608  constants only
)
# Nobody asks for it any more: the course is out, or its rule names another field or title. What has a message is told
# by that.
_NOT_ASKED = text(
    f"""
    UPDATE completion c SET state = 'rejected', reason = 'no_rule', changed_at = now()
     WHERE c.tenant_id = :tenant AND c.state = 'pending' AND NOT {ASKED} = ANY(:configured)
       AND NOT EXISTS (SELECT 1 FROM message m WHERE m.kind = :kind AND m.subject_id = c.id)
    """  # noqa: S608  constants only
)
# The other way round. Where a PUT may be under way its message decides; without a message this statement does.
_LOST = text(
    f"""
    UPDATE completion c
       SET state = 'orphan', changed_at = now(),
           reason = CASE WHEN NOT x.present THEN 'not_in_afas' ELSE 'no_longer_linked' END
      FROM (SELECT c.id, coalesce(e.row_state <> 'absent', false) AS present, EXISTS (
                       SELECT 1 FROM link l WHERE {LINK_OF}) AS linked
              FROM completion c LEFT JOIN enrollment e ON e.id = c.enrollment_id
             WHERE c.tenant_id = :tenant AND c.state IN ('pending', 'sending')) x
     WHERE c.id = x.id AND NOT (x.present AND x.linked)
       AND (c.state = 'pending' OR NOT EXISTS (SELECT 1 FROM message m WHERE m.kind = :kind AND m.subject_id = c.id))
    """  # noqa: S608  constants only
)
_DUE = f"""
      JOIN enrollment e ON e.id = c.enrollment_id AND e.row_state <> 'absent'
      JOIN tenant t ON t.id = c.tenant_id
     WHERE c.tenant_id = :tenant AND c.completed_on IS NOT NULL
       AND {ASKED} = ANY(:rules)
       AND (c.state IN ('pending', 'sending')
            OR (c.state = 'failed' AND c.failed_for IS DISTINCT FROM {CURRENT}))
       AND c.completed_on >= coalesce(CAST(:since AS date), '-infinity')
       AND c.completed_on <= coalesce(CAST(:until AS date), 'infinity')
"""
_COUNT_DUE = text(f"SELECT c.course_id, count(*) AS rows FROM completion c {_DUE} GROUP BY c.course_id")  # noqa: S608  constants only
_UNCONFIRMED = text(
    """
    SELECT DISTINCT course_id FROM completion
     WHERE tenant_id = :tenant AND ((state = 'written' AND written_at > now() - interval '48 hours')
           OR (state = 'conflict' AND coalesce(shown_at, changed_at) < now() - interval '1 hour'))
    """
)
_DUE_IDS = text(f"SELECT c.id FROM completion c {_DUE} ORDER BY c.id")  # noqa: S608  constants only
# Joined, not compared: without statistics PostgreSQL would look through all completions for each id.
_DUE_LOCKED = text(
    f"""
    SELECT c.id, c.tenant_id, c.course_id, c.enrollment_id, c.internal_id, c.field, c.completed_on, c.version
      FROM unnest(CAST(:ids AS bigint[])) AS wanted(id) JOIN completion c ON c.id = wanted.id {_DUE}
     ORDER BY c.id FOR NO KEY UPDATE OF c
    """  # noqa: S608  constants only
)
_LOCK_MESSAGES = text("SELECT id FROM message WHERE kind = :kind AND subject_id = ANY(:ids) ORDER BY id FOR UPDATE")
_REVIVE = text(
    """
    UPDATE completion SET state = CASE WHEN sending_at IS NULL THEN 'pending' ELSE 'sending' END, reason = NULL,
           changed_at = now()
     WHERE id = ANY(:ids) AND tenant_id = :tenant AND state = 'failed'
    """
)
_SETTLED = text(
    """SELECT id, course_id, field, completed_on FROM completion
        WHERE id = ANY(:ids) AND tenant_id = :tenant ORDER BY id"""
)
# A run that starts again after a crash has lines already: they are used again.
_OLD_LINES = text(
    """
    UPDATE plan_line l
       SET outcome = r.outcome, reason = r.reason, before = coalesce(r.before, l.before),
           settled_at = CASE WHEN r.outcome <> 'pending' THEN now() END
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(completion_id bigint, outcome text, reason text, before jsonb)
     WHERE l.completion_id = r.completion_id AND l.run_id = :run AND l.tenant_id = :tenant
    RETURNING l.id, l.completion_id
    """
)
_NEW_LINES = text(
    """
    INSERT INTO plan_line (run_id, tenant_id, course_id, enrollment_id, completion_id, event_id, internal_id, action,
                           outcome, reason, before, after, settled_at)
    SELECT :run, :tenant, r.course_id, r.enrollment_id, r.completion_id, r.event_id, r.internal_id, r.action,
           r.outcome, r.reason, r.before, r.after, CASE WHEN r.outcome <> 'pending' THEN now() END
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
           course_id bigint, enrollment_id bigint, completion_id bigint, event_id text, internal_id text,
           action text, outcome text, reason text, before jsonb, after jsonb)
    RETURNING id, completion_id
    """
)
# Grouped, not anti-joined: right after so many lines were made PostgreSQL's statistics know of none, and it would
# compare each completion with each line. What an operator accepted as it is needs nobody.
_QUIET = text(
    f"""
    SELECT outcome, count(*) AS rows
      FROM (SELECT id, max(outcome) AS outcome, bool_or(lined) AS lined
              FROM (SELECT c.id, CASE WHEN c.state = 'sending' THEN 'pending'
                                      WHEN c.state = 'written' OR {CLOSED} THEN 'unchanged'
                                      ELSE c.state END AS outcome, false AS lined
                      FROM completion c
                     WHERE c.tenant_id = :tenant AND c.course_id = ANY(:courses)
                       AND (c.seen_run = :run OR (:all AND c.state = 'no_date'))
                     UNION ALL
                    SELECT l.completion_id, NULL, true FROM plan_line l WHERE l.run_id = :run) both_kinds
             GROUP BY id) seen
     WHERE NOT lined
     GROUP BY outcome
    """  # noqa: S608  constants only
)
_COURSE_ROWS = text(
    """
    SELECT course_id, count(*) AS rows FROM (
        SELECT c.course_id, c.id FROM completion c
         WHERE c.tenant_id = :tenant AND c.course_id = ANY(:courses)
           AND (c.seen_run = :run OR (:all AND c.state = 'no_date'))
         UNION
        SELECT l.course_id, l.completion_id FROM plan_line l WHERE l.run_id = :run) seen
     GROUP BY course_id
    """
)


@dataclass(frozen=True)
class _Due:
    """A completion that is due: a row of ``_DUE_LOCKED``."""

    id: int
    tenant_id: int
    course_id: int
    enrollment_id: int
    internal_id: str
    field: str
    completed_on: date
    version: int


class _Settled(NamedTuple):
    """A completion that AFAS's column settled: a row of ``_SETTLED``."""

    id: int
    course_id: int
    field: str
    completed_on: date


@dataclass(frozen=True)
class _Line:
    """A plan line as ``_NEW_LINES`` reads it."""

    course_id: int
    enrollment_id: int | None
    completion_id: int
    event_id: str
    internal_id: str | None
    action: str
    outcome: str
    reason: str | None
    before: dict[str, str] | None
    after: dict[str, str | None]


class Planner:
    """The due completions of one run's rules, inside one range of days."""

    def __init__(self, tenant_id: int, run_id: str | None, rules: Sequence[Rule], days: DayRange) -> None:
        self.tenant_id = tenant_id
        self.run_id = run_id
        self.rules = {rule.key: rule for rule in rules if rule.target is not None}
        self.days = days
        self.hash = hashlib.sha256()

    @property
    def _asked(self) -> list[str]:
        return [rule.asked for rule in self.rules.values()]

    @property
    def _due(self) -> dict[str, object]:
        return {"tenant": self.tenant_id, "rules": self._asked, "since": self.days.since, "until": self.days.until}

    def refresh(self, connection: Connection, courses: Sequence[Course]) -> None:
        """What was an orphan or rejected and could be written now becomes due, and the other way round.

        ``courses``: all that have rules, good ones or not.
        """
        lock_completions(connection, self.tenant_id)
        names = {"tenant": self.tenant_id, "kind": Kind.WRITE_BACK}
        connection.execute(_OFFER_AGAIN, {"tenant": self.tenant_id, "rules": self._asked})
        connection.execute(_LOST, names)
        configured = [rule.asked for course in courses for rule in rules_of(course)]
        connection.execute(_NOT_ASKED, names | {"configured": configured})

    def due_by_course(self, connection: Connection) -> dict[int, int]:
        """How many are due in each course."""
        return {row.course_id: row.rows for row in connection.execute(_COUNT_DUE, self._due)}

    def unconfirmed_courses(self, connection: Connection) -> set[int]:
        """Courses where something we wrote lately was not seen yet, or a conflict was not looked at for an hour."""
        return set(connection.execute(_UNCONFIRMED, {"tenant": self.tenant_id}).scalars())

    def due_ids(self, connection: Connection) -> list[int]:
        """The due completions: numbers only, also of a hundred thousand."""
        return list(connection.execute(_DUE_IDS, self._due).scalars())

    def enqueue(self, connection: Connection, ids: Sequence[int], priority: int = Priority.NORMAL) -> int:
        """Lines (in a run) and messages for those of ``ids`` that are still due; returns how many."""
        lock_completions(connection, self.tenant_id)
        connection.execute(_LOCK_MESSAGES, {"kind": Kind.WRITE_BACK, "ids": list(ids)})
        rows = [_Due(*row) for row in connection.execute(_DUE_LOCKED, self._due | {"ids": list(ids)})]
        if not rows:
            return 0
        connection.execute(_REVIVE, {"tenant": self.tenant_id, "ids": [row.id for row in rows]})
        lines = self._lines(connection, rows) if self.run_id else {}
        messages = [self._message(row, lines.get(row.id), priority) for row in rows]
        ledger.enqueue(connection, messages)
        return len(rows)

    def settled_lines(self, connection: Connection, judged: Sequence[Judged]) -> None:
        """Lines for completions that AFAS's own column settled in this run."""
        by_id = {one.id: one for one in judged}
        lines = []
        found = connection.execute(_SETTLED, {"tenant": self.tenant_id, "ids": list(by_id)})
        for row in map(_Settled._make, found):
            one = by_id[row.id]
            before = {"completion": one.found} if one.found else None
            lines.append(self._line(row, one.internal_id, one.enrollment_id, "none", one.state, one.reason, before))
        self._keep(connection, lines)

    def _lines(self, connection: Connection, rows: Sequence[_Due]) -> dict[int, int]:
        lines = [self._line(row, row.internal_id, row.enrollment_id, "write", "pending", PLANNED, None) for row in rows]
        return self._keep(connection, lines)

    def _line(  # noqa: PLR0917  the rest of a line
        self, row: _Due | _Settled, internal_id: str | None, enrollment_id: int | None, action: str, outcome: str,
        reason: str | None, before: dict[str, str] | None,
    ) -> _Line:  # fmt: skip
        rule = self.rules[row.course_id, row.field]
        after = {"completion": rule.target.write(row.completed_on) if rule.target else None, "field": row.field}
        return _Line(
            row.course_id, enrollment_id, row.id, rule.event_id, internal_id, action, outcome, reason, before, after
        )

    def _keep(self, connection: Connection, lines: Sequence[_Line]) -> dict[int, int]:
        for line in lines:
            self.hash.update(json.dumps([line.event_id, line.internal_id, line.after]).encode())
        values = {"run": self.run_id, "tenant": self.tenant_id}
        old = connection.execute(_OLD_LINES, values | {"rows": json.dumps([vars(line) for line in lines])})
        ids = {row.completion_id: row.id for row in old}
        new = [vars(line) for line in lines if line.completion_id not in ids]
        if new:
            added = connection.execute(_NEW_LINES, values | {"rows": json.dumps(new)})
            ids.update((row.completion_id, row.id) for row in added)
        return ids

    def _message(self, row: _Due, line_id: int | None, priority: int) -> ledger.NewMessage:
        return ledger.NewMessage(
            tenant_id=row.tenant_id,
            kind=Kind.WRITE_BACK,
            direction=Direction.COMPLETIONS,
            subject_id=row.id,
            lock=locks.of_write_back(row.enrollment_id),
            version=row.version,
            run_id=self.run_id,
            plan_line_id=line_id,
            priority=priority,
        )


def count_quiet(connection: Connection, planner: Planner, course_ids: Sequence[int]) -> dict[str, int]:
    """Outcomes of the finished ones seen in this run that need no line. What was written before is ``unchanged``."""
    values = _counted(planner, course_ids)
    return {row.outcome: row.rows for row in connection.execute(_QUIET, values)}


def count_rows(connection: Connection, planner: Planner, course_ids: Sequence[int]) -> dict[int, int]:
    """Finished ones of each course in this run."""
    return {row.course_id: row.rows for row in connection.execute(_COURSE_ROWS, _counted(planner, course_ids))}


def _counted(planner: Planner, course_ids: Sequence[int]) -> dict[str, object]:
    return {
        "tenant": planner.tenant_id,
        "run": planner.run_id,
        "courses": list(course_ids),
        "all": not planner.days.narrow,
    }
